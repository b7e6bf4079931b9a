"""Where on which canvas: plain geometry, no pixels."""

from __future__ import annotations

from dataclasses import dataclass

from shared.images.headers import MAX_PIXELS
from shared.schema import Output
from shared.schema.canvas import Align
from shared.schema.extent import accepted_canvas, follows_box, margin_around, margin_pixels
from worker.matting.solid import Box

#: Shares of the free room to the left and above.
_SHARES = {
    Align.TOP_LEFT: (0.0, 0.0),
    Align.TOP: (0.5, 0.0),
    Align.TOP_RIGHT: (1.0, 0.0),
    Align.LEFT: (0.0, 0.5),
    Align.CENTER: (0.5, 0.5),
    Align.RIGHT: (1.0, 0.5),
    Align.BOTTOM_LEFT: (0.0, 1.0),
    Align.BOTTOM: (0.5, 1.0),
    Align.BOTTOM_RIGHT: (1.0, 1.0),
}
#: An enlargement below this is rounding.
_SLACK = 1.01


@dataclass(frozen=True, slots=True)
class Layout:
    """What of a photo goes where.

    Attributes:
        canvas: (width, height) of the result.
        box: `[x1, y1, x2, y2]` of the photo, what is placed: the subject's box, or all of it.
        place: where on the canvas the box goes, `[x1, y1, x2, y2]`, whole pixels.
        shortfall: the size asked for over the largest possible without enlarging; 1 when the box
            is as large as asked.
    """

    canvas: tuple[int, int]
    box: Box
    place: Box
    shortfall: float = 1.0

    @property
    def factors(self) -> tuple[float, float]:
        """Canvas pixels per photo pixel, across and down. They differ only by rounding."""
        (x1, y1, x2, y2), (left, top, right, bottom) = self.box, self.place
        return (right - left) / (x2 - x1), (bottom - top) / (y2 - y1)

    def moved(self, box: Box) -> Box:
        """A box of the photo, moved to the canvas and clipped to it."""
        (across, down), (width, height) = self.factors, self.canvas

        def moved(value: int, axis: int, factor: float, limit: int) -> int:
            there = self.place[axis] + (value - self.box[axis]) * factor
            return min(max(round(there), 0), limit)

        x1, y1, x2, y2 = box
        return (
            moved(x1, 0, across, width),
            moved(y1, 1, down, height),
            moved(x2, 0, across, width),
            moved(y2, 1, down, height),
        )

    @property
    def is_whole(self) -> bool:
        """Whether the canvas is the photo as it is."""
        return self.box == self.place == (0, 0, *self.canvas)


def plan(
    output: Output, size: tuple[int, int], subject: Box, *, max_pixels: int = MAX_PIXELS
) -> Layout:
    """The layout that `output` asks for.

    The subject's box is what is placed where `crop` or `scale` names it, else the photo.

    Args:
        output: what is asked for.
        size: (width, height) of the photo.
        subject: its box in the photo.
        max_pixels: the largest canvas.

    Raises:
        InvalidRequest: as `accepted_canvas`.
    """
    box = subject if output.crop or output.scale is not None else (0, 0, *size)
    width, height = box[2] - box[0], box[3] - box[1]
    canvas = accepted_canvas(output, size, (width, height), max_pixels)
    if follows_box(output):
        edge = margin_around(output.margin, (width, height))
        return Layout(canvas, box, (edge, edge, edge + width, edge + height))
    margin = margin_pixels(output.margin, min(canvas))
    room = [max(1, side - 2 * margin) for side in canvas]
    wanted = min(room[0] / width, room[1] / height)
    if output.scale is not None:
        wanted = min(wanted, output.scale * canvas[0] / width, output.scale * canvas[1] / height)
    factor = wanted if output.upscale else min(wanted, 1.0)
    placed = [max(1, round(width * factor)), max(1, round(height * factor))]
    shares = _SHARES[output.align]
    left, top = (
        margin + round((free - side) * share)
        for free, side, share in zip(room, placed, shares, strict=True)
    )
    shortfall = wanted / factor
    return Layout(
        canvas,
        box,
        (left, top, left + placed[0], top + placed[1]),
        shortfall if shortfall >= _SLACK else 1.0,
    )
