"""What every part of a request is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints

JobId = Annotated[str, StringConstraints(pattern=r"^job_[0-9a-f]{24}$")]
InputId = Annotated[str, StringConstraints(pattern=r"^inp_[0-9a-f]{24}$")]
Pixel = Annotated[FiniteFloat, Field(ge=0, le=1_000_000)]
HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=2048)]


class Model(BaseModel):
    """A frozen model that rejects fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
