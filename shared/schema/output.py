"""The output file that a caller asks for."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, FiniteFloat, WithJsonSchema, model_validator

from shared.model import Model, refusal
from shared.presets import presets
from shared.schema.canvas import Align, Backdrop, Background, Margin, Shadow, Size


class OutputType(StrEnum):
    """What to return: the subject, or its mask."""

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

    @property
    def longest_side(self) -> int:
        """The longest side of a picture, in pixels."""
        return _LONGEST.get(self, 2**31 - 1)


#: libjpeg allows less than JPEG's own 65,535. PNG's limit is never reached here.
_LONGEST = {OutputFormat.JPEG: 65_500, OutputFormat.WEBP: 16_383, OutputFormat.AVIF: 65_536}


class Edge(StrEnum):
    """How the mask's outline becomes the cutout's edge."""

    HARD = "hard"
    SOFT = "soft"
    MATTE = "matte"


def _preset(value: str) -> str:
    if value not in presets():
        raise refusal(f"must be one of {', '.join(presets())}")
    return value


PresetName = Annotated[
    str, AfterValidator(_preset), WithJsonSchema({"type": "string", "enum": list(presets())})
]


class Output(Model):
    """The output file. Colours are sRGB. It has no metadata unless `keep_metadata` is true."""

    preset: PresetName | None = Field(
        default=None,
        description="Fills the fields you leave out with a marketplace's requirements. The job "
        "then reports `compliance`, measured on the finished file, even if other fields override "
        "the preset.",
    )
    type: OutputType = Field(default=OutputType.CUTOUT, description="The subject, or its mask.")
    format: OutputFormat = Field(
        default=OutputFormat.PNG,
        description="The file's format; `zip` holds `colour.png` and `alpha.png`.",
    )
    edge: Edge = Field(
        default=Edge.MATTE,
        description="`hard`: nothing half-transparent. `soft`: a clean edge, fastest. `matte`: "
        "hair, holes and fine edges too. A `render` keeps the edges of its job.",
    )
    background: Background = Field(
        default="transparent",
        description="`transparent`, `#rrggbb`, or an image uploaded with `POST /v1/uploads`, "
        "which covers the canvas. JPEG needs a colour or an image.",
    )
    crop: bool = Field(default=False, description="Crop to the subject plus the margin.")
    margin: Margin = Field(
        default=0,
        description="Free space on every side, in pixels of the result or as a percentage of its "
        "shorter side.",
    )
    size: Size | None = Field(
        default=None,
        description="The canvas: `[width, height]`, or one number for a square. The content is "
        "scaled down to fit, and up only if `upscale` is true.",
    )
    align: Align = Field(default=Align.CENTER, description="Position on the canvas.")
    scale: FiniteFloat | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of the canvas that the subject fills, along its tighter side.",
    )
    upscale: bool = Field(default=False, description="Whether pixels may be enlarged to fit.")
    shadow: Shadow | None = Field(
        default=None,
        description="A soft ground shadow, limited to the free space around the subject.",
    )
    clean: bool = Field(
        default=True,
        description="Remove specks and pinholes from the mask; false keeps the model's mask.",
    )
    keep_metadata: bool = Field(
        default=False,
        description="Keep the photo's EXIF, including place and date, but not its orientation "
        "(already applied) or thumbnail.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, data: Any) -> Any:
        """Fill the fields that the caller left out from the preset."""
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
    def _check_mask_and_zip(self) -> Self:
        """Refuse a background, shadow or preset for a mask, or for a ZIP of colours and alpha."""
        zipped = self.format is OutputFormat.ZIP
        if self.type is OutputType.MASK and zipped:
            raise refusal("must be cutout for a ZIP, which holds colours and alpha", field="type")
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
                raise refusal(f"not available for {what}", field=field)
        return self

    @model_validator(mode="after")
    def _check_room(self) -> Self:
        if self.scale is not None and self.crop and self.size is None and self.preset is None:
            raise refusal(
                "a crop is as large as the subject; add `size`, or replace `scale` by `margin`",
                field="scale",
            )
        margin = self.margin if isinstance(self.margin, int) else 0
        if self.size is not None and 2 * margin >= min(self.size):
            raise refusal("leaves no room on the canvas", field="margin")
        return self

    @property
    def backdrop(self) -> str | None:
        """The id of the upload behind the subject; None without one."""
        return self.background.upload if isinstance(self.background, Backdrop) else None
