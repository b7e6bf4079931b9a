"""The file that a caller wants."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, FiniteFloat, WithJsonSchema, model_validator

from shared.model import Model, refusal
from shared.presets import presets
from shared.schema.canvas import Align, Backdrop, Background, Margin, Shadow, Size


class OutputType(StrEnum):
    """What to give back: the subject, or its mask."""

    CUTOUT = "cutout"
    MASK = "mask"


class OutputFormat(StrEnum):
    """The file written; `zip` holds `colour.png` and `alpha.png`."""

    PNG = "png"
    WEBP = "webp"
    JPEG = "jpeg"
    AVIF = "avif"
    ZIP = "zip"

    @property
    def content_type(self) -> str:
        return "application/zip" if self is OutputFormat.ZIP else f"image/{self.value}"


class Edge(StrEnum):
    """How the mask's outline becomes the cutout's edge."""

    HARD = "hard"
    SOFT = "soft"
    MATTE = "matte"


def _preset(value: str) -> str:
    if value not in presets():
        raise refusal(f"is not one of {', '.join(presets())}")
    return value


PresetName = Annotated[
    str, AfterValidator(_preset), WithJsonSchema({"type": "string", "enum": list(presets())})
]


class Output(Model):
    """The file wanted. Colours are sRGB; without `keep_metadata` it holds its pixels only."""

    preset: PresetName | None = Field(
        default=None,
        description="A marketplace's look for the fields left out here; the job then has "
        "`compliance`, measured on the file, whatever the other fields say.",
    )
    type: OutputType = Field(default=OutputType.CUTOUT, description="The subject, or its mask.")
    format: OutputFormat = Field(
        default=OutputFormat.PNG,
        description="The file's format; `zip` holds `colour.png` and `alpha.png`.",
    )
    edge: Edge = Field(
        default=Edge.MATTE,
        description="`hard`: nothing half-transparent. `soft`: a clean edge, fastest. `matte`: "
        "hair, holes and fine edges too. A `render` keeps the edges that it was cut with.",
    )
    background: Background = Field(
        default="transparent",
        description="`transparent`, `#rrggbb`, or an image put by `POST /v1/uploads`, covering the "
        "canvas; JPEG needs one.",
    )
    crop: bool = Field(default=False, description="To the subject, and the margin around it.")
    margin: Margin = Field(
        default=0,
        description="Kept free on every side: pixels of the result, or per cent of its shorter "
        "side.",
    )
    size: Size | None = Field(
        default=None,
        description="The canvas: `[width, height]`, or one number for a square. What is placed is "
        "made to fit, and never enlarged unless `upscale` says so.",
    )
    align: Align = Field(default=Align.CENTER, description="Where on the canvas.")
    scale: FiniteFloat | None = Field(
        default=None,
        gt=0,
        le=1,
        description="The share of the canvas that the subject fills, along the side it fills more.",
    )
    upscale: bool = Field(default=False, description="Whether pixels may be enlarged to fit.")
    shadow: Shadow | None = Field(
        default=None, description="On the ground; it takes no more than the room around."
    )
    clean: bool = Field(
        default=True,
        description="Take specks and pinholes out of the mask; false gives the model's own.",
    )
    keep_metadata: bool = Field(
        default=False,
        description="Keep the photo's EXIF, its place and date among it; not its orientation, "
        "which is applied, nor its thumbnail.",
    )

    @model_validator(mode="before")
    @classmethod
    def _take_on_the_look(cls, data: Any) -> Any:
        """What a preset's caller left out is the preset's."""
        name = data.get("preset") if isinstance(data, dict) else None
        if not isinstance(name, str) or name not in presets():
            return data
        look = presets()[name].look
        return {**look.model_dump(include={"format", "background", "scale"}), **data}

    @model_validator(mode="after")
    def _jpeg_is_opaque(self) -> Self:
        jpeg_cutout = self.format is OutputFormat.JPEG and self.type is OutputType.CUTOUT
        if jpeg_cutout and self.background == "transparent":
            raise refusal(
                "JPEG has no transparency; give a colour such as #ffffff", field="background"
            )
        return self

    @model_validator(mode="after")
    def _stands_on_nothing(self) -> Self:
        """A mask, or a ZIP of colours and alpha, takes nothing that makes a picture of it."""
        zipped = self.format is OutputFormat.ZIP
        if self.type is OutputType.MASK and zipped:
            raise refusal("a ZIP holds a cutout's colours and its alpha", field="type")
        if self.type is not OutputType.MASK and not zipped:
            return self
        what = "a ZIP" if zipped else "a mask"
        refused = {
            "preset": self.preset is not None,
            "background": self.background != "transparent",
            "shadow": self.shadow is not None,
            "keep_metadata": self.keep_metadata and zipped,
        }
        for field, given in refused.items():
            if given:
                raise refusal(f"{what} has none", field=field)
        return self

    @model_validator(mode="after")
    def _frame_has_room(self) -> Self:
        if self.scale is not None and self.crop and self.size is None and self.preset is None:
            raise refusal(
                "a crop is as large as the subject; give a size, or a margin", field="scale"
            )
        margin = self.margin if isinstance(self.margin, int) else 0
        if self.size is not None and 2 * margin >= min(self.size):
            raise refusal("leaves nothing of the canvas", field="margin")
        return self

    @property
    def canvas_pixels(self) -> int:
        """Of the canvas, at most, where it does not follow from the photo; else 0."""
        if self.size is not None:
            return self.size[0] * self.size[1]
        return presets()[self.preset].look.side ** 2 if self.preset is not None else 0

    @property
    def backdrop(self) -> str | None:
        """The upload behind the subject."""
        return self.background.upload if isinstance(self.background, Backdrop) else None
