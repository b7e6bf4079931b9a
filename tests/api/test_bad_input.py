"""DESIGN section 8: what bad input gets, by its name, and that it leaves nothing behind."""

from __future__ import annotations

import io
import json
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import pytest
from PIL import Image

from api.keyring import Keyring
from api.problems import HTTP_STATUS
from shared import errors
from shared.errors import ConfigError, ServiceError, StorageUnavailable
from shared.job import Outcome, Status
from shared.queue.connection import PREFIX, Connection
from shared.queue.jobs import JobQueue
from shared.queue.leases import LeaseTable
from shared.settings import Settings
from shared.testing import MemoryStorage, RedisProcess
from tests.api.conftest import (
    KEYS,
    OTHER,
    SHOP,
    Client,
    Finish,
    MakeClient,
    accepted,
    assert_problem,
    claimed,
    meanwhile,
    noted,
    records,
    submit,
)

NOBODY = "job_" + "0" * 24
URL = "https://example.com/photo.jpg"
#: Addresses that nobody outside may make this service connect to, as literals of every kind.
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


def post(client: Client, job: object, **kwargs: Any) -> Any:
    return client.post("/v1/jobs", json=job, **kwargs)


def post_text(client: Client, text: str | bytes, content_type: str = "application/json") -> Any:
    return client.post("/v1/jobs", data=text, content_type=content_type)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims this size, with a few pixels to show for it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">L", len(data)) + body + struct.pack(">L", zlib.crc32(body))

    header = struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 64))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.mark.usefixtures("nothing_left")
