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
    Finish,
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


@pytest.mark.parametrize(
    ("output", "megapixels"),
    [
        ({}, 0.24),
        ({"crop": True}, 0.24),
        ({"size": [3000, 2000]}, 5.66),
        ({"margin": 2000}, 20.24),
        ({"margin": "45%"}, 16.8),
        ({"crop": True, "margin": "45%"}, 16.8),
        ({"format": "avif"}, 0.51),
    ],
)
def test_a_canvas_and_its_format_count_towards_the_jobs_pixels(
    client: Client, sample: bytes, leases: LeaseTable, output: dict[str, Any], megapixels: float
) -> None:
    load = leases.weigh(accepted(submit(client, sample, job={"output": output})))
    assert load is not None
    assert load.photo.pixels == 240_000
    assert (load.photo.pixels + load.extra_pixels) / 1e6 == pytest.approx(megapixels, abs=0.01)


@pytest.mark.parametrize(
    ("output", "field"),
    [
        ({"margin": "45%"}, "margin"),
        ({"margin": 300}, "margin"),
        ({"margin": 300, "type": "mask"}, "margin"),
        ({"margin": 1000, "crop": True}, "margin"),
        ({"size": [1001, 1000], "margin": 5}, "size"),
    ],
)
class TestACanvasThatIsTooLarge:
    def test_of_a_photo_sent_along(
        self, make_client: MakeClient, sample: bytes, output: dict[str, Any], field: str
    ) -> None:
        client = make_client(max_megapixels=1.0)
        response = submit(client, sample, job={"output": output})
        assert_problem(response, 422, "invalid_request", f"output.{field}")
        assert "at most 1,000,000 are accepted" in response.json["detail"]

    def test_of_an_upload_and_of_an_earlier_jobs_photo(
        self,
        make_client: MakeClient,
        sample: bytes,
        finish: Finish,
        output: dict[str, Any],
        field: str,
    ) -> None:
        client = make_client(max_megapixels=1.0)
        upload = uploaded(client, sample)
        parent = accepted(client.post("/v1/jobs", json={"upload": upload}))
        finish(parent)
        for source in ({"upload": upload}, {"job": parent}, {"render": parent}):
            response = client.post("/v1/jobs", json={**source, "output": output})
            assert_problem(response, 422, "invalid_request", f"output.{field}")


def test_a_margin_that_may_fit_is_left_to_the_worker(
    make_client: MakeClient, sample: bytes
) -> None:
    client = make_client(max_megapixels=1.0)
    accepted(submit(client, sample, job={"output": {"margin": "45%", "crop": True}}))
    url = {"url": "https://93.184.215.14/a.png"}
    accepted(client.post("/v1/jobs", json={**url, "output": {"margin": "45%"}}))
    response = client.post("/v1/jobs", json={**url, "output": {"margin": 500}})
    assert_problem(response, 422, "invalid_request", "output.margin")


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
        assert jobs.get(job_id).extra_pixels == 50_000  # decoded while the photo is held

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
