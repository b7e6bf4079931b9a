"""From masks to pictures, against plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from shared.arrays import UInt8Array
from shared.errors import SubjectNotFound
from shared.schema import Output, OutputFormat, OutputType
from worker.framing.cutout import compose, within
from worker.review.subject import measure

RANDOM = np.random.default_rng(7)
#: More rows than are composed at once, and not a multiple of them.
RGB: UInt8Array = RANDOM.integers(0, 256, (600, 37, 3), np.uint8)
ALPHA: UInt8Array = RANDOM.integers(0, 256, (600, 37), np.uint8)
ALPHA[:100] = 0
ALPHA[100:200] = 255


def on(colour: str) -> Output:
    return Output(background=colour)


# The cutout


def test_a_transparent_cutout_has_the_photos_colours_and_the_alpha() -> None:
    cutout = compose(RGB, ALPHA, Output())
    assert cutout.shape == (600, 37, 4)
    seen = ALPHA > 0
    assert (cutout[seen][:, :3] == RGB[seen]).all()
    assert (cutout[..., 3] == ALPHA).all()


def test_hidden_colours_are_zeroed() -> None:
    cutout = compose(RGB, ALPHA, Output())
    assert (ALPHA == 0).any()
    assert not cutout[ALPHA == 0].any()


def test_composing_leaves_its_inputs_as_they_were() -> None:
    rgb, alpha = RGB.copy(), ALPHA.copy()
    for output in (Output(), on("#123456"), Output(type=OutputType.MASK)):
        compose(rgb, alpha, output)
    assert (rgb == RGB).all()
    assert (alpha == ALPHA).all()


@pytest.mark.parametrize("colour", ["#000000", "#ffffff", "#ff0080", "#0180fe"])
def test_a_background_is_blended_as_in_floats(colour: str) -> None:
    composed = compose(RGB, ALPHA, on(colour))
    share = ALPHA[..., None].astype(np.float64) / 255
    paint = np.array(list(bytes.fromhex(colour[1:])), np.float64)
    exact = share * RGB + (1 - share) * paint
    assert composed.shape == (600, 37, 3)
    assert composed.dtype == np.uint8
    assert np.abs(composed - exact).max() <= 0.51


@pytest.mark.parametrize("colour", ["#000000", "#ffffff", "#fe017f"])
def test_a_background_is_exact_where_nothing_is_blended(colour: str) -> None:
    composed = compose(RGB, ALPHA, on(colour))
    assert (composed[ALPHA == 255] == RGB[ALPHA == 255]).all()
    assert (composed[ALPHA == 0] == list(bytes.fromhex(colour[1:]))).all()


@pytest.mark.parametrize("alpha", range(0, 256, 15))
def test_white_on_white_stays_white(alpha: int) -> None:
    white = np.full((3, 3, 3), 255, np.uint8)
    assert (compose(white, np.full((3, 3), alpha, np.uint8), on("#ffffff")) == 255).all()


def test_a_mask_is_the_alpha_alone() -> None:
    assert (compose(RGB, ALPHA, Output(type=OutputType.MASK)) == ALPHA).all()


def test_a_format_changes_no_pixel() -> None:
    jpeg = compose(RGB, ALPHA, Output(background="#ffffff", format=OutputFormat.JPEG))
    assert (jpeg == compose(RGB, ALPHA, on("#ffffff"))).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (256, 1), (257, 2)])
def test_photos_of_odd_sizes_are_composed(shape: tuple[int, int]) -> None:
    rgb, alpha = np.full((*shape, 3), 200, np.uint8), np.full(shape, 255, np.uint8)
    assert compose(rgb, alpha, Output()).shape == (*shape, 4)
    assert (compose(rgb, alpha, on("#000000")) == 200).all()


# The alpha


def test_a_photos_own_alpha_is_honoured() -> None:
    found = np.array([[255, 255, 100, 0]], np.uint8)
    own = np.array([[255, 30, 200, 255]], np.uint8)
    assert within(found, own).tolist() == [[255, 30, 100, 0]]


def test_a_photo_without_alpha_takes_none_away() -> None:
    assert within(ALPHA, None) is ALPHA


# The subject


def test_the_box_reaches_round_the_subject() -> None:
    alpha = np.zeros((40, 50), np.uint8)
    alpha[10:20, 5:45] = 255
    assert measure(alpha, (), ()).box == (5, 10, 45, 20)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (49, 0), (0, 39), (49, 39), (25, 20)])
def test_one_pixel_has_a_box_of_one_pixel(x: int, y: int) -> None:
    alpha = np.zeros((40, 50), np.uint8)
    alpha[y, x] = 255
    subject = measure(alpha, (), ())
    assert subject.box == (x, y, x + 1, y + 1)
    assert subject.area == 0.0005


def test_the_whole_photo_may_be_the_subject() -> None:
    subject = measure(np.full((40, 50), 255, np.uint8), (), ())
    assert (subject.box, subject.area) == ((0, 0, 50, 40), 1.0)


def test_the_area_is_the_share_of_pixels_more_opaque_than_not() -> None:
    alpha = np.zeros((10, 10), np.uint8)
    alpha[:2], alpha[2:5] = 128, 127
    subject = measure(alpha, (), ())
    assert (subject.area, subject.box) == (0.2, (0, 0, 10, 2))


@pytest.mark.parametrize("alpha", [0, 1, 127])
def test_where_nothing_is_opaque_there_is_no_subject(alpha: int) -> None:
    with pytest.raises(SubjectNotFound):
        measure(np.full((10, 10), alpha, np.uint8), (0.9,), ())


def test_scores_are_rounded_for_people() -> None:
    alpha = np.full((1, 1), 255, np.uint8)
    assert measure(alpha, (0.987654, 0.5), ()).scores == (0.9877, 0.5)


@pytest.mark.parametrize(("reasons", "review"), [((), False), (("thin",), True)])
def test_a_reason_asks_for_review(reasons: tuple[str, ...], review: bool) -> None:
    subject = measure(np.full((1, 1), 255, np.uint8), (), reasons)
    assert (subject.needs_review, subject.reasons) == (review, reasons)
