"""`/v1/jobs`, from the outside: what is answered, and then what is in Redis and storage."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.job import Lane, Status
from shared.queue.connection import PREFIX, Connection
from shared.queue.jobs import JobQueue
from shared.queue.leases import LeaseTable
from shared.storage import keys
from shared.testing import MemoryStorage, SilentDoorbell
from tests.api.conftest import (
    KEYS,
    OTHER,
    SHOP,
    Client,
    Fail,
    Finish,
    MakeClient,
    accepted,
    another_client,
    assert_problem,
    claimed,
    meanwhile,
    noted,
    records,
    submit,
    the_job,
)

URL = "https://example.com/photo.jpg"
NOBODY = "job_" + "0" * 24


def post(client: Client, **job: Any) -> Any:
    headers = job.pop("headers", None)
    return client.post("/v1/jobs", json=job, headers=headers)


class TestSubmit:
    def test_a_photo_is_accepted(self, client: Client, sample: bytes) -> None:
        response = submit(client, sample)
        assert response.status_code == 202
        assert response.content_type == "application/json"
        assert response.json["status"] == "queued"
        assert response.json["queue_position"] == 1

    def test_the_location_is_the_jobs_own_address(self, client: Client, sample: bytes) -> None:
        response = submit(client, sample)
        assert response.headers["Location"] == f"http://localhost/v1/jobs/{response.json['id']}"
        assert client.get(response.headers["Location"]).json == response.json

    def test_the_public_url_begins_every_link(
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

    def test_a_model_that_is_served_may_be_asked_for(
        self, client: Client, sample: bytes, sign_in: Callable[[str], None]
    ) -> None:
        sign_in("grabcut")
        response = submit(client, sample, job={"model": "grabcut"})
        assert response.status_code == 202
        assert response.json["model"] == "grabcut"

    def test_a_model_that_is_not_served_is_refused_with_those_that_are(
        self, client: Client, sample: bytes, sign_in: Callable[[str], None]
    ) -> None:
        sign_in("sam2.1_hiera_tiny")
        sign_in("grabcut")
        response = submit(client, sample, job={"model": "sam_vit_h"})
        assert_problem(response, 422, "model_not_served")
        assert response.json["detail"].endswith("these are: grabcut, sam2.1_hiera_tiny")

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

    def test_metadata_of_4096_bytes_is_taken(self, client: Client, sample: bytes) -> None:
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
    def test_one_is_made(self, client: Client) -> None:
        first, second = (client.get("/v1/jobs").headers["X-Request-Id"] for _ in range(2))
        assert first.startswith("req_")
        assert first != second

    def test_the_callers_is_echoed(self, client: Client) -> None:
        response = client.get("/v1/jobs", headers={"X-Request-Id": "order-17.a_b"})
        assert response.headers["X-Request-Id"] == "order-17.a_b"

    @pytest.mark.parametrize("given", ["", "with space", "<script>", "x" * 129, "é"])
    def test_one_that_is_not_an_id_is_replaced(self, client: Client, given: str) -> None:
        response = client.get("/v1/jobs", headers={"X-Request-Id": given})
        assert response.headers["X-Request-Id"].startswith("req_")

    def test_a_problem_carries_it(self, client: Client) -> None:
        response = client.get(f"/v1/jobs/{NOBODY}", headers={"X-Request-Id": "mine"})
        assert_problem(response, 404, "not_found")
        assert response.json["request_id"] == "mine"


class TestSources:
    def test_a_url_is_noted_and_not_fetched_yet(
        self, client: Client, jobs: JobQueue, storage: MemoryStorage
    ) -> None:
        job = jobs.get(accepted(post(client, url=URL)))
        photo = jobs.input(job.input_id, "default")
        assert (photo.url, photo.stored) == (URL, False)
        assert storage.objects == {}

    def test_an_upload_is_taken(
        self, client: Client, sample: bytes, jobs: JobQueue, connection: Connection
    ) -> None:
        made = client.post("/v1/uploads", json={"bytes": len(sample)}).json
        assert client.put(made["url"], data=sample).status_code == 200
        job = jobs.get(accepted(post(client, upload=made["id"])))
        assert job.input_id == made["id"]
        assert noted(connection) == []

    def test_a_job_names_its_photo(
        self, client: Client, sample: bytes, finish: Finish, jobs: JobQueue
    ) -> None:
        first = accepted(submit(client, sample))
        finish(first)
        second = jobs.get(accepted(post(client, job=first, prompt={"points": [[5, 5]]})))
        assert second.input_id == jobs.get(first).input_id
        assert second.lane is Lane.INTERACTIVE

    def test_a_render_names_its_alpha(
        self, client: Client, sample: bytes, finish: Finish, jobs: JobQueue
    ) -> None:
        first = accepted(submit(client, sample))
        finish(first)
        second = accepted(post(client, render=first, output={"background": "#FFFFFF"}))
        job = jobs.get(second)
        assert job.parent_alpha == keys.attempt_key("default", first, 1, keys.ALPHA)
        assert job.request.output.background == "#ffffff"

    def test_a_render_has_its_own_lane(
        self, client: Client, sample: bytes, finish: Finish, doorbell: SilentDoorbell
    ) -> None:
        first = accepted(submit(client, sample))
        finish(first)
        second = accepted(post(client, render=first))
        assert doorbell.rung[-1] == (second, Lane.RENDER)

    def test_a_photo_two_jobs_use_is_counted_twice(
        self, client: Client, sample: bytes, finish: Finish, connection: Connection
    ) -> None:
        first = accepted(submit(client, sample))
        finish(first)
        accepted(post(client, job=first))
        (photo,) = connection.redis.keys(f"{PREFIX}input:*")
        assert connection.redis.hget(photo, "refs") == "2"

    @pytest.mark.usefixtures("nothing_left")
    def test_none_is_refused(self, client: Client) -> None:
        assert_problem(post(client), 422, "invalid_request", "image")

    @pytest.mark.usefixtures("nothing_left")
    @pytest.mark.parametrize(
        "job",
        [{"url": URL}, {"upload": "inp_" + "0" * 24}, {"job": NOBODY}, {"render": NOBODY}],
        ids=["url", "upload", "job", "render"],
    )
    def test_an_image_and_another_source_are_refused(
        self, client: Client, sample: bytes, job: dict[str, Any]
    ) -> None:
        response = submit(client, sample, job=job)
        assert_problem(response, 422, "invalid_request", "image")
        assert f"{next(iter(job))}, image given" in response.json["detail"]

    @pytest.mark.usefixtures("nothing_left")
    def test_two_named_sources_are_refused(self, client: Client) -> None:
        response = post(client, url=URL, job=NOBODY)
        assert_problem(response, 422, "invalid_request", "image")

    @pytest.mark.usefixtures("nothing_left")
    def test_an_unknown_upload_is_not_found(self, client: Client) -> None:
        assert_problem(post(client, upload="inp_" + "0" * 24), 404, "not_found")

    @pytest.mark.parametrize("source", ["job", "render"])
    def test_a_parent_that_is_not_done_conflicts(
        self, client: Client, sample: bytes, source: str, jobs: JobQueue
    ) -> None:
        parent = accepted(submit(client, sample))
        assert_problem(post(client, **{source: parent}), 409, "not_finished")
        assert len(jobs.page("default", limit=10).jobs) == 1

    @pytest.mark.parametrize("source", ["job", "render"])
    def test_a_parent_that_is_being_done_conflicts(
        self, client: Client, sample: bytes, source: str, leases: LeaseTable
    ) -> None:
        parent = accepted(submit(client, sample))
        claimed(leases, parent)
        assert_problem(post(client, **{source: parent}), 409, "not_finished")

    @pytest.mark.parametrize("source", ["job", "render"])
    def test_a_parent_that_is_gone_is_not_found(
        self, client: Client, sample: bytes, source: str, finish: Finish
    ) -> None:
        parent = accepted(submit(client, sample))
        finish(parent)
        client.delete(f"/v1/jobs/{parent}")
        assert_problem(post(client, **{source: parent}), 404, "not_found")

    @pytest.mark.parametrize("source", ["job", "render"])
    def test_another_tenants_parent_is_not_found(
        self, keyed: Client, sample: bytes, source: str, finish: Finish
    ) -> None:
        parent = accepted(submit(keyed, sample, headers=SHOP))
        finish(parent)
        response = post(keyed, **{source: parent}, headers=OTHER)
        assert_problem(response, 404, "not_found")

    def test_a_failed_parent_still_has_its_photo(
        self, client: Client, sample: bytes, fail: Fail, jobs: JobQueue
    ) -> None:
        parent = accepted(submit(client, sample))
        fail(parent)
        again = jobs.get(accepted(post(client, job=parent, prompt={"points": [[5, 5]]})))
        assert again.input_id == jobs.get(parent).input_id

    def test_a_failed_parent_has_nothing_to_render(
        self, client: Client, sample: bytes, fail: Fail
    ) -> None:
        parent = accepted(submit(client, sample))
        fail(parent)
        assert_problem(post(client, render=parent), 409, "no_result")

    def test_a_parent_whose_url_was_never_fetched_has_no_photo(
        self, client: Client, fail: Fail
    ) -> None:
        parent = accepted(post(client, url=URL))
        fail(parent, "url_failed")
        assert_problem(post(client, job=parent), 409, "no_result")

    def test_a_parent_canceled_before_its_upload_was_read_still_has_its_photo(
        self, client: Client, sample: bytes
    ) -> None:
        made = client.post("/v1/uploads", json={"bytes": len(sample)}).json
        client.put(made["url"], data=sample)
        parent = accepted(post(client, upload=made["id"]))
        client.post(f"/v1/jobs/{parent}/cancel")
        accepted(post(client, job=parent))

    @pytest.mark.parametrize("edge", ["hard", "soft"])
    def test_a_render_takes_no_edge(self, client: Client, edge: str) -> None:
        response = post(client, render=NOBODY, output={"edge": edge})
        assert_problem(response, 422, "invalid_request", "render")

    def test_a_render_takes_no_prompt(self, client: Client) -> None:
        response = post(client, render=NOBODY, prompt={"points": [[1, 1]]})
        assert_problem(response, 422, "invalid_request", "render")


class TestMask:
    def test_an_earlier_job_on_the_same_photo_is_the_start(
        self, client: Client, sample: bytes, finish: Finish, jobs: JobQueue
    ) -> None:
        first = accepted(submit(client, sample))
        finish(first)
        second = jobs.get(accepted(post(client, job=first, prompt={"mask": first})))
        assert second.parent_alpha == keys.attempt_key("default", first, 1, keys.ALPHA)

    def test_the_same_photo_may_be_sent_again(
        self, client: Client, sample: bytes, finish: Finish, jobs: JobQueue
    ) -> None:
        first = accepted(submit(client, sample))
        finish(first)
        second = jobs.get(accepted(submit(client, sample, job={"prompt": {"mask": first}})))
        assert second.parent_alpha == keys.attempt_key("default", first, 1, keys.ALPHA)

    def test_a_mask_of_another_photo_is_refused(
        self, client: Client, sample: bytes, finish: Finish, storage: MemoryStorage
    ) -> None:
        first = accepted(submit(client, sample))
        finish(first)
        before = dict(storage.objects)
        # A comment beyond its end: another file, though it shows the same.
        response = submit(client, sample + b"\0", job={"prompt": {"mask": first}})
        assert_problem(response, 422, "invalid_request", "prompt.mask")
        assert storage.objects == before

    def test_a_mask_that_is_not_done_conflicts(self, client: Client, sample: bytes) -> None:
        first = accepted(submit(client, sample))
        response = submit(client, sample, job={"prompt": {"mask": first}})
        assert_problem(response, 409, "not_finished")

    @pytest.mark.usefixtures("nothing_left")
    def test_a_mask_that_is_gone_is_not_found(self, client: Client, sample: bytes) -> None:
        response = submit(client, sample, job={"prompt": {"mask": NOBODY}})
        assert_problem(response, 404, "not_found")


class TestPreferWait:
    def test_a_job_finished_in_time_is_answered(
        self, client: Client, sample: bytes, jobs: JobQueue, finish: Finish
    ) -> None:
        with meanwhile(lambda: finish(the_job(jobs).id)):
            response = submit(client, sample, headers={"Prefer": "wait=20"})
        assert response.status_code == 200
        assert response.json["status"] == "succeeded"
        assert response.json["result"]["url"] == f"{response.headers['Location']}/result"
        assert response.headers["Preference-Applied"] == "wait"

    def test_a_job_failed_in_time_is_answered_too(
        self, client: Client, sample: bytes, jobs: JobQueue, fail: Fail
    ) -> None:
        with meanwhile(lambda: fail(the_job(jobs).id)):
            response = submit(client, sample, headers={"Prefer": "wait=20"})
        assert response.status_code == 200
        assert response.json["error"] == {"code": "subject_not_found", "message": "nothing there"}

    def test_a_job_not_finished_in_time_is_still_accepted(
        self, client: Client, sample: bytes
    ) -> None:
        begun = time.monotonic()
        response = submit(client, sample, headers={"Prefer": "respond-async, wait=0.3"})
        assert response.status_code == 202
        assert response.json["status"] == "queued"
        assert 0.3 <= time.monotonic() - begun < 2

    @pytest.mark.parametrize(
        "wish", ["wait", "wait=", "wait=soon", "wait=-1", "wait=nan", "await=9", "wait=9e9", ";=,"]
    )
    def test_a_wish_that_is_not_understood_is_ignored(
        self, client: Client, sample: bytes, wish: str
    ) -> None:
        begun = time.monotonic()
        response = submit(client, sample, headers={"Prefer": wish})
        assert response.status_code == 202
        assert "Preference-Applied" not in response.headers
        assert time.monotonic() - begun < 1

    def test_waiters_beyond_half_of_the_threads_are_answered_at_once(
        self, make_client: MakeClient, sample: bytes
    ) -> None:
        client = make_client(api_threads=4)
        job_id = accepted(submit(client, sample))
        app = client.application
        seconds: list[float] = []

        def wait() -> None:
            begun = time.monotonic()
            response = another_client(app).get(f"/v1/jobs/{job_id}?wait=1.5")
            assert response.status_code == 200
            seconds.append(time.monotonic() - begun)

        threads = [threading.Thread(target=wait) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        begun = time.monotonic()
        response = submit(client, sample, headers={"Prefer": "wait=1.5"})
        assert response.status_code == 202
        assert "Preference-Applied" not in response.headers
        assert time.monotonic() - begun < 0.5
        for thread in threads:
            thread.join()
        assert [taken >= 1.4 for taken in sorted(seconds)] == [False, False, True, True]

    def test_a_place_is_given_back(self, make_client: MakeClient, sample: bytes) -> None:
        client = make_client(api_threads=4)
        job_id = accepted(submit(client, sample))
        for _ in range(3):
            begun = time.monotonic()
            client.get(f"/v1/jobs/{job_id}?wait=0.2")
            assert time.monotonic() - begun >= 0.2


class TestLongPoll:
    def test_it_answers_when_the_job_ends(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        job_id = accepted(submit(client, sample))
        begun = time.monotonic()
        with meanwhile(lambda: finish(job_id)):
            response = client.get(f"/v1/jobs/{job_id}?wait=20")
        assert response.json["status"] == "succeeded"
        assert time.monotonic() - begun < 5

    def test_it_answers_when_the_time_is_up(self, client: Client, sample: bytes) -> None:
        job_id = accepted(submit(client, sample))
        response = client.get(f"/v1/jobs/{job_id}?wait=0.2")
        assert response.status_code == 200
        assert response.json["status"] == "queued"

    def test_a_finished_job_is_answered_at_once(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        job_id = accepted(submit(client, sample))
        finish(job_id)
        begun = time.monotonic()
        assert client.get(f"/v1/jobs/{job_id}?wait=20").json["status"] == "succeeded"
        assert time.monotonic() - begun < 1

    def test_a_job_erased_meanwhile_is_not_found(self, client: Client, sample: bytes) -> None:
        job_id = accepted(submit(client, sample))
        eraser = another_client(client.application)
        with meanwhile(lambda: eraser.delete(f"/v1/jobs/{job_id}")):
            response = client.get(f"/v1/jobs/{job_id}?wait=20")
        assert_problem(response, 404, "not_found")

    @pytest.mark.parametrize("wait", ["soon", "-1", "61", "nan", "inf"])
    def test_a_wait_that_is_no_number_of_seconds_is_refused(
        self, client: Client, wait: str
    ) -> None:
        response = client.get(f"/v1/jobs/{NOBODY}?wait={wait}")
        assert_problem(response, 422, "invalid_request", "wait")

    def test_an_unknown_parameter_is_refused(self, client: Client) -> None:
        response = client.get(f"/v1/jobs/{NOBODY}?wiat=5")
        assert_problem(response, 422, "invalid_request", "wiat")


class TestList:
    def test_the_newest_is_first(self, client: Client, sample: bytes) -> None:
        made = [accepted(submit(client, sample)) for _ in range(3)]
        response = client.get("/v1/jobs")
        assert response.status_code == 200
        assert [job["id"] for job in response.json["jobs"]] == made[::-1]
        assert response.json["next"] is None

    def test_no_jobs_are_an_empty_page(self, client: Client) -> None:
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

    def test_a_job_made_meanwhile_does_not_shift_the_pages(
        self, client: Client, sample: bytes
    ) -> None:
        made = [accepted(submit(client, sample)) for _ in range(3)]
        page = client.get("/v1/jobs?limit=2").json
        accepted(submit(client, sample))
        rest = client.get(f"/v1/jobs?limit=2&cursor={page['next']}").json
        assert [job["id"] for job in rest["jobs"]] == [made[0]]

    def test_a_status_filters(
        self, client: Client, sample: bytes, finish: Finish, fail: Fail
    ) -> None:
        queued, done, failed = (accepted(submit(client, sample)) for _ in range(3))
        finish(done)
        fail(failed)
        for status, expected in (("queued", queued), ("succeeded", done), ("failed", failed)):
            page = client.get(f"/v1/jobs?status={status}").json
            assert [job["id"] for job in page["jobs"]] == [expected]
        assert client.get("/v1/jobs?status=canceled").json["jobs"] == []

    def test_tenants_see_their_own(self, keyed: Client, sample: bytes) -> None:
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
    def test_a_parameter_that_is_wrong_is_named(
        self, client: Client, query: str, field: str
    ) -> None:
        assert_problem(client.get(f"/v1/jobs?{query}"), 422, "invalid_request", field)

    def test_a_listed_job_looks_as_it_does_alone(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        done, queued = (accepted(submit(client, sample)) for _ in range(2))
        finish(done)
        listed = client.get("/v1/jobs").json["jobs"]
        assert listed == [client.get(f"/v1/jobs/{job_id}").json for job_id in (queued, done)]


class SigningStorage(MemoryStorage):
    """Storage that gives addresses, as S3 does."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[str, Any] = {}

    def presign_get(
        self, key: str, *, expires: float, content_type: str, filename: str
    ) -> str | None:
        self.asked = {"key": key, "content_type": content_type, "filename": filename}
        return f"https://s3.example.com/{key}?expires={expires:g}"


