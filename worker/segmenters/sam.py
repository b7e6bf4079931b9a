"""The base of both generations of SAM: batching, grouping of prompts, choice among masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from torch import Tensor

from shared.arrays import FloatArray, UInt8Array
from shared.errors import SegmenterFailed
from shared.schema import Prompt
from worker.segmenters import features, masks, postprocess, prompts
from worker.segmenters.checkpoint import load_weights
from worker.segmenters.faults import within_memory
from worker.segmenters.features import Features, Pixels, stacked
from worker.segmenters.masks import Candidates
from worker.segmenters.precision import Placement
from worker.segmenters.prompts import Embedded, Tokens
from worker.segmenters.protocol import Prediction, Question

#: Photos encoded at once. Larger batches gain nothing on a CPU.
MAX_BATCH = {"cuda": 16, "cpu": 1}
#: Prompts decoded at once. On a CPU, sixteen together take twice as long as one by one.
MAX_PROMPTS = {"cuda": 16, "cpu": 1}
#: Stored logits are clamped to ± this, as the reference clamps the logits that it feeds back.
_LOGIT_LIMIT = 32.0


@dataclass(frozen=True, slots=True)
class Item:
    """One prompt on one photo's features."""

    features: Features
    tokens: Tokens


class SamSegmenter(ABC):
    """A SAM model as a `Segmenter`. Thread-safe: no call leaves state on the segmenter."""

    #: Whether the model takes a box as two points.
    _box_as_points: ClassVar[bool]

    def __init__(
        self, name: str, model: Any, placement: Placement, max_batch: int | None = None
    ) -> None:
        """Wrap a model with its weights loaded; it is moved and converted in place."""
        self.name = name
        self.device = str(placement.device)
        self.max_batch = max_batch or MAX_BATCH.get(placement.device.type, 1)
        self.max_prompts = MAX_PROMPTS.get(placement.device.type, 1)
        self.placement = placement
        self._model = model
        placement.place(model, exact=self._prompt_encoder)

    @classmethod
    def load(
        cls, name: str, checkpoint: Path, placement: Placement, max_batch: int | None = None
    ) -> Self:
        """The model `name`, one of its module's `CONFIGS`, with a checkpoint's weights.

        Raises:
            ConfigError: the file is missing, is not a checkpoint, or belongs to another model.
        """
        model = cls._build(name)
        load_weights(model, checkpoint, name)
        return cls(name, model, placement, max_batch)

    def prepare(self, image: UInt8Array, *, auto: bool = False) -> Pixels:  # noqa: ARG002
        """Transform an (H, W, 3) uint8 RGB photo as the reference's own code does."""
        square = self._squared(image)
        if self.placement.device.type == "cuda":
            square = square.pin_memory()  # so that the copy to the device is asynchronous
        return Pixels(square, int(image.shape[1]), int(image.shape[0]))

    def encode(self, photos: Sequence[Pixels]) -> list[Features]:
        """Encode prepared photos in one forward pass.

        Raises:
            SegmenterFailed: one photo alone exceeds the device's memory.
            DeviceLost: the device failed; the process must exit.
        """
        return within_memory(self._encode, photos) if photos else []

    def decode(self, questions: Sequence[Question]) -> list[Prediction]:
        """Answer prompts on any photos.

        Prompts of one shape are decoded together; batching does not change an answer.

        Raises:
            SegmenterFailed: an answer is not a number, or one prompt alone exceeds the device's
                memory.
            DeviceLost: the device failed; the process must exit.
        """
        found = self.candidates(questions)
        return [
            self._prediction(question.embedding, candidates)
            for question, candidates in zip(questions, found, strict=True)
        ]

    def candidates(
        self, questions: Sequence[Question], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """All masks that the model gives for each prompt, with their (h, w) logits unchanged.

        Args:
            questions: prompts on any photos.
            multimask: whether each prompt gets three masks or one; None: three if it is ambiguous.

        Raises:
            SegmenterFailed, DeviceLost: as `decode`.
        """
        groups: dict[tuple[tuple[int, bool], bool], list[int]] = defaultdict(list)
        items = []
        for index, question in enumerate(questions):
            item = Item(question.embedding, self._tokens(question))
            items.append(item)
            several = item.tokens.ambiguous if multimask is None else multimask
            groups[item.tokens.shape, several].append(index)
        found: dict[int, Candidates] = {}
        for (_shape, several), indices in groups.items():
            for start in range(0, len(indices), self.max_prompts):
                chunk = indices[start : start + self.max_prompts]
                work = partial(self._decode, multimask=several)
                answers = within_memory(work, [items[index] for index in chunk])
                found.update(zip(chunk, answers, strict=True))
        for answer in found.values():
            answer.require_finite()
        return [found[index] for index in range(len(items))]

    @property
    def weight_bytes(self) -> int:
        """Bytes of the model's weights."""
        return sum(weight.nbytes for weight in self._model.parameters())

    def warm_up(self, batches: Sequence[int] = (1,)) -> None:
        """Run each batch size once, so that no job waits for kernels to load and memory to grow."""
        photo = np.zeros((64, 64, 3), np.uint8)
        for size in batches:
            embeddings = self.encode([self.prepare(photo)] * size)
            click = Prompt(points=((32, 32),))
            self.decode([Question(embedding, click) for embedding in embeddings])

    def _prediction(self, photo: Features, candidates: Candidates) -> Prediction:
        seen = [self._seen(logits, photo.width, photo.height) for logits in candidates.logits]
        stabilities = masks.stability(np.stack(seen))
        order = masks.ranking(candidates.ious, stabilities)
        best = int(order[0])
        return Prediction(
            mask=postprocess.soft(seen[best]),
            scores=tuple(float(np.clip(candidates.ious[index], 0, 1)) for index in order),
            logits=np.clip(candidates.logits[best], -_LOGIT_LIMIT, _LOGIT_LIMIT),
            stability=tuple(float(stabilities[index]) for index in order),
        )

    def _tokens(self, question: Question) -> Tokens:
        photo: Features = question.embedding
        width, height = self._extent(photo.width, photo.height, self._side)
        return prompts.tokens_of(
            question.prompt,
            self._prior(question, self._side // 4),
            (width / photo.width, height / photo.height),
            box_as_points=self._box_as_points,
        )

    def _prior(self, question: Question, side: int) -> FloatArray | None:
        """The earlier answer as (side, side) logits of the model's input square; None without."""
        given, photo = question.prior_logits, question.embedding
        if given is None and question.prior is not None:
            extent = self._extent(photo.width, photo.height, side)
            return prompts.logits_of(question.prior, extent, side)
        if given is not None and (given.shape != (side, side) or not np.isfinite(given).all()):
            raise SegmenterFailed(f"the earlier logits are not {side} × {side} numbers")
        return given

    def _encode(self, photos: Sequence[Pixels]) -> list[Features]:
        with self.placement.computing():
            coarse, fine = self._maps(features.batched(photos, self.placement.device))
            return features.unbatched(coarse, fine, photos, self.placement.dtype)

    def _decode(self, items: Sequence[Item], *, multimask: bool) -> list[Candidates]:
        device = self.placement.device
        with self.placement.computing():
            embedded = prompts.embed(self._prompt_encoder, [item.tokens for item in items], device)
            coarse = stacked([item.features.coarse for item in items], device)
            levels = zip(*(item.features.fine for item in items), strict=True)
            fine = [stacked(level, device) for level in levels]
            logits, ious = self._masks(coarse, fine, embedded, multimask=multimask)
            pairs = zip(logits.float().cpu().numpy(), ious.float().cpu().numpy(), strict=True)
            return [Candidates(one.copy(), scores.copy()) for one, scores in pairs]

    @classmethod
    @abstractmethod
    def _build(cls, name: str) -> Any:
        """The model `name` on the CPU, without weights."""

    @property
    @abstractmethod
    def _prompt_encoder(self) -> Any:
        """The model's prompt encoder, kept in FP32: see `prompts.embed`."""

    @property
    @abstractmethod
    def _side(self) -> int:
        """Side of the model's square input, in pixels; its logits have a quarter of it."""

    @abstractmethod
    def _squared(self, image: UInt8Array) -> Tensor:
        """An (H, W, 3) photo as (3, side, side) float32, in the CPU's memory."""

    @abstractmethod
    def _maps(self, batch: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """The encoder's coarse and fine (B, C, h, w) maps of a (B, 3, side, side) batch."""

    @abstractmethod
    def _masks(
        self, coarse: Tensor, fine: Sequence[Tensor], embedded: Embedded, *, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """The decoder's (B, C, h, w) logits and (B, C) predicted IoUs of one prompt per photo."""

    @abstractmethod
    def _extent(self, width: int, height: int, side: int) -> tuple[int, int]:
        """(width, height) that a photo covers of a square of `side`, from its upper left corner."""

    @abstractmethod
    def _seen(self, logits: FloatArray, width: int, height: int) -> FloatArray:
        """The part of (h, w) logits that the photo covers, before it is scaled to the photo."""
