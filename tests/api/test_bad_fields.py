"""Invalid prompts, fields and URLs are refused with the field's name (DESIGN 8)."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest
from PIL import Image

from tests.api.asking import URL, post_body
from tests.api.conftest import (
    OTHER,
    Client,
    MakeClient,
    accepted,
    assert_problem,
    submit,
)

#: Addresses this service must never be made to connect to, in every literal notation.
FORBIDDEN = [
    "http://127.0.0.1/",
    "http://127.0.0.1:6379/",
    "http://10.1.2.3/a.jpg",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://0.0.0.0/",
    "http://169.254.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://user:secret@example.com/",
]


NOT_URLS = ["ftp://example.com/a", "file:///etc/passwd", "example.com/a.jpg", "http://", "", "//x"]


def post_text(client: Client, text: str | bytes, content_type: str = "application/json") -> Any:
    return client.post("/v1/jobs", data=text, content_type=content_type)


#: The sample is 600 × 400.
PROMPTS: list[tuple[str, str]] = [
    ('{"points": [[600, 10]]}', "prompt.points.0"),
    ('{"points": [[1, 1], [10, 400]]}', "prompt.points.1"),
    ('{"points": [[1e6, 1]]}', "prompt.points.0"),
    ('{"points": [[1e7, 1]]}', "prompt.points.0.0"),
    ('{"points": [[NaN, 1]]}', "prompt.points.0.0"),
    ('{"points": [[1, Infinity]]}', "prompt.points.0.1"),
    ('{"points": [[1, 1e999]]}', "prompt.points.0.1"),
    ('{"points": [[-1, 1]]}', "prompt.points.0.0"),
    ('{"points": [[1, -0.001]]}', "prompt.points.0.1"),
    ('{"points": [[1]]}', "prompt.points.0.1"),
    ('{"points": [[1, 2, 3]]}', "prompt.points.0"),
    ('{"points": [1, 2]}', "prompt.points.0"),
    ('{"points": {"x": 1}}', "prompt.points"),
    ('{"points": "1,2"}', "prompt.points"),
    ('{"points": null}', "prompt.points"),
    ('{"points": [["1", 2]]}', "prompt.points.0.0"),
    ('{"points": [[true, 2]]}', "prompt.points.0.0"),
    ('{"points": [[null, 2]]}', "prompt.points.0.0"),
    ('{"points": [[1, 1]], "labels": [1, 0]}', "prompt.labels"),
    ('{"points": [[1, 1], [2, 2]], "labels": [1]}', "prompt.labels"),
    ('{"labels": [1]}', "prompt.labels"),
    ('{"points": [[1, 1]], "labels": [2]}', "prompt.labels.0"),
    ('{"points": [[1, 1]], "labels": ["1"]}', "prompt.labels.0"),
    ('{"box": [100, 100, 50, 200]}', "prompt.box"),
    ('{"box": [100, 200, 150, 100]}', "prompt.box"),
    ('{"box": [100, 100, 100, 200]}', "prompt.box"),
    ('{"box": [10, 10, 601, 20]}', "prompt.box"),
    ('{"box": [10, 10, 20, 401]}', "prompt.box"),
    ('{"box": [600, 10, 700, 20]}', "prompt.box"),
    ('{"box": [10, 10, 20]}', "prompt.box.3"),
    ('{"box": [10, 10, 20, 20, 20]}', "prompt.box"),
    ('{"box": [10, 10, 20, NaN]}', "prompt.box.3"),
    ('{"box": [10, 10, "20", 20]}', "prompt.box.2"),
    ('{"mask": "job_nope"}', "prompt.mask"),
    ('{"mask": "../../etc"}', "prompt.mask"),
    ('{"pionts": [[1, 1]]}', "prompt.pionts"),
    ("[]", "prompt"),
    ("null", "prompt"),
]


@pytest.mark.usefixtures("nothing_left")
class TestPrompts:
    @pytest.mark.parametrize(("prompt", "field"), PROMPTS, ids=[prompt for prompt, _ in PROMPTS])
    def test_an_invalid_prompt_is_named(
        self, client: Client, sample: bytes, prompt: str, field: str
    ) -> None:
        response = submit(client, sample, job=f'{{"prompt": {prompt}}}')
        assert_problem(response, 422, "invalid_request", field)

    @pytest.mark.parametrize(
        ("prompt", "field"),
        [
            ({"points": [[1.5, 2.5]] * 10**6}, "prompt.points"),
            ({"points": [[-1, 1]] * 10**6}, "prompt.points.0.0"),
            ({"points": [[1, 1]] * 257}, "prompt.points"),
            ({"labels": [1] * 10**6}, "prompt.labels"),
            ({"labels": [7] * 10**6}, "prompt.labels.0"),
            ({"box": [1] * 10**6}, "prompt.box"),
        ],
        ids=["points", "wrong points", "257 points", "labels", "wrong labels", "box"],
    )
    def test_a_million_entries_are_refused_fast(
        self, client: Client, sample: bytes, prompt: object, field: str
    ) -> None:
        job = json.dumps({"prompt": prompt})
        begun = time.monotonic()
        response = submit(client, sample, job=job)
        taken = time.monotonic() - begun
        assert_problem(response, 422, "invalid_request", field)
        assert taken < 20  # reporting each of them would take half a minute
        assert len(response.data) < 1000

    def test_several_wrong_fields_are_all_named(self, client: Client, sample: bytes) -> None:
        job = {"prompt": {"points": [[1, -1]], "box": [1, 2, 3]}, "priority": "now"}
        response = submit(client, sample, job=job)
        assert response.status_code == 422
        named = [item["field"] for item in response.json["errors"]]
        assert named == ["prompt.points.0.1", "prompt.box.3", "priority"]
        assert "and 2 more" in response.json["detail"]

    def test_the_error_does_not_repeat_the_input(self, client: Client, sample: bytes) -> None:
        response = submit(client, sample, job={"webhook": {"url": "not a secret-token"}})
        assert response.status_code == 422
        assert b"secret-token" not in response.data


class TestPromptEdges:
    @pytest.mark.parametrize(
        "prompt",
        [
            {"points": [[0, 0], [599.5, 399.5]], "labels": [1, 0]},
            {"box": [0, 0, 600, 400]},
            {"points": [[1, 1]] * 256},
        ],
        ids=["corners", "whole", "256 points"],
    )
    def test_prompts_at_the_limits_are_accepted(
        self, client: Client, sample: bytes, prompt: object
    ) -> None:
        accepted(submit(client, sample, job={"prompt": prompt}))

    def test_a_point_refers_to_the_photo_as_displayed(self, client: Client) -> None:
        turned = _turned_jpeg(80, 40)
        assert_problem(
            submit(client, turned, job={"prompt": {"points": [[60, 10]]}}),
            *(422, "invalid_request", "prompt.points.0"),
        )
        accepted(submit(client, turned, job={"prompt": {"points": [[10, 60]]}}))


def _turned_jpeg(width: int, height: int) -> bytes:
    """A JPEG stored as `width` × `height` and displayed the other way round."""
    image = Image.new("RGB", (width, height))
    exif = image.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif)
    return file.getvalue()


#: Fields with a wrong value, a typo, or of features not built yet.
FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"promt": {}}, "promt"),
    ({"Prompt": {}}, "Prompt"),
    ({"image": "data:image/png;base64,"}, "image"),
    ({"output": {"edge": "sharp"}}, "output.edge"),
    ({"output": {"size": [100, 0]}}, "output.size"),
    ({"output": {"crop": 1}}, "output.crop"),
    ({"output": {"margin": 0.1}}, "output.margin"),
    ({"output": {"align": "centre"}}, "output.align"),
    ({"output": {"preset": "amazone"}}, "output.preset"),
    ({"output": {"format": "gif"}}, "output.format"),
    ({"output": {"format": "PNG"}}, "output.format"),
    ({"output": {"type": "both"}}, "output.type"),
    ({"output": {"background": "red"}}, "output.background"),
    ({"output": {"background": "#fff"}}, "output.background"),
    ({"output": {"format": "jpeg"}}, "output.background"),
    ({"output": {"type": "mask", "background": "#ffffff"}}, "output.background"),
    ({"batch": "b"}, "batch"),
    ({"priority": "urgent"}, "priority"),
    ({"priority": 1}, "priority"),
    ({"model": 1}, "model"),
    ({"model": "x" * 65}, "model"),
    ({"metadata": "x"}, "metadata"),
    ({"metadata": None}, "metadata"),
    ({"webhook": "https://example.com/"}, "webhook"),
    ({"webhook": {}}, "webhook.url"),
    ({"webhook": {"url": URL, "events": []}}, "webhook.events"),
    ({"webhook": {"url": URL, "events": ["job.done"]}}, "webhook.events.0"),
    ({"webhook": {"url": URL, "events": ["x"] * 10**6}}, "webhook.events.0"),
    ({"webhook": {"url": URL, "secret": "s"}}, "webhook.secret"),
    ({"webhook": {"url": "https://example.com/" + "x" * 2048}}, "webhook.url"),
    ({"upload": "inp_1"}, "upload"),
    ({"job": "job_1"}, "job"),
    ({"render": "latest"}, "render"),
    ({"url": 1}, "url"),
]


@pytest.mark.usefixtures("nothing_left")
class TestFields:
    @pytest.mark.parametrize(("job", "field"), FIELDS, ids=[f"{job!s:.60}" for job, _ in FIELDS])
    def test_an_invalid_or_unknown_field_is_named(
        self, client: Client, sample: bytes, job: dict[str, Any], field: str
    ) -> None:
        assert_problem(submit(client, sample, job=job), 422, "invalid_request", field)

    def test_metadata_with_nan_is_refused(self, client: Client, sample: bytes) -> None:
        response = submit(client, sample, job='{"metadata": {"a": NaN}}')
        assert_problem(response, 422, "invalid_request", "metadata")
        assert response.json["errors"][0]["message"].startswith("must be plain JSON")

    def test_a_million_unknown_fields_are_counted_fast(self, client: Client) -> None:
        job = json.dumps({f"k{n}": 1 for n in range(10**6)})
        begun = time.monotonic()
        response = post_text(client, job)
        taken = time.monotonic() - begun
        assert_problem(response, 422, "invalid_request", "body")
        assert taken < 4
        assert len(response.data) < 1000

    def test_a_long_unknown_field_name_is_shortened(self, client: Client) -> None:
        response = post_body(client, {"k" * 10**6: 1})
        assert response.status_code == 422
        assert len(response.data) < 1000

    @pytest.mark.parametrize("text", ["", "{", "nope", '{"a": 1,}', b"\xff\xfe", "[" * 10**5])
    def test_what_is_not_json_is_malformed(self, client: Client, text: str | bytes) -> None:
        assert_problem(post_text(client, text), 400, "malformed_request")

    def test_a_job_part_that_is_not_json_is_malformed(self, client: Client, sample: bytes) -> None:
        assert_problem(submit(client, sample, job="{points}"), 400, "malformed_request")

    @pytest.mark.parametrize("text", ["[]", "null", "1", '"{}"'])
    def test_json_that_is_not_an_object_is_refused(self, client: Client, text: str) -> None:
        assert_problem(post_text(client, text), 422, "invalid_request", "body")

    @pytest.mark.parametrize(
        "content_type", ["", "text/plain", "image/png", "application/x-www-form-urlencoded"]
    )
    def test_another_content_type_is_malformed(self, client: Client, content_type: str) -> None:
        assert_problem(post_text(client, "{}", content_type), 400, "malformed_request")

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("multipart/form-data", b"--x\r\n\r\n--x--"),
            ("multipart/form-data; boundary=x", b""),
            ("multipart/form-data; boundary=x", b"--y\r\n"),
            ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="i'),
        ],
        ids=["no boundary", "empty", "another boundary", "cut short"],
    )
    def test_empty_multipart_is_refused_for_its_missing_image(
        self, client: Client, content_type: str, body: bytes
    ) -> None:
        response = post_text(client, body, content_type)
        assert_problem(response, 422, "invalid_request", "image")

    def test_an_oversized_json_body_is_not_read(self, client: Client) -> None:
        response = post_text(client, b" " * (16 * 1024 * 1024 + 1))
        assert_problem(response, 413, "request_entity_too_large")

    def test_an_oversized_job_part_is_refused(self, client: Client, sample: bytes) -> None:
        response = submit(client, sample, job=" " * (16 * 1024 * 1024 + 1))
        assert_problem(response, 413, "request_entity_too_large")


@pytest.mark.usefixtures("nothing_left")
class TestUrls:
    @pytest.mark.parametrize("url", [*FORBIDDEN, *NOT_URLS])
    def test_a_photo_url_with_a_forbidden_address_is_refused(
        self, client: Client, url: str
    ) -> None:
        assert_problem(post_body(client, {"url": url}), 422, "invalid_request", "url")

    @pytest.mark.parametrize("url", [*FORBIDDEN, *NOT_URLS])
    def test_a_webhook_url_with_a_forbidden_address_is_refused(
        self, client: Client, sample: bytes, url: str
    ) -> None:
        response = submit(client, sample, job={"webhook": {"url": url}})
        assert_problem(response, 422, "invalid_request", "webhook.url")

    def test_an_error_reveals_nothing_about_the_private_network(self, client: Client) -> None:
        details = {post_body(client, {"url": url}).json["detail"] for url in FORBIDDEN[:9]}
        assert details == {"url: Connecting to that address is not allowed."}

    def test_a_webhook_without_a_signing_secret_is_refused(
        self, make_client: MakeClient, sample: bytes
    ) -> None:
        client = make_client(webhook_secrets="")
        response = submit(client, sample, job={"webhook": {"url": "https://example.com/"}})
        assert_problem(response, 422, "invalid_request", "webhook")
        assert "no signing secret" in response.json["detail"]

    def test_another_tenants_signing_secret_does_not_count(
        self, keyed: Client, sample: bytes
    ) -> None:
        job = {"webhook": {"url": "https://example.com/"}}
        response = submit(keyed, sample, job=job, headers=OTHER)
        assert_problem(response, 422, "invalid_request", "webhook")


class TestAllowedNetworks:
    def test_an_allowed_network_is_accepted(self, make_client: MakeClient) -> None:
        client = make_client(allow_networks="10.0.0.0/8")
        accepted(post_body(client, {"url": "http://10.1.2.3/a.jpg"}))
        assert_problem(
            post_body(client, {"url": "http://192.168.1.1/"}), 422, "invalid_request", "url"
        )
