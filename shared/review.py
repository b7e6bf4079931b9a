"""Thresholds from which a person should review a cut, and the reason that each gives."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field, model_validator

from shared.model import Model

Share = Annotated[float, Field(ge=0, le=1)]


class ReviewLimits(Model):
    """Thresholds of what is measured on every cut, each with the reason that it gives.

    Attributes:
        iou: `low_confidence` where the model predicts a lower IoU for its own mask.
        stability: `unstable` where the mask changes more with its threshold; see `Subject`.
        border: `touches_border` from this share of the photo's outline on.
        pieces: `fragmented` from this many pieces on; specks do not count.
        smallest: `tiny` below this share of the photo.
        largest: `fills_frame` above this share of it.
        softness: `soft_edges` where the half-transparent edge is wider on average, as a share of
            the photo's side (the root of its pixels).
    """

    iou: Share = 0.7
    stability: Share = 0.8
    border: Share = 0.25
    pieces: int = Field(default=6, ge=2)
    smallest: Share = 0.005
    largest: Share = 0.85
    softness: Share = 0.02

    @model_validator(mode="before")
    @classmethod
    def _read_json(cls, value: object) -> object:
        """Read the environment's value: JSON, in which any field may be left out."""
        return json.loads(value) if isinstance(value, str) else value
