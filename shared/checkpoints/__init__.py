"""The weights of the models: which there are, where they lie, and how they get there.

`catalogue` says what Meta published, `folder` keeps it, `choice` picks what to serve, `pull` and
`sources` fetch. Only the last two know HTTP and S3, so that a worker loads neither from here.
"""

from __future__ import annotations

from shared.checkpoints.catalogue import CATALOGUE, Model, find
from shared.checkpoints.choice import Choice, best_present, resolve
from shared.checkpoints.folder import ModelsFolder

__all__ = ["CATALOGUE", "Choice", "Model", "ModelsFolder", "best_present", "find", "resolve"]
