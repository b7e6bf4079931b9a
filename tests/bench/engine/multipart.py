"""A multipart body built once, so that a load generator only has to send it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

_BOUNDARY = "nukki-bench-7f3a9c51"


@dataclass(frozen=True, slots=True)
class Form:
    """A request's body and its headers."""

    body: bytes
    headers: Mapping[str, str]

    @classmethod
    def of_photo(cls, photo: bytes, job: Mapping[str, Any] | None = None) -> Self:
        """The form of `POST /v1/jobs`: the part `image`, and `job` if given."""
        parts = []
        if job is not None:
            parts.append(_part('name="job"', "application/json", json.dumps(job).encode()))
        parts.append(_part('name="image"; filename="photo.jpg"', "image/jpeg", photo))
        body = b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()
        return cls(body, {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"})


def _part(name: str, content_type: str, content: bytes) -> bytes:
    head = f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {name}\r\n"
    return f"{head}Content-Type: {content_type}\r\n\r\n".encode() + content + b"\r\n"
