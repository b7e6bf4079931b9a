from __future__ import annotations

import cv2
import numpy as np
import pytest

from shared.arrays import BoolArray, FloatArray, UInt8Array
from shared.schema import Edge, Prompt
from worker.matting.clicks import obey
from worker.matting.edges import refine
from worker.segmenters.grabcut import GrabCutSegmenter
from worker.segmenters.masks import iou
from worker.segmenters.protocol import Prediction, Question

SIZE = (240, 320)


def scene(
    *subjects: tuple[int, int, int],
    size: tuple[int, int] = SIZE,
    colour: tuple[int, int, int] = (200, 60, 40),
) -> tuple[UInt8Array, BoolArray]:
    """Grainy discs (x, y, radius) before a smooth green slope, and where they are."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    noise = np.random.default_rng(3).normal(0, 14, (*size, 1))
    ground = np.stack((60 + columns * 0.1, 120 + rows * 0.2, 70 + columns * 0.05), axis=-1)
    truth = np.zeros(size, dtype=bool)
    for x, y, radius in subjects:
        truth |= np.hypot(columns - x, rows - y) < radius
    image = np.where(truth[..., None], np.array(colour) + noise, ground + noise * 0.1)
    return np.clip(image, 0, 255).astype(np.uint8), truth


def cut(image: UInt8Array, prior: FloatArray | None = None, **prompt: object) -> Prediction:
    segmenter = GrabCutSegmenter()
    embedding = segmenter.encode([segmenter.prepare(image)])[0]
    question = Question(embedding, Prompt.model_validate(prompt), prior)
    return segmenter.decode([question])[0]


def at_size(prediction: Prediction, shape: tuple[int, ...]) -> BoolArray:
    full = cv2.resize(prediction.mask, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full.reshape(shape[:2]) > 0.5)


def test_a_click_cuts_what_it_lies_on() -> None:
    image, truth = scene((110, 120, 60))
    prediction = cut(image, points=[(110, 120)])
    assert iou(at_size(prediction, image.shape), truth) > 0.97
    assert prediction.reasons == ()


def test_a_click_takes_one_of_two_alike() -> None:
    image, _ = scene((80, 120, 45), (240, 120, 45))
    _, left = scene((80, 120, 45))
    prediction = cut(image, points=[(80, 120)])
    assert iou(at_size(prediction, image.shape), left) > 0.95


def test_two_clicks_take_both() -> None:
    image, truth = scene((80, 120, 45), (240, 120, 45))
    prediction = cut(image, points=[(80, 120), (240, 120)])
    assert iou(at_size(prediction, image.shape), truth) > 0.95


def test_a_box_limits_the_result_and_finds_what_it_holds() -> None:
    image, _ = scene((80, 120, 45), (240, 120, 45))
    _, right = scene((240, 120, 45))
    region = at_size(cut(image, box=(185, 65, 295, 175)), image.shape)
    assert iou(region, right) > 0.95
    assert not region[:, :184].any()


def test_nothing_leaves_a_box_through_the_subject() -> None:
    image, _ = scene((160, 120, 70))
    region = at_size(cut(image, box=(160, 20, 300, 220)), image.shape)
    assert not region[:, :159].any()


def test_an_earlier_mask_is_kept_where_nothing_contradicts_it() -> None:
    image, _ = scene((80, 120, 45), (240, 120, 45))
    _, left = scene((80, 120, 45))
    small = cv2.resize(left.astype(np.float32), (64, 48), interpolation=cv2.INTER_AREA)
    prior = np.asarray(small, dtype=np.float32)
    mask = "job_" + "0" * 24
    assert iou(at_size(cut(image, prior, mask=mask), image.shape), left) > 0.95


def test_a_click_adds_to_an_earlier_mask_and_another_takes_away() -> None:
    image, both = scene((80, 120, 45), (240, 120, 45))
    _, left = scene((80, 120, 45))
    _, right = scene((240, 120, 45))
    mask = "job_" + "0" * 24
    added = cut(image, left.astype(np.float32), mask=mask, points=[(240, 120)])
    assert iou(at_size(added, image.shape), both) > 0.95
    points, labels = [(80, 120)], [0]
    taken = cut(image, both.astype(np.float32), mask=mask, points=points, labels=labels)
    assert iou(at_size(taken, image.shape), right) > 0.9


def test_the_signs_of_clicks_hold_wherever_they_lie() -> None:
    image, _ = scene((160, 120, 70))
    rng = np.random.default_rng(0)
    for _ in range(6):
        points = [(float(x), float(y)) for x, y in rng.integers((320, 240), size=(4, 2))]
        labels = [1, 0, 1, 0]
        prediction = cut(image, points=points, labels=labels)
        prompt = Prompt(points=tuple(points), labels=tuple(labels))
        alpha = obey(refine(prediction.mask, image, Edge.MATTE), prediction.mask, prompt)
        for (x, y), label in zip(points, labels, strict=True):
            assert (alpha[int(y), int(x)] > 127) == bool(label)


def test_a_negative_click_removes_what_a_positive_one_had_taken() -> None:
    image, _ = scene((110, 120, 40), (185, 120, 40))  # overlapping, one colour
    points = [(100, 120), (200, 120)]
    region = at_size(cut(image, points=points, labels=[1, 0]), image.shape)
    assert region[120, 100]
    assert not region[120, 200]


def test_all_together() -> None:
    image, truth = scene((160, 120, 60))
    prediction = cut(
        image,
        truth.astype(np.float32),
        mask="job_" + "0" * 24,
        points=[(160, 120), (20, 20)],
        labels=[1, 0],
        box=(60, 20, 260, 220),
    )
    assert iou(at_size(prediction, image.shape), truth) > 0.96


def test_auto_finds_a_drawn_subject_and_is_sure() -> None:
    image, truth = scene((170, 130, 70))
    prediction = cut(image)
    assert iou(at_size(prediction, image.shape), truth) > 0.97
    assert prediction.scores[0] > 0.9
    assert prediction.reasons == ()


def test_auto_finds_a_subject_that_touches_a_side() -> None:
    image, truth = scene((160, 220, 90))
    assert iou(at_size(cut(image), image.shape), truth) > 0.95


def test_auto_says_when_there_are_several() -> None:
    image, _ = scene((80, 120, 45), (240, 120, 45))
    assert "several_subjects" in cut(image).reasons


@pytest.mark.parametrize("seed", range(3))
def test_auto_asks_for_review_where_there_is_no_subject(seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    assert cut(noise).reasons
    clouds = np.asarray(cv2.GaussianBlur(noise, (0, 0), 9), dtype=np.uint8)
    assert cut(clouds).reasons


def test_auto_asks_for_review_on_one_colour() -> None:
    assert cut(np.full((*SIZE, 3), 90, dtype=np.uint8)).reasons


def test_the_same_again_gives_the_same() -> None:
    image, _ = scene((160, 120, 70))
    cv2.setRNGSeed(1)
    one = cut(image, points=[(160, 120)])
    cv2.setRNGSeed(99)
    other = cut(image, points=[(160, 120)])
    assert np.array_equal(one.mask, other.mask)
    assert one.scores == other.scores


def test_a_batch_answers_in_order() -> None:
    (small, small_truth), (large, large_truth) = scene((100, 100, 40)), scene((180, 120, 80))
    segmenter = GrabCutSegmenter()
    questions = [
        Question(embedding, Prompt())
        for embedding in segmenter.encode([segmenter.prepare(small), segmenter.prepare(large)])
    ]
    found = [at_size(answer, SIZE) for answer in segmenter.decode(questions)]
    assert iou(found[0], small_truth) > 0.95
    assert iou(found[1], large_truth) > 0.95


def test_a_turned_photo_is_cut_alike() -> None:
    image, truth = scene((110, 150, 60))
    turned = cut(np.rot90(image).copy())
    assert iou(at_size(turned, (SIZE[1], SIZE[0])), np.rot90(truth)) > 0.95


SIZES = [(1, 1), (1, 2), (2, 1), (17, 9), (1, 4000), (4000, 1), (3, 500), (64, 64)]


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("texture", ["flat", "noise"])
def test_ugly_sizes_are_answered(shape: tuple[int, int], texture: str) -> None:
    height, width = shape
    image = np.full((*shape, 3), 128, dtype=np.uint8)
    if texture == "noise":
        image = np.random.default_rng(0).integers(0, 256, image.shape, dtype=np.uint8)
    x, y = width - 1, height - 1
    prompts: list[dict[str, object]] = [
        {},
        {"points": [(0, 0)]},
        {"points": [(x, y)]},
        {"points": [(x + 0.9, y + 0.9), (0, 0)], "labels": [0, 0]},
        {"points": [(x, y), (0, 0)], "labels": [1, 0]},
        {"box": (0, 0, width, height)},
        {"box": (x, y, width, height)},
        {"box": (x, y, width, height), "points": [(0, 0)]},
        {"mask": "job_" + "0" * 24},
    ]
    for prompt in prompts:
        for value in (0.0, 1.0) if "mask" in prompt else (0.0,):
            prior = np.full((5, 7), value, dtype=np.float32)
            prediction = cut(image, prior if "mask" in prompt else None, **prompt)
            assert prediction.mask.dtype == np.float32
            assert np.isfinite(prediction.mask).all()
            assert float(prediction.mask.min()) >= 0.0
            assert float(prediction.mask.max()) <= 1.0
            assert all(0.0 <= score <= 1.0 for score in prediction.scores)
            assert refine(prediction.mask, image, Edge.SOFT).shape == shape


@pytest.mark.parametrize("corner", [(0, 0), (319, 0), (0, 239), (319, 239)])
def test_a_click_in_a_corner_is_inside(corner: tuple[int, int]) -> None:
    image, _ = scene((160, 120, 70))
    region = at_size(cut(image, points=[corner]), image.shape)
    assert region[corner[1], corner[0]]


def test_many_points_at_once() -> None:
    image, truth = scene((160, 120, 70))
    spots = np.random.default_rng(1).integers((320, 240), size=(256, 2))
    points = [(float(x), float(y)) for x, y in spots]
    labels = [int(truth[y, x]) for x, y in spots]
    prediction = cut(image, points=points, labels=labels)
    assert iou(at_size(prediction, image.shape), truth) > 0.95
