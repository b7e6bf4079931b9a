"""What is measured against a cut, and from where on it counts."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from shared.arrays import UInt8Array
from shared.review import ReviewLimits
from worker.review.doubts import border_share, doubts, edge_width, pieces

LIMITS = ReviewLimits()


def block(top: int = 60, bottom: int = 140, left: int = 60, right: int = 140) -> UInt8Array:
    alpha = np.zeros((200, 200), np.uint8)
    alpha[top:bottom, left:right] = 255
    return alpha


def solid(alpha: UInt8Array) -> UInt8Array:
    return (alpha > 127).astype(np.uint8)


def test_a_clean_cut_raises_none() -> None:
    assert doubts(block(), [(0.95, 0.97)], LIMITS) == ()


def test_a_render_is_judged_by_its_alpha_alone() -> None:
    assert doubts(block(), [], LIMITS) == ()
    assert doubts(block(0, 200, 0, 200), [], LIMITS) == ("touches_border", "fills_frame")


@pytest.mark.parametrize(
    ("judged", "named"),
    [
        ([(0.69, 0.9)], ("low_confidence",)),
        ([(0.9, 0.79)], ("unstable",)),
        ([(0.9, 0.9), (0.5, 0.5)], ("low_confidence", "unstable")),
        ([(0.7, 0.8)], ()),
    ],
)
def test_a_models_own_doubt_counts(
    judged: list[tuple[float, float]], named: tuple[str, ...]
) -> None:
    assert doubts(block(), judged, LIMITS) == named


@pytest.mark.parametrize(("right", "named"), [(200, ("touches_border",)), (180, ())])
def test_the_border_is_a_share_of_the_outline(right: int, named: tuple[str, ...]) -> None:
    alpha = block(100, 200, 0, right)
    assert border_share(solid(alpha)) == pytest.approx((right + 100 + (right == 200) * 100) / 800)
    limits = ReviewLimits(border=0.4)
    assert doubts(alpha, [], limits) == named


def test_specks_are_no_pieces() -> None:
    alpha = block()
    for index in range(8):
        alpha[5, 5 + 10 * index] = 255
    assert pieces(solid(alpha)) == 1
    assert doubts(alpha, [], LIMITS) == ()


def test_many_pieces_are_fragments() -> None:
    alpha = np.zeros((200, 200), np.uint8)
    for index in range(6):
        alpha[20:40, 10 + 30 * index : 30 + 30 * index] = 255
    assert pieces(solid(alpha)) == 6
    assert doubts(alpha, [], LIMITS) == ("fragmented",)
    assert doubts(alpha, [], ReviewLimits(pieces=7)) == ()


@pytest.mark.parametrize(("side", "named"), [(12, ("tiny",)), (16, ())])
def test_a_tiny_subject_is_named(side: int, named: tuple[str, ...]) -> None:
    assert doubts(block(60, 60 + side, 60, 60 + side), [], LIMITS) == named


@pytest.mark.parametrize(("edge", "named"), [(6, ("fills_frame",)), (12, ())])
def test_a_huge_subject_is_named(edge: int, named: tuple[str, ...]) -> None:
    alpha = block(edge, 200 - edge, edge, 200 - edge)
    assert doubts(alpha, [], LIMITS) == named


@pytest.mark.parametrize("scale", [1, 3, 12])
@pytest.mark.parametrize(("softness", "named"), [(0.5, ()), (6.0, ("soft_edges",))])
def test_soft_edges_are_measured_alike_at_every_size(
    scale: int, softness: float, named: tuple[str, ...]
) -> None:
    large = cv2.resize(block(), None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    alpha = np.asarray(cv2.GaussianBlur(large, (0, 0), softness * scale), np.uint8)
    assert doubts(alpha, [], LIMITS) == named


def test_the_edges_width_is_that_of_a_ramp() -> None:
    """Across a linear ramp of w pixels, 4·a·(1 - a) adds up to 2/3 of w."""
    alpha = np.zeros((200, 200), np.uint8)
    alpha[:, 100:] = 255
    alpha[:, 80:120] = np.linspace(0, 255, 40).astype(np.uint8)
    # The outline runs along the picture's sides as well: 200 of its 596 pixels are the edge.
    assert edge_width(alpha, solid(alpha)) * 200 == pytest.approx(2 / 3 * 40 * 200 / 596, rel=0.05)
