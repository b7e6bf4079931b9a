"""GrabCut on synthetic photos with known masks, and loading segmenters by name."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.arrays import FloatArray, UInt8Array
from shared.errors import ConfigError
from shared.schema import Prompt
from shared.settings import SegmenterSettings
from worker import segmenters
from worker.segmenters import Prediction, Question, Segmenter

RED, BLUE, GREEN = (200, 40, 40), (40, 60, 200), (90, 150, 90)


def drawn(
    *discs: tuple[int, int, int, tuple[int, int, int]], width: int = 300, height: int = 200
) -> UInt8Array:
    """Discs (x, y, radius, colour) on a green ground, with a camera's noise."""
    photo = np.full((height, width, 3), GREEN, np.uint8)
    for x, y, radius, colour in discs:
        cv2.circle(photo, (x, y), radius, colour, -1)
    noise = np.random.default_rng(1).normal(0, 6, photo.shape)
    return np.clip(photo + noise, 0, 255).astype(np.uint8)


def disc(x: int, y: int, radius: int, width: int = 300, height: int = 200) -> FloatArray:
    """The mask of one disc."""
    mask = np.zeros((height, width), np.float32)
    cv2.circle(mask, (x, y), radius, 1, -1)
    return mask


def overlap(prediction: Prediction, truth: FloatArray) -> float:
    """Intersection over union, at the prediction's size."""
    height, width = prediction.mask.shape
    wanted = cv2.resize(truth, (width, height), interpolation=cv2.INTER_AREA) > 0.5
    found = prediction.mask > 0.5
    return float((wanted & found).sum() / max((wanted | found).sum(), 1))


def cut(
    segmenter: Segmenter, photo: UInt8Array, prompt: Prompt, prior: FloatArray | None = None
) -> Prediction:
    [embedding] = segmenter.encode([segmenter.prepare(photo)])
    [prediction] = segmenter.decode([Question(embedding, prompt, prior)])
    return prediction


@pytest.fixture
def grabcut() -> Segmenter:
    return segmenters.load(SegmenterSettings.load(model="grabcut"))


TWO = drawn((90, 100, 45, RED), (215, 100, 45, BLUE))
LEFT, RIGHT = disc(90, 100, 45), disc(215, 100, 45)


@pytest.mark.parametrize(
    ("prompt", "truth"),
    [
        (Prompt(points=((90, 100),)), LEFT),
        (Prompt(points=((215, 100),)), RIGHT),
        (Prompt(points=((90, 100), (215, 100))), np.maximum(LEFT, RIGHT)),
        (Prompt(box=(40, 50, 140, 150)), LEFT),
        (Prompt(box=(165, 50, 265, 150)), RIGHT),
        (Prompt(box=(30, 40, 275, 160)), np.maximum(LEFT, RIGHT)),
        (Prompt(points=((90, 100),), box=(30, 40, 275, 160)), LEFT),
    ],
    ids=["click left", "click right", "two clicks", "box left", "box right", "box", "click in box"],
)
def test_the_object_under_the_prompt_is_cut_out(
    grabcut: Segmenter, prompt: Prompt, truth: FloatArray
) -> None:
    assert overlap(cut(grabcut, TWO, prompt), truth) > 0.95


def test_a_negative_point_takes_its_object_away(grabcut: Segmenter) -> None:
    prompt = Prompt(points=((90, 100), (215, 100)), labels=(1, 0), box=(30, 40, 275, 160))
    assert overlap(cut(grabcut, TWO, prompt), LEFT) > 0.95


def test_a_negative_point_alone_is_never_in_the_cut(grabcut: Segmenter) -> None:
    prompt = Prompt(points=((215, 100),), labels=(0,), box=(30, 40, 275, 160))
    assert cut(grabcut, TWO, prompt).mask[100, 215] < 0.5


def test_the_cut_starts_from_an_earlier_mask(grabcut: Segmenter) -> None:
    rough = disc(205, 105, 40)
    assert overlap(cut(grabcut, TWO, Prompt(mask="job_" + "0" * 24), rough), RIGHT) > 0.95


def test_an_earlier_mask_may_be_of_another_size(grabcut: Segmenter) -> None:
    rough = cv2.resize(disc(205, 105, 40), (90, 60)).astype(np.float32)
    assert overlap(cut(grabcut, TWO, Prompt(mask="job_" + "0" * 24), rough), RIGHT) > 0.95


def test_a_click_beside_an_earlier_mask_adds_to_it(grabcut: Segmenter) -> None:
    prompt = Prompt(mask="job_" + "0" * 24, points=((90, 100), (215, 100)))
    found = cut(grabcut, TWO, prompt, np.maximum(disc(205, 105, 40), disc(90, 100, 20)))
    assert overlap(found, np.maximum(LEFT, RIGHT)) > 0.9


