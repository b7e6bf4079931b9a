"""`/v1/uploads`: a signed URL that accepts exactly the bytes it was signed for."""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue
from shared.storage import Storage, keys
from shared.storage.local import LocalStorage
from shared.testing import MemoryStorage
from tests.api.conftest import (
    OTHER,
    SHOP,
    Clear,
    Client,
    MakeClient,
    accepted,
    assert_problem,
    left,
    noted,
)


@dataclasses.dataclass
class Place:
    """A client, and the storage behind its app."""

    client: Client
    storage: Storage


@pytest.fixture(params=["memory", "local"])
def place(
    request: pytest.FixtureRequest, make_client: MakeClient, storage: MemoryStorage, tmp_path: Path
) -> Place:
    """The app with the storage double, then with a real folder."""
    chosen: Storage = storage if request.param == "memory" else LocalStorage(tmp_path / "folder")
    return Place(make_client(stored_in=chosen), chosen)


@pytest.fixture
def local(make_client: MakeClient, tmp_path: Path) -> Place:
    """The app with a real folder; its signed URLs are valid for one second."""
    storage = LocalStorage(tmp_path / "folder")
    return Place(make_client(stored_in=storage, upload_expiry=1), storage)


def create(client: Client, size: int, **kwargs: Any) -> Any:
    response = client.post("/v1/uploads", json={"bytes": size}, **kwargs)
    assert response.status_code == 201, response.text
    return response.json


def put(client: Client, photo: bytes) -> Any:
    """Request an upload URL and PUT the photo to it; returns the upload."""
    made = create(client, len(photo))
    assert client.put(made["url"], data=photo).status_code == 200
    return made


def submit(client: Client, upload_id: str, **job: Any) -> Any:
    return client.post("/v1/jobs", json={"upload": upload_id, **job})


class TestCreate:
    def test_it_answers_with_the_url_the_headers_and_the_expiry(
        self, client: Client, connection: Connection
    ) -> None:
        response = client.post("/v1/uploads", json={"bytes": 10, "content_type": "image/jpeg"})
        assert response.status_code == 201
        view = response.json
        assert set(view) == {"id", "method", "url", "headers", "expires_at"}
        assert view["method"] == "PUT"
        assert view["headers"] == {"Content-Type": "image/jpeg"}
        assert view["url"].startswith("http://localhost/v1/uploads/content/")
        ends = datetime.fromisoformat(view["expires_at"]) - datetime.now(UTC)
        assert abs(ends - timedelta(hours=1)) < timedelta(minutes=1)
        assert noted(connection) == [
            f"default/{folder}/{view['id']}" for folder in ("inputs", "uploads")
        ]

    def test_the_upload_url_starts_with_the_public_url(self, make_client: MakeClient) -> None:
        client = make_client(public_url="https://cut.example.com")
        assert create(client, 1)["url"].startswith("https://cut.example.com/v1/uploads/content/")

    @pytest.mark.usefixtures("nothing_left")
    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "bytes"),
            ({"bytes": 0}, "bytes"),
            ({"bytes": -1}, "bytes"),
            ({"bytes": "10"}, "bytes"),
            ({"bytes": 1.5}, "bytes"),
            ({"bytes": True}, "bytes"),
            ({"bytes": 1, "content_type": "jpeg"}, "content_type"),
            ({"bytes": 1, "content_type": "image/png\r\nX: y"}, "content_type"),
            ({"bytes": 1, "content_type": "image/png\n"}, "content_type"),
            ({"bytes": 1, "size": 1}, "size"),
        ],
        ids=str,
    )
    def test_an_invalid_field_is_named(
        self, client: Client, body: dict[str, Any], field: str
    ) -> None:
        response = client.post("/v1/uploads", json=body)
        assert_problem(response, 422, "invalid_request", field)

    @pytest.mark.usefixtures("nothing_left")
    @pytest.mark.parametrize(
        ("text", "content_type"),
        [("{", "application/json"), ("", "application/json"), ('{"bytes": 1}', "text/plain")],
    )
    def test_a_body_that_is_not_json_is_malformed(
        self, client: Client, text: str, content_type: str
    ) -> None:
        response = client.post("/v1/uploads", data=text, content_type=content_type)
        assert_problem(response, 400, "malformed_request")

    @pytest.mark.usefixtures("nothing_left")
    @pytest.mark.parametrize("text", ["[]", "1"])
    def test_json_that_is_not_an_object_is_refused(self, client: Client, text: str) -> None:
        response = client.post("/v1/uploads", data=text, content_type="application/json")
        assert_problem(response, 422, "invalid_request", "body")

    @pytest.mark.usefixtures("nothing_left")
    def test_an_oversized_json_body_is_not_read(self, client: Client) -> None:
        text = b" " * (16 * 1024 * 1024 + 1)
        response = client.post("/v1/uploads", data=text, content_type="application/json")
        assert_problem(response, 413, "request_entity_too_large")

    @pytest.mark.usefixtures("nothing_left")
    def test_more_bytes_than_the_limit_are_refused(self, make_client: MakeClient) -> None:
        client = make_client(max_bytes=1000)
        response = client.post("/v1/uploads", json={"bytes": 1001})
        assert_problem(response, 413, "image_too_large")

    @pytest.mark.usefixtures("nothing_left")
    def test_nothing_is_recorded_if_no_url_can_be_signed(
        self, client: Client, storage: MemoryStorage
    ) -> None:
        storage.down = True
        response = client.post("/v1/uploads", json={"bytes": 1})
        assert_problem(response, 503, "storage_unavailable")


