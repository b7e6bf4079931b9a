"""The `output` field of a job: canvases, presets and background images."""

from __future__ import annotations

from typing import Any

import pytest

from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue
from shared.queue.leases import LeaseTable
from shared.storage import keys
from shared.testing import MemoryStorage
from tests.api.conftest import (
    OTHER,
    SHOP,
    Client,
    MakeClient,
    accepted,
    assert_problem,
    submit,
)


def uploaded(client: Client, content: bytes, **kwargs: Any) -> str:
    made = client.post("/v1/uploads", json={"bytes": len(content)}, **kwargs).json
    assert client.put(made["url"], data=content).status_code == 200
    return str(made["id"])


def on(upload: str) -> dict[str, Any]:
    return {"output": {"background": {"upload": upload}}}


def refs(connection: Connection, upload: str) -> str | None:
    found: str | None = connection.redis.hget(redis_keys.INPUT.key(upload), "refs")
    return found


@pytest.mark.parametrize(
    ("field", "output"),
    [
        ("preset", {"preset": "ebay"}),
        ("size", {"size": 20_000}),
        ("margin", {"margin": "60%"}),
        ("align", {"align": "nowhere"}),
        ("background", {"format": "jpeg"}),
        ("shadow.opacity", {"shadow": {"opacity": 2}}),
    ],
)
def test_an_invalid_output_answers_422(
    client: Client, sample: bytes, field: str, output: dict[str, Any]
) -> None:
    response = submit(client, sample, job={"output": output})
    assert_problem(response, 422, "invalid_request", f"output.{field}")


def test_the_job_shows_the_presets_values(client: Client, sample: bytes) -> None:
    view = submit(client, sample, job={"output": {"preset": "amazon"}}).json
    assert view["output"]["preset"] == "amazon"
    assert view["output"]["format"] == "jpeg"
    assert view["output"]["background"] == "#ffffff"
    assert view["compliance"] is None


def test_a_canvas_is_limited_to_the_size_of_a_photo(make_client: MakeClient, sample: bytes) -> None:
    client = make_client(max_megapixels=1.0)
    response = submit(client, sample, job={"output": {"size": [1001, 1000]}})
    assert_problem(response, 422, "invalid_request", "output.size")
    accepted(submit(client, sample, job={"output": {"size": [1000, 1000]}}))


def test_a_canvas_counts_towards_the_jobs_pixels(
    client: Client, sample: bytes, leases: LeaseTable
) -> None:
    plain = accepted(submit(client, sample))
    large = accepted(submit(client, sample, job={"output": {"size": [3000, 2000]}}))
    loads = [leases.weigh(job_id) for job_id in (plain, large)]
    assert [load and (load.photo.pixels, load.extra_pixels) for load in loads] == [
        (240_000, 0),
        (240_000, 6_000_000),
    ]


class TestBackdrops:
    def test_a_backdrop_is_kept_while_jobs_use_it(
        self, client: Client, sample: bytes, connection: Connection, storage: MemoryStorage
    ) -> None:
        upload = uploaded(client, sample)
        first, second = (accepted(submit(client, sample, job=on(upload))) for _ in range(2))
        assert refs(connection, upload) == "2"
        client.delete(f"/v1/jobs/{first}")
        assert storage.size(keys.input_key("default", upload)) is not None
        client.delete(f"/v1/jobs/{second}")
        assert storage.size(keys.input_key("default", upload)) is None

    def test_the_photo_itself_can_be_the_backdrop(
        self, client: Client, sample: bytes, connection: Connection, storage: MemoryStorage
    ) -> None:
        upload = uploaded(client, sample)
        job_id = accepted(client.post("/v1/jobs", json={"upload": upload, **on(upload)}))
        assert refs(connection, upload) == "2"
        client.delete(f"/v1/jobs/{job_id}")
        assert storage.size(keys.input_key("default", upload)) is None

    def test_a_backdrops_pixels_are_counted(
        self, client: Client, sample: bytes, jobs: JobQueue
    ) -> None:
        job_id = accepted(submit(client, sample, job=on(uploaded(client, sample))))
        assert jobs.get(job_id).extra_pixels == 240_000

    def test_a_missing_backdrop_is_refused(self, client: Client, sample: bytes) -> None:
        response = submit(client, sample, job=on("inp_" + "0" * 24))
        assert_problem(response, 422, "invalid_request", "output.background.upload")

    def test_a_backdrop_that_was_never_uploaded_is_refused(
        self, client: Client, sample: bytes
    ) -> None:
        made = client.post("/v1/uploads", json={"bytes": 10}).json
        response = submit(client, sample, job=on(made["id"]))
        assert_problem(response, 422, "invalid_request", "output.background.upload")

    def test_a_backdrop_that_is_not_an_image_is_refused(
        self, client: Client, sample: bytes
    ) -> None:
        response = submit(client, sample, job=on(uploaded(client, b"<svg/>  ")))
        assert_problem(response, 422, "invalid_request", "output.background.upload")

    def test_another_tenants_backdrop_is_not_found(self, keyed: Client, sample: bytes) -> None:
        upload = uploaded(keyed, sample, headers=OTHER)
        response = submit(keyed, sample, job=on(upload), headers=SHOP)
        assert_problem(response, 422, "invalid_request", "output.background.upload")
        accepted(submit(keyed, sample, job=on(upload), headers=OTHER))
