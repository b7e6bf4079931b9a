"""Selecting a subject, on hand-made masks and scores; no trained weights are needed."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from shared.arrays import BoolArray, UInt8Array
from shared.schema import Prompt
from worker.segmenters import Prediction, Question
from worker.segmenters.auto import GRID, AutoSegmenter, Scene, proposals, select

SHAPE = (60, 80)


def disc(x: int, y: int, radius: int) -> BoolArray:
    mask = np.zeros(SHAPE, np.uint8)
    cv2.circle(mask, (x, y), radius, 1, -1)
    return mask.astype(bool)


LEFT, RIGHT = disc(20, 30, 14), disc(60, 30, 14)
NOTHING, ALL = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)


class TestSelect:
    def test_the_mask_of_highest_quality_wins(self) -> None:
        assert select([LEFT, RIGHT], [0.5, 0.9], NOTHING).index == 1

    def test_among_equals_the_mask_with_more_support_wins(self) -> None:
        assert select([LEFT, RIGHT, RIGHT], [0.8, 0.8, 0.8], NOTHING).index == 1

    def test_among_equals_the_mask_like_the_classical_cut_wins(self) -> None:
        assert select([LEFT, RIGHT], [0.8, 0.8], RIGHT).index == 1

    @pytest.mark.parametrize("unlikely", [ALL, disc(40, 30, 1)], ids=["all", "speck"])
    def test_a_mask_of_an_unlikely_size_loses(self, unlikely: BoolArray) -> None:
        assert select([unlikely, LEFT], [0.95, 0.6], NOTHING).index == 1

    def test_a_mask_along_three_sides_loses_as_background(self) -> None:
        surroundings = ~disc(40, 30, 25)
        surroundings[-1] = False
        assert select([surroundings, LEFT], [0.95, 0.6], NOTHING).index == 1

    def test_a_confident_selection_has_no_reasons(self) -> None:
        assert select([LEFT, LEFT, RIGHT], [0.95, 0.9, 0.5], LEFT).reasons == ()

    def test_a_low_score_is_reported(self) -> None:
        assert "low_confidence" in select([LEFT, RIGHT], [0.4, 0.2], NOTHING).reasons

    def test_a_rival_object_is_reported(self) -> None:
        assert "several_subjects" in select([LEFT, RIGHT], [0.9, 0.88], NOTHING).reasons

    def test_another_mask_of_the_same_object_is_no_rival(self) -> None:
        larger = disc(20, 30, 16)
        assert "several_subjects" not in select([LEFT, larger], [0.9, 0.88], LEFT).reasons

    def test_empty_masks_are_reported_as_no_subject(self) -> None:
        assert "no_subject" in select([NOTHING, NOTHING], [0.9, 0.9], NOTHING).reasons


class TestProposals:
    def test_the_classical_cut_gives_a_box_a_point_and_both(self) -> None:
        box, point, both = proposals(LEFT.astype(np.float32), 800, 600)[:3]
        assert box.box == pytest.approx((60, 160, 350, 450), abs=1)
        ((x, y),) = point.points
        assert abs(x - 200) < 11
        assert abs(y - 300) < 11
        assert (both.box, both.points) == (box.box, point.points)

    def test_a_grid_covers_the_rest_of_the_photo(self) -> None:
        grid = proposals(NOTHING.astype(np.float32), 800, 600)
        assert len(grid) == GRID * GRID
        places = [prompt.points[0] for prompt in grid]
        assert (places[0], places[-1]) == ((100, 75), (700, 525))

    @pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 4000), (17, 9)])
    def test_every_proposal_fits_the_photo(self, width: int, height: int) -> None:
        found = proposals(ALL.astype(np.float32), width, height)
        assert all(prompt.misfit(width, height) is None for prompt in found)


class Oracle:
    """A model that knows two discs; it answers a prompt with the disc on the same half."""

    name = "oracle"
    device = "cpu"
    max_batch = 4

    def __init__(self) -> None:
        self.asked: list[Prompt] = []

    def prepare(self, image: UInt8Array, *, auto: bool = False) -> UInt8Array:  # noqa: ARG002
        return image

    def encode(self, photos: Sequence[UInt8Array]) -> list[UInt8Array]:
        return list(photos)

    def decode(self, questions: Sequence[Question]) -> list[Prediction]:
        self.asked = [question.prompt for question in questions]
        return [self._answer(question.prompt) for question in questions]

    def _answer(self, prompt: Prompt) -> Prediction:
        x = prompt.points[0][0] if prompt.points else (prompt.box or (0, 0, 0, 0))[0]
        mask = LEFT if x < 40 else RIGHT
        return Prediction(mask.astype(np.float32), (0.9,), stability=(1.0,))


def photo() -> UInt8Array:
    drawn = np.full((*SHAPE, 3), (90, 150, 90), np.uint8)
    drawn[RIGHT] = (200, 30, 30)
    noise = np.random.default_rng(1).normal(0, 5, drawn.shape)
    return np.clip(drawn + noise, 0, 255).astype(np.uint8)


def test_a_photo_without_a_prompt_is_answered_with_its_subject() -> None:
    segmenter = AutoSegmenter(Oracle())
    [scene] = segmenter.encode([segmenter.prepare(photo())])
    [prediction] = segmenter.decode([Question(scene, Prompt())])
    assert np.array_equal(prediction.mask > 0.5, RIGHT)


def test_photos_with_and_without_prompts_are_decoded_together() -> None:
    oracle = Oracle()
    segmenter = AutoSegmenter(oracle)
    [scene] = segmenter.encode([segmenter.prepare(photo())])
    click = Prompt(points=((20, 30),))
    first, second, third = segmenter.decode(
        [Question(scene, click), Question(scene, Prompt()), Question(scene, click)]
    )
    assert np.array_equal(first.mask > 0.5, LEFT)
    assert np.array_equal(second.mask > 0.5, RIGHT)
    assert np.array_equal(third.mask > 0.5, LEFT)
    assert len(oracle.asked) == 2 + 3 + GRID * GRID


def test_the_size_of_an_embedding_includes_the_small_photo() -> None:
    features, small = np.zeros(100, np.uint8), np.zeros((10, 10, 3), np.uint8)
    assert Scene(features, small, None, 10, 10).nbytes == 400
    assert Scene(features, small, np.zeros((5, 5), np.float32), 10, 10).nbytes == 500


def test_the_classical_cut_is_made_in_prepare(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    segmenter = AutoSegmenter(Oracle())
    [scene] = segmenter.encode([segmenter.prepare(photo(), auto=True)])
    monkeypatch.setattr(segmenter, "_classical", None)
    [prediction] = segmenter.decode([Question(scene, Prompt())])
    assert np.array_equal(prediction.mask > 0.5, RIGHT)
