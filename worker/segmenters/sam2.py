"""SAM 2.1 for photos, on the model of the `sam2` package.

N. Ravi et al., "SAM 2: Segment Anything in Images and Videos", 2024. This replaces
`SAM2ImagePredictor` around the model: it keeps no state, handles several photos at once and needs
no torchvision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sam2.build_sam import build_sam2
from torch import Tensor, nn

from shared.arrays import FloatArray, UInt8Array
from worker.segmenters.precision import Placement
from worker.segmenters.preprocess import squash
from worker.segmenters.prompts import Embedded
from worker.segmenters.sam import SamSegmenter

#: The package's configuration file for each model.
CONFIGS: Mapping[str, str] = {
    "sam2.1_hiera_tiny": "configs/sam2.1/sam2.1_hiera_t.yaml",
    "sam2.1_hiera_small": "configs/sam2.1/sam2.1_hiera_s.yaml",
    "sam2.1_hiera_base_plus": "configs/sam2.1/sam2.1_hiera_b+.yaml",
    "sam2.1_hiera_large": "configs/sam2.1/sam2.1_hiera_l.yaml",
}
#: How many of the encoder's maps the decoder uses, finest first.
_LEVELS = 3


class Sam2Segmenter(SamSegmenter):
    """SAM 2.1 as a segmenter; takes points, a box and earlier logits, in any combination."""

    _box_as_points = True

    def __init__(
        self, name: str, model: Any, placement: Placement, max_batch: int | None = None
    ) -> None:
        # Drop what only videos need: the memory's weights, and 90 MB of positions per photo.
        model.memory_attention = model.memory_encoder = None
        model.image_encoder.neck.position_encoding = _NoPositions()
        super().__init__(name, model, placement, max_batch)

    @classmethod
    def _build(cls, name: str) -> Any:
        return build_sam2(CONFIGS[name], device="cpu")

    @property
    def _prompt_encoder(self) -> Any:
        return self._model.sam_prompt_encoder

    @property
    def _side(self) -> int:
        return int(self._model.image_size)

    def _squared(self, image: UInt8Array) -> Tensor:
        return squash(image, self._side)

    def _maps(self, batch: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        model = self._model
        *fine, coarse = model.forward_image(batch)["backbone_fpn"][-_LEVELS:]
        if model.directly_add_no_mem_embed:
            coarse = coarse + model.no_mem_embed.view(1, -1, 1, 1)
        return coarse, fine

    def _masks(
        self, coarse: Tensor, fine: Sequence[Tensor], embedded: Embedded, *, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        logits, ious, _, _ = self._model.sam_mask_decoder(
            image_embeddings=coarse,
            image_pe=embedded.positions,
            sparse_prompt_embeddings=embedded.sparse,
            dense_prompt_embeddings=embedded.dense,
            multimask_output=multimask,
            repeat_image=False,
            high_res_features=list(fine),
        )
        return logits, ious

    def _extent(self, width: int, height: int, side: int) -> tuple[int, int]:  # noqa: ARG002
        return side, side  # a photo is stretched to fill the square

    def _seen(self, logits: FloatArray, width: int, height: int) -> FloatArray:  # noqa: ARG002
        return logits


class _NoPositions(nn.Module):
    """Replaces the neck's position encoding."""

    def forward(self, features: Tensor) -> Tensor:
        return features.new_empty(0)