class TestFiles:
    @pytest.mark.parametrize(
        ("file", "name"),
        [
            (b"<!DOCTYPE html><html><body>404</body></html>", "HTML"),
            (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
            (b"%PDF-1.7\n1 0 obj", "PDF"),
            (b"PK\x03\x04" + bytes(40), "ZIP"),
            (b'{"error": "not found"}', "JSON"),
            (b"a plain letter to the editor", "Text"),
            (bytes(4096), "This file's format"),
        ],
    )
    def test_what_is_no_image_is_named(self, client: Client, file: bytes, name: str) -> None:
        response = submit(client, file, filename="photo.jpg")
        assert_problem(response, 415, "image_unsupported")
        assert response.json["detail"].startswith(name)

    def test_an_empty_file_is_refused(self, client: Client) -> None:
        response = submit(client, b"")
        assert_problem(response, 422, "image_invalid")
        assert "empty" in response.json["detail"]

    @pytest.mark.parametrize("length", [1, 8, 11, 20, 32])
    def test_a_header_cut_short_is_refused(
        self, client: Client, sample: bytes, length: int
    ) -> None:
        response = submit(client, sample[:length])
        assert_problem(response, 422, "image_invalid")
        assert "cut short" in response.json["detail"]

    def test_a_file_with_too_many_bytes_is_refused(
        self, make_client: MakeClient, sample: bytes
    ) -> None:
        client = make_client(max_bytes=len(sample) - 1)
        response = submit(client, sample)
        assert_problem(response, 413, "image_too_large")
        assert f"{len(sample):,} bytes" in response.json["detail"]

    def test_a_body_beyond_all_measure_is_not_even_read(
        self, make_client: MakeClient, sample: bytes
    ) -> None:
        client = make_client(max_bytes=1000)
        client.application.config["MAX_CONTENT_LENGTH"] = 2000
        assert_problem(submit(client, sample), 413, "request_entity_too_large")

    @pytest.mark.parametrize("size", [(10_001, 10_000), (1_000_000, 1_000), (2**31 - 1, 2**31 - 1)])
    def test_too_many_pixels_are_refused_by_the_header(
        self, client: Client, size: tuple[int, int]
    ) -> None:
        begun = time.monotonic()
        response = submit(client, png_header(*size))
        assert_problem(response, 413, "image_too_large")
        assert "megapixels" in response.json["detail"]
        assert time.monotonic() - begun < 0.5

    def test_an_image_without_pixels_is_refused(self, client: Client) -> None:
        assert_problem(submit(client, png_header(0, 10)), 422, "image_invalid")

    def test_an_image_that_is_text_is_refused(self, client: Client) -> None:
        data = {"image": "aGVsbG8="}
        response = client.post("/v1/jobs", data=data, content_type="multipart/form-data")
        assert_problem(response, 422, "invalid_request", "image")
        assert "filename" in response.json["detail"]

    def test_two_images_are_refused(self, client: Client, sample: bytes) -> None:
        data = {"image": [(io.BytesIO(sample), "a"), (io.BytesIO(sample), "b")]}
        response = client.post("/v1/jobs", data=data, content_type="multipart/form-data")
        assert_problem(response, 422, "invalid_request", "image")

    @pytest.mark.parametrize("part", ["photo", "file", "model"])
    def test_an_unknown_part_is_named(self, client: Client, sample: bytes, part: str) -> None:
        data = {"image": (io.BytesIO(sample), "a"), part: "x"}
        response = client.post("/v1/jobs", data=data, content_type="multipart/form-data")
        assert_problem(response, 422, "invalid_request", part)


class TestFileEdges:
    def test_a_hundred_megapixels_are_taken(self, client: Client) -> None:
        accepted(submit(client, png_header(10_000, 10_000)))

    def test_as_many_bytes_as_the_limit_are_taken(
        self, make_client: MakeClient, sample: bytes
    ) -> None:
        accepted(submit(make_client(max_bytes=len(sample)), sample))


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
    def test_what_does_not_fit_is_named(
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
    def test_a_million_of_anything_is_refused_fast(
        self, client: Client, sample: bytes, prompt: object, field: str
    ) -> None:
        job = json.dumps({"prompt": prompt})
        begun = time.monotonic()
        response = submit(client, sample, job=job)
        taken = time.monotonic() - begun
        assert_problem(response, 422, "invalid_request", field)
        assert taken < 20  # half a minute, were each of them told of
        assert len(response.data) < 1000

    def test_several_wrong_fields_are_all_named(self, client: Client, sample: bytes) -> None:
        job = {"prompt": {"points": [[1, -1]], "box": [1, 2, 3]}, "priority": "now"}
        response = submit(client, sample, job=job)
        assert response.status_code == 422
        named = [item["field"] for item in response.json["errors"]]
        assert named == ["prompt.points.0.1", "prompt.box.3", "priority"]
        assert "and 2 more" in response.json["detail"]

    def test_what_was_sent_is_not_repeated(self, client: Client, sample: bytes) -> None:
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
    def test_what_just_fits_is_taken(self, client: Client, sample: bytes, prompt: object) -> None:
        accepted(submit(client, sample, job={"prompt": prompt}))

    def test_a_point_is_in_the_photo_as_displayed(self, client: Client) -> None:
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


#: Fields with a wrong value, with a typo, or of issues that are not built yet.
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
    def test_a_field_that_is_wrong_or_unknown_is_named(
        self, client: Client, sample: bytes, job: dict[str, Any], field: str
    ) -> None:
        assert_problem(submit(client, sample, job=job), 422, "invalid_request", field)

    def test_metadata_that_json_cannot_say_is_refused(self, client: Client, sample: bytes) -> None:
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

    def test_a_long_unknown_name_is_not_repeated_whole(self, client: Client) -> None:
        response = post(client, {"k" * 10**6: 1})
        assert response.status_code == 422
        assert len(response.data) < 1000

    @pytest.mark.parametrize("text", ["", "{", "nope", '{"a": 1,}', b"\xff\xfe", "[" * 10**5])
    def test_what_is_not_json_is_malformed(self, client: Client, text: str | bytes) -> None:
        assert_problem(post_text(client, text), 400, "malformed_request")

    def test_a_job_part_that_is_not_json_is_malformed(self, client: Client, sample: bytes) -> None:
        assert_problem(submit(client, sample, job="{points}"), 400, "malformed_request")

    @pytest.mark.parametrize("text", ["[]", "null", "1", '"{}"'])
    def test_json_that_is_no_object_is_refused(self, client: Client, text: str) -> None:
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
    def test_multipart_that_holds_nothing_gives_no_image(
        self, client: Client, content_type: str, body: bytes
    ) -> None:
        response = post_text(client, body, content_type)
        assert_problem(response, 422, "invalid_request", "image")

    def test_json_beyond_all_measure_is_not_even_read(self, client: Client) -> None:
        response = post_text(client, b" " * (16 * 1024 * 1024 + 1))
        assert_problem(response, 413, "request_entity_too_large")

    def test_a_job_part_beyond_all_measure_is_refused(self, client: Client, sample: bytes) -> None:
        response = submit(client, sample, job=" " * (16 * 1024 * 1024 + 1))
        assert_problem(response, 413, "request_entity_too_large")


@pytest.mark.usefixtures("nothing_left")
class TestUrls:
    @pytest.mark.parametrize("url", [*FORBIDDEN, *NOT_URLS])
    def test_a_photos_url_that_may_not_be_followed_is_refused(
        self, client: Client, url: str
    ) -> None:
        assert_problem(post(client, {"url": url}), 422, "invalid_request", "url")

    @pytest.mark.parametrize("url", [*FORBIDDEN, *NOT_URLS])
    def test_a_webhooks_url_that_may_not_be_followed_is_refused(
        self, client: Client, sample: bytes, url: str
    ) -> None:
        response = submit(client, sample, job={"webhook": {"url": url}})
        assert_problem(response, 422, "invalid_request", "webhook.url")

    def test_an_answer_does_not_map_the_private_network(self, client: Client) -> None:
        details = {post(client, {"url": url}).json["detail"] for url in FORBIDDEN[:9]}
        assert details == {"url: That address may not be connected to."}

    def test_a_webhook_without_a_signing_secret_is_refused(
        self, make_client: MakeClient, sample: bytes
    ) -> None:
        client = make_client(webhook_secrets="")
        response = submit(client, sample, job={"webhook": {"url": "https://example.com/"}})
        assert_problem(response, 422, "invalid_request", "webhook")
        assert "no signing secret" in response.json["detail"]

    def test_another_tenants_secret_signs_nothing_for_this_one(
        self, keyed: Client, sample: bytes
    ) -> None:
        job = {"webhook": {"url": "https://example.com/"}}
        response = submit(keyed, sample, job=job, headers=OTHER)
        assert_problem(response, 422, "invalid_request", "webhook")


class TestAllowedNetworks:
    def test_a_network_that_is_allowed_may_be_named(self, make_client: MakeClient) -> None:
        client = make_client(allow_networks="10.0.0.0/8")
        accepted(post(client, {"url": "http://10.1.2.3/a.jpg"}))
        assert_problem(post(client, {"url": "http://192.168.1.1/"}), 422, "invalid_request", "url")


#: Every call that wants a key.
CALLS = [
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs"),
    ("GET", f"/v1/jobs/{NOBODY}"),
    ("GET", f"/v1/jobs/{NOBODY}/result"),
    ("GET", f"/v1/jobs/{NOBODY}/mask"),
    ("POST", f"/v1/jobs/{NOBODY}/cancel"),
    ("DELETE", f"/v1/jobs/{NOBODY}"),
    ("POST", "/v1/uploads"),
    ("GET", "/v1/models"),
    ("POST", "/background-removal/remove"),
]
JOB_CALLS = [call for call in CALLS if NOBODY in call[1]]


class Unreadable(io.BytesIO):
    """A body that must not be read."""

    def read(self, _size: int | None = -1, /) -> bytes:
        raise AssertionError("the body was read")

    def readline(self, _size: int | None = -1, /) -> bytes:
        raise AssertionError("the body was read")


@pytest.mark.usefixtures("nothing_left")
class TestKeys:
    @pytest.mark.parametrize(("method", "path"), CALLS)
    def test_no_key_is_unauthorized(self, keyed: Client, method: str, path: str) -> None:
        response = keyed.open(path, method=method)
        assert_problem(response, 401, "unauthorized")
        assert response.headers["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize(("method", "path"), CALLS)
    def test_a_wrong_key_is_unauthorized(self, keyed: Client, method: str, path: str) -> None:
        response = keyed.open(path, method=method, headers={"X-Api-Key": "shop-key-012345678"})
        assert_problem(response, 401, "unauthorized")
        assert b"shop-key" not in response.data

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-Api-Key": ""},
            {"X-Api-Key": "é" * 20},
            {"Authorization": ""},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer "},
            {"Authorization": "Basic c2hvcDpzaG9wLWtleS0wMTIzNDU2Nzg5"},
            {"Authorization": "shop-key-0123456789"},
            {"Authorization": "Basic shop-key-0123456789"},
            {"Cookie": "X-Api-Key=shop-key-0123456789"},
        ],
        ids=str,
    )
    def test_what_is_no_key_is_unauthorized(self, keyed: Client, headers: dict[str, str]) -> None:
        assert_problem(keyed.get("/v1/jobs", headers=headers), 401, "unauthorized")

    def test_a_key_in_the_address_is_unauthorized(self, keyed: Client) -> None:
        response = keyed.get("/v1/jobs?X-Api-Key=shop-key-0123456789")
        assert_problem(response, 401, "unauthorized")

    @pytest.mark.parametrize(
        "headers",
        [
            SHOP,
            {"Authorization": "Bearer shop-key-0123456789"},
            {"Authorization": "bearer  shop-key-0123456789"},
        ],
        ids=str,
    )
    def test_either_header_is_taken(self, keyed: Client, headers: dict[str, str]) -> None:
        assert keyed.get("/v1/jobs", headers=headers).status_code == 200

    def test_without_a_key_the_body_is_not_read(self, keyed: Client) -> None:
        body = Unreadable(b"--x--" * 200)
        kind = "multipart/form-data; boundary=x"
        response = keyed.post("/v1/jobs", input_stream=body, content_length=1000, content_type=kind)
        assert_problem(response, 401, "unauthorized")

    def test_a_tenant_may_have_two_keys(self, make_client: MakeClient) -> None:
        client = make_client(api_keys=KEYS + ",shop:the-next-key-0123456789")
        for key in ("shop-key-0123456789", "the-next-key-0123456789"):
            assert client.get("/v1/jobs", headers={"X-Api-Key": key}).status_code == 200

    @pytest.mark.parametrize("path", ["/health/live", "/openapi.json", "/docs", "/redoc"])
    def test_what_is_public_needs_no_key(self, keyed: Client, path: str) -> None:
        assert keyed.get(path).status_code == 200


class TestTenants:
    @pytest.mark.parametrize("call", JOB_CALLS, ids=" ".join)
    def test_another_tenants_job_is_not_found(
        self, keyed: Client, sample: bytes, call: tuple[str, str], jobs: JobQueue
    ) -> None:
        method, path = call
        job_id = accepted(submit(keyed, sample, headers=SHOP))
        response = keyed.open(path.replace(NOBODY, job_id), method=method, headers=OTHER)
        assert_problem(response, 404, "not_found")
        assert jobs.get(job_id).status == "queued"

    def test_another_tenants_job_looks_like_none_at_all(self, keyed: Client, sample: bytes) -> None:
        job_id = accepted(submit(keyed, sample, headers=SHOP))
        theirs = keyed.get(f"/v1/jobs/{job_id}", headers=OTHER)
        nobodys = keyed.get(f"/v1/jobs/{NOBODY}", headers=OTHER)
        assert theirs.json["detail"].replace(job_id, NOBODY) == nobodys.json["detail"]

    def test_another_tenants_upload_is_not_found(self, keyed: Client, sample: bytes) -> None:
        made = keyed.post("/v1/uploads", json={"bytes": len(sample)}, headers=SHOP).json
        keyed.put(made["url"], data=sample)
        response = post(keyed, {"upload": made["id"]}, headers=OTHER)
        assert_problem(response, 404, "not_found")

    def test_another_tenants_mask_is_not_found(
        self, keyed: Client, sample: bytes, finish: Finish
    ) -> None:
        job_id = accepted(submit(keyed, sample, headers=SHOP))
        finish(job_id)
        response = submit(keyed, sample, job={"prompt": {"mask": job_id}}, headers=OTHER)
        assert_problem(response, 404, "not_found")

    def test_a_photo_lies_in_its_tenants_folder(
        self, keyed: Client, sample: bytes, storage: MemoryStorage
    ) -> None:
        accepted(submit(keyed, sample, headers=SHOP))
        (key,) = storage.objects
        assert key.startswith("shop/inputs/")


class TestStart:
    def test_a_short_key_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="of shop is shorter than 16") as caught:
            Keyring([("shop", "secret-15-chars")])
        assert "secret-15" not in str(caught.value)

    def test_an_entry_without_a_tenant_is_refused_by_its_place(self) -> None:
        with pytest.raises(ConfigError, match="entry 2") as caught:
            Settings.load(api_keys="shop:shop-key-0123456789,other-key-0123456789")
        assert "key-01" not in str(caught.value)

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "nukki.example.com"])
    def test_serving_other_machines_without_keys_is_refused(self, host: str) -> None:
        with pytest.raises(ConfigError, match="NUKKI_API_KEYS"):
            Settings.load().require_keys(host)

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
    def test_loopback_needs_no_keys(self, host: str) -> None:
        Settings.load().require_keys(host)

    def test_with_keys_every_host_is_served(self) -> None:
        Settings.load(api_keys=KEYS).require_keys("0.0.0.0")


