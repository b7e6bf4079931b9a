"""SAM 1, on the model of the `segment-anything` package (which imports torchvision).

A. Kirillov et al., "Segment Anything", ICCV 2023. This replaces `SamPredictor` around the model: it
keeps no state and handles several photos at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from segment_anything import sam_model_registry
from torch import Tensor

from shared.arrays import FloatArray, UInt8Array
from worker.segmenters import postprocess
from worker.segmenters.precision import Placement
from worker.segmenters.preprocess import longest_side, pad
from worker.segmenters.prompts import Embedded
from worker.segmenters.sam import SamSegmenter

#: The package's name for each model.
CONFIGS: Mapping[str, str] = {
    "sam_vit_b": "vit_b",
    "sam_vit_l": "vit_l",
    "sam_vit_h": "vit_h",
}


class Sam1Segmenter(SamSegmenter):
    """SAM 1 as a segmenter; takes points, a box and earlier logits, in any combination."""

    _box_as_points = False

    def __init__(
        self, name: str, model: Any, placement: Placement, max_batch: int | None = None
    ) -> None:
        # Photos are prepared on the CPU, wherever the model runs.
        self._mean, self._std = model.pixel_mean.cpu(), model.pixel_std.cpu()
        super().__init__(name, model, placement, max_batch)

    @classmethod
    def _build(cls, name: str) -> Any:
        return sam_model_registry[CONFIGS[name]]()

    @property
    def _prompt_encoder(self) -> Any:
        return self._model.prompt_encoder

    @property
    def _side(self) -> int:
        return int(self._model.image_encoder.img_size)

    def _squared(self, image: UInt8Array) -> Tensor:
        return pad(image, self._side, self._mean, self._std)

    def _maps(self, batch: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        return self._model.image_encoder(batch), ()

    def _masks(
        self,
        coarse: Tensor,
        fine: Sequence[Tensor],  # noqa: ARG002
        embedded: Embedded,
        *,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        # The decoder repeats one photo for all prompts and adds the dense embeddings to it. Given
        # zeros as the photo, and each prompt's own photo within its dense embeddings, it computes
        # the same sums.
        logits, ious = self._model.mask_decoder(
            image_embeddings=torch.zeros_like(coarse[:1]),
            image_pe=embedded.positions,
            sparse_prompt_embeddings=embedded.sparse,
            dense_prompt_embeddings=coarse + embedded.dense,
            multimask_output=multimask,
        )
        return logits, ious

    def _extent(self, width: int, height: int, side: int) -> tuple[int, int]:
        return longest_side(width, height, side)

    def _seen(self, logits: FloatArray, width: int, height: int) -> FloatArray:
        """Scaled to the model's input, where the reference removes the padding too."""
        seen_width, seen_height = longest_side(width, height, self._side)
        square = postprocess.resized(logits, self._side, self._side)
        return np.ascontiguousarray(square[:seen_height, :seen_width])
