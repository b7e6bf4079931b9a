"""Where a job's photo and its starting mask come from."""

from __future__ import annotations

from typing import Any

import pytest

from shared.job import Lane
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue
from shared.queue.leases import LeaseTable
from shared.storage import keys
from shared.testing import MemoryStorage, SilentDoorbell
from tests.api.asking import NOBODY, URL, post
from tests.api.conftest import (
    OTHER,
    SHOP,
    Client,
    Fail,
    Finish,
    accepted,
    assert_problem,
    claimed,
    noted,
    submit,
)


class TestSources:
    def test_a_url_is_stored_but_not_fetched_yet(
        self, client: Client, jobs: JobQueue, storage: MemoryStorage
    ) -> None:
        job = jobs.get(accepted(post(client, url=URL)))
        photo = jobs.input(job.input_id, "default")
        assert (photo.url, photo.stored) == (URL, False)
        assert storage.objects == {}

    def test_an_upload_is_accepted(
        self, client: Client, sample: bytes, jobs: JobQueue, connection: Connection
    ) -> None:
        made = client.post("/v1/uploads", json={"bytes": len(sample)}).json
        assert client.put(made["url"], data=sample).status_code == 200
        job = jobs.get(accepted(post(client, upload=made["id"])))
        assert job.input_id == made["id"]
        assert noted(connection) == [keys.upload_key("default", made["id"])]  # until it expires

    def test_a_photo_can_be_named_by_its_job(
        self, client: Client, sample: bytes, finish: Finish, jobs: JobQueue
    ) -> None:
        first = accepted(submit(client, sample))
        finish(first)
        second = jobs.get(accepted(post(client, job=first, prompt={"points": [[5, 5]]})))
        assert second.input_id == jobs.get(first).input_id
        assert second.lane is Lane.INTERACTIVE

    def test_a_render_names_the_job_with_its_alpha(
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

    def test_a_photo_used_by_two_jobs_has_two_references(
        self, client: Client, sample: bytes, finish: Finish, connection: Connection
    ) -> None:
        first = accepted(submit(client, sample))
        finish(first)
        accepted(post(client, job=first))
        (photo,) = connection.redis.keys(redis_keys.INPUT.glob)
        assert connection.redis.hget(photo, "refs") == "2"

    @pytest.mark.usefixtures("nothing_left")
    def test_a_job_without_a_source_is_refused(self, client: Client) -> None:
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
    def test_a_parent_that_is_running_conflicts(
        self, client: Client, sample: bytes, source: str, leases: LeaseTable
    ) -> None:
        parent = accepted(submit(client, sample))
        claimed(leases, parent)
        assert_problem(post(client, **{source: parent}), 409, "not_finished")

    @pytest.mark.parametrize("source", ["job", "render"])
    def test_a_deleted_parent_is_not_found(
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
    def test_a_render_refuses_an_edge(self, client: Client, edge: str) -> None:
        response = post(client, render=NOBODY, output={"edge": edge})
        assert_problem(response, 422, "invalid_request", "render")

    def test_a_render_refuses_a_prompt(self, client: Client) -> None:
        response = post(client, render=NOBODY, prompt={"points": [[1, 1]]})
        assert_problem(response, 422, "invalid_request", "render")


class TestMask:
    def test_an_earlier_job_on_the_same_photo_can_be_the_starting_mask(
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
        # Bytes after its end: a different file that shows the same picture.
        response = submit(client, sample + b"\0", job={"prompt": {"mask": first}})
        assert_problem(response, 422, "invalid_request", "prompt.mask")
        assert storage.objects == before

    def test_a_mask_that_is_not_done_conflicts(self, client: Client, sample: bytes) -> None:
        first = accepted(submit(client, sample))
        response = submit(client, sample, job={"prompt": {"mask": first}})
        assert_problem(response, 409, "not_finished")

    @pytest.mark.usefixtures("nothing_left")
    def test_a_deleted_mask_is_not_found(self, client: Client, sample: bytes) -> None:
        response = submit(client, sample, job={"prompt": {"mask": NOBODY}})
        assert_problem(response, 404, "not_found")
