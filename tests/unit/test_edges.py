from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest

from shared.arrays import FloatArray, UInt8Array
from shared.schema import Edge
from worker.matting import outline
from worker.matting.edges import refine

EDGES = list(Edge)
DARK, BRIGHT = np.array((30, 50, 90)), np.array((220, 180, 120))


def picture(alpha: FloatArray) -> UInt8Array:
    """A bright subject on a dark ground."""
    image: UInt8Array = np.rint(DARK + alpha[..., None] * (BRIGHT - DARK)).astype(np.uint8)
    return image


def disc(height: int, width: int, hole: float = 0.0) -> tuple[UInt8Array, FloatArray]:
    """A disc with a soft edge of two pixels, a hole of so many pixels in it, and its alpha."""
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot(columns - width / 2, rows - height / 2)
    alpha = np.clip((0.35 * min(height, width) - away) / 2 + 0.5, 0, 1)
    alpha *= np.clip((away - hole) / 2 + 0.5, 0, 1) if hole else 1
    return picture(alpha.astype(np.float32)), alpha.astype(np.float32)


def coarse(alpha: FloatArray, size: int) -> FloatArray:
    hard = (alpha > 0.5).astype(np.float32)
    soft = cv2.GaussianBlur(hard, (0, 0), 2)
    return np.asarray(cv2.resize(soft, (size, size), interpolation=cv2.INTER_AREA))


def moved(mask: FloatArray, pixels: int) -> FloatArray:
    """As of a network that is wrong: elsewhere, and blurred."""
    elsewhere = np.roll(mask, pixels, axis=1)
    return np.asarray(cv2.GaussianBlur(elsewhere, (0, 0), 2), np.float32)


def error(estimate: UInt8Array, alpha: FloatArray) -> float:
    return float(np.mean((estimate / 255.0 - alpha) ** 2)) * 1000


