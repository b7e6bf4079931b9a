"""The models' weights: what is published, where it is stored, and how it is downloaded.

`catalogue` lists what Meta published, `folder` stores it, `choice` selects what to serve, `pull`
and `sources` download. Only the last two import HTTP and S3 clients, so that a worker does not.
"""

from __future__ import annotations

from shared.checkpoints.catalogue import CATALOGUE, Model, find
from shared.checkpoints.choice import Choice, best_present, resolve
from shared.checkpoints.folder import ModelsFolder

__all__ = ["CATALOGUE", "Choice", "Model", "ModelsFolder", "best_present", "find", "resolve"]
