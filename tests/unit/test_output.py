"""What a caller may ask of the file, and what is refused, by its field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from api.problems import invalid
from shared.job import Job
from shared.presets import presets
from shared.queue.answers import Remains
from shared.schema import JobRequest, Output

UPLOAD = {"upload": "inp_" + "0" * 24}


def asked(**output: Any) -> Output:
    text = json.dumps({"output": output})
    return JobRequest.model_validate_json(text, strict=True).output


@pytest.mark.parametrize(
    ("field", "output"),
    [
        ("preset", {"preset": "ebay"}),
        ("preset", {"preset": 5}),
        ("preset", {"preset": ["amazon"]}),
        ("preset", {"preset": "amazon", "type": "mask"}),
        ("preset", {"preset": "amazon", "format": "zip"}),
        ("format", {"format": "tiff"}),
        ("type", {"type": "mask", "format": "zip"}),
        ("background", {"background": "white"}),
        ("background", {"background": 3}),
        ("background", {"format": "jpeg"}),
        ("background", {"preset": "amazon", "background": "transparent"}),
        ("background", {"type": "mask", "background": UPLOAD}),
        ("background", {"format": "zip", "background": "#ffffff"}),
        ("background.upload", {"background": {"upload": "https://example.com/a.png"}}),
        ("background.fit", {"background": {**UPLOAD, "fit": "cover"}}),
        ("crop", {"crop": "yes"}),
        ("margin", {"margin": -1}),
        ("margin", {"margin": 2001}),
        ("margin", {"margin": "5"}),
        ("margin", {"margin": "46%"}),
        ("margin", {"margin": True}),
        ("margin", {"margin": 1.5}),
        ("margin", {"margin": 50, "size": 100}),
        ("size", {"size": 0}),
        ("size", {"size": 10_001}),
        ("size", {"size": [100, 20_000]}),
        ("size", {"size": [100]}),
        ("size", {"size": "100x100"}),
        ("size", {"size": [True, 5]}),
        ("size", {"size": True}),
        ("align", {"align": "middle"}),
        ("scale", {"scale": 0}),
        ("scale", {"scale": 1.01}),
        ("scale", {"scale": "90%"}),
        ("scale", {"scale": 0.5, "crop": True}),
        ("upscale", {"upscale": 2}),
        ("shadow", {"shadow": True}),
        ("shadow", {"type": "mask", "shadow": {}}),
        ("shadow.opacity", {"shadow": {"opacity": 1.5}}),
        ("shadow.softness", {"shadow": {"softness": 0}}),
        ("shadow.offset", {"shadow": {"offset": 0.6}}),
        ("shadow.blur", {"shadow": {"blur": 3}}),
        ("keep_metadata", {"keep_metadata": "gps"}),
        ("keep_metadata", {"format": "zip", "keep_metadata": True}),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(field: str, output: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        asked(**output)
    assert [item.field for item in invalid(caught.value).fields] == [f"output.{field}"]


def test_a_preset_fills_what_was_left_out() -> None:
    output, look = asked(preset="google", margin=3), presets()["google"].look
    assert (output.format, output.background) == (look.format, look.background)
    assert (output.scale, output.margin, output.size) == (look.scale, 3, None)


def test_what_was_said_outweighs_the_preset() -> None:
    output = asked(preset="amazon", format="png", background="transparent", scale=None)
    assert (output.format, output.background, output.scale) == ("png", "transparent", None)


@pytest.mark.parametrize(
    "output",
    [
        {"preset": "amazon"},
        # Equal to the field's own default, and yet said: not the preset's.
        {"preset": "amazon", "format": "png", "background": "transparent", "scale": None},
        {"size": [300, 200], "margin": "2.5%", "shadow": {"offset": 0.1}, "background": UPLOAD},
        {"type": "mask", "crop": True, "clean": False},
    ],
)
def test_a_record_gives_back_what_was_asked(output: dict[str, Any]) -> None:
    request = JobRequest.model_validate_json(json.dumps({"output": output}), strict=True)
    job = Job(id="job_" + "0" * 24, tenant="t", request=request, input_id="i", base_url="http://x")
    assert JobRequest.model_validate_json(job.to_fields()["request"]) == request


def test_one_number_is_a_square() -> None:
    assert asked(size=300).size == (300, 300)


@pytest.mark.parametrize("backdrop", [None, UPLOAD["upload"]])
def test_an_archived_job_still_names_its_backdrop(backdrop: str | None) -> None:
    """As the script `archived_name` writes it, for erase to count it down."""
    name = "/".join(filter(None, ["shop", "jobs", "job_1", "2", "inp_1", backdrop]))
    fields = Remains.parse(name).to_fields()
    wanted = {"tenant": "shop", "input": "inp_1", "claims": "2"}
    assert fields == wanted | ({"backdrop": backdrop} if backdrop else {})
