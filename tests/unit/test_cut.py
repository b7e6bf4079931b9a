"""From predictions to a cut, and what an earlier job leaves behind."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from shared.arrays import FloatArray
from shared.errors import ImageInvalid
from shared.images.photo import Photo
from shared.schema import Prompt
from worker.job.cut import Cut, Earlier, finished, obeyed, read_logits, write_logits
from worker.matting.cleaning import SMALLEST_HOLE, SMALLEST_ISLAND, cleaned
from worker.segmenters import Prediction

SIDE = 256


def block() -> FloatArray:
    """A square subject with a pinhole, a window, a speck beside it and an island."""
    mask = np.zeros((SIDE, SIDE), np.float32)
    mask[60:200, 60:200] = 1
    mask[100:102, 100:102] = 0  # pinhole
    mask[140:160, 140:160] = 0  # window
    mask[20:22, 20:22] = 1  # speck
    mask[20:40, 220:240] = 1  # island
    return mask


class TestCleaning:
    def test_specks_and_pinholes_go(self) -> None:
        clean = cleaned(block())
        assert clean[100, 100] == 1
        assert clean[20, 20] == 0

    def test_windows_and_islands_stay(self) -> None:
        clean = cleaned(block())
        assert clean[150, 150] == 0
        assert clean[30, 230] == 1

    def test_nothing_else_changes(self) -> None:
        changed = cleaned(block()) != block()
        assert int(changed.sum()) == 8

    def test_a_specks_soft_surroundings_go_with_it(self) -> None:
        mask = np.zeros((SIDE, SIDE), np.float32)
        mask[100:200, 100:200] = 1
        mask[19:24, 19:24], mask[20:23, 20:23] = 0.3, 0.9
        assert cleaned(mask)[15:30, 15:30].max() == 0

    def test_what_a_click_points_at_stays(self) -> None:
        clean = cleaned(block(), kept=[(20, 20)], open_=[(100, 100)])
        assert np.array_equal(clean, block())

    def test_a_clean_mask_is_given_back(self) -> None:
        mask = np.zeros((SIDE, SIDE), np.float32)
        mask[60:200, 60:200] = 1
        assert cleaned(mask) is mask

    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_a_plain_mask_is_left(self, value: float) -> None:
        mask = np.full((9, 5), value, np.float32)
        assert np.array_equal(cleaned(mask), mask)

    def test_the_limit_is_a_share_of_the_mask(self) -> None:
        assert 4 < SMALLEST_ISLAND * SIDE * SIDE < SMALLEST_HOLE * SIDE * SIDE < 400


def test_clicks_are_found_in_the_mask_whatever_its_size() -> None:
    photo = Photo(np.zeros((SIDE * 4, SIDE * 4, 3), np.uint8))
    prompt = Prompt(points=((82, 82), (402, 402)), labels=(1, 0))
    assert np.array_equal(finished(block(), prompt, photo, clean=True), block())
    assert finished(block(), Prompt(), photo, clean=True)[20, 20] == 0
    assert finished(block(), Prompt(), photo, clean=False)[20, 20] == 1


def prediction(score: float, *reasons: str) -> Prediction:
    return Prediction(np.zeros((2, 2), np.float32), (score, 0.1), reasons, stability=(score, 0.2))


def test_one_prediction_keeps_all_its_scores() -> None:
    cut = Cut.of(np.zeros((2, 2), np.uint8), [prediction(0.9, "tiny")])
    assert (cut.scores, cut.stability, cut.reasons) == ((0.9, 0.1), (0.9, 0.2), ("tiny",))


def test_of_several_objects_each_ones_score_is_told() -> None:
    found = [prediction(0.9, "tiny"), prediction(0.8, "tiny", "fragmented")]
    cut = Cut.of(np.zeros((2, 2), np.uint8), found)
    assert (cut.scores, cut.stability) == ((0.9, 0.8), (0.9, 0.8))
    assert cut.reasons == ("tiny", "fragmented")
    assert cut.logits is None


class TestObeyed:
    """A mask with an island on the left, which its edges have lost."""

    MASK = np.zeros((64, 64), np.float32)
    MASK[20:30, 10:20] = 1
    ALPHA = np.zeros((256, 256), np.uint8)

    def test_a_click_brings_its_surroundings_back(self) -> None:
        alpha = obeyed(self.ALPHA, self.MASK, Prompt(points=((60, 100),)))
        assert alpha[98:103, 58:63].min() > 127
        assert (alpha > 0).sum() < 60
        assert not self.ALPHA.any()

    def test_what_the_mask_denies_a_click_does_not_make(self) -> None:
        assert obeyed(self.ALPHA, self.MASK, Prompt(points=((200, 100),))) is self.ALPHA

    def test_a_click_on_the_background_opens_what_edges_filled(self) -> None:
        full = np.full((256, 256), 255, np.uint8)
        prompt = Prompt(points=((200, 100),), labels=(0,))
        assert obeyed(full, self.MASK, prompt)[98:103, 198:203].max() < 128

    def test_where_edges_agree_nothing_changes(self) -> None:
        prompt = Prompt(points=((200, 100),), labels=(0,))
        assert obeyed(self.ALPHA, self.MASK, prompt) is self.ALPHA


class TestLogits:
    LOGITS = np.linspace(-20, 20, 256 * 256, dtype=np.float32).reshape(256, 256)

    def test_they_come_back_as_they_were(self) -> None:
        found = read_logits(write_logits(self.LOGITS, "m"), "m")
        assert found is not None
        assert found.dtype == np.float32
        assert np.abs(found - self.LOGITS).max() < 0.01

    def test_another_models_are_not_used(self) -> None:
        assert read_logits(write_logits(self.LOGITS, "m"), "other") is None

    @pytest.mark.parametrize("keep", [0, 10, 3000])
    def test_damaged_ones_are_refused(self, keep: int) -> None:
        with pytest.raises(ImageInvalid):
            read_logits(write_logits(self.LOGITS, "m")[:keep], "m")


class TestEarlier:
    ALPHA = cv2.imencode(".png", np.array([[0, 255]], np.uint8))[1].tobytes()

    def test_an_alpha_becomes_a_mask(self) -> None:
        mask = Earlier.read((self.ALPHA, None), "m").mask
        assert mask is not None
        assert mask.tolist() == [[0.0, 1.0]]

    def test_nothing_earlier_is_nothing(self) -> None:
        assert Earlier.read((None, None), "m").mask is None

    def test_a_damaged_alpha_is_refused(self) -> None:
        with pytest.raises(ImageInvalid):
            Earlier.read((b"no picture", None), "m")
