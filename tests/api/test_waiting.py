"""Waiting for a job: `Prefer: wait` and the long poll."""

from __future__ import annotations

import threading
import time

import pytest

from shared.queue.jobs import JobQueue
from tests.api.asking import NOBODY
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
    meanwhile,
    submit,
    the_job,
)


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
    def test_an_invalid_preference_is_ignored(
        self, client: Client, sample: bytes, wish: str
    ) -> None:
        begun = time.monotonic()
        response = submit(client, sample, headers={"Prefer": wish})
        assert response.status_code == 202
        assert "Preference-Applied" not in response.headers
        assert time.monotonic() - begun < 1

    def test_a_caller_without_a_place_is_answered_at_once(
        self, make_client: MakeClient, sample: bytes
    ) -> None:
        client = make_client(api_waiting=2)
        job_id = accepted(submit(client, sample))
        app = client.application
        statuses: list[int] = []

        def wait() -> None:
            statuses.append(another_client(app).get(f"/v1/jobs/{job_id}?wait=4").status_code)

        threads = [threading.Thread(target=wait) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(statuses) < 2:
            time.sleep(0.01)
        assert statuses == [503, 503]  # never "still queued" before the time is over
        response = submit(client, sample, headers={"Prefer": "wait=20"})
        assert response.status_code == 202
        assert "Preference-Applied" not in response.headers
        for thread in threads:
            thread.join()
        assert statuses == [503, 503, 200, 200]

    def test_a_tenant_with_fewer_waiting_callers_takes_the_place_of_one_with_more(
        self, make_client: MakeClient, sample: bytes
    ) -> None:
        client = make_client(api_waiting=4, api_keys=KEYS)
        greedy = accepted(submit(client, sample, headers=SHOP))
        modest = accepted(submit(client, sample, headers=OTHER))
        app = client.application
        answers: dict[str, list[int]] = {"greedy": [], "modest": []}

        def wait(name: str, job_id: str, key: dict[str, str]) -> None:
            response = another_client(app).get(f"/v1/jobs/{job_id}?wait=4", headers=key)
            answers[name].append(response.status_code)

        threads = [
            threading.Thread(target=wait, args=("greedy", greedy, SHOP)) for _ in range(4)
        ] + [threading.Thread(target=wait, args=("modest", modest, OTHER)) for _ in range(3)]
        for thread in threads:
            thread.start()
            time.sleep(0.05)
        for thread in threads:
            thread.join()
        # Two are displaced, then both have two places and the third of the modest has none.
        assert answers == {"greedy": [503, 503, 200, 200], "modest": [503, 200, 200]}

    def test_a_finished_wait_frees_its_place(self, make_client: MakeClient, sample: bytes) -> None:
        client = make_client(api_waiting=2)
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

    def test_it_answers_after_the_requested_time(self, client: Client, sample: bytes) -> None:
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

    def test_a_job_erased_during_the_wait_is_not_found(self, client: Client, sample: bytes) -> None:
        job_id = accepted(submit(client, sample))
        eraser = another_client(client.application)
        with meanwhile(lambda: eraser.delete(f"/v1/jobs/{job_id}")):
            response = client.get(f"/v1/jobs/{job_id}?wait=20")
        assert_problem(response, 404, "not_found")

    @pytest.mark.parametrize("wait", ["soon", "-1", "61", "nan", "inf"])
    def test_an_invalid_wait_is_refused(self, client: Client, wait: str) -> None:
        response = client.get(f"/v1/jobs/{NOBODY}?wait={wait}")
        assert_problem(response, 422, "invalid_request", "wait")

    def test_an_unknown_parameter_is_refused(self, client: Client) -> None:
        response = client.get(f"/v1/jobs/{NOBODY}?wiat=5")
        assert_problem(response, 422, "invalid_request", "wiat")
