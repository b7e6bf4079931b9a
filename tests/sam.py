"""Helpers shared by the tests of both generations of SAM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from shared.arrays import FloatArray, UInt8Array
from shared.schema import Prompt
from worker.segmenters.postprocess import resized
from worker.segmenters.protocol import Question
from worker.segmenters.sam import SamSegmenter

#: How far logits may differ from the reference's, since sums are rounded in a different order.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Case:
    """A prompt in fractions of the photo's size, with or without earlier logits."""

    name: str
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None
    refined: bool = False

    def prompt(self, image: UInt8Array) -> Prompt:
        height, width = image.shape[:2]
        box = None
        if self.box is not None:
            x1, y1, x2, y2 = self.box
            box = (x1 * width, y1 * height, x2 * width, y2 * height)
        return Prompt.model_validate(
            {
                "points": tuple((x * width, y * height) for x, y in self.points),
                "labels": self.labels,
                "box": box,
            }
        )

    def question(self, embedding: Any, image: UInt8Array, side: int) -> Question:
        logits = earlier(side) if self.refined else None
        return Question(embedding, self.prompt(image), prior_logits=logits)


CASES = (
    Case("one point", points=((0.3, 0.6),), labels=(1,)),
    Case("several", points=((0.3, 0.6), (0.5, 0.5), (0.9, 0.1)), labels=(1, 1, 0)),
    Case("box", box=(0.1, 0.2, 0.8, 0.9)),
    Case("box and points", ((0.3, 0.6), (0.9, 0.1)), (1, 0), (0.1, 0.2, 0.8, 0.9)),
    Case("mask alone", refined=True),
    Case("mask and a point", ((0.3, 0.6),), (1,), refined=True),
    Case("everything", ((0.3, 0.6), (0.9, 0.1)), (1, 0), (0.1, 0.2, 0.8, 0.9), refined=True),
)


def randomised(model: Any) -> Any:
    """Randomise a model so that every weight affects the output, with logits of realistic size.

    In a newly built model positions and biases are zero, so a test would not notice code that
    ignores them.
    """
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.02)
    decoder = getattr(model, "sam_mask_decoder", None) or model.mask_decoder
    with torch.no_grad():
        for network in decoder.output_hypernetworks_mlps:
            network.layers[-1].weight *= 20
    return model


def photo(seed: int, width: int, height: int) -> UInt8Array:
    """A (height, width, 3) photo of a ramp and noise."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 160, width, dtype=np.float32)[None, :, None]
    noise = rng.integers(0, 96, (height, width, 3))
    image: UInt8Array = (ramp + noise).astype(np.uint8)
    image.flags.writeable = False  # as the decoders return it
    return image


def earlier(side: int) -> FloatArray:
    """(side, side) logits like those of an earlier answer."""
    rng = np.random.default_rng(5)
    return rng.normal(0, 6, (side, side)).astype(np.float32)


def arguments(case: Case, image: UInt8Array, side: int) -> dict[str, Any]:
    """The arguments of both reference predictors' `predict` for a case."""
    prompt = case.prompt(image)
    return {
        "point_coords": np.array(prompt.points) if prompt.points else None,
        "point_labels": np.array(prompt.signs) if prompt.points else None,
        "box": np.array(prompt.box) if prompt.box is not None else None,
        "mask_input": earlier(side)[None] if case.refined else None,
        "return_logits": True,
    }


def largest_difference(one: Sequence[Any], other: Sequence[Any]) -> float:
    pairs = zip(one, other, strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


def assert_equals_reference(
    segmenter: SamSegmenter,
    predictor: Any,
    embedding: Any,
    image: UInt8Array,
    case: Case,
    *,
    multimask: bool,
    clamped: bool,
) -> None:
    """Compare low-resolution logits, full-size logits, scores and masks of one prompt.

    `predictor` has its image set to `image`, and `embedding` is our embedding of it; `clamped` says
    whether the reference clamps the low-resolution logits that it returns (SAM 2).
    """
    height, width = image.shape[:2]
    side = segmenter._side // 4
    full, scores, low = predictor.predict(
        **arguments(case, image, side), multimask_output=multimask
    )
    question = case.question(embedding, image, side)
    (ours,) = segmenter.candidates([question], multimask=multimask)
    logits = np.clip(ours.logits, -32, 32) if clamped else ours.logits
    assert logits.shape == low.shape == (3 if multimask else 1, side, side)
    assert np.abs(logits - low).max() <= TOLERANCE
    assert np.abs(ours.ious - scores).max() <= TOLERANCE
    for index, expected in enumerate(full):
        found = resized(segmenter._seen(ours.logits[index], width, height), width, height)
        assert found.shape == expected.shape == (height, width)
        assert np.abs(found - expected).max() <= TOLERANCE
        moved = (found > 0) != (expected > 0)
        assert np.abs(expected[moved]).max(initial=0) <= TOLERANCE
