"""Measures the subject that an alpha shows."""

from __future__ import annotations

import cv2

from shared.arrays import UInt8Array
from shared.errors import SubjectNotFound
from shared.job import Subject
from worker.matting.solid import box_of, solid_alpha


def measure(
    alpha: UInt8Array,
    scores: tuple[float, ...] = (),
    reasons: tuple[str, ...] = (),
    stability: tuple[float, ...] = (),
) -> Subject:
    """The subject's box and share of the photo, from its (H, W) uint8 alpha.

    Raises:
        SubjectNotFound: nothing is opaque.
    """
    solid = solid_alpha(alpha)
    box = box_of(solid)
    if box is None:
        raise SubjectNotFound
    return Subject(
        box=box,
        area=round(cv2.countNonZero(solid) / solid.size, 4),
        scores=tuple(round(score, 4) for score in scores),
        stability=tuple(round(share, 4) for share in stability),
        needs_review=bool(reasons),
        reasons=reasons,
    )
