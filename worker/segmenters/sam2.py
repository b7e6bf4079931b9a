"""SAM 2.1 for photos, on the `sam2` package's model.

N. Ravi et al., "SAM 2: Segment Anything in Images and Videos", 2024. What `SAM2ImagePredictor` does
around the model is done here without its state and torchvision, and for several photos at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sam2.build_sam import build_sam2
from torch import Tensor, nn

from shared.arrays import FloatArray, UInt8Array
from worker.segmenters import prompts
from worker.segmenters.checkpoint import load_weights
from worker.segmenters.masks import Candidates
from worker.segmenters.precision import Placement
from worker.segmenters.preprocess import squash
from worker.segmenters.sam import Features, Item, Pixels, SamSegmenter, stacked

#: The package's own configuration of each model.
CONFIGS: Mapping[str, str] = {
    "sam2.1_hiera_tiny": "configs/sam2.1/sam2.1_hiera_t.yaml",
    "sam2.1_hiera_small": "configs/sam2.1/sam2.1_hiera_s.yaml",
    "sam2.1_hiera_base_plus": "configs/sam2.1/sam2.1_hiera_b+.yaml",
    "sam2.1_hiera_large": "configs/sam2.1/sam2.1_hiera_l.yaml",
}
#: Maps of a photo that the decoder uses, finest first.
_LEVELS = 3


class Sam2Segmenter(SamSegmenter):
    """Points, a box, earlier logits, together or alone."""

    _box_as_points = True

    def __init__(
        self, name: str, model: Any, placement: Placement, max_batch: int | None = None
    ) -> None:
        # What serves videos only: the memory's weights, and 90 MB of positions a photo.
        model.memory_attention = model.memory_encoder = None
        model.image_encoder.neck.position_encoding = _NoPositions()
        super().__init__(name, model, placement, max_batch)

    @classmethod
    def load(
        cls,
        name: str,
        checkpoint: Path,
        placement: Placement | None = None,
        max_batch: int | None = None,
    ) -> Sam2Segmenter:
        """The model `name`, one of `CONFIGS`, with a checkpoint's weights.

        Raises:
            ConfigError: the file is missing, is no checkpoint, or is not this model's.
        """
        model = build_sam2(CONFIGS[name], device="cpu")
        load_weights(model, checkpoint, name)
        return cls(name, model, placement or Placement.choose(), max_batch)

    @property
    def _prompt_encoder(self) -> Any:
        return self._model.sam_prompt_encoder

    @property
    def _side(self) -> int:
        return int(self._model.image_size)

    def _squared(self, image: UInt8Array) -> Tensor:
        return squash(image, self._side)

    def _encode(self, photos: Sequence[Pixels]) -> list[Features]:
        model = self._model
        with self.placement.computing():
            *fine, coarse = model.forward_image(self._batch(photos))["backbone_fpn"][-_LEVELS:]
            if model.directly_add_no_mem_embed:
                coarse = coarse + model.no_mem_embed.view(1, -1, 1, 1)
            return self._features(coarse, fine, photos)

    def _decode(self, items: Sequence[Item], *, multimask: bool) -> list[Candidates]:
        model, device = self._model, self.placement.device
        features = [item.features for item in items]
        with self.placement.computing():
            tokens = [item.tokens for item in items]
            sparse, dense, positions = prompts.embed(self._prompt_encoder, tokens, device)
            fine = zip(*(photo.fine for photo in features), strict=True)
            logits, ious, _, _ = model.sam_mask_decoder(
                image_embeddings=stacked([photo.coarse for photo in features], device),
                image_pe=positions,
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
                repeat_image=False,
                high_res_features=[stacked(level, device) for level in fine],
            )
            return self._answers(logits, ious)

    def _extent(self, width: int, height: int, side: int) -> tuple[int, int]:  # noqa: ARG002
        return side, side  # squashed to the square

    def _seen(self, logits: FloatArray, width: int, height: int) -> FloatArray:  # noqa: ARG002
        return logits


class _NoPositions(nn.Module):
    """Stands in for the neck's position encoding."""

    def forward(self, features: Tensor) -> Tensor:
        return features.new_empty(0)
