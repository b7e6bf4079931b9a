"""Composites with a known foreground: each subject before another photo's background.

A true alpha does not give the colours under it, so a reference foreground is estimated from the
photo with its true alpha at full size (Germer et al., "Fast Multi-Level Foreground Estimation",
arXiv:2006.14970: the smoothest F and B that explain every pixel), and composited over the next
photo. In the composite F and alpha are exact, even where the estimate was not.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

Array = Any

_NEIGHBOURS = (
    (slice(0, -2), slice(1, -1)),
    (slice(2, None), slice(1, -1)),
    (slice(1, -1), slice(0, -2)),
    (slice(1, -1), slice(2, None)),
)


def foreground(rgb: Array, alpha: Array) -> Array:
    """Estimate the foreground, (H, W, 3) float32 in 0..1.

    Args:
        rgb: the photo, (H, W, 3) uint8.
        alpha: its true alpha, (H, W) uint8.
    """
    photo, share = rgb.astype(np.float32) / 255, alpha.astype(np.float32) / 255
    height, width = share.shape
    both: list[Array] = [np.zeros((1, 1, 3), np.float32)] * 2
    levels = int(np.ceil(np.log2(max(height, width))))
    for level in range(levels + 1):
        size = (
            max(1, round(width ** (level / levels))),
            max(1, round(height ** (level / levels))),
        )
        both = [
            cv2.resize(one, size, interpolation=cv2.INTER_NEAREST).reshape(size[1], size[0], 3)
            for one in both
        ]
        small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA).reshape(*both[0].shape)
        part = cv2.resize(share, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0])
        both = _solved(small, part, both, 20 if max(size) <= 64 else 6)
    return both[0]


def composited(rgb: Array, alpha: Array, other: Array) -> tuple[Array, Array]:
    """The (H, W, 3) uint8 subject before another photo, and its own colours, float32 in 0..255."""
    colours = foreground(rgb, alpha)
    ground = cv2.resize(other, rgb.shape[1::-1], interpolation=cv2.INTER_AREA)
    share = alpha[..., None].astype(np.float32) / 255
    picture = colours * share * 255 + ground * (1 - share)
    return np.rint(picture).astype(np.uint8), colours * 255


def _solved(photo: Array, share: Array, both: list[Array], rounds: int) -> list[Array]:
    """Jacobi iterations on the equations of every pixel with its four neighbours."""
    around = np.pad(share, 1, mode="edge")
    ties = [1e-5 + np.abs(share - around[place]) for place in _NEIGHBOURS]
    tied = sum(ties)
    own, rest = share, 1 - share
    a, b, d = own * own + tied, own * rest, rest * rest + tied
    determinant = (a * d - b * b)[..., None]
    for _ in range(rounds):
        wanted = []
        for part, one in ((own, both[0]), (rest, both[1])):
            padded = np.pad(one, ((1, 1), (1, 1), (0, 0)), mode="edge")
            near = sum(
                tie[..., None] * padded[place] for tie, place in zip(ties, _NEIGHBOURS, strict=True)
            )
            wanted.append(part[..., None] * photo + near)
        front = (d[..., None] * wanted[0] - b[..., None] * wanted[1]) / determinant
        back = (a[..., None] * wanted[1] - b[..., None] * wanted[0]) / determinant
        both = [np.clip(front, 0, 1), np.clip(back, 0, 1)]
    return both
