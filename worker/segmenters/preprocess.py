"""The input transforms of the two generations of SAM.

SAM 2 stretches a photo to a square; SAM 1 keeps the aspect ratio and pads. Both give the same as
the references' own transforms (`sam2.utils.transforms`, `segment_anything.utils.transforms`), but
need no torchvision.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from shared.arrays import UInt8Array

#: ImageNet's mean and standard deviation, of RGB in 0..1.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
#: Rows resized at once, so that a photo of 100 megapixels is never held whole as floats.
_BAND = 512


def squash(image: UInt8Array, side: int) -> Tensor:
    """SAM 2's input of an (H, W, 3) uint8 RGB photo: (3, side, side) float32.

    Antialiased bilinear, then normalised. Resizing is separable, width first, so resizing in bands
    of rows gives exactly the same result.
    """
    height = image.shape[0]
    narrow = torch.empty((3, height, side))
    for top in range(0, height, _BAND):
        # A copy, because torch does not share read-only arrays.
        rows = torch.from_numpy(np.array(image[top : top + _BAND]))
        pixels = rows.permute(2, 0, 1).contiguous().float().div_(255)
        narrow[:, top : top + _BAND] = _resize(pixels, pixels.shape[1], side)
    square = _resize(narrow, side, side)
    mean = torch.tensor(_MEAN).view(3, 1, 1)
    std = torch.tensor(_STD).view(3, 1, 1)
    return square.sub_(mean).div_(std)


def _resize(pixels: Tensor, height: int, width: int) -> Tensor:
    """(C, H, W) float32 to (C, height, width)."""
    return functional.interpolate(
        pixels[None], (height, width), mode="bilinear", align_corners=False, antialias=True
    )[0]


def longest_side(width: int, height: int, side: int) -> tuple[int, int]:
    """The (width, height) of a photo scaled to a longer side of `side`, each at least 1.

    The reference rounds the short side of a very long photo to 0 and fails.
    """
    scale = side / max(width, height)
    return max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))


def pad(image: UInt8Array, side: int, mean: Tensor, std: Tensor) -> Tensor:
    """SAM 1's input of an (H, W, 3) uint8 RGB photo: (3, side, side) float32.

    The longer side is resized to `side` by Pillow's bilinear on bytes; then the pixels are
    normalised and padded with zeros on the right and below.

    Args:
        image: the photo.
        side: the square's side, in pixels.
        mean: (3, 1, 1), of RGB in 0..255.
        std: (3, 1, 1), likewise.
    """
    size = longest_side(image.shape[1], image.shape[0], side)
    small = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1)
    normalised = (pixels - mean) / std
    return functional.pad(normalised, (0, side - size[0], 0, side - size[1]))
