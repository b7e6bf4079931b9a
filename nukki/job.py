"""A job, as the client sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the server last reported it; `data` is the whole answer."""

    id: str
    status: str
    error: JobError | None
    data: Mapping[str, Any]

    @property
    def done(self) -> bool:
        return self.status in {"succeeded", "failed", "canceled"}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """The job in the server's JSON."""
        error = data.get("error")
        return cls(data["id"], data["status"], JobError(**error) if error else None, data)
