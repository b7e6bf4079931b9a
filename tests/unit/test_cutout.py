"""From colours and alpha to pixels, against plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from shared.arrays import UInt8Array
from shared.schema import Output, OutputFormat, OutputType
from worker.framing.cutout import compose

RANDOM = np.random.default_rng(7)
#: More rows than are composed at once, and not a multiple of them.
RGB: UInt8Array = RANDOM.integers(0, 256, (600, 37, 3), np.uint8)
ALPHA: UInt8Array = RANDOM.integers(0, 256, (600, 37), np.uint8)
ALPHA[:100] = 0
ALPHA[100:200] = 255


def on(colour: str) -> Output:
    return Output(background=colour)


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
