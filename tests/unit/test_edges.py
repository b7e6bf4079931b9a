from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest

from shared.images.photo import FloatArray, UInt8Array
from worker.compositing.edges import refine


def disc(height: int, width: int) -> tuple[UInt8Array, FloatArray]:
    """A bright disc on a dark ground with a soft edge of two pixels, and its alpha."""
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot(columns - width / 2, rows - height / 2)
    alpha = np.clip((0.35 * min(height, width) - away) / 2 + 0.5, 0, 1).astype(np.float32)
    dark, bright = np.array((30, 50, 90)), np.array((220, 180, 120))
    image = dark + alpha[..., None] * (bright - dark)
    return np.rint(image).astype(np.uint8), alpha


def coarse(alpha: FloatArray, size: int) -> FloatArray:
    hard = (alpha > 0.5).astype(np.float32)
    soft = cv2.GaussianBlur(hard, (0, 0), 2)
    return np.asarray(cv2.resize(soft, (size, size), interpolation=cv2.INTER_AREA))


def error(estimate: UInt8Array, alpha: FloatArray) -> float:
    return float(np.mean((estimate / 255.0 - alpha) ** 2)) * 1000


def test_the_edge_follows_the_photo() -> None:
    image, alpha = disc(600, 800)
    mask = coarse(alpha, 128)
    plain = cv2.resize(mask, (800, 600), interpolation=cv2.INTER_LINEAR)
    refined = error(refine(mask, image), alpha)
    assert refined < 0.4 * error(np.rint(plain * 255).astype(np.uint8), alpha)


def test_tiles_leave_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    image, alpha = disc(301, 403)
    mask = coarse(alpha, 64)
    whole = refine(mask, image)
    monkeypatch.setattr("worker.compositing.edges._TILE", 403 * 7)
    assert np.array_equal(refine(mask, image), whole)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_mask_stays(value: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    alpha = refine(np.full((33, 21), value, dtype=np.float32), image)
    assert np.unique(alpha).tolist() == [round(value * 255)]


@pytest.mark.parametrize("shape", [(1, 1), (17, 9), (1, 4000), (4000, 1), (40, 30)])
@pytest.mark.parametrize("mask_shape", [(1, 1), (1, 9), (16, 160), (512, 300)])
def test_any_size_goes_with_any(shape: tuple[int, int], mask_shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    alpha = refine(rng.random(mask_shape, dtype=np.float32), image)
    assert alpha.shape == shape
    assert alpha.dtype == np.uint8


def test_memory_is_the_result_and_little_more() -> None:
    image = np.zeros((3000, 4000, 3), dtype=np.uint8)
    mask = np.zeros((256, 256), dtype=np.float32)
    tracemalloc.start()
    refine(mask, image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12_000_000 + 40_000_000