def test_without_a_prompt_the_subject_in_the_middle_is_found(grabcut: Segmenter) -> None:
    photo = drawn((150, 100, 60, RED))
    assert overlap(cut(grabcut, photo, Prompt()), disc(150, 100, 60)) > 0.95


LARGE = drawn((225, 750, 150, RED), (750, 250, 150, BLUE), width=1000, height=1200)


@pytest.mark.parametrize(
    ("prompt", "truth"),
    [
        (Prompt(points=((750, 250),)), disc(750, 250, 150, 1000, 1200)),
        (Prompt(box=(50, 575, 400, 925)), disc(225, 750, 150, 1000, 1200)),
    ],
    ids=["click", "box"],
)
def test_prompts_are_pixels_of_the_whole_photo_however_large(
    grabcut: Segmenter, prompt: Prompt, truth: FloatArray
) -> None:
    found = cut(grabcut, LARGE, prompt)
    assert max(found.mask.shape) <= 512
    assert overlap(found, truth) > 0.95


UGLY = [(1, 1), (2, 2), (17, 9), (1, 400), (400, 1), (3, 2000), (2000, 3), (513, 20)]
PROMPTS = {
    "auto": Prompt(),
    "click": Prompt(points=((0, 0),)),
    "negative": Prompt(points=((0, 0),), labels=(0,)),
    "box": Prompt(box=(0, 0, 1, 1)),
}


@pytest.mark.parametrize(("width", "height"), UGLY)
@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
def test_an_ugly_size_is_answered(
    grabcut: Segmenter, width: int, height: int, prompt: Prompt
) -> None:
    found = cut(grabcut, drawn(width=width, height=height), prompt)
    assert found.mask.dtype == np.float32
    assert 0 <= found.mask.min() <= found.mask.max() <= 1
    assert found.scores


@pytest.mark.parametrize(("width", "height"), UGLY)
def test_an_ugly_size_takes_a_prior(grabcut: Segmenter, width: int, height: int) -> None:
    photo = drawn(width=width, height=height)
    prior = np.ones((height, width), np.float32)
    assert cut(grabcut, photo, Prompt(mask="job_" + "0" * 24), prior).mask.size


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_photo_of_one_colour_is_answered(grabcut: Segmenter, value: int) -> None:
    plain = np.full((60, 80, 3), value, np.uint8)
    for prompt in (Prompt(), Prompt(points=((40, 30),)), Prompt(box=(10, 10, 70, 50))):
        height, width = cut(grabcut, plain, prompt).mask.shape
        assert height * 80 == width * 60


def test_the_same_question_has_the_same_answer(grabcut: Segmenter) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (120, 160, 3), np.uint8)
    first = cut(grabcut, noise, Prompt())
    for seed in (1, 99, 12345):
        cv2.setRNGSeed(seed)
        assert (cut(grabcut, noise, Prompt()).mask == first.mask).all()


def test_a_photo_is_not_written_to(grabcut: Segmenter) -> None:
    photo = TWO.copy()
    photo.setflags(write=False)
    cut(grabcut, photo, Prompt(points=((90, 100),)))
    assert (photo == TWO).all()


def test_a_prior_is_not_written_to(grabcut: Segmenter) -> None:
    prior = disc(205, 105, 40)
    cut(grabcut, TWO, Prompt(mask="job_" + "0" * 24), prior)
    assert (prior == disc(205, 105, 40)).all()


def test_one_embedding_serves_many_prompts(grabcut: Segmenter) -> None:
    [embedding] = grabcut.encode([grabcut.prepare(TWO)])
    prompts = [Prompt(points=((90, 100),)), Prompt(points=((215, 100),))]
    left, right = grabcut.decode([Question(embedding, prompt) for prompt in prompts])
    assert overlap(left, LEFT) > 0.95
    assert overlap(right, RIGHT) > 0.95


# By name


def test_a_segmenter_is_loaded_by_its_name(grabcut: Segmenter) -> None:
    assert grabcut.name == "grabcut"
    assert grabcut.max_batch >= 1


def test_an_unknown_model_is_a_config_error_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no such model: sam9 .*grabcut"):
        segmenters.load(SegmenterSettings.load(model="sam9"))


def test_a_checkpoint_for_a_model_without_weights_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="takes no checkpoint"):
        segmenters.load(SegmenterSettings.load(model="grabcut", checkpoint=tmp_path / "weights.pt"))


def test_the_simulated_segmenter_answers_a_batch_in_its_order() -> None:
    simulated = segmenters.load(SegmenterSettings.load(model="tests.simulated:load"))
    photos = [drawn(width=width, height=100) for width in (50, 100, 200)]
    embeddings = simulated.encode([simulated.prepare(image) for image in photos])
    found = simulated.decode([Question(embedding, Prompt()) for embedding in embeddings])
    assert [prediction.mask.shape[1] for prediction in found] == [50, 100, 200]
    assert all(prediction.mask.any() for prediction in found)
