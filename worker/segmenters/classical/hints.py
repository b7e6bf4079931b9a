"""Converts a prompt to arrays at a working size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from shared.arrays import BoolArray, FloatArray
from shared.schema import Prompt
from worker.segmenters.classical.flow import SignArray

# Radius around a click, as a share of the short side, in which its side is fixed.
_EXACT = 0.012
# Standard deviation of its further influence, as a share of the short side, and the log odds that
# it adds at the click.
_NEAR, _LEAN = 0.04, 2.0

# Largest log odds that an earlier mask adds, and the standard deviation, as a share of the short
# side, of the area around a contradicting click in which they are reduced.
_TRUST, _CORRECTION = 2.5, 0.2


@dataclass(frozen=True, slots=True)
class Hints:
    """A prompt at a working size of (h, w).

    Attributes:
        fixed: (h, w) int8, 1 for subject, −1 for background, 0 where the cut decides.
        lean: (h, w) float32, log odds added to those of the colours.
        subject: (n, 2) float32, x and y of the clicks on the subject.
        ground: (m, 2) float32, x and y of the clicks on the background.
        frame: (x1, y1, x2, y2) in whole pixels: the box or the whole picture.
        boxed: whether the caller gave a box.
        prior: (h, w) float32 in 0..1, the earlier mask; None if there is none.
    """

    fixed: SignArray
    lean: FloatArray
    subject: FloatArray
    ground: FloatArray
    frame: tuple[int, int, int, int]
    boxed: bool
    prior: FloatArray | None

    @property
    def shape(self) -> tuple[int, int]:
        return self.fixed.shape[0], self.fixed.shape[1]

    @property
    def within(self) -> BoolArray:
        """The inside of the frame, (h, w) bool."""
        inside = np.zeros(self.shape, dtype=bool)
        x1, y1, x2, y2 = self.frame
        inside[y1:y2, x1:x2] = True
        return inside


def distances(shape: tuple[int, int], points: FloatArray) -> FloatArray:
    """Distance to the nearest of (n, 2) points, (h, w) float32 in pixels; infinite if none."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    nearest = np.full(shape, np.inf, dtype=np.float32)
    for x, y in points:
        np.minimum(nearest, np.hypot(columns - x, rows - y), out=nearest)
    return nearest


def _frame(prompt: Prompt, scale: tuple[float, float], shape: tuple[int, int]) -> list[int]:
    """The box in whole pixels, at least 1 × 1; without a box, the whole picture."""
    if prompt.box is None:
        return [0, 0, shape[1], shape[0]]
    frame = [0, 0, 0, 0]
    for axis, length in ((0, shape[1]), (1, shape[0])):
        low = min(round(prompt.box[axis] * scale[axis]), length - 1)
        high = round(prompt.box[axis + 2] * scale[axis])
        frame[axis], frame[axis + 2] = low, min(max(high, low + 1), length)
    return frame


def _prior(prior: FloatArray | None, shape: tuple[int, int]) -> FloatArray | None:
    if prior is None or prior.size == 0:
        return None
    smaller = prior.shape[0] > shape[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    source = np.nan_to_num(np.asarray(prior, dtype=np.float32))
    resized: FloatArray = np.clip(cv2.resize(source, shape[::-1], interpolation=how), 0.0, 1.0)
    return resized.reshape(shape)


def read(
    prompt: Prompt, prior: FloatArray | None, size: tuple[int, int], shape: tuple[int, int]
) -> Hints:
    """Convert a prompt on a photo of `size` (width, height) to hints at `shape` (h, w)."""
    scale = (shape[1] / size[0], shape[0] / size[1])
    limit = np.array((shape[1] - 1, shape[0] - 1), dtype=np.float32)
    points = np.array(prompt.points, dtype=np.float32).reshape(-1, 2) * scale
    # Rounded down, because the pixel that contains a click must obey it.
    points = np.clip(np.floor(points), 0, limit).astype(np.float32)
    signs = np.array(prompt.signs, dtype=np.int8)
    subject, ground = points[signs == 1], points[signs == 0]
    short = min(shape)
    left, top, right, bottom = _frame(prompt, scale, shape)
    to_subject, to_ground = distances(shape, subject), distances(shape, ground)

    fixed = np.full(shape, -1, dtype=np.int8)
    fixed[top:bottom, left:right] = 0
    reach = _EXACT * short
    fixed[(to_ground <= reach) & (to_ground <= to_subject)] = -1
    fixed[(to_subject <= reach) & (to_subject < to_ground)] = 1
    # Each click decides at least its own pixel; later clicks override earlier ones.
    for (x, y), sign in zip(points.astype(int), signs, strict=True):
        fixed[y, x] = 1 if sign == 1 else -1

    spread = 2.0 * (_NEAR * short) ** 2
    lean = _LEAN * (np.exp(-(to_subject**2) / spread) - np.exp(-(to_ground**2) / spread))
    earlier = _prior(prior, shape)
    if earlier is not None:
        wide = 2.0 * (_CORRECTION * short) ** 2
        wrong = [(x, y) for x, y in subject if earlier[int(y), int(x)] < 0.5]
        wrong += [(x, y) for x, y in ground if earlier[int(y), int(x)] >= 0.5]
        away = distances(shape, np.array(wrong, dtype=np.float32).reshape(-1, 2))
        lean = lean + _TRUST * (2.0 * earlier - 1.0) * (1.0 - np.exp(-(away**2) / wide))
    return Hints(
        fixed=fixed,
        lean=lean.astype(np.float32),
        subject=subject,
        ground=ground,
        frame=(left, top, right, bottom),
        boxed=prompt.box is not None,
        prior=earlier,
    )
