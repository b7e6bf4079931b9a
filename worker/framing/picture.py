"""A cut made into the picture asked for: laid out, placed, given its ground."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from shared.arrays import UInt8Array
from shared.images.photo import Photo
from shared.schema import Output, OutputType
from worker.framing.cutout import compose
from worker.framing.frame import place
from worker.framing.haze import without_haze
from worker.framing.layout import Box, Layout, plan
from worker.framing.shadow import cast
from worker.matting.foreground import estimate_foreground


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished picture.

    Attributes:
        pixels: (h, w), (h, w, 3) or (h, w, 4) uint8, as `compose` gives them.
        alpha: (h, w) uint8, the subject on this canvas.
        layout: how it was brought there.
        warnings: what could not be as it was asked.
    """

    pixels: UInt8Array
    alpha: UInt8Array
    layout: Layout
    warnings: tuple[str, ...] = ()


def draw(
    rgb: UInt8Array, alpha: UInt8Array, output: Output, subject: Box, backdrop: Photo | None = None
) -> Picture:
    """The picture that `output` asks for, in the subject's own colours.

    Args:
        rgb: (H, W, 3) uint8, the photo.
        alpha: (H, W) uint8.
        output: what to make.
        subject: its box in the photo.
        backdrop: the image that `output.background` names.

    Raises:
        ImageTooLarge: as `plan`.
    """
    layout = plan(output, (alpha.shape[1], alpha.shape[0]), subject)
    # Before anything is scaled: what is half background there can no longer be told apart.
    clean = rgb if output.type is OutputType.MASK else estimate_foreground(rgb, alpha)
    colours, shown = place(clean, alpha, layout)
    if output.preset is not None:
        shown = without_haze(shown)  # marketplaces look for what is not quite white
    warnings = []
    if layout.shortfall > 1:
        warnings.append(
            f"upscale_required: what was asked for is {layout.shortfall:.2f} times as large as the "
            "photo's own pixels; output.upscale allows enlarging them"
        )
    shadow = None
    if output.shadow is not None:
        shadow = cast(shown, _on_canvas(subject, layout), output.shadow)
        if not shadow.any() and output.shadow.opacity:
            warnings.append("no_room_for_shadow: give a margin, or a larger size")
    behind = None if backdrop is None else covering(backdrop, layout.canvas)
    pixels = compose(colours, shown, output, backdrop=behind, shadow=shadow)
    return Picture(pixels, shown, layout, tuple(warnings))


def covering(backdrop: Photo, canvas: tuple[int, int]) -> UInt8Array:
    """(h, w, 3) uint8: the middle of an image, scaled to fill a canvas of (width, height).

    Where the image is transparent it lies on white.
    """
    factor = max(canvas[0] / backdrop.width, canvas[1] / backdrop.height)
    width = min(backdrop.width, max(1, round(canvas[0] / factor)))
    height = min(backdrop.height, max(1, round(canvas[1] / factor)))
    left, top = (backdrop.width - width) // 2, (backdrop.height - height) // 2
    middle = (slice(top, top + height), slice(left, left + width))
    rgb = backdrop.rgb[middle]
    if backdrop.alpha is not None:
        rgb = compose(rgb, backdrop.alpha[middle], Output(background="#ffffff"))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, canvas, interpolation=how), np.uint8)


def _on_canvas(subject: Box, layout: Layout) -> Box:
    """A box of the photo, where it lies on the canvas, cut to it."""
    (across, down), (width, height) = layout.factors, layout.canvas

    def moved(value: int, axis: int, factor: float, limit: int) -> int:
        there = layout.place[axis] + (value - layout.box[axis]) * factor
        return min(max(round(there), 0), limit)

    x1, y1, x2, y2 = subject
    return (
        moved(x1, 0, across, width),
        moved(y1, 1, down, height),
        moved(x2, 0, across, width),
        moved(y2, 1, down, height),
    )
