"""The file that a caller wants."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from shared.spec.base import Model


class OutputType(StrEnum):
    """What to give back: the subject, or its mask alone."""

    CUTOUT = "cutout"
    MASK = "mask"


class OutputFormat(StrEnum):
    """The file written."""

    PNG = "png"
    WEBP = "webp"
    JPEG = "jpeg"

    @property
    def content_type(self) -> str:
        return f"image/{self.value}"


class Edge(StrEnum):
    """How the mask's outline becomes the cutout's edge."""

    HARD = "hard"
    SOFT = "soft"
    MATTE = "matte"


_COLOUR = r"^(transparent|#[0-9a-fA-F]{6})$"


def _colour(value: str) -> str:
    if not re.match(_COLOUR, value):
        raise ValueError("must be a colour such as #ffffff, or transparent")
    return value.lower()


Colour = Annotated[
    str, AfterValidator(_colour), WithJsonSchema({"type": "string", "pattern": _COLOUR})
]


class Output(Model):
    """The file wanted."""

    type: OutputType = Field(default=OutputType.CUTOUT, description="The subject, or its mask.")
    format: OutputFormat = Field(default=OutputFormat.PNG, description="The file's format.")
    background: Colour = Field(
        default="transparent", description="`transparent` or `#rrggbb`; JPEG needs a colour."
    )
    clean: bool = Field(
        default=True,
        description="Take specks and pinholes out of the mask; false gives the model's own.",
    )
    edge: Edge = Field(
        default=Edge.MATTE,
        description="`hard`: nothing half-transparent. `soft`: a clean edge, fastest. `matte`: "
        "hair, holes and fine edges too. A `render` keeps the edges that it was cut with.",
    )

    @model_validator(mode="after")
    def _jpeg_is_opaque(self) -> Self:
        jpeg_cutout = self.format is OutputFormat.JPEG and self.type is OutputType.CUTOUT
        if jpeg_cutout and self.background == "transparent":
            raise ValueError("background: JPEG has no transparency; give a colour such as #ffffff")
        if self.type is OutputType.MASK and self.background != "transparent":
            raise ValueError("background: a mask has none")
        return self
