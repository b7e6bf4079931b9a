"""The first-generation call: takes a photo and points, answers with the PNG."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest

from api import compat
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue
from shared.testing import MemoryStorage
from tests.api.conftest import (
    OTHER,
    SHOP,
    Client,
    Fail,
    Finish,
    MakeClient,
    accepted,
    another_client,
    assert_problem,
    meanwhile,
    records,
    submit,
    the_job,
)


def remove(client: Client, photo: bytes | None, points: str | None = None, **kwargs: Any) -> Any:
    data: dict[str, Any] = {}
    if photo is not None:
        data["image"] = (io.BytesIO(photo), "photo.jpg")
    if points is not None:
        data["points"] = points
    return client.post(
        "/background-removal/remove", data=data, content_type="multipart/form-data", **kwargs
    )


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the wait of one minute."""
    monkeypatch.setattr(compat, "_WAIT", 0.3)


class TestAnswer:
    def test_it_answers_with_the_png(
        self, client: Client, sample: bytes, jobs: JobQueue, finish: Finish
    ) -> None:
        with meanwhile(lambda: finish(the_job(jobs).id)):
            response = remove(client, sample, "[[100, 200], [300, 350.5]]")
        assert response.status_code == 200, response.text
        assert response.content_type == "image/png"
        assert response.data == b"result"
        job = the_job(jobs)
        assert response.headers["X-Job-Id"] == job.id
        assert list(job.request.prompt.points) == [(100, 200), (300, 350.5)]
        assert job.request.prompt.signs == (1, 1)

    @pytest.mark.parametrize("points", [None, "", "[]"])
    def test_without_points_the_subject_is_found(
        self, client: Client, sample: bytes, points: str | None, jobs: JobQueue, finish: Finish
    ) -> None:
        with meanwhile(lambda: finish(the_job(jobs).id)):
            response = remove(client, sample, points)
        assert response.status_code == 200
        assert the_job(jobs).request.prompt.is_auto

    def test_the_same_idempotency_key_returns_the_same_cutout(
        self, client: Client, sample: bytes, jobs: JobQueue, finish: Finish
    ) -> None:
        key = {"Idempotency-Key": "once"}
        with meanwhile(lambda: finish(the_job(jobs).id)):
            first = remove(client, sample, headers=key)
        again = remove(client, sample, headers=key)
        assert again.data == first.data
        assert again.headers["X-Job-Id"] == first.headers["X-Job-Id"]

    def test_the_job_belongs_to_its_caller(
        self, keyed: Client, sample: bytes, jobs: JobQueue, finish: Finish
    ) -> None:
        with meanwhile(lambda: finish(the_job(jobs, "shop").id)):
            response = remove(keyed, sample, headers=SHOP)
        job_id = response.headers["X-Job-Id"]
        assert keyed.get(f"/v1/jobs/{job_id}", headers=SHOP).status_code == 200
        assert keyed.get(f"/v1/jobs/{job_id}", headers=OTHER).status_code == 404


class TestFailures:
    @pytest.mark.parametrize(
        "failure",
        [
            ("subject_not_found", 422),
            ("prompt_invalid", 422),
            ("image_invalid", 422),
            ("image_unsupported", 415),
            ("image_too_large", 413),
            ("segmenter_failed", 500),
            ("poisoned", 500),
            ("storage_unavailable", 503),
            ("a_code_of_tomorrow", 500),
        ],
    )
    def test_a_failed_job_answers_with_its_codes_http_status(
        self,
        client: Client,
        sample: bytes,
        jobs: JobQueue,
        fail: Fail,
        *,
        failure: tuple[str, int],
    ) -> None:
        code, status = failure
        with meanwhile(lambda: fail(the_job(jobs).id, code, "this is why"), after=0.05):
            response = remove(client, sample)
        assert_problem(response, status, code)
        assert response.json["detail"] == "this is why"
        assert response.headers["X-Job-Id"] == the_job(jobs).id

    @pytest.mark.usefixtures("hurried")
    def test_a_job_that_outlasts_the_wait_keeps_running(
        self, client: Client, sample: bytes, jobs: JobQueue
    ) -> None:
        response = remove(client, sample)
        assert_problem(response, 504, "not_finished")
        job_id = response.headers["X-Job-Id"]
        assert f"/v1/jobs/{job_id}" in response.json["detail"]
        assert jobs.get(job_id).status == "queued"

    def test_a_job_canceled_during_the_wait_gives_no_cutout(
        self, client: Client, sample: bytes, jobs: JobQueue
    ) -> None:
        other = another_client(client.application)
        with meanwhile(lambda: other.post(f"/v1/jobs/{the_job(jobs).id}/cancel")):
            response = remove(client, sample)
        assert_problem(response, 409, "no_result")

    def test_a_job_erased_during_the_wait_is_not_found(
        self, client: Client, sample: bytes, jobs: JobQueue
    ) -> None:
        other = another_client(client.application)
        with meanwhile(lambda: other.delete(f"/v1/jobs/{the_job(jobs).id}")):
            response = remove(client, sample)
        assert_problem(response, 404, "not_found")


