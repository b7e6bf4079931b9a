"""What is wrong with one field of a request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field that is wrong: `field` is a dotted path such as `prompt.points.0`."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"
