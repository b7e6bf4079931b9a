"""Reasons to review a cut, measured on its alpha, for any segmenter.

Segmenters add reasons of their own, under the same names where they mean the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from shared.arrays import UInt8Array
from shared.review import ReviewLimits
from worker.matting.solid import solid_alpha

#: Longest side at which shapes are measured; more detail would not change them.
_MEASURED = 1024
#: Share of the photo below which a piece is a speck.
_SPECK = 0.0002
#: How far from opaque and from clear each level is: 0 at both ends, 255 at the middle.
_BETWEEN = np.array([4 * level * (255 - level) // 255 for level in range(256)], np.uint8)


def doubts(
    alpha: UInt8Array, judged: Sequence[tuple[float, float]], limits: ReviewLimits
) -> tuple[str, ...]:
    """The names of what is doubtful, as `ReviewLimits` explains them; empty where nothing is.

    Args:
        alpha: (H, W) uint8, at the photo's size.
        judged: predicted IoU and stability per object; empty when the model predicts none.
        limits: the thresholds.
    """
    small = _reduced(alpha)
    solid = solid_alpha(small)
    share = float(solid.mean())
    found = {
        "low_confidence": any(iou < limits.iou for iou, _ in judged),
        "unstable": any(stability < limits.stability for _, stability in judged),
        "touches_border": border_share(solid) >= limits.border,
        "fragmented": pieces(solid) >= limits.pieces,
        "tiny": share < limits.smallest,
        "fills_frame": share > limits.largest,
        "soft_edges": edge_width(alpha, solid) > limits.softness,
    }
    return tuple(name for name, doubtful in found.items() if doubtful)


def border_share(solid: UInt8Array) -> float:
    """The share of an (h, w) mask's outermost pixels that are 1, corners counted twice."""
    outline = np.concatenate((solid[0], solid[-1], solid[:, 0], solid[:, -1]))
    return float(outline.mean())


def pieces(solid: UInt8Array) -> int:
    """How many separate pieces of 1 an (h, w) mask has, specks aside."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    return int((stats[1:, cv2.CC_STAT_AREA] >= _SPECK * solid.size).sum())


def edge_width(alpha: UInt8Array, solid: UInt8Array) -> float:
    """The mean width of the soft edge as a share of the photo's side, the root of its pixels.

    Soft pixels, each counted by 4·a·(1 - a), over the outline's length.

    Args:
        alpha: (H, W) uint8.
        solid: (h, w), 1 where the alpha is more opaque than not, at any size.
    """
    outlines, _ = cv2.findContours(solid, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    length = sum(len(outline) for outline in outlines) / float(np.sqrt(solid.size))
    energy = cv2.sumElems(cv2.LUT(alpha, _BETWEEN))[0] / 255 / alpha.size
    return float(energy / length) if length else 0.0


def _reduced(alpha: UInt8Array) -> UInt8Array:
    shrink = min(1.0, _MEASURED / max(alpha.shape))
    if shrink == 1.0:
        return alpha
    size = (max(1, round(alpha.shape[1] * shrink)), max(1, round(alpha.shape[0] * shrink)))
    return np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), np.uint8)
