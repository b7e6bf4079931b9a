"""The array types that cross module borders. Imports nothing but numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Pixels and alpha: (H, W) or (H, W, 3) uint8.
UInt8Array = NDArray[np.uint8]
#: Soft masks and logits: (h, w) float32.
FloatArray = NDArray[np.float32]
#: Selections: (h, w) bool.
BoolArray = NDArray[np.bool_]
