"""The canvas fields of an output: background, margin, size, alignment and shadow."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field, FiniteFloat, WithJsonSchema

from shared.model import InputId, Model, refusal

#: The longest side of a canvas, in pixels.
MAX_SIDE = 10_000
#: The widest margin, in pixels and as a percentage of the canvas's shorter side.
MAX_MARGIN, MAX_MARGIN_PERCENT = 2_000, 45.0


class Align(StrEnum):
    """Position on the canvas."""

    TOP_LEFT = "top-left"
    TOP = "top"
    TOP_RIGHT = "top-right"
    LEFT = "left"
    CENTER = "center"
    RIGHT = "right"
    BOTTOM_LEFT = "bottom-left"
    BOTTOM = "bottom"
    BOTTOM_RIGHT = "bottom-right"


_COLOUR = r"^(transparent|#[0-9a-fA-F]{6})$"
_PERCENT = r"^\d{1,2}(\.\d{1,4})?%$"


class Backdrop(Model):
    """An image behind the subject: an earlier `POST /v1/uploads`, scaled to cover the canvas."""

    upload: InputId


def _background(value: object) -> object:
    """A colour or transparent, in lower case; `Backdrop` checks an object."""
    if isinstance(value, dict | Backdrop):
        return Backdrop.model_validate(value)
    if not isinstance(value, str) or not re.match(_COLOUR, value):
        raise refusal('must be a colour such as #ffffff, transparent, or {"upload": "inp_…"}')
    return value.lower()


def _margin(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_MARGIN:
        return value
    percent = isinstance(value, str) and re.match(_PERCENT, value)
    if percent and float(str(value)[:-1]) <= MAX_MARGIN_PERCENT:
        return value
    raise refusal(
        f"must be whole pixels, at most {MAX_MARGIN}, or a percentage such as "
        f'"5%", at most {MAX_MARGIN_PERCENT:g}%'
    )


def _size(value: object) -> object:
    sides = [value, value] if isinstance(value, int) else value
    if isinstance(sides, list | tuple) and len(sides) == 2:
        whole = all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
        if whole and all(1 <= side <= MAX_SIDE for side in sides):
            return tuple(sides)
    raise refusal(f"must be [width, height] or one number for both, from 1 to {MAX_SIDE}")


# Each union is checked by one function: pydantic would report one error per member.
Background = Annotated[
    str | Backdrop,
    BeforeValidator(_background),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": _COLOUR},
                {
                    "type": "object",
                    "properties": {"upload": {"type": "string", "pattern": "^inp_[0-9a-f]{24}$"}},
                    "required": ["upload"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
Margin = Annotated[
    int | str,
    BeforeValidator(_margin),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MAX_MARGIN},
                {"type": "string", "pattern": _PERCENT},
            ]
        }
    ),
]
_SIDE_SCHEMA = {"type": "integer", "minimum": 1, "maximum": MAX_SIDE}
Size = Annotated[
    tuple[int, int],
    BeforeValidator(_size),
    WithJsonSchema(
        {
            "anyOf": [
                _SIDE_SCHEMA,
                {"type": "array", "items": _SIDE_SCHEMA, "minItems": 2, "maxItems": 2},
            ]
        }
    ),
]


class Shadow(Model):
    """A soft shadow on the ground below the subject."""

    opacity: FiniteFloat = Field(default=0.5, ge=0, le=1, description="Opacity at its darkest.")
    softness: FiniteFloat = Field(
        default=0.1,
        ge=0.005,
        le=0.5,
        description="Reach, as a share of the subject's longest side.",
    )
    offset: FiniteFloat = Field(
        default=0.0,
        ge=-0.5,
        le=0.5,
        description="Offset to the right, as a share of the subject's longest side; negative is "
        "left.",
    )
