"""A job's photo before the device, with a segmenter that sees brightness."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from shared.arrays import UInt8Array
from shared.errors import PromptInvalid
from shared.images.photo import Photo
from shared.schema import JobRequest, Prompt
from shared.settings import WorkerSettings
from worker.engine import Engine, InFlightLimit
from worker.job.cut import cut_out
from worker.job.earlier import Earlier
from worker.job.run import Run
from worker.job.segmentation import Finding, segment
from worker.segmenters.protocol import Prediction, Question

SIZE = (1600, 1200)
SUBJECT = (801, 403, 963, 571)  # not on the grid of a first, coarse mask
CLICK = Prompt(points=((880, 480),))


class Bright:
    """Finds what is bright, at 64 × 64, whatever the photo's size."""

    name, device, max_batch = "bright", "cpu", 4

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.encoded: list[tuple[int, ...]] = []
        self.astray = False

    def prepare(self, image: UInt8Array, *, auto: bool = False) -> UInt8Array:  # noqa: ARG002
        return image

    def encode(self, photos: Sequence[UInt8Array]) -> list[UInt8Array]:
        self.encoded += [photo.shape for photo in photos]
        return list(photos)

    def decode(self, questions: Sequence[Question]) -> list[Prediction]:
        self.questions += questions
        return [self._answer(question) for question in questions]

    def _answer(self, question: Question) -> Prediction:
        seen = cv2.resize(question.embedding[..., 0], (64, 64), interpolation=cv2.INTER_AREA)
        mask = np.asarray(seen, np.float32) / np.float32(255)
        if question.prior is not None and self.astray:
            mask = np.float32(1) - mask
        logits = np.full((4, 4), float(len(self.questions)), np.float32)
        return Prediction(mask, (0.5 + 0.1 * len(self.questions),), ("mine",), logits, (0.9,))


def scene() -> Photo:
    """Red on not red; the other channels are noise, as no two of a photo's are ever equal."""
    rgb = np.random.default_rng(0).integers(90, 110, (SIZE[1], SIZE[0], 3), np.uint8)
    x1, y1, x2, y2 = SUBJECT
    rgb[..., 0] = 0
    rgb[y1:y2, x1:x2, 0] = 255
    return Photo(rgb)


class Desk:
    """One worker's device, and jobs that come to it."""

    def __init__(self, second_look: float) -> None:
        self.bright = Bright()
        self.runtime: Any = SimpleNamespace(
            engine=Engine(self.bright, cache_bytes=1 << 28),
            cores=InFlightLimit(1),
            settings=WorkerSettings(second_look=second_look),
        )

    def find(self, *prompts: Prompt, photo: Photo | None = None) -> Finding:
        return segment(self._run(prompts), photo or scene(), "digest", Earlier())

    def cut(self, *prompts: Prompt) -> UInt8Array:
        run = self._run(prompts)
        finding = segment(run, scene(), "digest", Earlier())
        return cut_out(run.claim.job.request, scene(), finding).alpha

    def _run(self, prompts: tuple[Prompt, ...]) -> Run:
        many = len(prompts) > 1
        request = JobRequest(objects=prompts) if many else JobRequest(prompt=prompts[0])
        claim = SimpleNamespace(job=SimpleNamespace(request=request, tenant="shop"))
        lease: Any = SimpleNamespace(
            claim=claim, lost=False, stage="", deadline=0.0, require=lambda: None
        )
        return Run(self.runtime, lease)


def iou(alpha: UInt8Array) -> float:
    truth = scene().rgb[..., 0] > 0
    return float(((alpha > 127) & truth).sum() / ((alpha > 127) | truth).sum())


def test_without_the_setting_it_looks_once() -> None:
    desk = Desk(second_look=0)
    assert desk.find(CLICK).closeup is None
    assert desk.bright.encoded == [(1200, 1600, 3)]


def test_a_large_subject_is_looked_at_once() -> None:
    desk = Desk(second_look=0.01)
    assert desk.find(CLICK).closeup is None
    assert len(desk.bright.questions) == 1


@pytest.mark.parametrize("prompt", [CLICK, Prompt(), Prompt(box=(780, 390, 980, 590))])
def test_a_small_subject_is_looked_at_from_close(prompt: Prompt) -> None:
    desk = Desk(second_look=0.1)
    finding = desk.find(prompt)
    closeup = finding.closeup
    assert closeup is not None
    first, second = desk.bright.questions
    x1, y1, x2, y2 = closeup.box
    assert desk.bright.encoded == [(1200, 1600, 3), (y2 - y1, x2 - x1, 3)]
    assert first.prompt == prompt
    assert second.prompt == closeup.prompt
    assert second.prior is not None
    assert second.prior.max() > 0.5
    assert second.prior_logits is None


def test_the_cut_is_better_for_it_and_in_its_place() -> None:
    once, twice = (iou(Desk(second_look=look).cut(CLICK)) for look in (0, 0.1))
    assert twice > 0.97
    assert twice >= once


def test_both_embeddings_are_kept_apart() -> None:
    desk = Desk(second_look=0.1)
    first = desk.find(CLICK)
    assert len(desk.runtime.engine.cache) == 2
    again = desk.find(CLICK)
    assert len(desk.bright.encoded) == 2  # a second click encodes neither again
    assert (again.closeup is None, first.closeup is None) == (False, False)
    assert np.array_equal(again.predictions[0].mask, first.predictions[0].mask)


def test_the_first_looks_logits_and_doubts_are_kept() -> None:
    finding = Desk(second_look=0.1).find(CLICK)
    (prediction,) = finding.predictions
    assert prediction.scores == (0.7,)  # the second's
    assert prediction.logits is not None
    assert prediction.logits[0, 0] == 1  # the first's
    assert prediction.reasons == ("mine",)


def test_a_second_look_that_goes_astray_is_left() -> None:
    desk = Desk(second_look=0.1)
    desk.bright.astray = True
    finding = desk.find(CLICK)
    assert len(desk.bright.questions) == 2
    assert finding.closeup is None
    assert finding.predictions[0].mask.shape == (64, 64)
    assert finding.predictions[0].scores == (0.6,)


def test_several_objects_are_looked_at_once() -> None:
    desk = Desk(second_look=0.5)
    finding = desk.find(CLICK, Prompt(points=((900, 500),)))
    assert finding.closeup is None
    assert len(finding.predictions) == 2


def test_where_nothing_is_found_there_is_nothing_to_look_at() -> None:
    desk = Desk(second_look=0.5)
    nothing = Photo(np.zeros((1200, 1600, 3), np.uint8))
    assert desk.find(CLICK, photo=nothing).closeup is None


def test_the_photos_own_alpha_is_honoured_in_a_closeup() -> None:
    desk = Desk(second_look=0.1)
    run = desk._run((CLICK,))
    own = np.full((1200, 1600), 255, np.uint8)
    own[:480] = 0
    photo = Photo(scene().rgb, own)
    alpha = cut_out(run.claim.job.request, photo, segment(run, photo, "d", Earlier())).alpha
    assert not alpha[:480].any()
    assert alpha[500, 880] == 255


def test_a_prompt_outside_the_photo_is_refused() -> None:
    with pytest.raises(PromptInvalid, match=r"prompt\.points\.0"):
        Desk(second_look=0).find(Prompt(points=((1600, 3),)))
