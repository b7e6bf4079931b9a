from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from shared.arrays import UInt8Array
from shared.schema import Output
from tests.framing import published_pixels
from worker.matting.foreground import estimate_foreground

BOX = (0, 0, 1, 1)  # what nothing here is cropped to

RED, GREEN = np.array((190, 40, 30)), np.array((40, 170, 60))


def green_room(size: int = 300, softness: float = 6) -> tuple[UInt8Array, UInt8Array]:
    """A red disc with a wide soft edge in a green room, and its alpha."""
    rows, columns = np.mgrid[:size, :size]
    away = np.hypot(columns - size / 2, rows - size / 2)
    share = np.clip((0.35 * size - away) / softness + 0.5, 0, 1)
    alpha = np.rint(share * 255).astype(np.uint8)
    part = alpha[..., None] / 255
    return np.rint(part * RED + (1 - part) * GREEN).astype(np.uint8), alpha


def edge_of(alpha: UInt8Array) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return (alpha > 0) & (alpha < 255)


@pytest.mark.parametrize("softness", [2, 6, 30])
def test_the_subjects_own_colour_is_found(softness: float) -> None:
    image, alpha = green_room(softness=softness)
    found = estimate_foreground(image, alpha)
    seen = (alpha > 25) & edge_of(alpha)
    assert np.abs(found[seen].astype(float) - RED).max() <= 12
    assert np.abs(found[seen].astype(float) - RED).mean() <= 4


@pytest.mark.parametrize("colour", ["#ffffff", "#000000"])
def test_no_green_rim_on_a_background(colour: str) -> None:
    image, alpha = green_room()
    paint = np.array(list(bytes.fromhex(colour[1:])))
    part = alpha[..., None] / 255
    composed = published_pixels(image, alpha, Output(background=colour), BOX)
    assert np.abs(composed - (part * RED + (1 - part) * paint)).max() <= 3


def test_no_green_rim_in_a_transparent_cutout() -> None:
    image, alpha = green_room()
    cutout = published_pixels(image, alpha, Output(), BOX)
    rim = (alpha > 60) & edge_of(alpha)
    assert cutout[rim][:, 1].max() < 50


def test_elsewhere_the_photo_stays_as_it_was() -> None:
    image, alpha = green_room()
    found = estimate_foreground(image, alpha)
    assert np.array_equal(found[~edge_of(alpha)], image[~edge_of(alpha)])


def test_the_photo_itself_is_not_written_to() -> None:
    image, alpha = green_room()
    before = image.copy()
    assert estimate_foreground(image, alpha) is not image
    assert np.array_equal(image, before)


@pytest.mark.parametrize("value", [0, 255])
def test_without_an_edge_it_is_the_photo(value: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    assert estimate_foreground(image, np.full((40, 30), value, np.uint8)) is image


def test_texture_stays_sharp() -> None:
    """A pattern of one pixel under alpha 250 is the subject's, not to be smoothed away."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[::2, ::2] = 200
    found = estimate_foreground(image, np.full((64, 64), 250, np.uint8))
    assert np.abs(found.astype(int) - image).max() <= 12


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (2, 3), (5000, 2)])
def test_any_shape(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = estimate_foreground(image, rng.integers(0, 256, shape, dtype=np.uint8))
    assert found.shape == image.shape
    assert found.dtype == np.uint8


def test_an_edge_is_cleaned_alike_wherever_it_lies() -> None:
    image, alpha = green_room(200)
    larger = np.pad(image, ((0, 900), (0, 900), (0, 0)), mode="edge")
    around = np.pad(alpha, ((0, 900), (0, 900)))
    alone = estimate_foreground(image, alpha)
    inside = estimate_foreground(larger, around)[:200, :200]
    seen = alpha > 25
    assert np.abs(alone[seen].astype(int) - inside[seen]).max() <= 3


def test_memory_is_the_result_and_what_does_not_grow() -> None:
    image = np.full((6000, 8000, 3), 90, np.uint8)
    alpha = np.full((6000, 8000), 128, np.uint8)
    alpha[3000:] = 255
    tracemalloc.start()
    estimate_foreground(image, alpha)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < image.nbytes + alpha.nbytes + 240e6


@pytest.mark.parametrize(("most", "one"), [(0, 1), (255, 254)])
def test_a_single_faint_pixel_is_no_trouble(most: int, one: int) -> None:
    """Half the photo's size rounds it away, and nothing is left to average."""
    image, alpha = np.full((40, 40, 3), 130, np.uint8), np.full((40, 40), most, np.uint8)
    alpha[20, 20] = one
    assert np.unique(estimate_foreground(image, alpha)).tolist() == [130]
