"""A photo before and after SAM's encoder, alone and in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Pixels:
    """A photo as the encoder's input: (3, side, side) float32, in the CPU's memory."""

    square: Tensor
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Features:
    """The encoder's output for a photo, on the model's device and in its precision.

    Attributes:
        coarse: (C, h, w), one image token per 16 × 16 pixels of the input square.
        fine: the higher-resolution maps that SAM 2's decoder also uses; empty for SAM 1.
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


def batched(photos: Sequence[Pixels], device: torch.device) -> Tensor:
    """Photos as one (B, 3, side, side) float32 batch on the device."""
    return torch.stack([photo.square.to(device, non_blocking=True) for photo in photos])


def unbatched(
    coarse: Tensor, fine: Sequence[Tensor], photos: Sequence[Pixels], dtype: torch.dtype
) -> list[Features]:
    """The encoder's (B, C, h, w) maps as one `Features` per photo, in `dtype`."""
    return [
        Features(
            # Copies: a view would keep the whole batch in memory as long as one of its photos.
            coarse=coarse[index].to(dtype, copy=True),
            fine=tuple(level[index].to(dtype, copy=True) for level in fine),
            width=photo.width,
            height=photo.height,
        )
        for index, photo in enumerate(photos)
    ]


def stacked(maps: Sequence[Tensor], device: torch.device) -> Tensor:
    """(C, h, w) maps as one (B, C, h, w) batch; without copies if they are all the same map."""
    if all(tensor is maps[0] for tensor in maps):
        return maps[0].to(device)[None].expand(len(maps), *maps[0].shape)
    return torch.stack([tensor.to(device) for tensor in maps])
