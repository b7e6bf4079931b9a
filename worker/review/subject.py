"""What an alpha says of its subject."""

from __future__ import annotations

import cv2

from shared.arrays import UInt8Array
from shared.errors import SubjectNotFound
from shared.job import Subject


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
    solid = cv2.threshold(alpha, 127, 255, cv2.THRESH_BINARY)[1]
    x, y, width, height = cv2.boundingRect(solid)
    if width == 0:
        raise SubjectNotFound
    return Subject(
        box=(x, y, x + width, y + height),
        area=round(cv2.countNonZero(solid) / solid.size, 4),
        scores=tuple(round(score, 4) for score in scores),
        stability=tuple(round(share, 4) for share in stability),
        needs_review=bool(reasons),
        reasons=reasons,
    )
