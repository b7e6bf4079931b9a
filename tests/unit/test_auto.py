"""Choosing a subject, on hand-made masks and scores: weights to try it on cannot be had here."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from shared.arrays import BoolArray, UInt8Array
from shared.schema import Prompt
from worker.segmenters import Prediction, Question
from worker.segmenters.auto import GRID, AutoSegmenter, Scene, proposals, verdict

SHAPE = (60, 80)


def disc(x: int, y: int, radius: int) -> BoolArray:
    mask = np.zeros(SHAPE, np.uint8)
    cv2.circle(mask, (x, y), radius, 1, -1)
    return mask.astype(bool)


LEFT, RIGHT = disc(20, 30, 14), disc(60, 30, 14)
NOTHING, ALL = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)


class TestVerdict:
    def test_the_mask_the_model_is_surest_of_wins(self) -> None:
        assert verdict([LEFT, RIGHT], [0.5, 0.9], NOTHING).index == 1

    def test_of_equals_the_one_that_more_proposals_lead_to_wins(self) -> None:
        assert verdict([LEFT, RIGHT, RIGHT], [0.8, 0.8, 0.8], NOTHING).index == 1

    def test_of_equals_the_one_the_classical_cut_found_wins(self) -> None:
        assert verdict([LEFT, RIGHT], [0.8, 0.8], RIGHT).index == 1

    @pytest.mark.parametrize("unlikely", [ALL, disc(40, 30, 1)], ids=["all", "speck"])
    def test_a_mask_of_an_unlikely_size_loses(self, unlikely: BoolArray) -> None:
        assert verdict([unlikely, LEFT], [0.95, 0.6], NOTHING).index == 1

    def test_a_mask_along_three_sides_is_a_background(self) -> None:
        surroundings = ~disc(40, 30, 25)
        surroundings[-1] = False
        assert verdict([surroundings, LEFT], [0.95, 0.6], NOTHING).index == 1

    def test_a_sure_choice_needs_no_review(self) -> None:
        assert verdict([LEFT, LEFT, RIGHT], [0.95, 0.9, 0.5], LEFT).reasons == ()

    def test_a_weak_choice_is_named(self) -> None:
        assert "low_confidence" in verdict([LEFT, RIGHT], [0.4, 0.2], NOTHING).reasons

    def test_a_rival_elsewhere_is_named(self) -> None:
        assert "several_subjects" in verdict([LEFT, RIGHT], [0.9, 0.88], NOTHING).reasons

    def test_another_mask_of_the_same_thing_is_no_rival(self) -> None:
        larger = disc(20, 30, 16)
        assert "several_subjects" not in verdict([LEFT, larger], [0.9, 0.88], LEFT).reasons

    def test_no_mask_at_all_is_named(self) -> None:
        assert "no_subject" in verdict([NOTHING, NOTHING], [0.9, 0.9], NOTHING).reasons


class TestProposals:
    def test_the_classical_subject_is_asked_about_three_ways(self) -> None:
        box, point, both = proposals(LEFT.astype(np.float32), 800, 600)[:3]
        assert box.box == pytest.approx((60, 160, 350, 450), abs=1)
        ((x, y),) = point.points
        assert abs(x - 200) < 11
        assert abs(y - 300) < 11
        assert (both.box, both.points) == (box.box, point.points)

    def test_the_rest_of_the_photo_is_asked_about_by_a_grid(self) -> None:
        grid = proposals(NOTHING.astype(np.float32), 800, 600)
        assert len(grid) == GRID * GRID
        places = [prompt.points[0] for prompt in grid]
        assert (places[0], places[-1]) == ((100, 75), (700, 525))

    @pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 4000), (17, 9)])
    def test_every_proposal_fits_the_photo(self, width: int, height: int) -> None:
        found = proposals(ALL.astype(np.float32), width, height)
        assert all(prompt.misfit(width, height) is None for prompt in found)


class Oracle:
    """A model that knows two discs: it answers with the one nearest to what it is asked."""

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


def test_a_photo_that_nobody_clicked_is_answered_with_its_subject() -> None:
    segmenter = AutoSegmenter(Oracle())
    [scene] = segmenter.encode([segmenter.prepare(photo())])
    [prediction] = segmenter.decode([Question(scene, Prompt())])
    assert np.array_equal(prediction.mask > 0.5, RIGHT)


def test_autos_and_prompts_of_a_batch_are_decoded_together() -> None:
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


def test_an_embedding_counts_its_small_photo() -> None:
    features, small = np.zeros(100, np.uint8), np.zeros((10, 10, 3), np.uint8)
    assert Scene(features, small, None, 10, 10).nbytes == 400
    assert Scene(features, small, np.zeros((5, 5), np.float32), 10, 10).nbytes == 500


def test_the_classical_cut_is_made_before_the_device_has_the_photo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    segmenter = AutoSegmenter(Oracle())
    [scene] = segmenter.encode([segmenter.prepare(photo(), auto=True)])
    monkeypatch.setattr(segmenter, "_classical", None)
    [prediction] = segmenter.decode([Question(scene, Prompt())])
    assert np.array_equal(prediction.mask > 0.5, RIGHT)
