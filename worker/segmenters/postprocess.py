"""From SAM's logits to a mask at a photo's size."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from shared.arrays import FloatArray


def soft(logits: FloatArray) -> FloatArray:
    """Logits as a mask in 0..1."""
    return np.asarray(torch.sigmoid(torch.from_numpy(logits)).numpy(), np.float32)


def resized(logits: FloatArray, width: int, height: int) -> FloatArray:
    """(h, w) logits as (height, width): bilinear, as both references bring masks to size."""
    given = torch.from_numpy(logits)[None, None]
    large = functional.interpolate(given, (height, width), mode="bilinear", align_corners=False)
    return np.asarray(large[0, 0].numpy(), np.float32)
