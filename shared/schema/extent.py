"""How large a result's canvas is: plain arithmetic on the photo's size and the request."""

from __future__ import annotations

import math

from shared.errors import InvalidRequest
from shared.presets import presets
from shared.schema.canvas import MAX_SIDE
from shared.schema.output import Output

Size = tuple[int, int]


def canvas_of(output: Output, photo: Size, box: Size) -> Size:
    """The canvas, (width, height), for a photo of this size.

    Args:
        output: what is asked for.
        photo: the photo's (width, height).
        box: (width, height) of what is placed: the subject's box, or the photo. A larger box never
            gives a smaller canvas.
    """
    if output.size is not None:
        return output.size
    if output.preset is not None:
        look = presets()[output.preset].look
        side = math.ceil(max(box) / (output.scale or 1.0))
        side = min(max(side, look.least_side), look.side)
        return side, side
    if output.scale is not None:
        return photo
    edge = margin_around(output.margin, box)
    return box[0] + 2 * edge, box[1] + 2 * edge


def margin_around(margin: int | str, box: Size) -> int:
    """Pixels of the margin on each side of a box that gives the canvas its size."""
    shorter = min(box)
    if isinstance(margin, str):  # of the canvas, so that the canvas is box / (1 − 2 · share)
        shorter = round(shorter / (1 - 2 * share_of(margin)))
    return margin_pixels(margin, shorter)


def margin_pixels(margin: int | str, side: int) -> int:
    """A margin in pixels, if the shorter side of the canvas has `side` pixels."""
    return round(side * share_of(margin)) if isinstance(margin, str) else margin


def share_of(margin: str) -> float:
    """A margin such as `5%`, as a share."""
    return float(margin[:-1]) / 100


def follows_box(output: Output) -> bool:
    """Whether the canvas is as large as what is placed on it."""
    return output.size is None and output.preset is None and output.scale is None


def accepted_canvas(output: Output, photo: Size, box: Size, max_pixels: int) -> Size:
    """`canvas_of`, unless that is too large.

    Raises:
        InvalidRequest: it has more than `max_pixels`, or a side that is too long for a canvas with
            a margin or for the file's format.
    """
    canvas = canvas_of(output, photo, box)
    width, height = canvas
    result = f"the result would be {width}×{height}"
    sized_by = "margin" if follows_box(output) else "size"
    if width * height > max_pixels:
        text = f"{result}, {width * height:,} pixels; at most {max_pixels:,} are accepted"
        raise InvalidRequest.field(f"output.{sized_by}", text)
    if follows_box(output) and canvas != box and max(canvas) > MAX_SIDE:
        text = f"{result}; with a margin, a side has at most {MAX_SIDE:,} pixels"
        raise InvalidRequest.field("output.margin", text)
    if max(canvas) > output.format.longest_side:
        text = f"{result}; a side has at most {output.format.longest_side:,} pixels in this format"
        raise InvalidRequest.field("output.format", text)
    return canvas


def require_possible(output: Output, photo: Size | None, max_pixels: int) -> None:
    """Refuse, before any work, a request whose canvas is too large whatever its subject is.

    Args:
        output: what is asked for.
        photo: the photo's (width, height); None if it is not known yet.
        max_pixels: the largest canvas.

    Raises:
        InvalidRequest: as `accepted_canvas`.
    """
    by_subject = output.crop or output.scale is not None
    box = (1, 1) if by_subject or photo is None else photo
    accepted_canvas(output, photo or (1, 1), box, max_pixels)


def most_pixels(output: Output, photo: Size | None, max_pixels: int) -> int:
    """Pixels of the largest canvas that a request which `require_possible` accepts can have.

    A larger one is refused as soon as the subject is known. Arguments as for `require_possible`.
    """
    if photo is None and output.size is None and output.preset is None:
        return max_pixels
    width, height = canvas_of(output, photo or (MAX_SIDE, MAX_SIDE), photo or (MAX_SIDE, MAX_SIDE))
    return min(width * height, max_pixels)
