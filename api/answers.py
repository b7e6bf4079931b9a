"""JSON answers."""

from __future__ import annotations

from flask import Response
from pydantic import BaseModel


def json_answer(model: BaseModel, status: int = 200) -> Response:
    """A response with the model as its JSON body."""
    return Response(model.model_dump_json(), status=status, content_type="application/json")
