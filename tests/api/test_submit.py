"""Submitting a job: `POST /v1/jobs` and what it leaves in Redis and storage."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.job import Lane
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue
from shared.testing import MemoryStorage, SilentDoorbell
from tests.api.asking import NOBODY
from tests.api.conftest import (
    Client,
    Finish,
    MakeClient,
    accepted,
    assert_problem,
    noted,
    submit,
)


class TestSubmit:
    def test_a_photo_is_accepted(self, client: Client, sample: bytes) -> None:
        response = submit(client, sample)
        assert response.status_code == 202
        assert response.content_type == "application/json"
        assert response.json["status"] == "queued"
        assert response.json["queue_position"] == 1

    def test_the_location_is_the_jobs_url(self, client: Client, sample: bytes) -> None:
        response = submit(client, sample)
        assert response.headers["Location"] == f"http://localhost/v1/jobs/{response.json['id']}"
        assert client.get(response.headers["Location"]).json == response.json

    def test_every_link_starts_with_the_public_url(
        self, make_client: MakeClient, sample: bytes, finish: Finish
    ) -> None:
        client = make_client(public_url="https://cut.example.com/")
        response = submit(client, sample)
        job_id = accepted(response)
        assert response.headers["Location"] == f"https://cut.example.com/v1/jobs/{job_id}"
        finish(job_id)
        view = client.get(f"/v1/jobs/{job_id}").json
        assert view["mask"] == f"https://cut.example.com/v1/jobs/{job_id}/mask"

    def test_the_photo_is_stored_before_it_is_accepted(
        self, client: Client, sample: bytes, jobs: JobQueue, storage: MemoryStorage
    ) -> None:
        job = jobs.get(accepted(submit(client, sample)))
        assert storage.objects == {f"default/inputs/{job.input_id}": sample}
        photo = jobs.input(job.input_id, "default")
        assert (photo.stored, photo.bytes) == (True, len(sample))

    def test_a_photo_in_use_is_not_noted_for_sweeping(
        self, client: Client, sample: bytes, connection: Connection
    ) -> None:
        accepted(submit(client, sample))
        assert noted(connection) == []

    def test_the_job_part_may_be_sent_as_a_file(self, client: Client, sample: bytes) -> None:
        part = (io.BytesIO(b'{"metadata": {"sku": 7}}'), "job.json", "application/json")
        data = {"image": (io.BytesIO(sample), "photo"), "job": part}
        response = client.post("/v1/jobs", data=data, content_type="multipart/form-data")
        assert response.status_code == 202
        assert response.json["metadata"] == {"sku": 7}

    @pytest.mark.parametrize(
        "filename", ["photo.pdf", "photo.svg", "../../etc/passwd", "naïve 写真"]
    )
    def test_the_file_name_does_not_matter(
        self, client: Client, sample: bytes, filename: str, storage: MemoryStorage
    ) -> None:
        accepted(submit(client, sample, filename=filename))
        (key,) = storage.objects
        assert key.startswith("default/inputs/inp_")

    @pytest.mark.parametrize(
        ("job", "lane"),
        [
            ({}, Lane.INTERACTIVE),
            ({"priority": "interactive"}, Lane.INTERACTIVE),
            ({"priority": "bulk"}, Lane.BULK),
        ],
    )
    def test_the_doorbell_of_its_lane_is_rung(
        self,
        client: Client,
        sample: bytes,
        doorbell: SilentDoorbell,
        job: dict[str, Any],
        lane: Lane,
    ) -> None:
        job_id = accepted(submit(client, sample, job=job))
        assert doorbell.rung == [(job_id, lane)]

    def test_the_second_job_queues_behind_the_first(self, client: Client, sample: bytes) -> None:
        accepted(submit(client, sample))
        assert submit(client, sample).json["queue_position"] == 2

    def test_a_served_model_is_accepted(
        self, client: Client, sample: bytes, sign_in: Callable[[str], None]
    ) -> None:
        sign_in("grabcut")
        response = submit(client, sample, job={"model": "grabcut"})
        assert response.status_code == 202
        assert response.json["model"] == "grabcut"

    def test_an_unserved_model_is_refused_with_a_list_of_the_served_ones(
        self, client: Client, sample: bytes, sign_in: Callable[[str], None]
    ) -> None:
        sign_in("sam2.1_hiera_tiny")
        sign_in("grabcut")
        response = submit(client, sample, job={"model": "sam_vit_h"})
        assert_problem(response, 422, "model_not_served")
        assert response.json["detail"].endswith("the served models are: grabcut, sam2.1_hiera_tiny")

    @pytest.mark.usefixtures("nothing_left")
    def test_without_a_worker_no_model_is_served(self, client: Client, sample: bytes) -> None:
        response = submit(client, sample, job={"model": "grabcut"})
        assert_problem(response, 422, "model_not_served")
        assert "no worker is ready" in response.json["detail"]

    def test_a_webhook_is_kept_with_the_job(
        self, client: Client, sample: bytes, jobs: JobQueue
    ) -> None:
        webhook = {"url": "https://example.com/hook", "events": ["job.failed"]}
        job = jobs.get(accepted(submit(client, sample, job={"webhook": webhook})))
        assert job.request.webhook is not None
        assert job.request.webhook.url == "https://example.com/hook"
        assert job.request.webhook.events == {"job.failed"}

    def test_metadata_is_echoed(self, client: Client, sample: bytes) -> None:
        metadata = {"sku": "누끼-1", "nested": {"list": [1, 2.5, None, True]}, "big": 10**60}
        job_id = accepted(submit(client, sample, job={"metadata": metadata}))
        assert client.get(f"/v1/jobs/{job_id}").json["metadata"] == metadata

    def test_metadata_of_4096_bytes_is_accepted(self, client: Client, sample: bytes) -> None:
        metadata = {"k": "x" * (4096 - len('{"k":""}'))}
        assert submit(client, sample, job={"metadata": metadata}).json["metadata"] == metadata

    @pytest.mark.usefixtures("nothing_left")
    @pytest.mark.parametrize(
        "metadata", [{"k": "x" * 4089}, {f"key{n}": n for n in range(1000)}], ids=["long", "many"]
    )
    def test_metadata_beyond_4096_bytes_is_refused(
        self, client: Client, sample: bytes, metadata: object
    ) -> None:
        response = submit(client, sample, job={"metadata": metadata})
        assert_problem(response, 422, "invalid_request", "metadata")
        assert "at most 4096" in response.json["detail"]


class TestRequestId:
    def test_a_missing_request_id_is_generated(self, client: Client) -> None:
        first, second = (client.get("/v1/jobs").headers["X-Request-Id"] for _ in range(2))
        assert first.startswith("req_")
        assert first != second

    def test_the_callers_request_id_is_echoed(self, client: Client) -> None:
        response = client.get("/v1/jobs", headers={"X-Request-Id": "order-17.a_b"})
        assert response.headers["X-Request-Id"] == "order-17.a_b"

    @pytest.mark.parametrize("given", ["", "with space", "<script>", "x" * 129, "é"])
    def test_an_invalid_request_id_is_replaced(self, client: Client, given: str) -> None:
        response = client.get("/v1/jobs", headers={"X-Request-Id": given})
        assert response.headers["X-Request-Id"].startswith("req_")

    def test_a_problem_contains_the_request_id(self, client: Client) -> None:
        response = client.get(f"/v1/jobs/{NOBODY}", headers={"X-Request-Id": "mine"})
        assert_problem(response, 404, "not_found")
        assert response.json["request_id"] == "mine"


class TestObjects:
    def test_several_objects_are_accepted_and_shown(self, client: Client, sample: bytes) -> None:
        objects = [{"points": [[10, 10]]}, {"box": [20, 20, 60, 80]}]
        response = submit(client, sample, job=json.dumps({"objects": objects}))
        assert response.status_code == 202
        shown = response.json["objects"]
        assert [item["points"] for item in shown] == [[[10, 10]], []]
        assert shown[1]["box"] == [20, 20, 60, 80]

    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ({"objects": [{}]}, "each needs a point or a box"),
            ({"objects": [{"mask": "job_" + "0" * 24}]}, "a mask goes in `prompt`"),
            (
                {"objects": [{"points": [[1, 1]]}], "prompt": {"points": [[1, 1]]}},
                "give either objects or a prompt",
            ),
            ({"objects": [{"points": [[1, 1]]}] * 33}, "at most 32"),
        ],
    )
    def test_invalid_objects_are_refused(
        self, client: Client, sample: bytes, fields: dict[str, Any], complaint: str
    ) -> None:
        response = submit(client, sample, job=json.dumps(fields))
        assert_problem(response, 422, "invalid_request", "objects")
        assert complaint in response.json["errors"][0]["message"]

    def test_the_object_outside_the_photo_is_named(self, client: Client, sample: bytes) -> None:
        objects = [{"points": [[10, 10]]}, {"points": [[10, 4000]]}]
        response = submit(client, sample, job=json.dumps({"objects": objects}))
        assert_problem(response, 422, "invalid_request", "objects.1.points.0")
