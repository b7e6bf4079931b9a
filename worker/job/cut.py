"""What segmenting gives a job, and what an earlier job left to begin from."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from shared.arrays import FloatArray, UInt8Array
from shared.errors import ImageInvalid
from shared.images.photo import Photo
from shared.schema import Prompt
from worker.matting.cleaning import cleaned
from worker.segmenters.protocol import Prediction

#: The surroundings of a click, a share of the photo's short side.
_CLICK = 0.012


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier job's answer on the same photo.

    Attributes:
        alpha: (H, W) uint8, at the photo's size; None where no job was named.
        logits: (h, w) float32, as the same model gave them; None of another, or of none.
    """

    alpha: UInt8Array | None = None
    logits: FloatArray | None = None

    @property
    def mask(self) -> FloatArray | None:
        """The alpha as (H, W) float32 in 0..1."""
        return None if self.alpha is None else self.alpha.astype(np.float32) / np.float32(255)

    @classmethod
    def read(cls, files: tuple[bytes | None, bytes | None], model: str) -> Self:
        """From the stored alpha and logits.

        Raises:
            ImageInvalid: one of them is damaged.
        """
        alpha, logits = files
        if alpha is None:
            return cls()
        gray = cv2.imdecode(np.frombuffer(alpha, np.uint8), cv2.IMREAD_GRAYSCALE)
        if gray is None:
            raise ImageInvalid("the stored alpha is damaged")
        known = None if logits is None else read_logits(logits, model)
        return cls(np.asarray(gray, np.uint8), known)


@dataclass(frozen=True, slots=True)
class Cut:
    """A subject's alpha, (H, W) uint8, and what the segmenter said of it; see `Prediction`.

    `judged`: of each object's mask, the IoU that its model predicts and its stability; empty of a
    segmenter whose scores are no IoU.
    """

    alpha: UInt8Array
    scores: tuple[float, ...] = ()
    stability: tuple[float, ...] = ()
    reasons: tuple[str, ...] = ()
    logits: FloatArray | None = None
    judged: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(cls, alpha: UInt8Array, predictions: Sequence[Prediction]) -> Self:
        """One prediction's own scores; of several, each one's chosen score, in their order."""
        judged = tuple(
            (item.scores[0], item.stability[0]) for item in predictions if item.stability
        )
        if len(predictions) == 1:
            only = predictions[0]
            return cls(alpha, only.scores, only.stability, only.reasons, only.logits, judged)
        return cls(
            alpha,
            scores=tuple(item.scores[0] for item in predictions),
            stability=tuple(item.stability[0] for item in predictions if item.stability),
            reasons=tuple(dict.fromkeys(name for item in predictions for name in item.reasons)),
            judged=judged,
        )


def finished(mask: FloatArray, prompt: Prompt, photo: Photo, *, clean: bool) -> FloatArray:
    """A prediction's (h, w) mask, cleaned if wanted; what a click points at always stays."""
    if not clean:
        return mask
    height, width = mask.shape
    spots: dict[int, list[tuple[int, int]]] = {0: [], 1: []}
    for (x, y), sign in zip(prompt.points, prompt.signs, strict=True):
        across, down = int(x * width / photo.width), int(y * height / photo.height)
        spots[sign].append((min(across, width - 1), min(down, height - 1)))
    return cleaned(mask, spots[1], spots[0])


def obeyed(alpha: UInt8Array, mask: FloatArray, prompt: Prompt) -> UInt8Array:
    """The (H, W) alpha with every click on the side that the (h, w) mask has it on, too.

    A click on what is coloured like the other side is a small island of the mask; to edges that
    look for the photo's own it is an error.
    """
    height, width = alpha.shape
    radius = max(1, round(_CLICK * min(height, width)))
    result = alpha
    for (x, y), sign in zip(prompt.points, prompt.signs, strict=True):
        across, down = int(x), int(y)
        masked = mask[int(y * mask.shape[0] / height), int(x * mask.shape[1] / width)] > 0.5
        lost = (result[down, across] > 127) != bool(sign)
        if lost and masked == bool(sign):
            if result is alpha:
                result = alpha.copy()
            cv2.circle(result, (across, down), radius, 255 * sign, -1, cv2.LINE_AA)
            result[down, across] = 255 * sign
    return result


def write_logits(logits: FloatArray, model: str) -> bytes:
    """A model's (h, w) logits as a file: half precision, which is finer than they are."""
    file = io.BytesIO()
    np.savez_compressed(file, logits=logits.astype(np.float16), model=np.array(model))
    return file.getvalue()


def read_logits(data: bytes, model: str) -> FloatArray | None:
    """The logits in a file, (h, w) float32; None where another model wrote them.

    Raises:
        ImageInvalid: the file is damaged.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            if str(file["model"]) != model:
                return None
            return np.asarray(file["logits"], np.float32)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ImageInvalid("the stored logits are damaged") from error
