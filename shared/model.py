"""The base of every request model: ids, number types, and how a validator refuses a value."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints
from pydantic_core import PydanticCustomError

JobId = Annotated[str, StringConstraints(pattern=r"^job_[0-9a-f]{24}$")]
InputId = Annotated[str, StringConstraints(pattern=r"^inp_[0-9a-f]{24}$")]
Pixel = Annotated[FiniteFloat, Field(ge=0, le=1_000_000)]
HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=2048)]


class Model(BaseModel):
    """A frozen model that rejects fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


#: The pydantic error type of what our own validators refuse.
REFUSED = "refused"


def refusal(message: str, *, field: str | None = None) -> PydanticCustomError:
    """The error that a validator of ours raises.

    Args:
        message: what is wrong, without the field's name.
        field: the field at fault, where the validator checks a whole model; it is kept in the
            error's context under `field`. A validator of one field leaves it out.
    """
    # `message` comes last: pydantic fills the template in this order, so its braces stay.
    return PydanticCustomError(REFUSED, "{message}", {"field": field, "message": message})
