"""Converting prompts to the inputs of SAM's prompt encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.arrays import FloatArray
from shared.schema import Prompt

#: Largest logit made from an earlier mask; the reference fills holes with the same value.
_SURE = 10.0
_BOX_LABELS = (2, 3)


@dataclass(frozen=True, slots=True)
class Tokens:
    """One prompt in the model's own pixels.

    Attributes:
        points: (N, 2) float32, x and y.
        labels: (N,) int32; 1 subject, 0 background, 2 and 3 a box's corners.
        box: (4,) float32 if the model takes a box separately from the points, else None.
        logits: (h, w) float32, an earlier answer to refine, else None.
        ambiguous: whether the prompt may mean several objects, so that several masks are requested:
            it has at most one point, no box and no earlier answer.
    """

    points: FloatArray
    labels: NDArray[np.int32]
    box: FloatArray | None
    logits: FloatArray | None
    ambiguous: bool

    @property
    def shape(self) -> tuple[int, bool]:
        """Number of points, and whether there is a box; only prompts of one shape are batched."""
        return len(self.labels), self.box is not None


def tokens_of(
    prompt: Prompt, logits: FloatArray | None, scale: tuple[float, float], *, box_as_points: bool
) -> Tokens:
    """Scale a prompt from the photo's pixels to the model's.

    Args:
        prompt: in the photo's pixels.
        logits: an earlier answer to refine.
        scale: model pixels per photo pixel, (x, y).
        box_as_points: whether the box becomes two points before the others (SAM 2).
    """
    factors = np.array(scale)
    points = np.array(prompt.points, np.float64).reshape(-1, 2) * factors
    labels = np.array(prompt.signs, np.int32)
    corners = None
    if prompt.box is not None:
        corners = np.array(prompt.box, np.float64).reshape(2, 2) * factors
        if box_as_points:
            points = np.concatenate((corners, points))
            labels = np.concatenate((np.array(_BOX_LABELS, np.int32), labels))
    apart = corners is not None and not box_as_points
    return Tokens(
        points=points.astype(np.float32),
        labels=labels,
        box=corners.reshape(4).astype(np.float32) if apart and corners is not None else None,
        logits=logits,
        ambiguous=len(prompt.points) <= 1 and corners is None and logits is None,
    )


def logits_of(mask: FloatArray, extent: tuple[int, int], side: int) -> FloatArray:
    """Convert a soft mask in 0..1 to (side, side) float32 logits, if none were stored with it.

    Args:
        mask: (h, w), of the whole photo, at any size.
        extent: the part of the square that the photo covers, (width, height); the rest is
            background.
        side: the square's side.
    """
    small = cv2.resize(mask, extent, interpolation=cv2.INTER_AREA).astype(np.float64)
    edge = 1 / (1 + np.exp(_SURE))
    inside = np.clip(small, edge, 1 - edge)
    square = np.full((side, side), -_SURE, np.float32)
    square[: extent[1], : extent[0]] = np.log(inside / (1 - inside))
    return square


@dataclass(frozen=True, slots=True)
class Embedded:
    """A batch of encoded prompts, the input of the mask decoder.

    Attributes:
        sparse: (B, T, C), of points and boxes.
        dense: (B, C, h, w), of earlier logits.
        positions: (1, C, h, w), of the photo's tokens.
    """

    sparse: Tensor
    dense: Tensor
    positions: Tensor


def embed(encoder: Any, batch: Sequence[Tokens], device: torch.device) -> Embedded:
    """Run prompts of one `shape` through the model's prompt encoder, in FP32.

    The encoder computes a click's position by a matrix product, so half precision would move it.
    """
    count, (length, boxed) = len(batch), batch[0].shape
    points = boxes = None
    with torch.autocast(device.type, enabled=False):
        if length:
            coordinates = torch.from_numpy(np.stack([item.points for item in batch]))
            labels = torch.from_numpy(np.stack([item.labels for item in batch]))
            points = coordinates.to(device), labels.to(device)
        if boxed:
            boxes = torch.from_numpy(np.stack([item.box for item in batch if item.box is not None]))
            boxes = boxes.to(device)
        sparse, dense = encoder(points=points, boxes=boxes, masks=None)
        sparse = sparse.expand(count, -1, -1)
        dense = dense.expand(count, -1, -1, -1)
        refined = [index for index, item in enumerate(batch) if item.logits is not None]
        if refined:
            masks = np.stack([item.logits for item in batch if item.logits is not None])
            given = torch.from_numpy(masks)[:, None].to(device)
            _, own = encoder(points=None, boxes=None, masks=given)
            dense = dense.clone()
            dense[refined] = own
        return Embedded(sparse, dense, encoder.get_dense_pe())
