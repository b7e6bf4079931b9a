"""The prompt: where the subject is in the photo."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import FailFast, Field, model_validator

from shared.field_problem import FieldProblem
from shared.model import JobId, Model, Pixel, refusal

MAX_POINTS = 256


class Prompt(Model):
    """Where the subject is, in pixels of the image as displayed; if empty, it is found (`auto`)."""

    # FailFast: a million wrong items give one error, not a million.
    points: Annotated[tuple[tuple[Pixel, Pixel], ...], FailFast()] = Field(
        default=(), max_length=MAX_POINTS, description="Clicks, each `[x, y]`."
    )
    labels: Annotated[tuple[Literal[0, 1], ...], FailFast()] = Field(
        default=(),
        max_length=MAX_POINTS,
        description="One per point: 1 on the subject, 0 on the background. Default: all 1.",
    )
    box: tuple[Pixel, Pixel, Pixel, Pixel] | None = Field(
        default=None, description="`[x1, y1, x2, y2]` around the subject."
    )
    mask: JobId | None = Field(
        default=None,
        description="The id of an earlier job on the same photo whose mask is refined.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.labels and len(self.labels) != len(self.points):
            raise refusal(
                f"{len(self.labels)} labels for {len(self.points)} points; "
                "give one label per point",
                field="labels",
            )
        if self.box is not None:
            x1, y1, x2, y2 = self.box
            if x1 >= x2 or y1 >= y2:
                raise refusal("must be [x1, y1, x2, y2] with x1 < x2 and y1 < y2", field="box")
        return self

    @property
    def is_auto(self) -> bool:
        return not self.points and self.box is None and self.mask is None

    @property
    def signs(self) -> tuple[int, ...]:
        """One label per point, with the default filled in."""
        return self.labels or (1,) * len(self.points)

    def misfit(self, width: int, height: int) -> FieldProblem | None:
        """The first field that lies outside a `width` × `height` image, and why; else None."""
        for index, (x, y) in enumerate(self.points):
            if x >= width or y >= height:
                where = f"[{x:g}, {y:g}] is outside the {width}×{height} image"
                return FieldProblem(f"points.{index}", where)
        if self.box is not None and (self.box[0] >= width or self.box[1] >= height):
            return FieldProblem("box", f"begins outside the {width}×{height} image")
        if self.box is not None and (self.box[2] > width or self.box[3] > height):
            return FieldProblem("box", f"ends outside the {width}×{height} image")
        return None
