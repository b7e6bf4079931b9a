"""Invalid files are refused, and a refusal leaves nothing behind (DESIGN 8)."""

from __future__ import annotations

import io
import struct
import time
import zlib

import pytest

from tests.api.conftest import (
    Client,
    MakeClient,
    accepted,
    assert_problem,
    submit,
)


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header claims this size, with data for only a few pixels."""

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
    def test_an_unsupported_file_type_is_named(
        self, client: Client, file: bytes, name: str
    ) -> None:
        response = submit(client, file, filename="photo.jpg")
        assert_problem(response, 415, "image_unsupported")
        assert response.json["detail"].startswith(name)

    def test_an_empty_file_is_refused(self, client: Client) -> None:
        response = submit(client, b"")
        assert_problem(response, 422, "image_invalid")
        assert "empty" in response.json["detail"]

    @pytest.mark.parametrize("length", [1, 8, 11, 20, 32])
    def test_a_truncated_header_is_refused(
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

    def test_an_oversized_body_is_not_read(self, make_client: MakeClient, sample: bytes) -> None:
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

    def test_an_image_sent_as_a_text_field_is_refused(self, client: Client) -> None:
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
    def test_a_hundred_megapixels_are_accepted(self, client: Client) -> None:
        accepted(submit(client, png_header(10_000, 10_000)))

    def test_a_file_of_exactly_the_byte_limit_is_accepted(
        self, make_client: MakeClient, sample: bytes
    ) -> None:
        accepted(submit(make_client(max_bytes=len(sample)), sample))