@pytest.mark.usefixtures("nothing_left")
class TestRouting:
    @pytest.mark.parametrize("path", ["/nope", "/v1", "/v1/batches", "/v1/jobs/", "/v1/jobs/a/b/c"])
    def test_an_unknown_address_is_a_problem(self, client: Client, path: str) -> None:
        assert_problem(client.get(path), 404, "not_found")

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PUT", "/v1/jobs", {"GET", "HEAD", "OPTIONS", "POST"}),
            ("PATCH", f"/v1/jobs/{NOBODY}", {"DELETE", "GET", "HEAD", "OPTIONS"}),
            ("GET", "/background-removal/remove", {"OPTIONS", "POST"}),
        ],
    )
    def test_another_method_is_a_problem(
        self, client: Client, method: str, path: str, allowed: set[str]
    ) -> None:
        response = client.open(path, method=method)
        assert_problem(response, 405, "method_not_allowed")
        assert set(response.headers["Allow"].split(", ")) == allowed

    @pytest.mark.parametrize(
        "job_id", ["1", "job_" + "0" * 23, "job_" + "g" * 24, "inp_" + "0" * 24]
    )
    @pytest.mark.parametrize(
        ("method", "path"), [("GET", ""), ("DELETE", ""), ("GET", "/mask"), ("POST", "/cancel")]
    )
    def test_what_is_no_jobs_id_is_not_found(
        self, client: Client, job_id: str, method: str, path: str
    ) -> None:
        response = client.open(f"/v1/jobs/{job_id}{path}", method=method)
        assert_problem(response, 404, "not_found")

    def test_what_nobody_thought_of_says_nothing_of_the_inside(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("the password is swordfish")

        monkeypatch.setattr(JobQueue, "page", broken)
        client.application.config["PROPAGATE_EXCEPTIONS"] = False
        response = client.get("/v1/jobs", headers={"X-Request-Id": "look-here"})
        assert_problem(response, 500, "internal")
        assert b"swordfish" not in response.data
        (record,) = [record for record in caplog.records if record.exc_info]
        assert record.__dict__["request_id"] == "look-here"


def _all_errors(root: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for error in root.__subclasses__():
        if error.__module__ == errors.__name__:  # the stack's own never meet a request
            yield error
            yield from _all_errors(error)


class TestErrorTable:
    def test_every_error_that_can_reach_a_caller_is_mapped(self) -> None:
        inside = {errors.LeaseLost, errors.ConfigError, errors.CheckpointError}
        leaves = {error for error in _all_errors(ServiceError) if not error.__subclasses__()}
        assert set(HTTP_STATUS) == leaves - inside

    def test_what_may_succeed_later_is_never_the_callers_fault(self) -> None:
        later = {HTTP_STATUS[error] for error in HTTP_STATUS if error.retryable}
        assert all(status >= 500 or status == 429 for status in later)


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The URL of a Redis that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@pytest.fixture(params=["killed", "hanging"])
def dead_redis(request: pytest.FixtureRequest) -> str:
    """The URL of a Redis that is gone, and of one that does not answer."""
    if request.param == "hanging":
        return str(request.getfixturevalue("black_hole"))
    redis: RedisProcess = request.getfixturevalue("own_redis")
    redis.kill()
    return redis.url


class TestRedisDown:
    @pytest.mark.parametrize("call", ["submit", "get", "list"])
    def test_it_is_said_within_two_seconds(
        self, make_client: MakeClient, sample: bytes, dead_redis: str, call: str
    ) -> None:
        client = make_client(redis_url=dead_redis)
        begun = time.monotonic()
        response = _call(client, call, sample)
        taken = time.monotonic() - begun
        assert_problem(response, 503, "queue_unavailable")
        assert taken < 2

    @pytest.mark.parametrize("call", ["submit with a key", "cancel", "erase"])
    def test_every_other_call_says_it_too(
        self, make_client: MakeClient, sample: bytes, own_redis: RedisProcess, call: str
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        own_redis.kill()
        assert_problem(_call(client, call, sample), 503, "queue_unavailable")

    @pytest.mark.usefixtures("nothing_left")
    def test_nothing_is_stored(
        self, make_client: MakeClient, sample: bytes, own_redis: RedisProcess
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        own_redis.kill()
        assert_problem(submit(client, sample), 503, "queue_unavailable")

    def test_bad_input_is_still_said_to_be_bad(
        self, make_client: MakeClient, sample: bytes, dead_redis: str
    ) -> None:
        client = make_client(redis_url=dead_redis)
        response = submit(client, sample, job={"prompt": {"box": [1, 2, 0, 4]}})
        assert_problem(response, 422, "invalid_request", "prompt.box")

    def test_it_works_again_as_soon_as_redis_does(
        self, make_client: MakeClient, sample: bytes, own_redis: RedisProcess
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        first = accepted(submit(client, sample))
        own_redis.kill()
        assert_problem(client.get(f"/v1/jobs/{first}"), 503, "queue_unavailable")
        own_redis.start()
        assert client.get(f"/v1/jobs/{first}").json["id"] == first
        accepted(submit(client, sample))

    def test_a_waiting_caller_is_told_too(
        self, make_client: MakeClient, sample: bytes, own_redis: RedisProcess
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        job_id = accepted(submit(client, sample))
        begun = time.monotonic()
        with meanwhile(own_redis.kill):
            response = client.get(f"/v1/jobs/{job_id}?wait=30")
        assert_problem(response, 503, "queue_unavailable")
        assert time.monotonic() - begun < 5


def _call(client: Client, call: str, sample: bytes) -> Any:
    if call == "submit":
        return submit(client, sample)
    if call == "submit with a key":
        return submit(client, sample, headers={"Idempotency-Key": "k"})
    path, method = {
        "get": (f"/v1/jobs/{NOBODY}", "GET"),
        "list": ("/v1/jobs", "GET"),
        "cancel": (f"/v1/jobs/{NOBODY}/cancel", "POST"),
        "erase": (f"/v1/jobs/{NOBODY}", "DELETE"),
    }[call]
    return client.open(path, method=method)


class TestRedisNearlyFull:
    def test_a_job_is_refused_and_nothing_is_stored(
        self,
        make_client: MakeClient,
        sample: bytes,
        own_redis: RedisProcess,
        storage: MemoryStorage,
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        _fill(own_redis, 0.9)
        response = submit(client, sample)
        assert_problem(response, 503, "queue_full")
        assert storage.objects == {}
        connection = Connection(own_redis.url)
        assert records(connection) == []
        connection.close()

    def test_a_running_job_can_still_finish(
        self, make_client: MakeClient, sample: bytes, own_redis: RedisProcess
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        job_id = accepted(submit(client, sample))
        connection = Connection(own_redis.url)
        leases = LeaseTable(connection, worker="w", lease_ms=30_000, retention_ms=60_000)
        claim = claimed(leases, job_id)
        _fill(own_redis, 0.9)
        assert_problem(submit(client, sample), 503, "queue_full")
        assert leases.renew([claim]) == frozenset()
        assert leases.finish(claim, Status.SUCCEEDED, Outcome())
        connection.close()
        assert client.get(f"/v1/jobs/{job_id}").json["status"] == "succeeded"

    def test_an_upload_is_refused_alike_and_nothing_is_noted(
        self, make_client: MakeClient, sample: bytes, own_redis: RedisProcess
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        _fill(own_redis, 0.9)
        response, of_a_job = client.post("/v1/uploads", json={"bytes": 1}), submit(client, sample)
        assert_problem(response, 503, "queue_full")
        assert response.json["detail"] == of_a_job.json["detail"]
        assert response.headers["Retry-After"] == of_a_job.headers["Retry-After"]
        connection = Connection(own_redis.url)
        assert records(connection) == []
        connection.close()
        _fill(own_redis, 0.5)
        assert client.post("/v1/uploads", json={"bytes": 1}).status_code == 201

    def test_a_redis_that_is_quite_full_refuses_too(
        self, make_client: MakeClient, own_redis: RedisProcess
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        _fill(own_redis, 1.2)
        assert_problem(client.post("/v1/uploads", json={"bytes": 1}), 503, "queue_full")

    def test_there_is_room_again_when_there_is(
        self, make_client: MakeClient, sample: bytes, own_redis: RedisProcess
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        _fill(own_redis, 0.9)
        assert_problem(submit(client, sample), 503, "queue_full")
        _fill(own_redis, 0.5)
        accepted(submit(client, sample))


def _fill(redis: RedisProcess, share: float) -> None:
    """Set maxmemory so that what is used is this share of it."""
    connection = Connection(redis.url)
    used = int(connection.redis.info("memory")["used_memory"])
    connection.redis.config_set("maxmemory", int(used / share))
    connection.close()


class MumblingStorage(MemoryStorage):
    """Storage that stores, and whose answer is lost on the way."""

    def put(self, key: str, data: bytes | BinaryIO, content_type: str) -> None:
        super().put(key, data, content_type)
        raise StorageUnavailable


class TestStorageDown:
    @pytest.mark.usefixtures("nothing_left_once_swept")
    def test_a_photo_is_refused(
        self, client: Client, sample: bytes, storage: MemoryStorage, connection: Connection
    ) -> None:
        storage.down = True
        assert_problem(submit(client, sample), 503, "storage_unavailable")
        (note,) = noted(connection)
        photo = note.rpartition("/")[2]
        assert records(connection) == [f"{PREFIX}input:{photo}", f"{PREFIX}sweep"]

    def test_a_photo_whose_storing_was_not_confirmed_is_swept(
        self, make_client: MakeClient, sample: bytes, connection: Connection
    ) -> None:
        storage = MumblingStorage()
        client = make_client(stored_in=storage)
        assert_problem(submit(client, sample), 503, "storage_unavailable")
        assert noted(connection) == list(storage.objects)

    @pytest.mark.usefixtures("nothing_left_once_swept")
    def test_an_upload_cannot_be_looked_at(
        self, client: Client, sample: bytes, storage: MemoryStorage
    ) -> None:
        made = client.post("/v1/uploads", json={"bytes": len(sample)}).json
        storage.down = True
        response = post(client, {"upload": made["id"]})
        assert_problem(response, 503, "storage_unavailable")

    def test_a_result_cannot_be_fetched(
        self, client: Client, sample: bytes, finish: Finish, storage: MemoryStorage
    ) -> None:
        job_id = accepted(submit(client, sample))
        finish(job_id)
        storage.down = True
        response = client.get(f"/v1/jobs/{job_id}/result")
        assert_problem(response, 503, "storage_unavailable")

    def test_jobs_can_still_be_looked_at(
        self, client: Client, sample: bytes, storage: MemoryStorage
    ) -> None:
        job_id = accepted(submit(client, sample))
        storage.down = True
        assert client.get(f"/v1/jobs/{job_id}").status_code == 200
        assert client.get("/v1/jobs").status_code == 200
        assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 200

    @pytest.mark.usefixtures("nothing_left")
    def test_a_url_is_refused_though_it_needs_no_storage_yet(
        self, client: Client, storage: MemoryStorage
    ) -> None:
        storage.down = True
        assert_problem(post(client, {"url": URL}), 503, "storage_unavailable")
