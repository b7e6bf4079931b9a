"""Turning SAM's logits into masks: sigmoid and resizing."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from shared.arrays import FloatArray


def soft(logits: FloatArray) -> FloatArray:
    """The sigmoid of logits: a soft mask in 0..1."""
    return np.asarray(torch.sigmoid(torch.from_numpy(logits)).numpy(), np.float32)


def resized(logits: FloatArray, width: int, height: int) -> FloatArray:
    """Resize (h, w) logits to (height, width), bilinear as in both references."""
    given = torch.from_numpy(logits)[None, None]
    large = functional.interpolate(given, (height, width), mode="bilinear", align_corners=False)
    return np.asarray(large[0, 0].numpy(), np.float32)
