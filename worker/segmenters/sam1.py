"""SAM, the first, on the `segment-anything` package's model (it imports torchvision).

A. Kirillov et al., "Segment Anything", ICCV 2023. What `SamPredictor` does around the model is done
here without its state and for several photos at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from segment_anything import sam_model_registry
from torch import Tensor

from shared.arrays import FloatArray, UInt8Array
from worker.segmenters import postprocess, prompts
from worker.segmenters.checkpoint import load_weights
from worker.segmenters.masks import Candidates
from worker.segmenters.precision import Placement
from worker.segmenters.preprocess import longest_side, pad
from worker.segmenters.sam import Features, Item, Pixels, SamSegmenter, stacked

#: The package's own name of each model.
CONFIGS: Mapping[str, str] = {
    "sam_vit_b": "vit_b",
    "sam_vit_l": "vit_l",
    "sam_vit_h": "vit_h",
}


class Sam1Segmenter(SamSegmenter):
    """Points, a box, earlier logits, together or alone."""

    _box_as_points = False

    def __init__(
        self, name: str, model: Any, placement: Placement, max_batch: int | None = None
    ) -> None:
        # Photos are prepared on the processor, wherever the model goes.
        self._mean, self._std = model.pixel_mean.cpu(), model.pixel_std.cpu()
        super().__init__(name, model, placement, max_batch)

    @classmethod
    def load(
        cls,
        name: str,
        checkpoint: Path,
        placement: Placement | None = None,
        max_batch: int | None = None,
    ) -> Sam1Segmenter:
        """The model `name`, one of `CONFIGS`, with a checkpoint's weights.

        Raises:
            ConfigError: the file is missing, is no checkpoint, or is not this model's.
        """
        model = sam_model_registry[CONFIGS[name]]()
        load_weights(model, checkpoint, name)
        return cls(name, model, placement or Placement.choose(), max_batch)

    @property
    def _prompt_encoder(self) -> Any:
        return self._model.prompt_encoder

    @property
    def _side(self) -> int:
        return int(self._model.image_encoder.img_size)

    def _squared(self, image: UInt8Array) -> Tensor:
        return pad(image, self._side, self._mean, self._std)

    def _encode(self, photos: Sequence[Pixels]) -> list[Features]:
        with self.placement.computing():
            return self._features(self._model.image_encoder(self._batch(photos)), (), photos)

    def _decode(self, items: Sequence[Item], *, multimask: bool) -> list[Candidates]:
        model, device = self._model, self.placement.device
        with self.placement.computing():
            tokens = [item.tokens for item in items]
            sparse, dense, positions = prompts.embed(self._prompt_encoder, tokens, device)
            coarse = stacked([item.features.coarse for item in items], device)
            # The decoder repeats one photo for all prompts and adds the dense embeddings. With no
            # photo, and each prompt's own photo in its dense embeddings, the sums are the same.
            logits, ious = model.mask_decoder(
                image_embeddings=torch.zeros_like(coarse[:1]),
                image_pe=positions,
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=coarse + dense,
                multimask_output=multimask,
            )
            return self._answers(logits, ious)

    def _extent(self, width: int, height: int, side: int) -> tuple[int, int]:
        return longest_side(width, height, side)

    def _seen(self, logits: FloatArray, width: int, height: int) -> FloatArray:
        """At the size of the model's input, as the reference has it before it removes padding."""
        seen_width, seen_height = longest_side(width, height, self._side)
        square = postprocess.resized(logits, self._side, self._side)
        return np.ascontiguousarray(square[:seen_height, :seen_width])