class TestQuality:
    @pytest.mark.parametrize(("edge", "share"), [(Edge.SOFT, 0.2), (Edge.MATTE, 0.2)])
    def test_the_edge_follows_the_photo(self, edge: Edge, share: float) -> None:
        image, alpha = disc(600, 800)
        mask = coarse(alpha, 256)
        plain = cv2.resize(mask, (800, 600), interpolation=cv2.INTER_LINEAR)
        refined = error(refine(mask, image, edge), alpha)
        assert refined < share * error(np.rint(plain * 255).astype(np.uint8), alpha)

    @pytest.mark.parametrize("edge", [Edge.SOFT, Edge.MATTE])
    def test_a_mask_that_lies_wrong_is_put_right(self, edge: Edge) -> None:
        image, alpha = disc(600, 800)
        mask = moved(coarse(alpha, 256), 2)
        plain = cv2.resize(mask, (800, 600), interpolation=cv2.INTER_LINEAR)
        refined = error(refine(mask, image, edge), alpha)
        assert refined < 0.1 * error(np.rint(plain * 255).astype(np.uint8), alpha)

    @pytest.mark.parametrize("edge", EDGES)
    def test_a_hole_is_kept(self, edge: Edge) -> None:
        image, alpha = disc(600, 800, hole=14)
        estimate = refine(coarse(alpha, 256), image, edge)
        assert estimate[296:304, 396:404].max() == 0
        assert estimate[300, 430] == 255

    def test_colours_help_a_mask_that_lies_wrong(self) -> None:
        """Before stripes, one side of an edge is no straight line of colours."""
        alpha = disc(600, 800)[1]
        stripes = np.where(np.arange(600)[:, None, None] // 20 % 2, [10, 160, 60], [250, 250, 250])
        ground = np.broadcast_to(stripes, (600, 800, 3))
        image = np.rint(ground + alpha[..., None] * (BRIGHT - ground)).astype(np.uint8)
        mask = moved(coarse(alpha, 256), 2)
        matte, soft = (error(refine(mask, image, edge), alpha) for edge in (Edge.MATTE, Edge.SOFT))
        assert matte < 0.6 * soft

    def test_hair_keeps_its_transparency(self) -> None:
        """Thresholded, hair of alpha 0.7 is a solid, and of 0.3 nothing."""
        alpha = np.zeros((800, 800), np.float32)
        alpha[300:] = 1
        strands = cv2.blur(np.random.default_rng(5).random((1, 800)).astype(np.float32), (3, 1))
        strands = (strands - strands.min()) / (strands.max() - strands.min())
        alpha[240:300, 400:] = strands[:, 400:]
        mask = coarse(alpha, 256)
        assert outline.read(mask).doubt == 0
        image = picture(alpha)
        matte, soft = (error(refine(mask, image, edge), alpha) for edge in (Edge.MATTE, Edge.SOFT))
        assert matte < 0.7 * soft

    def test_a_part_coloured_like_the_background_is_not_lost(self) -> None:
        """A mask that lies wrong by a pixel or two is no reason to lose a handle."""
        image, alpha = disc(600, 800)
        alpha[280:320, 590:680] = 1
        image[280:320, 612:680] = DARK + 2
        estimate = refine(moved(coarse(alpha, 256), 0), image, Edge.MATTE)
        assert estimate[290:310, 640:665].mean() > 100

    def test_what_looks_like_the_subject_elsewhere_is_not(self) -> None:
        image, alpha = disc(600, 800)
        image[20:60, 20:60] = BRIGHT
        image[290:310, 390:410] = DARK
        estimate = refine(moved(coarse(alpha, 256), 2), image, Edge.MATTE)
        assert estimate[20:60, 20:60].max() == 0
        assert estimate[290:310, 390:410].min() == 255

    @pytest.mark.parametrize("edge", [Edge.SOFT, Edge.MATTE])
    def test_a_ramp_of_alpha_is_found(self, edge: Edge) -> None:
        alpha = np.tile(np.clip((np.arange(800) - 380) / 8, 0, 1), (400, 1)).astype(np.float32)
        mask = np.asarray(cv2.resize(alpha, (256, 128), interpolation=cv2.INTER_AREA), np.float32)
        estimate = refine(mask, picture(alpha), edge)
        assert np.abs(estimate / 255.0 - alpha).max() < 0.03

    def test_a_flat_photo_gives_back_the_mask(self) -> None:
        image = np.full((256, 256, 3), 90, np.uint8)
        mask = coarse(disc(600, 800)[1], 256)
        found = refine(mask, image, Edge.SOFT).astype(np.float32) / 255
        window = cv2.blur(cv2.blur(mask, (5, 5)), (5, 5))
        assert np.abs(found - window).max() < 0.015

    @pytest.mark.parametrize("edge", EDGES)
    @pytest.mark.parametrize("pixels", [0, 2])
    def test_far_from_the_edge_alpha_is_exact(self, edge: Edge, pixels: int) -> None:
        image, alpha = disc(600, 800)
        noise = np.random.default_rng(3).normal(0, 6, image.shape)
        noisy = np.clip(image + noise, 0, 255).astype(np.uint8)
        mask = coarse(alpha, 256)
        estimate = refine(moved(mask, 2) if pixels else mask, noisy, edge)
        rows, columns = np.mgrid[:600, :800]
        away = np.hypot(columns - 400, rows - 300) - 210
        assert estimate[away > 80].max() == 0
        assert estimate[away < -80].min() == 255

    def test_a_networks_haze_goes(self) -> None:
        """A sigmoid never says 0, and 2 of 255 on white is not white."""
        image, alpha = disc(600, 800)
        mask = 0.0067 + (1 - 2 * 0.0067) * coarse(alpha, 256)
        for edge in (Edge.SOFT, Edge.MATTE):
            estimate = refine(mask, image, edge)
            assert (estimate[:20].max(), estimate[300, 400]) == (0, 255)

    def test_hard_is_all_or_nothing(self) -> None:
        image, alpha = disc(300, 400)
        assert set(np.unique(refine(coarse(alpha, 128), image, Edge.HARD))) == {0, 255}


class TestOutline:
    MASK = coarse(disc(600, 800)[1], 256)

    def test_a_reduced_truth_is_not_doubted(self) -> None:
        assert outline.read(self.MASK).doubt == 0

    def test_a_blurred_mask_is(self) -> None:
        assert outline.read(moved(self.MASK, 0)).doubt == 1

    def test_a_thresholded_mask_says_nothing_of_itself(self) -> None:
        assert outline.read((self.MASK > 0.5).astype(np.float32)).doubt == 1

    def test_hair_beside_a_crisp_outline_is_wide_and_not_doubt(self) -> None:
        mask = self.MASK.copy()
        mask[:, 150:] = cv2.GaussianBlur(mask, (0, 0), 3)[:, 150:]
        seen = outline.read(mask)
        assert seen.doubt == 0
        assert seen.width[128, 195] > 1.8 * seen.width[128, 61]


class TestAnyShape:
    @pytest.mark.parametrize("edge", EDGES)
    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_a_constant_mask_stays(self, value: float, edge: Edge) -> None:
        image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
        alpha = refine(np.full((33, 21), value, dtype=np.float32), image, edge)
        assert np.unique(alpha).tolist() == [round(value * 255)]

    @pytest.mark.parametrize("edge", EDGES)
    @pytest.mark.parametrize("shape", [(1, 1), (17, 9), (1, 4000), (4000, 1), (40, 30)])
    @pytest.mark.parametrize("mask_shape", [(1, 1), (1, 9), (16, 160), (512, 300), (2, 2000)])
    def test_any_size_goes_with_any(
        self, shape: tuple[int, int], mask_shape: tuple[int, int], edge: Edge
    ) -> None:
        rng = np.random.default_rng(0)
        image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        alpha = refine(rng.random(mask_shape, dtype=np.float32), image, edge)
        assert alpha.shape == shape
        assert alpha.dtype == np.uint8

    @pytest.mark.parametrize("edge", EDGES)
    def test_tiles_leave_no_seams(self, edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
        image, alpha = disc(301, 403)
        mask = coarse(alpha, 64)
        whole = refine(mask, image, edge)
        monkeypatch.setattr("worker.matting.guided._TILE", 403 * 7)
        assert np.array_equal(refine(mask, image, edge), whole)

    @pytest.mark.parametrize(("edge", "limit"), [(Edge.SOFT, 30e6), (Edge.MATTE, 160e6)])
    def test_memory_is_the_result_and_what_does_not_grow(self, edge: Edge, limit: float) -> None:
        mask = coarse(disc(600, 800)[1], 256)
        image = np.broadcast_to(np.uint8(90), (6000, 8000, 3)).copy()
        tracemalloc.start()
        refine(mask, image, edge)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 48e6 + limit


@pytest.mark.parametrize("edge", list(Edge))
@pytest.mark.parametrize(
    ("ground", "subject"),
    [((255,) * 3, (60,) * 3), ((255,) * 3, (200, 30, 30)), ((0, 255, 0), (0, 0, 255))],
    ids=["gray", "red on white", "blue on green"],
)
@pytest.mark.parametrize("noise", [0.0, 1.5])
def test_a_photo_of_two_colours_is_cut_between_them(
    edge: Edge, ground: tuple[int, ...], subject: tuple[int, ...], noise: float
) -> None:
    """Any window's colours then lie on a line, and a regression on three channels has no bounds."""
    inside = np.zeros((500, 600), np.uint8)
    cv2.circle(inside, (300, 250), 150, 255, -1)
    rgb = np.where(inside[..., None] > 0, np.array(subject), np.array(ground))
    grain = np.random.default_rng(0).normal(0, noise, inside.shape)[..., None]
    rgb = np.clip(rgb + grain, 0, 255).astype(np.uint8)
    blurred = cv2.GaussianBlur(inside.astype(np.float32) / 255, (0, 0), 2)
    mask = np.asarray(cv2.resize(blurred, (256, 213), interpolation=cv2.INTER_AREA), np.float32)
    found, true = refine(mask, rgb, edge) > 127, inside > 127
    assert (found & true).sum() > 0.995 * (found | true).sum()
