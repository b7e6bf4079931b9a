"""A small photo never makes a large canvas: what its margin, size or preset adds is limited."""

from __future__ import annotations

import contextlib
import http.server
import io
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import assume, given, settings
from PIL import Image
from pydantic import ValidationError

from nukki import Client
from nukki import InvalidRequest as BadRequest
from shared.errors import InvalidRequest
from shared.presets import presets
from shared.schema import Align, Output, OutputFormat
from shared.schema.extent import most_pixels, require_possible
from shared.schema.weight import Sizes, weight
from tests.integration.conftest import ended, running, simulation, until
from worker.framing.layout import plan

LIMIT = 1_000_000

sides = st.one_of(st.integers(1, 3_000), st.sampled_from([1, 2, 9_999, 20_000, 70_000]))
photos = st.tuples(sides, sides)
margins = st.one_of(
    st.integers(0, 2_000), st.decimals(0, 45, places=2).map(lambda share: f"{share}%")
)


@st.composite
def outputs(draw: st.DrawFn) -> Output:
    """Any `output` that the schema accepts."""
    given_fields: dict[str, Any] = {
        "margin": draw(margins),
        "crop": draw(st.booleans()),
        "upscale": draw(st.booleans()),
        "align": draw(st.sampled_from(Align)),
        "format": draw(st.sampled_from(OutputFormat)),
        "background": draw(st.sampled_from(["transparent", "#ffffff"])),
        "type": draw(st.sampled_from(["cutout", "mask"])),
    }
    given_fields |= draw(st.sampled_from([{}, {"preset": draw(st.sampled_from([*presets()]))}]))
    given_fields |= draw(st.sampled_from([{}, {"size": draw(st.tuples(sides, sides))}]))
    given_fields |= draw(st.sampled_from([{}, {"scale": draw(st.floats(0.01, 1))}]))
    try:
        return Output.model_validate(given_fields)
    except ValueError:
        assume(False)
        raise


@st.composite
def boxes(draw: st.DrawFn, photo: tuple[int, int]) -> tuple[int, int, int, int]:
    x1, y1 = draw(st.integers(0, photo[0] - 1)), draw(st.integers(0, photo[1] - 1))
    x2, y2 = draw(st.integers(x1 + 1, photo[0])), draw(st.integers(y1 + 1, photo[1]))
    return x1, y1, x2, y2


@settings(max_examples=300, deadline=None)
@given(st.data(), photos, outputs())
def test_no_canvas_is_larger_than_what_was_counted(
    data: st.DataObject, photo: tuple[int, int], output: Output
) -> None:
    assume(photo[0] * photo[1] <= LIMIT)
    subject = data.draw(boxes(photo))
    try:
        require_possible(output, photo, LIMIT)
    except InvalidRequest:
        # What is refused before the subject is known cannot be made with any subject.
        with pytest.raises(InvalidRequest):
            plan(output, photo, subject, max_pixels=LIMIT)
        return
    require_possible(output, None, LIMIT)
    try:
        width, height = plan(output, photo, subject, max_pixels=LIMIT).canvas
    except InvalidRequest:
        assert output.crop or output.scale is not None
        return
    assert width * height <= most_pixels(output, photo, LIMIT) <= LIMIT
    assert most_pixels(output, photo, LIMIT) <= most_pixels(output, None, LIMIT)
    counted = weight(output, Sizes.of(output, photo, max_pixels=LIMIT))
    assert counted >= photo[0] * photo[1]
    assert 24 * counted >= 22 * width * height


def test_a_job_of_any_kind_fits_the_default_limit() -> None:
    """So that the memory that the README promises holds for a job that runs alone too."""
    most = 100_000_000
    backdrop = {"background": {"upload": "inp_" + "0" * 24}}
    fields: list[dict[str, Any]] = [{}, {"type": "mask"}, {"background": "#ffffff"}, backdrop]
    fields += [{"preset": "google"}, {"preset": "google", **backdrop}]
    weights = []
    for image_format, size, more in itertools.product(OutputFormat, ({}, {"size": 10_000}), fields):
        with contextlib.suppress(ValidationError):  # such as a transparent JPEG
            output = Output.model_validate({"format": image_format, **size, **more})
            weights.append(weight(output, Sizes(most, most, most if output.backdrop else 0)))
    assert len(weights) > 40
    assert max(weights) <= 200_000_000


def png(width: int, height: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(data, "PNG")
    return data.getvalue()


@contextmanager
def served(photo: bytes) -> Iterator[str]:
    """The URL of a photo on loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(photo)))
            self.end_headers()
            self.wfile.write(photo)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/photo.png"
        server.shutdown()


def test_the_refusal_is_the_same_before_and_during_the_job(tmp_path: Path) -> None:
    """At submit where the photo is known; by the worker where it or its subject decides."""
    thin, photo = png(1, 3_000), png(600, 400)
    settings = {**simulation(seconds=0.01), "MAX_MEGAPIXELS": "1"}
    with running(tmp_path, **settings) as stack, Client(stack.url) as client, served(thin) as url:
        with pytest.raises(BadRequest, match=r"output\.margin: the result would be 801×3800"):
            client.submit(thin, output={"margin": 400})
        parent = client.wait(client.submit(thin), timeout=30)
        with pytest.raises(BadRequest, match=r"output\.margin: the result would be 801×3800"):
            client.submit(render=parent.id, output={"margin": 400})
        late = [
            client.submit(url=url, output={"margin": 400}),
            client.submit(photo, output={"margin": "45%", "crop": True}),
        ]
        for failed in until(lambda: ended(client, late)):
            assert (failed.status, failed.error.code) == ("failed", "invalid_request")
            assert failed.error.message.startswith("output.margin: the result would be ")
        client.wait(client.submit(photo, output={"margin": 100}), timeout=30)