class TestPut:
    def test_exactly_the_signed_bytes_are_accepted(self, place: Place, sample: bytes) -> None:
        made = create(place.client, len(sample))
        response = place.client.put(made["url"], data=sample, headers=made["headers"])
        assert response.status_code == 200
        assert place.storage.get(keys.upload_key("default", made["id"])) == sample

    @pytest.mark.parametrize("change", [-1, 1])
    def test_another_length_is_refused(self, place: Place, sample: bytes, change: int) -> None:
        made = create(place.client, len(sample) + change)
        response = place.client.put(made["url"], data=sample)
        assert_problem(response, 422, "invalid_request", "Content-Length")
        assert place.storage.size(keys.upload_key("default", made["id"])) is None

    def test_a_body_without_a_length_is_refused(self, place: Place, sample: bytes) -> None:
        made = create(place.client, len(sample))
        chunked = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
        response = place.client.put(made["url"], data=sample, environ_overrides=chunked)
        assert_problem(response, 422, "invalid_request", "Content-Length")

    def test_a_body_shorter_than_its_content_length_is_not_kept(
        self, place: Place, sample: bytes
    ) -> None:
        made = create(place.client, len(sample))
        promised = {"CONTENT_LENGTH": str(len(sample))}
        response = place.client.put(made["url"], data=sample[:-10], environ_overrides=promised)
        assert_problem(response, 400, "bad_request")
        assert place.storage.size(keys.upload_key("default", made["id"])) is None

    def test_no_key_is_needed(self, keyed: Client, sample: bytes) -> None:
        made = create(keyed, len(sample), headers=SHOP)
        assert keyed.put(made["url"], data=sample).status_code == 200

    def test_the_bytes_are_stored_in_their_tenants_folder(
        self, keyed: Client, sample: bytes, storage: MemoryStorage
    ) -> None:
        made = create(keyed, len(sample), headers=OTHER)
        keyed.put(made["url"], data=sample)
        assert list(storage.objects) == [f"other/uploads/{made['id']}"]

    @pytest.mark.parametrize(
        "spoil",
        [lambda url: url[:-1], lambda url: url + "x", lambda url: url.replace(".", "", 1)],
        ids=["cut", "longer", "joined"],
    )
    def test_a_tampered_url_is_refused(
        self, local: Place, sample: bytes, spoil: Callable[[str], str]
    ) -> None:
        made = create(local.client, len(sample))
        response = local.client.put(spoil(made["url"]), data=sample)
        assert_problem(response, 404, "not_found")
        assert local.storage.size(keys.upload_key("default", made["id"])) is None

    def test_a_url_signed_by_another_installation_is_refused(
        self, local: Place, sample: bytes, tmp_path: Path
    ) -> None:
        other = LocalStorage(tmp_path / "other")
        signed = other.presign_put(
            "default/inputs/x", expires=60, size=len(sample), content_type="", base_url=""
        )
        response = local.client.put(signed.url, data=sample)
        assert_problem(response, 404, "not_found")

    def test_an_expired_url_is_refused(self, local: Place, sample: bytes) -> None:
        made = create(local.client, len(sample))
        time.sleep(2.1)  # itsdangerous counts whole seconds
        response = local.client.put(made["url"], data=sample)
        assert_problem(response, 404, "not_found")

    def test_another_method_is_refused(self, local: Place) -> None:
        assert_problem(local.client.get(create(local.client, 1)["url"]), 405, "method_not_allowed")

    def test_a_storage_outage_is_reported(
        self, client: Client, sample: bytes, storage: MemoryStorage
    ) -> None:
        made = create(client, len(sample))
        storage.down = True
        assert_problem(client.put(made["url"], data=sample), 503, "storage_unavailable")


