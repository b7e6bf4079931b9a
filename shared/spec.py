"""What a caller asks for: the one schema that the API validates and the worker reads."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    FiniteFloat,
    StringConstraints,
    WithJsonSchema,
    field_serializer,
    model_validator,
)

MAX_POINTS = 256
MAX_OBJECTS = 32
MAX_METADATA_BYTES = 4096

JobId = Annotated[str, StringConstraints(pattern=r"^job_[0-9a-f]{24}$")]
InputId = Annotated[str, StringConstraints(pattern=r"^inp_[0-9a-f]{24}$")]
Pixel = Annotated[FiniteFloat, Field(ge=0, le=1_000_000)]
HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=2048)]


class Model(BaseModel):
    """A frozen model that rejects fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Prompt(Model):
    """Where the subject is, in pixels of the image as displayed; nothing at all means `auto`."""

    # FailFast: a million wrong items are one complaint, not a million.
    points: Annotated[tuple[tuple[Pixel, Pixel], ...], FailFast()] = Field(
        default=(), max_length=MAX_POINTS, description="Clicks, each `[x, y]`."
    )
    labels: Annotated[tuple[Literal[0, 1], ...], FailFast()] = Field(
        default=(),
        max_length=MAX_POINTS,
        description="One a point: 1 on the subject, 0 on the background. All 1 when left out.",
    )
    box: tuple[Pixel, Pixel, Pixel, Pixel] | None = Field(
        default=None, description="`[x1, y1, x2, y2]` around the subject."
    )
    mask: JobId | None = Field(
        default=None, description="An earlier job on the same photo, whose mask is the start."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.labels and len(self.labels) != len(self.points):
            raise ValueError(
                f"labels: {len(self.labels)} given for {len(self.points)} points; give one a point"
            )
        if self.box is not None:
            x1, y1, x2, y2 = self.box
            if x1 >= x2 or y1 >= y2:
                raise ValueError("box: must be [x1, y1, x2, y2] with x1 < x2 and y1 < y2")
        return self

    @property
    def is_auto(self) -> bool:
        return not self.points and self.box is None and self.mask is None

    @property
    def signs(self) -> tuple[int, ...]:
        """One label a point, the default filled in."""
        return self.labels or (1,) * len(self.points)

    def misfit(self, width: int, height: int) -> tuple[str, str] | None:
        """The first field that lies outside a `width` × `height` image, and why; else None."""
        for index, (x, y) in enumerate(self.points):
            if x >= width or y >= height:
                return f"points.{index}", f"[{x:g}, {y:g}] is outside the {width}×{height} image"
        if self.box is not None and (self.box[0] >= width or self.box[1] >= height):
            return "box", f"begins outside the {width}×{height} image"
        if self.box is not None and (self.box[2] > width or self.box[3] > height):
            return "box", f"ends outside the {width}×{height} image"
        return None


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


class Event(StrEnum):
    """What a webhook can tell of."""

    SUCCEEDED = "job.succeeded"
    FAILED = "job.failed"
    CANCELED = "job.canceled"
    NEEDS_REVIEW = "job.needs_review"


#: How a job ends; what a webhook tells of where it does not say.
ENDS = frozenset({Event.SUCCEEDED, Event.FAILED, Event.CANCELED})


class Webhook(Model):
    """Where to tell of the job's end."""

    url: HttpUrl
    events: Annotated[frozenset[Event], FailFast()] = Field(
        default=ENDS,
        min_length=1,
        description="Left out: every end. `job.needs_review`, where it is listed, is sent for a "
        "succeeded job whose `subject.needs_review` is true: a message of its own, with its own "
        "id, beside `job.succeeded` where that is listed too.",
    )

    @field_serializer("events")
    def _in_order(self, events: frozenset[Event]) -> list[Event]:
        """Sorted: a set's order differs from process to process, and with it a digest of this."""
        return sorted(events)


class Priority(StrEnum):
    """Someone waits, or nobody does."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


def _bounded_metadata(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(json.dumps(value, separators=(",", ":"), allow_nan=False).encode())
    except ValueError as error:
        raise ValueError("must be plain JSON, without NaN or infinity") from error
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"{size} bytes of JSON; at most {MAX_METADATA_BYTES}")
    return value


Metadata = Annotated[dict[str, Any], AfterValidator(_bounded_metadata)]

SOURCES = ("url", "upload", "job", "render")


class JobRequest(Model):
    """A job to do. Its photo is one of `url`, `upload`, `job`, `render` or an `image` part."""

    url: HttpUrl | None = Field(default=None, description="Fetch the photo from here.")
    upload: InputId | None = Field(default=None, description="A photo put by `POST /v1/uploads`.")
    job: JobId | None = Field(default=None, description="That job's photo, segmented anew.")
    render: JobId | None = Field(
        default=None,
        description="That job's finished alpha with a new `output`; takes no prompt or model.",
    )
    model: str | None = Field(default=None, max_length=64, description="See `GET /v1/models`.")
    prompt: Prompt = Field(default_factory=Prompt)
    objects: Annotated[tuple[Prompt, ...], FailFast()] = Field(
        default=(),
        max_length=MAX_OBJECTS,
        description="Instead of `prompt`: several things, each by points or a box, cut as one.",
    )
    output: Output = Field(default_factory=Output)
    webhook: Webhook | None = None
    priority: Priority = Priority.INTERACTIVE
    metadata: Metadata = Field(default_factory=dict, description="Yours, ≤ 4 KiB, echoed.")

    @property
    def sources(self) -> list[str]:
        """The names of the sources given in the body."""
        return [name for name in SOURCES if getattr(self, name) is not None]

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """What is asked of the photo: the objects, or the one prompt."""
        return self.objects or (self.prompt,)

    def misfit(self, width: int, height: int) -> tuple[str, str] | None:
        """As `Prompt.misfit`, of the first prompt that does not fit."""
        for index, prompt in enumerate(self.prompts):
            found = prompt.misfit(width, height)
            if found is not None:
                place = f"objects.{index}" if self.objects else "prompt"
                return f"{place}.{found[0]}", found[1]
        return None

    @model_validator(mode="after")
    def _objects_stand_alone(self) -> Self:
        if self.objects and not self.prompt.is_auto:
            raise ValueError("objects: give either objects or a prompt")
        if any(item.mask is not None for item in self.objects):
            raise ValueError("objects: an object takes points and a box; a mask goes in `prompt`")
        if any(item.is_auto for item in self.objects):
            raise ValueError("objects: each needs a point or a box")
        return self

    @model_validator(mode="after")
    def _render_stands_alone(self) -> Self:
        if self.render is not None and (
            self.model is not None or self.objects or not self.prompt.is_auto
        ):
            raise ValueError("render: takes a new output only, no prompt and no model")
        if self.render is not None and self.output.edge is not Output().edge:
            raise ValueError(
                "render: keeps its edges; leave `output.edge` out, or name the job in `job`"
            )
        return self
