"""Comparing and ranking candidate masks, on hand-made masks and scores."""

from __future__ import annotations

import numpy as np
import pytest

from shared.arrays import BoolArray, FloatArray
from worker.segmenters.masks import iou, ranking, stability
from worker.segmenters.postprocess import resized


def disc(inside: float, edge: float, outside: float) -> FloatArray:
    """(16, 16) logits: 4 × 4 pixels inside, a rim of one pixel (20 of them), the rest outside."""
    logits = np.full((16, 16), outside, np.float32)
    logits[5:11, 5:11] = edge
    logits[6:10, 6:10] = inside
    return logits


def row(*on: int) -> BoolArray:
    """(1, 8) with these columns set."""
    mask = np.zeros((1, 8), bool)
    mask[0, list(on)] = True
    return mask


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (row(1, 2), row(1, 2), 1.0),
        (row(1, 2, 3), row(2, 3, 4), 2 / 4),
        (row(1), row(1, 2, 3), 1 / 3),
        (row(1), row(2), 0.0),
        (row(1), row(), 0.0),
        (row(), row(), 1.0),
    ],
)
def test_iou(one: BoolArray, other: BoolArray, expected: float) -> None:
    assert iou(one, other) == expected
    assert iou(other, one) == expected


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        (disc(9, -9, -9), 1.0),
        (disc(9, 0, -9), 16 / 36),
        (disc(9, 1, -9), 16 / 36),  # at the threshold is not above it
        (disc(9, -1, -9), 1.0),
        (disc(0.5, -9, -9), 0.0),
        (disc(-9, -9, -9), 0.0),  # empty
        (disc(9, 9, 9), 1.0),
    ],
)
def test_stability(logits: FloatArray, expected: float) -> None:
    assert stability(logits[None])[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ious", "stabilities", "best_first"),
    [
        ((0.5, 0.9, 0.7), (1, 1, 1), [1, 2, 0]),
        ((0.8, 0.9, 0.7), (0.95, 0.5, 0.9), [0, 2, 1]),
        ((0.9, 0.9, 0.9), (0.5, 0.5, 0.5), [0, 1, 2]),
        ((0.4, 0.6, 0.5), (0, 0, 0), [1, 2, 0]),
        ((0.99, 0.2, 0.1), (0, 0.9, 0.9), [1, 2, 0]),  # an empty mask is never better than one
        ((1.3, 1.1, 0.2), (0.8, 0.9, 1), [1, 0, 2]),  # SAM 1 promises more than all
    ],
)
def test_ranking(
    ious: tuple[float, ...], stabilities: tuple[float, ...], best_first: list[int]
) -> None:
    order = ranking(np.array(ious, np.float32), np.array(stabilities, np.float32))
    assert list(order) == best_first


def test_resized_keeps_the_extent() -> None:
    ramp = np.tile(np.arange(4, dtype=np.float32), (4, 1))
    assert resized(ramp, 8, 2)[0] == pytest.approx([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])
