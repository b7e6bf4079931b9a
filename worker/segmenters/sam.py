"""What both generations of SAM share: batches, groups of like prompts, and the choice of a mask."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from shared.arrays import FloatArray, UInt8Array
from shared.errors import SegmenterFailed
from shared.schema import Prompt
from worker.segmenters import masks, postprocess, prompts
from worker.segmenters.faults import within_memory
from worker.segmenters.masks import Candidates
from worker.segmenters.precision import Placement
from worker.segmenters.prompts import Tokens
from worker.segmenters.protocol import Prediction, Question

#: Photos encoded at once. A CPU gains nothing from more than one.
MAX_BATCH = {"cuda": 16, "cpu": 1}
#: Prompts decoded at once. On a CPU sixteen together take twice as long as one by one.
MAX_PROMPTS = {"cuda": 16, "cpu": 1}
#: Beyond this a logit says no more; the reference clamps what it feeds back.
_LOGIT_LIMIT = 32.0


@dataclass(frozen=True, slots=True)
class Features:
    """What the encoder makes of a photo, on the model's device and in its precision.

    Attributes:
        coarse: (C, h, w), an image token for each sixteenth of the square's side.
        fine: the maps of higher resolution that SAM 2's decoder looks at; none of SAM 1.
        width: of the photo.
        height: of the photo.
    """

    coarse: Tensor
    fine: tuple[Tensor, ...]
    width: int
    height: int

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in (self.coarse, *self.fine))


@dataclass(frozen=True, slots=True)
class Pixels:
    """A photo as the model takes it in: (3, side, side) float32, in the processor's memory."""

    square: Tensor
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Item:
    """One prompt on one photo's features."""

    features: Features
    tokens: Tokens


class SamSegmenter(ABC):
    """A model behind the segmenters' protocol. Threads may share it: a call's state is its own."""

    #: Whether a box goes to the model as two points.
    _box_as_points: ClassVar[bool]

    def __init__(
        self, name: str, model: Any, placement: Placement, max_batch: int | None = None
    ) -> None:
        """Take a model over, weights loaded: it is moved and brought to the precision in place."""
        self.name = name
        self.device = str(placement.device)
        self.max_batch = max_batch or MAX_BATCH.get(placement.device.type, 1)
        self.max_prompts = MAX_PROMPTS.get(placement.device.type, 1)
        self.placement = placement
        self._model = model
        placement.place(model, exact=self._prompt_encoder)

    def prepare(self, image: UInt8Array, *, auto: bool = False) -> Pixels:  # noqa: ARG002
        """An (H, W, 3) uint8 RGB photo as the reference's own transform brings it to the model."""
        square = self._squared(image)
        if self.placement.device.type == "cuda":
            square = square.pin_memory()  # the copy to the device then waits for nobody
        return Pixels(square, int(image.shape[1]), int(image.shape[0]))

    def encode(self, photos: Sequence[Pixels]) -> list[Features]:
        """Embed prepared photos in one forward.

        Raises:
            SegmenterFailed: the device's memory does not hold one photo.
            DeviceLost: the device failed; the process must exit.
        """
        return within_memory(self._encode, photos) if photos else []

    def decode(self, questions: Sequence[Question]) -> list[Prediction]:
        """Answer prompts of any photos: like prompts together, each answer as if it were alone.

        Raises:
            SegmenterFailed: an answer is not a number, or the device's memory does not hold one.
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
        """Every mask the model gives for each prompt, its logits (h, w) as they come.

        Args:
            questions: prompts of any photos.
            multimask: three masks a prompt or one; None: three where the prompt is ambiguous.

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
        """Of the weights held."""
        return sum(weight.nbytes for weight in self._model.parameters())

    def warm_up(self, batches: Sequence[int] = (1,)) -> None:
        """Run each batch size once, so that the first job does not pay for kernels and memory."""
        photo = np.zeros((64, 64, 3), np.uint8)
        for size in batches:
            embeddings = self.encode([self.prepare(photo)] * size)
            click = Prompt(points=((32, 32),))
            self.decode([Question(embedding, click) for embedding in embeddings])

    def full_logits(self, logits: FloatArray, width: int, height: int) -> FloatArray:
        """Low-resolution logits as the (height, width) ones that the reference gives."""
        return postprocess.resized(self._seen(logits, width, height), width, height)

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
        """The earlier answer as (side, side) logits of the square that the model sees."""
        given, photo = question.prior_logits, question.embedding
        if given is None and question.prior is not None:
            extent = self._extent(photo.width, photo.height, side)
            return prompts.logits_of(question.prior, extent, side)
        if given is not None and (given.shape != (side, side) or not np.isfinite(given).all()):
            raise SegmenterFailed(f"the earlier logits are not {side} × {side} numbers")
        return given

    def _batch(self, photos: Sequence[Pixels]) -> Tensor:
        """(B, 3, side, side) float32 on the device."""
        device = self.placement.device
        return torch.stack([item.square.to(device, non_blocking=True) for item in photos])

    def _features(
        self, coarse: Tensor, fine: Sequence[Tensor], photos: Sequence[Pixels]
    ) -> list[Features]:
        """The encoder's (B, C, h, w) maps, photo by photo."""
        kept = self.placement.dtype
        return [
            Features(
                # Copies: a view would keep the whole batch for as long as one photo of it.
                coarse=coarse[index].to(kept, copy=True),
                fine=tuple(level[index].to(kept, copy=True) for level in fine),
                width=photo.width,
                height=photo.height,
            )
            for index, photo in enumerate(photos)
        ]

    def _answers(self, logits: Tensor, ious: Tensor) -> list[Candidates]:
        """(B, C, h, w) and (B, C) from the device, prompt by prompt."""
        pairs = zip(logits.float().cpu().numpy(), ious.float().cpu().numpy(), strict=True)
        return [Candidates(one.copy(), scores.copy()) for one, scores in pairs]

    @property
    @abstractmethod
    def _prompt_encoder(self) -> Any:
        """The model's, kept in FP32: see `prompts.embed`."""

    @property
    @abstractmethod
    def _side(self) -> int:
        """Of the model's square input, in pixels; its logits are a fourth of it."""

    @abstractmethod
    def _squared(self, image: UInt8Array) -> Tensor:
        """(3, side, side) float32, in the processor's memory."""

    @abstractmethod
    def _encode(self, photos: Sequence[Pixels]) -> list[Features]: ...

    @abstractmethod
    def _decode(self, items: Sequence[Item], *, multimask: bool) -> list[Candidates]: ...

    @abstractmethod
    def _extent(self, width: int, height: int, side: int) -> tuple[int, int]:
        """How much of a square of `side` a photo covers, from its upper left corner."""

    @abstractmethod
    def _seen(self, logits: FloatArray, width: int, height: int) -> FloatArray:
        """The part of (h, w) logits that a photo covers, at the size at which it is exact."""


def stacked(tensors: Sequence[Tensor], device: torch.device) -> Tensor:
    """Maps of several photos as one batch; of one photo, several times, without copies."""
    if all(tensor is tensors[0] for tensor in tensors):
        return tensors[0].to(device)[None].expand(len(tensors), *tensors[0].shape)
    return torch.stack([tensor.to(device) for tensor in tensors])
