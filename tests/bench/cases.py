"""Photos with true alpha, and versions of them: rotated, resized, composited."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Array = Any
Point = tuple[float, float]


@dataclass(frozen=True)
class Case:
    """A photo and its true alpha."""

    name: str
    kind: str
    rgb: Array
    alpha: Array

    @property
    def truth(self) -> Array:
        return self.alpha > 127


def load(folder: Path) -> Iterator[Case]:
    for path in sorted((folder / "image").iterdir()):
        alpha = cv2.imread(str(folder / "alpha" / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE)
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is not None and alpha is not None:
            rgb = np.ascontiguousarray(image[..., ::-1])
            if alpha.shape != rgb.shape[:2]:
                alpha = cv2.resize(alpha, rgb.shape[1::-1], interpolation=cv2.INTER_AREA)
            yield Case(path.stem, "upright", rgb, alpha)


def deepest(truth: Array) -> Point:
    """The (x, y) farthest from the outside; the picture's borders count as outside."""
    padded = np.pad(truth.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(column), float(row)


def anywhere(truth: Array, count: int, seed: int) -> list[Point]:
    rows, columns = np.nonzero(truth)
    chosen = np.random.default_rng(seed).integers(len(rows), size=count)
    return [(float(columns[i]), float(rows[i])) for i in chosen]


def fill(rgb: Array, known: Array) -> Array:
    """Fill unknown pixels from known ones nearby (push-pull): (H, W, 3) float32."""
    colour, weight = rgb.astype(np.float32) * known[..., None], known.astype(np.float32)
    levels = []
    while min(weight.shape) > 2:
        levels.append((colour, weight))
        size = ((weight.shape[1] + 1) // 2, (weight.shape[0] + 1) // 2)
        colour = cv2.resize(colour, size, interpolation=cv2.INTER_AREA)
        weight = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    average = colour.reshape(-1, 3).sum(axis=0) / max(float(weight.sum()), 1e-6)
    filled = np.tile(average, (*weight.shape, 1)).astype(np.float32)
    for index, (colour, weight) in reversed(list(enumerate(levels))):
        larger = cv2.resize(filled, weight.shape[::-1], interpolation=cv2.INTER_LINEAR)
        filled = np.asarray(larger, dtype=np.float32)
        share = (weight if index == 0 else np.clip(weight * 4, 0, 1))[..., None]
        filled = filled * (1 - share) + share * colour / np.maximum(weight, 1e-6)[..., None]
    return filled


def composited(case: Case, scale: float, seed: int) -> Case:
    """Paste the subject at a random place, filling `scale` of the frame's width or height."""
    height, width = case.alpha.shape
    ground = fill(case.rgb, cv2.dilate(case.alpha, np.ones((15, 15))) < 3)
    ground += np.random.default_rng(1).normal(0, 2, ground.shape)  # the fill removed the grain
    colour = fill(case.rgb, case.truth)
    rows, columns = np.nonzero(case.truth)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    factor = scale / max((right - left) / width, (bottom - top) / height)
    size = (max(1, round((right - left) * factor)), max(1, round((bottom - top) * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    alpha = cv2.resize(
        case.alpha[top:bottom, left:right].astype(np.float32) / 255, size, interpolation=how
    )[..., None]
    colour = cv2.resize(colour[top:bottom, left:right], size, interpolation=how)
    shift = np.random.default_rng(seed).uniform(0.2, 0.8, 2)
    x, y = int((width - size[0]) * shift[0]), int((height - size[1]) * shift[1])
    place = (slice(y, y + size[1]), slice(x, x + size[0]))
    ground[place] = colour * alpha + ground[place] * (1 - alpha)
    whole = np.zeros((height, width), dtype=np.float32)
    whole[place] = alpha[..., 0]
    picture = np.clip(ground, 0, 255).astype(np.uint8)
    return Case(case.name, f"composited_{scale:g}", picture, np.rint(whole * 255).astype(np.uint8))


def turned(case: Case, quarters: int) -> Case:
    rgb, alpha = (np.rot90(array, quarters).copy() for array in (case.rgb, case.alpha))
    return Case(case.name, f"rotated_{90 * quarters}", rgb, alpha)


def resized(case: Case, factor: float) -> Case:
    size = (round(case.rgb.shape[1] * factor), round(case.rgb.shape[0] * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    rgb, alpha = (cv2.resize(array, size, interpolation=how) for array in (case.rgb, case.alpha))
    return Case(case.name, f"resized_{factor:g}", rgb, alpha)
