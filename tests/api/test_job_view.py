"""The JSON view of a job, and lists of jobs."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.job import Status
from shared.queue.jobs import JobQueue
from shared.queue.leases import LeaseTable
from tests.api.conftest import (
    KEYS,
    OTHER,
    SHOP,
    Client,
    Fail,
    Finish,
    MakeClient,
    accepted,
    assert_problem,
    claimed,
    submit,
)


class TestList:
    def test_the_newest_is_first(self, client: Client, sample: bytes) -> None:
        made = [accepted(submit(client, sample)) for _ in range(3)]
        response = client.get("/v1/jobs")
        assert response.status_code == 200
        assert [job["id"] for job in response.json["jobs"]] == made[::-1]
        assert response.json["next"] is None

    def test_without_jobs_the_page_is_empty(self, client: Client) -> None:
        assert client.get("/v1/jobs").json == {"jobs": [], "next": None}

    def test_the_cursor_walks_every_page(self, client: Client, sample: bytes) -> None:
        made = [accepted(submit(client, sample)) for _ in range(5)]
        seen: list[str] = []
        query: dict[str, Any] | None = {"limit": 2}
        sizes = []
        while query:
            page = client.get("/v1/jobs", query_string=query).json
            sizes.append(len(page["jobs"]))
            seen += [job["id"] for job in page["jobs"]]
            query = {"limit": 2, "cursor": page["next"]} if page["next"] else None
        assert seen == made[::-1]
        assert sizes == [2, 2, 1]

    def test_a_new_job_does_not_shift_the_pages(self, client: Client, sample: bytes) -> None:
        made = [accepted(submit(client, sample)) for _ in range(3)]
        page = client.get("/v1/jobs?limit=2").json
        accepted(submit(client, sample))
        rest = client.get(f"/v1/jobs?limit=2&cursor={page['next']}").json
        assert [job["id"] for job in rest["jobs"]] == [made[0]]

    def test_jobs_can_be_filtered_by_status(
        self, client: Client, sample: bytes, finish: Finish, fail: Fail
    ) -> None:
        queued, done, failed = (accepted(submit(client, sample)) for _ in range(3))
        finish(done)
        fail(failed)
        for status, expected in (("queued", queued), ("succeeded", done), ("failed", failed)):
            page = client.get(f"/v1/jobs?status={status}").json
            assert [job["id"] for job in page["jobs"]] == [expected]
        assert client.get("/v1/jobs?status=canceled").json["jobs"] == []

    def test_tenants_see_only_their_own_jobs(self, keyed: Client, sample: bytes) -> None:
        mine = accepted(submit(keyed, sample, headers=SHOP))
        theirs = accepted(submit(keyed, sample, headers=OTHER))
        for headers, expected in ((SHOP, mine), (OTHER, theirs)):
            page = keyed.get("/v1/jobs", headers=headers).json
            assert [job["id"] for job in page["jobs"]] == [expected]

    def test_another_tenants_cursor_is_not_found(self, keyed: Client, sample: bytes) -> None:
        theirs = accepted(submit(keyed, sample, headers=OTHER))
        response = keyed.get(f"/v1/jobs?cursor={theirs}", headers=SHOP)
        assert_problem(response, 404, "not_found")

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=ten", "limit"),
            ("status=done", "status"),
            ("cursor=last", "cursor"),
            ("batch=1", "batch"),
        ],
    )
    def test_an_invalid_parameter_is_named(self, client: Client, query: str, field: str) -> None:
        assert_problem(client.get(f"/v1/jobs?{query}"), 422, "invalid_request", field)

    def test_a_listed_job_looks_the_same_as_when_fetched_alone(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        done, queued = (accepted(submit(client, sample)) for _ in range(2))
        finish(done)
        listed = client.get("/v1/jobs").json["jobs"]
        assert listed == [client.get(f"/v1/jobs/{job_id}").json for job_id in (queued, done)]


class TestView:
    #: DESIGN section 7; `batch` and `compliance` are not built yet.
    FIELDS = (
        "id status created_at started_at finished_at model prompt objects output metadata "
        "attempts "
        "warnings error queue_position result mask subject compliance timings_ms"
    )

    def test_a_queued_job_has_every_field(self, client: Client, sample: bytes) -> None:
        view = submit(client, sample, job={"prompt": {"points": [[3, 4]]}}).json
        assert set(view) == set(self.FIELDS.split())
        assert view["prompt"] == {"points": [[3, 4]], "labels": [], "box": None, "mask": None}
        assert view["objects"] == []
        assert view["output"] == {
            "preset": None,
            "type": "cutout",
            "format": "png",
            "edge": "matte",
            "background": "transparent",
            "crop": False,
            "margin": 0,
            "size": None,
            "align": "center",
            "scale": None,
            "upscale": False,
            "shadow": None,
            "clean": True,
            "keep_metadata": False,
        }
        assert view["attempts"] == 0
        assert view["metadata"] == {}
        assert view["warnings"] == []
        assert view["timings_ms"] == {}
        nothing_yet = ("started_at", "finished_at", "model", "result", "mask", "subject", "error")
        assert all(view[name] is None for name in nothing_yet)

    def test_a_running_job_shows_when_it_started(
        self, client: Client, sample: bytes, leases: LeaseTable
    ) -> None:
        job_id = accepted(submit(client, sample))
        claimed(leases, job_id)
        view = client.get(f"/v1/jobs/{job_id}").json
        assert set(view) == set(self.FIELDS.split())
        assert view["status"] == "processing"
        assert view["started_at"] >= view["created_at"]
        assert view["attempts"] == 1
        assert view["queue_position"] is None

    def test_a_succeeded_job_has_its_result(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        job_id = accepted(submit(client, sample))
        finish(job_id)
        view = client.get(f"/v1/jobs/{job_id}").json
        assert set(view) == set(self.FIELDS.split())
        link = f"http://localhost/v1/jobs/{job_id}"
        assert view["result"] == {
            "url": f"{link}/result",
            "content_type": "image/png",
            "width": 600,
            "height": 400,
            "bytes": 6,
            "sha256": hashlib.sha256(b"result").hexdigest(),
        }
        assert view["mask"] == f"{link}/mask"
        assert view["subject"] == {
            "box": [1, 2, 3, 4],
            "area": 0.5,
            "scores": [1.0],
            "stability": [],
            "needs_review": False,
            "reasons": [],
        }
        assert view["model"] == "grabcut"
        assert view["timings_ms"] == {"total": 12.5}
        assert view["finished_at"] >= view["started_at"]

    def test_a_failed_job_says_why(self, client: Client, sample: bytes, fail: Fail) -> None:
        job_id = accepted(submit(client, sample))
        fail(job_id)
        view = client.get(f"/v1/jobs/{job_id}").json
        assert view["status"] == Status.FAILED
        assert view["error"] == {"code": "subject_not_found", "message": "nothing there"}
        assert view["result"] is None
        assert view["mask"] is None

    def test_times_are_in_utc(self, client: Client, sample: bytes) -> None:
        created = datetime.fromisoformat(submit(client, sample).json["created_at"])
        assert created.tzinfo == UTC
        assert abs((datetime.now(UTC) - created).total_seconds()) < 60

    def test_another_tenants_job_is_not_found(
        self, make_client: MakeClient, sample: bytes, jobs: JobQueue
    ) -> None:
        client = make_client(api_keys=KEYS)
        job_id = accepted(submit(client, sample, headers=SHOP))
        assert_problem(client.get(f"/v1/jobs/{job_id}", headers=OTHER), 404, "not_found")
        assert json.loads(client.get(f"/v1/jobs/{job_id}", headers=SHOP).data)["id"] == job_id
        assert jobs.get(job_id).tenant == "shop"
