"""Comparing one model in several precisions on real photos: masks, time and memory."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shared.arrays import FloatArray
from shared.checkpoints import Choice
from shared.errors import ConfigError
from shared.images.decode import decode
from shared.schema import Prompt
from worker.segmenters.masks import iou
from worker.segmenters.precision import Placement, Precision
from worker.segmenters.protocol import Question
from worker.segmenters.sam_loader import open_sam


@dataclass(frozen=True, slots=True)
class Measured:
    """A model measured in one precision.

    Attributes:
        precision: the number format.
        logits: one (256, 256) float32 per photo, of the first candidate mask.
        encode_ms: median time to encode one photo.
        decode_ms: median time to decode one prompt.
        weights_mb: size of the model's weights.
        peak_mb: peak memory of the process; on CUDA, of the device.
    """

    precision: Precision
    logits: tuple[FloatArray, ...]
    encode_ms: float
    decode_ms: float
    weights_mb: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Row:
    """A precision against FP32: mean and least mask IoU, largest logit difference, costs."""

    precision: str
    mask_iou: float
    least_iou: float
    max_logit_difference: float
    encode_ms: float
    decode_ms: float
    weights_mb: float
    peak_mb: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(
    choice: Choice,
    precision: Precision,
    photos: Sequence[Path],
    points: Sequence[tuple[int, int]],
    runs: int,
) -> Measured:
    """Measure a model on photos clicked at `points`, or in the middle if there are none.

    Times are medians over `runs` runs per photo; one extra run at the start, which includes
    one-time work, is not counted.

    Call this in a process of its own, because the peak memory is the whole process's.

    Raises:
        ConfigError: the weights, the precision or the device is not available, or a point is
            outside a photo.
        ImageError: a photo cannot be read.
    """
    segmenter = open_sam(choice, Placement.choose(precision=precision))
    on_cuda = segmenter.placement.device.type == "cuda"
    logits: list[FloatArray] = []
    encoding: list[float] = []
    decoding: list[float] = []
    for path in photos:
        photo = decode(path.read_bytes())
        clicks = tuple(points) or ((photo.width // 2, photo.height // 2),)
        prompt = Prompt(points=clicks)
        if misfit := prompt.misfit(photo.width, photo.height):
            raise ConfigError(f"{path}: {misfit}")
        for run in range(runs + (not logits)):
            begun = time.perf_counter()
            [embedding] = segmenter.encode([segmenter.prepare(photo.rgb)])
            encoded = time.perf_counter()
            [answer] = segmenter.candidates([Question(embedding, prompt)])
            decoded = time.perf_counter()
            if run or logits:
                encoding.append((encoded - begun) * 1000)
                decoding.append((decoded - encoded) * 1000)
        logits.append(np.asarray(answer.logits[0], np.float32))
    peak = torch.cuda.max_memory_allocated() if on_cuda else _peak_rss()
    return Measured(
        precision=precision,
        logits=tuple(logits),
        encode_ms=statistics.median(encoding),
        decode_ms=statistics.median(decoding),
        weights_mb=segmenter.weight_bytes / 1e6,
        peak_mb=peak / 1e6,
    )


def beside(measured: Measured, reference: Measured) -> Row:
    """Compare a precision with the reference."""
    ious, differences = [], []
    for found, wanted in zip(measured.logits, reference.logits, strict=True):
        ious.append(iou(found > 0, wanted > 0))
        differences.append(float(np.abs(found - wanted).max()))
    return Row(
        precision=measured.precision.value,
        mask_iou=round(statistics.mean(ious), 5),
        least_iou=round(min(ious), 5),
        max_logit_difference=round(max(differences), 4),
        encode_ms=round(measured.encode_ms, 1),
        decode_ms=round(measured.decode_ms, 1),
        weights_mb=round(measured.weights_mb, 1),
        peak_mb=round(measured.peak_mb, 1),
    )


def _peak_rss() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0  # KiB, on Linux
