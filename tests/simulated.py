"""A segmenter that sleeps instead of computing: for tests of delivery and benches of the engine.

Use it with `NUKKI_MODEL=tests.simulated:load`; see `simulated`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.arrays import UInt8Array
from worker.segmenters import ModelOptions
from worker.segmenters.protocol import Prediction, Question

ROOT = Path(__file__).parent.parent


class _Knobs(BaseSettings):
    """`SimulatedSegmenter`'s arguments, from `NUKKI_TEST_SIMULATED_…`."""

    model_config = SettingsConfigDict(env_prefix="NUKKI_TEST_SIMULATED_", env_ignore_empty=True)

    seconds: float = 0.0
    batch_seconds: float = 0.0
    crash_width: int | None = None
    hang_width: int | None = None


def simulated(**knobs: float) -> dict[str, str]:
    """The environment of a worker that serves it, with these knobs."""
    given = {f"NUKKI_TEST_SIMULATED_{name.upper()}": f"{value:g}" for name, value in knobs.items()}
    return {
        "NUKKI_MODEL": "tests.simulated:load",
        "NUKKI_DEVICE": "cpu",  # no GPU for it, if there is one
        "PYTHONPATH": str(ROOT),  # the tests are not installed
        **given,
    }


class Size(NamedTuple):
    """All that it keeps of a photo."""

    width: int
    height: int

    @property
    def nbytes(self) -> int:
        return 16


class SimulatedSegmenter:
    """Takes `batch_seconds` per batch and `seconds` per photo; finds an ellipse in the middle.

    A photo of `crash_width` kills the process, as a fault in a decoder or a driver does. One of
    `hang_width` never returns, as a hung kernel does not.
    """

    name = "simulated"
    device = "cpu"

    def __init__(
        self,
        seconds: float = 0.0,
        batch_seconds: float = 0.0,
        max_batch: int | None = None,
        crash_width: int | None = None,
        hang_width: int | None = None,
    ) -> None:
        self._seconds = seconds
        self._batch_seconds = batch_seconds
        self._crash_width = crash_width
        self._hang_width = hang_width
        self.max_batch = max_batch or 8

    def prepare(self, image: UInt8Array, *, auto: bool = False) -> Size:  # noqa: ARG002
        return Size(image.shape[1], image.shape[0])

    def encode(self, photos: Sequence[Size]) -> list[Size]:
        if any(photo.width == self._crash_width for photo in photos):
            os.kill(os.getpid(), signal.SIGKILL)
        while any(photo.width == self._hang_width for photo in photos):
            time.sleep(1.0)
        time.sleep(self._batch_seconds + self._seconds * len(photos))
        return list(photos)

    def decode(self, questions: Sequence[Question]) -> list[Prediction]:
        return [self._ellipse(*question.embedding) for question in questions]

    @staticmethod
    def _ellipse(width: int, height: int) -> Prediction:
        shrink = min(1.0, 256 / max(width, height))
        w, h = max(1, round(width * shrink)), max(1, round(height * shrink))
        mask = np.zeros((h, w), np.float32)
        cv2.ellipse(mask, (w // 2, h // 2), (w // 3, h // 3), 0, 0, 360, 1.0, -1)
        return Prediction(mask=mask, scores=(1.0,))


def load(options: ModelOptions) -> SimulatedSegmenter:
    """The factory, for NUKKI_MODEL."""
    return SimulatedSegmenter(max_batch=options.max_batch, **_Knobs().model_dump())
