"""What each validator of ours answers: the field and the message, word for word."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from api.problems import invalid
from shared.field_problem import FieldProblem
from shared.model import refusal
from shared.schema import JobRequest, Prompt

JOB = "job_" + "0" * 24
PRESETS = "amazon, google, coupang, smartstore, square-white"
COLOUR = 'must be a colour such as #ffffff, transparent, or {"upload": "inp_…"}'
MARGIN = 'must be whole pixels, at most 2000, or a percentage such as "5%", at most 45%'
SIZE = "must be [width, height] or one number for both, from 1 to 10000"
CORNERS = "must be [x1, y1, x2, y2] with x1 < x2 and y1 < y2"

REFUSALS: list[tuple[dict[str, Any], str, str]] = [
    (
        {"prompt": {"points": [[1, 2], [3, 4]], "labels": [1, 0, 1]}},
        "prompt.labels",
        "3 labels for 2 points; give one label per point",
    ),
    ({"prompt": {"box": [5, 1, 5, 9]}}, "prompt.box", CORNERS),
    ({"objects": [{"box": [1, 9, 5, 9]}]}, "objects.0.box", CORNERS),
    ({"output": {"preset": "ebay"}}, "output.preset", f"must be one of {PRESETS}"),
    ({"output": {"background": "white"}}, "output.background", COLOUR),
    ({"output": {"margin": -1}}, "output.margin", MARGIN),
    ({"output": {"margin": "46%"}}, "output.margin", MARGIN),
    ({"output": {"size": 0}}, "output.size", SIZE),
    (
        {"output": {"format": "jpeg"}},
        "output.background",
        "JPEG has no transparency; give a colour such as #ffffff",
    ),
    (
        {"output": {"type": "mask", "format": "zip"}},
        "output.type",
        "must be cutout for a ZIP, which holds colours and alpha",
    ),
    ({"output": {"type": "mask", "preset": "amazon"}}, "output.preset", "not available for a mask"),
    ({"output": {"type": "mask", "shadow": {}}}, "output.shadow", "not available for a mask"),
    (
        {"output": {"format": "zip", "background": "#ffffff"}},
        "output.background",
        "not available for a ZIP",
    ),
    (
        {"output": {"format": "zip", "keep_metadata": True}},
        "output.keep_metadata",
        "not available for a ZIP",
    ),
    (
        {"output": {"scale": 0.5, "crop": True}},
        "output.scale",
        "a crop is as large as the subject; add `size`, or replace `scale` by `margin`",
    ),
    (
        {"output": {"margin": 50, "size": 100}},
        "output.margin",
        "leaves no room on the canvas",
    ),
    (
        {"metadata": {"note": "x" * 5000}},
        "metadata",
        "5011 bytes of JSON; at most 4096",
    ),
    (
        {"objects": [{"box": [1, 1, 5, 9]}], "prompt": {"points": [[1, 2]]}},
        "objects",
        "give either objects or a prompt",
    ),
    (
        {"objects": [{"mask": JOB}]},
        "objects",
        "an object takes points and a box; a mask goes in `prompt`",
    ),
    ({"objects": [{}]}, "objects", "each needs a point or a box"),
    (
        {"render": JOB, "model": "grabcut"},
        "render",
        "takes only a new `output`: no prompt, objects or model",
    ),
    (
        {"render": JOB, "output": {"edge": "hard"}},
        "render",
        "keeps its job's edges; leave out `output.edge`, or use `job` instead of `render`",
    ),
    ({"colour": 1}, "colour", "unknown field"),
]


def problem(body: dict[str, Any]) -> FieldProblem:
    """The one problem that the API finds in this body."""
    with pytest.raises(ValidationError) as caught:
        JobRequest.model_validate_json(json.dumps(body), strict=True)
    [found] = invalid(caught.value).fields
    return found


@pytest.mark.parametrize(("body", "field", "message"), REFUSALS)
def test_a_refusal_names_the_field_and_says_why(
    body: dict[str, Any], field: str, message: str
) -> None:
    assert problem(body) == FieldProblem(field, message)


def test_metadata_with_nan_is_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        JobRequest(metadata={"ratio": float("nan")})
    [found] = invalid(caught.value).fields
    assert found == FieldProblem("metadata", "must be plain JSON, without NaN or infinity")


def test_a_colon_or_a_brace_in_a_message_is_kept() -> None:
    """The field comes from the error's context; the message is never parsed."""
    error = ValidationError.from_exception_data(
        "Prompt",
        [
            {
                "type": refusal("such as: {field}, {0}", field="box"),
                "loc": ("prompt",),
                "input": None,
            },
            {"type": refusal("labels: no field here"), "loc": ("prompt",), "input": None},
        ],
    )
    assert invalid(error).fields == (
        FieldProblem("prompt.box", "such as: {field}, {0}"),
        FieldProblem("prompt", "labels: no field here"),
    )


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ({"points": [(5, 5), (10, 3)]}, "points.1: [10, 3] is outside the 10×8 image"),
        ({"box": (10, 0, 12, 4)}, "box: begins outside the 10×8 image"),
        ({"box": (1, 1, 9, 9)}, "box: ends outside the 10×8 image"),
    ],
)
def test_a_prompt_that_lies_outside_the_image_is_a_field_problem(
    prompt: dict[str, Any], expected: str
) -> None:
    found = Prompt(**prompt)
    assert str(found.misfit(10, 8)) == expected
    assert str(JobRequest(prompt=found).misfit(10, 8)) == f"prompt.{expected}"
    assert str(JobRequest(objects=(found,)).misfit(10, 8)) == f"objects.0.{expected}"
    assert JobRequest(prompt=found).misfit(100, 100) is None
