"""A mask cleaned around its clicks, and an alpha that obeys them."""

from __future__ import annotations

import numpy as np
import pytest

from shared.arrays import FloatArray
from shared.schema import Prompt
from worker.matting.cleaning import SMALLEST_HOLE, SMALLEST_ISLAND, cleaned
from worker.matting.clicks import clean_mask, obey

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


def test_clicks_are_found_in_a_mask_of_any_size() -> None:
    size = (SIDE * 4, SIDE * 4)
    prompt = Prompt(points=((82, 82), (402, 402)), labels=(1, 0))
    assert np.array_equal(clean_mask(block(), prompt, size), block())
    assert clean_mask(block(), Prompt(), size)[20, 20] == 0


class TestObey:
    """A mask with an island on the left, which its edges have lost."""

    MASK = np.zeros((64, 64), np.float32)
    MASK[20:30, 10:20] = 1
    ALPHA = np.zeros((256, 256), np.uint8)

    def test_a_click_brings_its_surroundings_back(self) -> None:
        alpha = obey(self.ALPHA, self.MASK, Prompt(points=((60, 100),)))
        assert alpha[98:103, 58:63].min() > 127
        assert (alpha > 0).sum() < 60
        assert not self.ALPHA.any()

    def test_what_the_mask_denies_a_click_does_not_make(self) -> None:
        assert obey(self.ALPHA, self.MASK, Prompt(points=((200, 100),))) is self.ALPHA

    def test_a_click_on_the_background_opens_what_edges_filled(self) -> None:
        full = np.full((256, 256), 255, np.uint8)
        prompt = Prompt(points=((200, 100),), labels=(0,))
        assert obey(full, self.MASK, prompt)[98:103, 198:203].max() < 128

    def test_where_edges_agree_nothing_changes(self) -> None:
        prompt = Prompt(points=((200, 100),), labels=(0,))
        assert obey(self.ALPHA, self.MASK, prompt) is self.ALPHA