class TestFiles:
    def test_the_result_is_the_bytes(self, client: Client, sample: bytes, finish: Finish) -> None:
        job_id = accepted(submit(client, sample))
        finish(job_id)
        response = client.get(f"/v1/jobs/{job_id}/result")
        assert response.status_code == 200
        assert response.data == b"result"
        assert response.content_type == "image/png"
        assert response.headers["Content-Disposition"] == f'inline; filename="{job_id}.png"'
        assert response.headers["X-Content-Type-Options"] == "nosniff"

    def test_the_result_has_the_format_asked_for(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        output = {"format": "jpeg", "background": "#ffffff"}
        job_id = accepted(submit(client, sample, job={"output": output}))
        finish(job_id)
        response = client.get(f"/v1/jobs/{job_id}/result")
        assert response.content_type == "image/jpeg"
        assert f"{job_id}.jpeg" in response.headers["Content-Disposition"]

    def test_the_mask_is_the_alpha(self, client: Client, sample: bytes, finish: Finish) -> None:
        job_id = accepted(submit(client, sample))
        finish(job_id)
        response = client.get(f"/v1/jobs/{job_id}/mask")
        assert response.status_code == 200
        assert response.data == b"alpha"
        assert response.content_type == "image/png"

    @pytest.mark.parametrize("file", ["result", "mask"])
    def test_a_job_that_is_not_finished_conflicts(
        self, client: Client, sample: bytes, file: str
    ) -> None:
        job_id = accepted(submit(client, sample))
        assert_problem(client.get(f"/v1/jobs/{job_id}/{file}"), 409, "not_finished")

    @pytest.mark.parametrize("file", ["result", "mask"])
    def test_a_job_that_failed_has_none(
        self, client: Client, sample: bytes, fail: Fail, file: str
    ) -> None:
        job_id = accepted(submit(client, sample))
        fail(job_id)
        assert_problem(client.get(f"/v1/jobs/{job_id}/{file}"), 409, "no_result")

    def test_a_job_that_was_canceled_has_none(self, client: Client, sample: bytes) -> None:
        job_id = accepted(submit(client, sample))
        client.post(f"/v1/jobs/{job_id}/cancel")
        assert_problem(client.get(f"/v1/jobs/{job_id}/result"), 409, "no_result")

    @pytest.mark.parametrize("file", ["result", "mask"])
    def test_a_storage_that_signs_is_redirected_to(
        self, make_client: MakeClient, sample: bytes, finish: Finish, file: str
    ) -> None:
        storage = SigningStorage()
        client = make_client(stored_in=storage)
        job_id = accepted(submit(client, sample))
        finish(job_id)
        response = client.get(f"/v1/jobs/{job_id}/{file}")
        assert response.status_code == 303
        name = {"result": keys.RESULT, "mask": keys.ALPHA}[file]
        key = keys.attempt_key("default", job_id, 1, name)
        assert response.headers["Location"] == f"https://s3.example.com/{key}?expires=900"
        assert response.headers["Cache-Control"] == "no-store"
        assert storage.asked["content_type"] == "image/png"

    def test_a_result_that_the_storage_lost_is_not_found(
        self, client: Client, sample: bytes, finish: Finish, storage: MemoryStorage
    ) -> None:
        job_id = accepted(submit(client, sample))
        finish(job_id)
        storage.objects.clear()
        assert_problem(client.get(f"/v1/jobs/{job_id}/result"), 404, "not_found")


class TestCancel:
    def test_a_queued_job_is_canceled(
        self, client: Client, sample: bytes, leases: LeaseTable, connection: Connection
    ) -> None:
        job_id = accepted(submit(client, sample))
        response = client.post(f"/v1/jobs/{job_id}/cancel")
        assert response.status_code == 200
        assert response.json["status"] == "canceled"
        assert response.json["queue_position"] is None
        assert response.json["finished_at"] is not None
        assert leases.claim(job_id) is None
        assert connection.redis.zcard(f"{PREFIX}lane:interactive") == 0

    def test_a_job_being_done_is_taken_from_its_worker(
        self, client: Client, sample: bytes, leases: LeaseTable
    ) -> None:
        job_id = accepted(submit(client, sample))
        claim = claimed(leases, job_id)
        response = client.post(f"/v1/jobs/{job_id}/cancel")
        assert response.json["status"] == "canceled"
        assert leases.lost([claim])

    def test_a_finished_job_stays_as_it_is(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        job_id = accepted(submit(client, sample))
        finish(job_id)
        response = client.post(f"/v1/jobs/{job_id}/cancel")
        assert response.status_code == 200
        assert response.json["status"] == "succeeded"

    def test_canceling_twice_is_canceling_once(self, client: Client, sample: bytes) -> None:
        job_id = accepted(submit(client, sample))
        first, second = (client.post(f"/v1/jobs/{job_id}/cancel").json for _ in range(2))
        assert first == second

    @pytest.mark.usefixtures("nothing_left")
    def test_a_missing_job_is_not_found(self, client: Client) -> None:
        assert_problem(client.post(f"/v1/jobs/{NOBODY}/cancel"), 404, "not_found")

    def test_a_canceled_job_keeps_its_photo(
        self, client: Client, sample: bytes, storage: MemoryStorage
    ) -> None:
        job_id = accepted(submit(client, sample))
        client.post(f"/v1/jobs/{job_id}/cancel")
        assert list(storage.objects.values()) == [sample]


class TestErase:
    @pytest.mark.usefixtures("nothing_left")
    def test_record_photo_and_files_are_gone(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        job_id = accepted(submit(client, sample))
        finish(job_id)
        response = client.delete(f"/v1/jobs/{job_id}")
        assert response.status_code == 204
        assert response.data == b""

    @pytest.mark.usefixtures("nothing_left")
    def test_a_queued_job_is_erased(self, client: Client, sample: bytes) -> None:
        assert client.delete(f"/v1/jobs/{accepted(submit(client, sample))}").status_code == 204

    @pytest.mark.usefixtures("nothing_left")
    def test_a_job_with_a_webhook_tells_nobody(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        job = {"webhook": {"url": "https://example.com/hook"}}
        job_id = accepted(submit(client, sample, job=job))
        finish(job_id)
        assert client.delete(f"/v1/jobs/{job_id}").status_code == 204

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", ""), ("GET", "/result"), ("GET", "/mask"), ("POST", "/cancel"), ("DELETE", "")],
    )
    def test_every_call_finds_nothing_afterwards(
        self, client: Client, sample: bytes, finish: Finish, method: str, path: str
    ) -> None:
        job_id = accepted(submit(client, sample))
        finish(job_id)
        client.delete(f"/v1/jobs/{job_id}")
        response = client.open(f"/v1/jobs/{job_id}{path}", method=method)
        assert_problem(response, 404, "not_found")

    def test_it_is_no_longer_listed(self, client: Client, sample: bytes) -> None:
        client.delete(f"/v1/jobs/{accepted(submit(client, sample))}")
        assert client.get("/v1/jobs").json["jobs"] == []

    def test_a_photo_that_another_job_uses_is_kept(
        self, client: Client, sample: bytes, finish: Finish, storage: MemoryStorage
    ) -> None:
        first = accepted(submit(client, sample))
        finish(first)
        second = accepted(post(client, job=first))
        assert client.delete(f"/v1/jobs/{first}").status_code == 204
        assert list(storage.objects.values()) == [sample]
        finish(second)
        assert client.delete(f"/v1/jobs/{second}").status_code == 204
        assert storage.objects == {}

    @pytest.mark.usefixtures("nothing_left_once_swept")
    def test_what_a_running_worker_may_still_store_is_swept_later(
        self, client: Client, sample: bytes, leases: LeaseTable, storage: MemoryStorage
    ) -> None:
        job_id = accepted(submit(client, sample))
        claimed(leases, job_id)
        assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
        storage.put(keys.attempt_key("default", job_id, 1, keys.RESULT), b"late", "")

    @pytest.mark.usefixtures("nothing_left_once_swept")
    def test_with_the_storage_down_the_files_are_swept_later(
        self, client: Client, sample: bytes, storage: MemoryStorage, connection: Connection
    ) -> None:
        job_id = accepted(submit(client, sample))
        storage.down = True
        assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
        assert records(connection) == [f"{PREFIX}sweep"]
        assert list(storage.objects.values()) == [sample]


class TestView:
    #: DESIGN section 7; `batch` and `compliance` come with their issues.
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

    def test_a_job_being_done_tells_since_when(
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
            "sha256": "0" * 64,
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


class TestObjects:
    def test_several_objects_are_taken_and_told(self, client: Client, sample: bytes) -> None:
        objects = [{"points": [[10, 10]]}, {"box": [20, 20, 60, 80]}]
        response = submit(client, sample, job=json.dumps({"objects": objects}))
        assert response.status_code == 202
        told = response.json["objects"]
        assert [item["points"] for item in told] == [[[10, 10]], []]
        assert told[1]["box"] == [20, 20, 60, 80]

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
    def test_objects_that_mean_nothing_are_refused(
        self, client: Client, sample: bytes, fields: dict[str, Any], complaint: str
    ) -> None:
        response = submit(client, sample, job=json.dumps(fields))
        assert_problem(response, 422, "invalid_request", "objects")
        assert complaint in response.json["errors"][0]["message"]

    def test_the_object_outside_the_photo_is_named(self, client: Client, sample: bytes) -> None:
        objects = [{"points": [[10, 10]]}, {"points": [[10, 4000]]}]
        response = submit(client, sample, job=json.dumps({"objects": objects}))
        assert_problem(response, 422, "invalid_request", "objects.1.points.0")