class TestUse:
    def test_a_job_can_use_an_upload(self, place: Place, sample: bytes, jobs: JobQueue) -> None:
        made = put(place.client, sample)
        job_id = accepted(submit(place.client, made["id"]))
        assert jobs.get(job_id).input_id == made["id"]
        assert jobs.input(made["id"], "default").bytes == len(sample)

    def test_two_jobs_can_use_the_same_upload(
        self, place: Place, sample: bytes, connection: Connection
    ) -> None:
        made = put(place.client, sample)
        first, second = (accepted(submit(place.client, made["id"])) for _ in range(2))
        assert connection.redis.hget(redis_keys.INPUT.key(made["id"]), "refs") == "2"
        for job_id in (first, second):
            place.client.delete(f"/v1/jobs/{job_id}")
        for key in (keys.input_key, keys.upload_key):
            assert place.storage.size(key("default", made["id"])) is None

    def test_an_upload_without_a_file_is_refused(self, place: Place, jobs: JobQueue) -> None:
        made = create(place.client, 10)
        assert_problem(submit(place.client, made["id"]), 422, "invalid_request", "upload")
        assert jobs.page("default", limit=1).jobs == ()

    def test_an_upload_that_is_not_an_image_is_refused(self, place: Place) -> None:
        made = create(place.client, 8)
        place.client.put(made["url"], data=b"<svg/>  ")
        assert_problem(submit(place.client, made["id"]), 415, "image_unsupported")

    def test_a_point_outside_it_is_refused(self, place: Place, sample: bytes) -> None:
        made = put(place.client, sample)
        response = submit(place.client, made["id"], prompt={"points": [[600, 1]]})
        assert_problem(response, 422, "invalid_request", "prompt.points.0")

    def test_an_upload_above_the_size_limit_is_refused(
        self, make_client: MakeClient, sample: bytes
    ) -> None:
        made = create(make_client(), len(sample))
        make_client().put(made["url"], data=sample)
        response = submit(make_client(max_bytes=len(sample) - 1), made["id"])
        assert_problem(response, 413, "image_too_large")

    def test_an_orientation_at_the_end_of_a_partial_file_is_unknown(self, client: Client) -> None:
        photo = _turned_at_its_end()
        made = put(client, photo)
        accepted(submit(client, made["id"], prompt={"points": [[300, 500]]}))


def _turned_at_its_end() -> bytes:
    """A PNG stored as 600 × 400 and displayed as 400 × 600, as its last chunk says."""
    image = Image.effect_noise((600, 400), 200).convert("RGB")
    whole = io.BytesIO()
    image.save(whole, "PNG", compress_level=0)
    exif = image.getexif()
    exif[0x0112] = 6
    chunk = io.BytesIO()
    PngImagePlugin.putchunk(chunk, b"eXIf", exif.tobytes()[6:])
    data = whole.getvalue()
    end = data.rindex(b"IEND") - 4
    assert end > 256 * 1024
    return data[:end] + chunk.getvalue() + data[end:]


class TestSweep:
    @pytest.mark.usefixtures("nothing_left_once_swept")
    def test_an_upload_that_no_job_uses_is_swept(
        self, client: Client, sample: bytes, storage: MemoryStorage
    ) -> None:
        put(client, sample)
        assert len(left(storage)) == 1

    @pytest.mark.usefixtures("nothing_left_once_swept")
    def test_an_upload_without_a_file_is_swept(self, client: Client) -> None:
        create(client, 10)

    @pytest.mark.usefixtures("nothing_left_once_swept")
    def test_an_upload_written_again_after_its_job_ended_is_swept(
        self, client: Client, sample: bytes, storage: MemoryStorage
    ) -> None:
        made = put(client, sample)
        job_id = accepted(submit(client, made["id"]))
        assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
        assert left(storage) == {}
        assert_problem(client.put(made["url"], data=sample), 404, "not_found")
        storage.put(keys.upload_key("default", made["id"]), sample, "")  # as on S3, past the API

    def test_an_upload_that_a_job_uses_is_kept(
        self, client: Client, sample: bytes, storage: MemoryStorage, clear: Clear
    ) -> None:
        made = put(client, sample)
        accepted(submit(client, made["id"]))
        assert clear() == 1  # what its address may have taken since
        assert list(left(storage).values()) == [sample]
        assert clear() == 0

    def test_a_swept_upload_cannot_be_used(
        self, client: Client, sample: bytes, clear: Clear
    ) -> None:
        made = put(client, sample)
        clear()
        assert_problem(submit(client, made["id"]), 404, "not_found")