@pytest.mark.usefixtures("nothing_left", "hurried")
class TestBadInput:
    @pytest.mark.parametrize(
        ("points", "field"),
        [
            ("nope", "points"),
            ("[[1, 2]", "points"),
            ("[" * 100_000, "points"),
            ("1" * 5000, "points"),
            ("[[" + "1" * 5000 + ", 1]]", "points"),
            ("{}", "points"),
            ("null", "points"),
            ("1", "points"),
            ("[1, 2]", "points.0"),
            ("[[1]]", "points.0.1"),
            ("[[1, 2, 3]]", "points.0"),
            ("[[NaN, 1]]", "points.0.0"),
            ("[[1, Infinity]]", "points.0.1"),
            ("[[-1, 1]]", "points.0.0"),
            ('[["1", 1]]', "points.0.0"),
            ("[[600, 1]]", "prompt.points.0"),
        ],
        ids=lambda value: f"{value:.30}",
    )
    def test_invalid_points_are_named(
        self, client: Client, sample: bytes, points: str, field: str
    ) -> None:
        assert_problem(remove(client, sample, points), 422, "invalid_request", field)

    def test_a_million_points_are_refused_fast(self, client: Client, sample: bytes) -> None:
        points = "[" + ",".join(["[1,2]"] * 10**6) + "]"
        begun = time.monotonic()
        response = remove(client, sample, points)
        assert_problem(response, 422, "invalid_request", "points")
        assert time.monotonic() - begun < 8

    def test_a_missing_image_is_named(self, client: Client) -> None:
        assert_problem(remove(client, None, "[]"), 422, "invalid_request", "image")

    def test_a_file_that_is_not_an_image_is_refused(self, client: Client) -> None:
        assert_problem(remove(client, b"<svg/>"), 415, "image_unsupported")

    def test_an_unknown_part_is_named(self, client: Client, sample: bytes) -> None:
        data = {"image": (io.BytesIO(sample), "a"), "point": "[[1, 2]]"}
        response = client.post(
            "/background-removal/remove", data=data, content_type="multipart/form-data"
        )
        assert_problem(response, 422, "invalid_request", "point")

    def test_a_json_body_is_refused(self, client: Client) -> None:
        response = client.post("/background-removal/remove", json={"points": []})
        assert_problem(response, 422, "invalid_request", "image")


class TestCrowd:
    def test_nothing_is_stored_when_too_many_callers_are_waiting(
        self,
        make_client: MakeClient,
        sample: bytes,
        connection: Connection,
        storage: MemoryStorage,
    ) -> None:
        client = make_client(api_waiting=2)
        job_id = accepted(submit(client, sample))
        before = records(connection)

        def wait() -> None:
            another_client(client.application).get(f"/v1/jobs/{job_id}?wait=1.5")

        with meanwhile(wait, after=0), meanwhile(wait, after=0):
            time.sleep(0.5)
            assert_problem(remove(client, sample), 503, "busy")
            assert records(connection) == before
            assert len(storage.objects) == 1
