"""A photo on a canvas: the right pixels, at the right place, without a dark edge."""

from __future__ import annotations

import numpy as np
import pytest

from shared.arrays import UInt8Array
from worker.framing.frame import Region, place, resampled, seen
from worker.framing.layout import Layout
from worker.matting.solid import Box

RANDOM = np.random.default_rng(3)
RGB: UInt8Array = RANDOM.integers(1, 256, (40, 60, 3), np.uint8)
OPAQUE: UInt8Array = np.full((40, 60), 255, np.uint8)


def disc(side: int, radius: float, softness: float = 4.0) -> UInt8Array:
    y, x = np.mgrid[:side, :side] + 0.5
    inside = (radius - np.hypot(x - side / 2, y - side / 2)) / softness + 0.5
    return np.asarray(np.rint(np.clip(inside, 0, 1) * 255), np.uint8)


def box_of(mask: np.ndarray) -> Box:
    rows, columns = np.nonzero(mask)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def test_the_photo_as_it_is_is_not_copied() -> None:
    layout = Layout((60, 40), (0, 0, 60, 40), (0, 0, 60, 40))
    rgb, alpha = place(RGB, OPAQUE, layout)
    assert rgb is RGB
    assert alpha is OPAQUE


def test_unscaled_pixels_are_the_photos_own() -> None:
    layout = Layout((30, 30), (10, 5, 30, 25), (7, 3, 27, 23))
    rgb, alpha = place(RGB, OPAQUE, layout)
    assert (rgb[3:23, 7:27] == RGB[5:25, 10:30]).all()
    assert alpha.shape == rgb.shape[:2] == (30, 30)


def test_what_leaves_the_box_shows_as_far_as_there_is_room() -> None:
    """The soft edge around a subject's box belongs to it."""
    layout = Layout((30, 30), (10, 5, 30, 25), (7, 3, 27, 23))
    rgb, alpha = place(RGB, OPAQUE, layout)
    assert (alpha == 255).all()
    assert (rgb == RGB[2:32, 3:33]).all()


def test_beyond_the_photo_there_is_nothing() -> None:
    layout = Layout((100, 100), (0, 0, 60, 40), (20, 30, 80, 70))
    rgb, alpha = place(RGB, OPAQUE, layout)
    assert box_of(alpha) == (20, 30, 80, 70)
    assert not rgb[alpha == 0].any()


def test_hidden_colours_do_not_come_along() -> None:
    alpha = OPAQUE.copy()
    alpha[:, 20:] = 0
    rgb, shown = place(RGB, alpha, Layout((60, 44), (0, 0, 60, 40), (0, 2, 60, 42)))
    assert not rgb[shown == 0].any()
    assert (shown[:, 20:] == 0).all()


def test_an_empty_alpha_makes_an_empty_canvas() -> None:
    rgb, alpha = place(RGB, np.zeros_like(OPAQUE), Layout((9, 9), (0, 0, 60, 40), (0, 0, 9, 6)))
    assert not rgb.any()
    assert not alpha.any()


def test_inputs_are_left_as_they_were() -> None:
    rgb, alpha = RGB.copy(), OPAQUE.copy()
    place(rgb, alpha, Layout((30, 20), (0, 0, 60, 40), (0, 0, 30, 20)))
    assert (rgb == RGB).all()
    assert (alpha == OPAQUE).all()


def test_a_reduction_is_by_area() -> None:
    rgb, alpha = place(RGB, OPAQUE, Layout((30, 20), (0, 0, 60, 40), (0, 0, 30, 20)))
    exact = RGB.reshape(20, 2, 30, 2, 3).astype(float).mean(axis=(1, 3))
    assert (alpha == 255).all()
    assert np.abs(rgb - exact).max() <= 1


def test_an_alphas_reduction_keeps_its_area() -> None:
    alpha = disc(300, 100)
    rgb = np.full((300, 300, 3), 200, np.uint8)
    _, shown = place(rgb, alpha, Layout((107, 107), (0, 0, 300, 300), (0, 0, 107, 107)))
    assert shown.sum() / 107**2 == pytest.approx(alpha.sum() / 300**2, rel=2e-3)


@pytest.mark.parametrize("side", [37, 100, 299, 517])
def test_no_dark_fringe_appears(side: int) -> None:
    """A white subject whose hidden surroundings are black stays white at its edge."""
    alpha = disc(300, 100)
    rgb = np.where(alpha[..., None] > 0, 250, 0).astype(np.uint8).repeat(3, axis=2)
    colours, shown = place(rgb, alpha, Layout((side,) * 2, (0, 0, 300, 300), (0, 0, side, side)))
    seen_at_all = shown > 60  # below, eight bits of weighted colour are coarse
    rings = 6 if side > 300 else 3  # Lanczos does
    assert np.abs(colours[seen_at_all].astype(int) - 250).max() <= rings
    weight = shown.astype(float)[..., None] / 255
    on_white = colours * weight + 255 * (1 - weight)
    assert on_white.min() >= 246


@pytest.mark.parametrize("target", [(5, 9, 25, 39), (5, 9, 105, 159), (0, 0, 33, 50)])
def test_the_box_lands_where_the_layout_says(target: Box) -> None:
    alpha = np.zeros((200, 200), np.uint8)
    alpha[20:80, 60:100] = 255
    rgb = np.full((200, 200, 3), 90, np.uint8)
    layout = Layout((160, 200), (60, 20, 100, 80), target)
    _, shown = place(rgb, alpha, layout)
    assert box_of(shown > 127) == target


def test_a_subject_at_the_photos_edge_keeps_its_edge() -> None:
    """Enlarged or reduced, it must not fade where the photo ends."""
    layout = Layout((100, 100), (0, 0, 60, 40), (13, 31, 86, 80))
    _, shown = place(RGB, OPAQUE, layout)
    assert (shown[31:80, 13:86] == 255).all()
    assert box_of(shown) == (13, 31, 86, 80)


def test_only_what_is_visible_is_resampled() -> None:
    alpha = np.zeros((400, 600), np.uint8)
    alpha[100:110, 200:220] = 255
    region = seen(alpha, Layout((300, 200), (0, 0, 600, 400), (0, 0, 300, 200)))
    assert region is not None
    assert region.target == (100, 50, 110, 55)
    assert region.source == (200, 100, 220, 110)


def test_what_lies_beyond_the_canvas_is_left_out() -> None:
    alpha = np.zeros((40, 60), np.uint8)
    alpha[0:2, 0:2] = 255
    assert seen(alpha, Layout((10, 10), (40, 20, 50, 30), (0, 0, 10, 10))) is None


def test_the_axes_are_not_confused() -> None:
    rgb = np.zeros((40, 60, 3), np.uint8)
    rgb[:, :30, 0], rgb[:20, :, 1] = 255, 255
    colours, _ = resampled(rgb, OPAQUE, Region((0, 0, 60, 40), (0, 0, 15, 10)))
    assert colours.shape == (10, 15, 3)
    assert colours[2, 2].tolist() == [255, 255, 0]
    assert colours[2, 12].tolist() == [0, 255, 0]
    assert colours[8, 2].tolist() == [255, 0, 0]
