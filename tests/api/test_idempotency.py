"""`Idempotency-Key`: repeating a request returns the same job."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from shared.job import Job
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue
from shared.queue.workers import WorkerRoll
from shared.schema import Event, Webhook
from shared.testing import MemoryStorage, RedisProcess, SilentDoorbell
from tests.api.conftest import (
    OTHER,
    SHOP,
    Clear,
    Client,
    Finish,
    MakeClient,
    accepted,
    another_client,
    assert_problem,
    noted,
    submit,
)

KEY = {"Idempotency-Key": "order-17"}


def all_jobs(jobs: JobQueue, tenant: str = "default") -> tuple[Job, ...]:
    return jobs.page(tenant, limit=200).jobs


class TestRepeat:
    def test_the_same_photo_and_fields_return_the_same_job(
        self, client: Client, sample: bytes, jobs: JobQueue, storage: MemoryStorage
    ) -> None:
        job = {"prompt": {"points": [[1, 2]]}, "metadata": {"sku": 1}}
        first, again = (submit(client, sample, job=job, headers=KEY) for _ in range(2))
        assert again.status_code == 202
        assert again.json["id"] == first.json["id"]
        assert again.headers["Location"] == first.headers["Location"]
        assert again.headers["Idempotent-Replayed"] == "true"
        assert "Idempotent-Replayed" not in first.headers
        assert len(all_jobs(jobs)) == 1
        assert len(storage.objects) == 1

    def test_a_replay_does_not_ring_the_doorbell_again(
        self, client: Client, sample: bytes, doorbell: SilentDoorbell
    ) -> None:
        for _ in range(2):
            submit(client, sample, headers=KEY)
        assert len(doorbell.rung) == 1

    def test_equivalent_bodies_are_the_same_request(self, client: Client, sample: bytes) -> None:
        webhook = {"url": "https://a.example/", "events": ["job.failed", "job.succeeded"]}
        one = {"webhook": webhook, "metadata": {"a": 1, "b": 2}}
        turned = {"url": webhook["url"], "events": ["job.succeeded", "job.failed"]}
        defaults = {"priority": "interactive", "prompt": {}}
        other = {"metadata": {"b": 2, "a": 1}, "webhook": turned, **defaults}
        first = submit(client, sample, job=one, headers=KEY)
        again = submit(client, sample, job=other, headers=KEY, filename="another.jpg")
        assert accepted(again) == accepted(first)

    def test_a_replay_returns_a_finished_job_in_its_current_state(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        job_id = accepted(submit(client, sample, headers=KEY))
        finish(job_id)
        again = submit(client, sample, headers=KEY)
        assert again.json["id"] == job_id
        assert again.json["status"] == "succeeded"

    def test_a_replay_with_prefer_wait_returns_a_finished_job_at_once(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        job_id = accepted(submit(client, sample, headers=KEY))
        finish(job_id)
        again = submit(client, sample, headers={**KEY, "Prefer": "wait=30"})
        assert again.status_code == 200
        assert again.json["id"] == job_id

    def test_a_replay_returns_the_same_job_after_its_parent_was_deleted(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        parent = accepted(submit(client, sample))
        finish(parent)
        first = accepted(client.post("/v1/jobs", json={"job": parent}, headers=KEY))
        client.delete(f"/v1/jobs/{parent}")
        again = client.post("/v1/jobs", json={"job": parent}, headers=KEY)
        assert accepted(again) == first

    def test_a_replay_returns_the_same_job_when_its_model_is_no_longer_served(
        self,
        client: Client,
        sample: bytes,
        sign_in: Callable[[str], None],
        connection: Connection,
    ) -> None:
        sign_in("grabcut")
        first = accepted(submit(client, sample, job={"model": "grabcut"}, headers=KEY))
        WorkerRoll(connection).sign_out("host/grabcut")
        again = submit(client, sample, job={"model": "grabcut"}, headers=KEY)
        assert accepted(again) == first

    def test_a_set_of_events_is_serialized_in_a_fixed_order(self) -> None:
        # The order of a set of strings differs between processes.
        webhook = Webhook(url="https://a.example/", events=frozenset(Event))
        assert webhook.model_dump(mode="json")["events"] == sorted(Event)


class TestAnotherRequest:
    def test_another_body_is_refused(
        self, client: Client, sample: bytes, jobs: JobQueue, storage: MemoryStorage
    ) -> None:
        submit(client, sample, headers=KEY)
        response = submit(client, sample, job={"priority": "bulk"}, headers=KEY)
        assert_problem(response, 422, "idempotency_mismatch")
        assert len(all_jobs(jobs)) == 1
        assert len(storage.objects) == 1

    def test_another_file_is_refused(
        self, client: Client, sample: bytes, jobs: JobQueue, storage: MemoryStorage
    ) -> None:
        submit(client, sample, headers=KEY)
        response = submit(client, sample + b"\0", headers=KEY)
        assert_problem(response, 422, "idempotency_mismatch")
        assert len(all_jobs(jobs)) == 1
        assert list(storage.objects.values()) == [sample]

    def test_another_source_is_refused(self, client: Client, sample: bytes) -> None:
        submit(client, sample, headers=KEY)
        job = {"url": "https://example.com/a.jpg"}
        response = client.post("/v1/jobs", json=job, headers=KEY)
        assert_problem(response, 422, "idempotency_mismatch")

    def test_each_tenant_has_its_own_keys(
        self, keyed: Client, sample: bytes, jobs: JobQueue
    ) -> None:
        mine = accepted(submit(keyed, sample, headers=SHOP | KEY))
        theirs = accepted(submit(keyed, sample + b"\0", headers=OTHER | KEY))
        assert mine != theirs
        assert [job.id for job in all_jobs(jobs, "shop")] == [mine]
        assert [job.id for job in all_jobs(jobs, "other")] == [theirs]

    def test_another_key_makes_another_job(self, client: Client, sample: bytes) -> None:
        first = accepted(submit(client, sample, headers=KEY))
        second = accepted(submit(client, sample, headers={"Idempotency-Key": "order-18"}))
        assert first != second

    def test_without_a_key_every_request_makes_a_job(self, client: Client, sample: bytes) -> None:
        assert accepted(submit(client, sample)) != accepted(submit(client, sample))


class TestTogether:
    def test_fifty_concurrent_requests_make_one_job(
        self, client: Client, sample: bytes, jobs: JobQueue, storage: MemoryStorage
    ) -> None:
        answers = _at_once(client, [sample] * 50)
        assert {answer.status_code for answer in answers} == {202}
        (job,) = all_jobs(jobs)
        assert {answer.json["id"] for answer in answers} == {job.id}
        replayed = [answer.headers.get("Idempotent-Replayed") for answer in answers]
        assert sorted(replayed, key=str) == [None] + ["true"] * 49
        assert list(storage.objects) == [f"default/inputs/{job.input_id}"]

    def test_files_stored_by_the_losing_requests_are_swept(
        self, client: Client, sample: bytes, connection: Connection, clear: Clear
    ) -> None:
        _at_once(client, [sample] * 20)
        clear()
        assert noted(connection) == []
        assert len(connection.redis.keys(redis_keys.INPUT.glob)) == 1

    def test_of_twenty_concurrent_different_requests_one_is_accepted(
        self, client: Client, sample: bytes, jobs: JobQueue, storage: MemoryStorage
    ) -> None:
        answers = _at_once(client, [sample + bytes(extra) for extra in range(20)])
        assert sorted(answer.status_code for answer in answers) == [202] + [422] * 19
        (job,) = all_jobs(jobs)
        assert list(storage.objects) == [f"default/inputs/{job.input_id}"]


def _at_once(client: Client, photos: list[bytes]) -> list[Any]:
    """Post each photo from its own thread, all with the same key."""
    answers: list[Any] = []
    ready = threading.Barrier(len(photos))

    def post(photo: bytes) -> None:
        mine = another_client(client.application)
        ready.wait()
        answers.append(submit(mine, photo, headers=KEY))

    threads = [threading.Thread(target=post, args=(photo,)) for photo in photos]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == len(photos)
    return answers


class Swallower:
    """A proxy to Redis; once `hungry`, it drops the reply to the next accept."""

    def __init__(self, redis: RedisProcess) -> None:
        self.hungry = threading.Event()
        self._upstream = int(redis.url.rpartition(":")[2].partition("/")[0])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inward, _ = self._listener.accept()
                outward = socket.create_connection(("127.0.0.1", self._upstream))
                threading.Thread(target=self._carry, args=(inward, outward), daemon=True).start()

    def _carry(self, inward: socket.socket, outward: socket.socket) -> None:
        swallow = False
        with inward, outward, contextlib.suppress(OSError):
            while True:
                ready, _, _ = select.select([inward, outward], [], [])
                for side in ready:
                    data = side.recv(1 << 16)
                    if not data:
                        return
                    if side is inward:
                        swallow = swallow or (self.hungry.is_set() and b"fingerprint" in data)
                        # `repeated` also reads the slot by that word, but runs no script.
                        swallow = swallow and b"EVALSHA" in data
                        if swallow:
                            self.hungry.clear()
                        outward.sendall(data)
                    elif not swallow:
                        inward.sendall(data)


class TestLostAnswer:
    def test_retrying_an_accept_that_timed_out_makes_no_second_job(
        self,
        make_client: MakeClient,
        sample: bytes,
        shared_redis: RedisProcess,
        jobs: JobQueue,
        storage: MemoryStorage,
    ) -> None:
        between = Swallower(shared_redis)
        client = make_client(redis_url=between.url)
        accepted(submit(client, sample, headers={"Idempotency-Key": "another"}))  # scripts loaded
        between.hungry.set()
        began = time.monotonic()
        assert_problem(submit(client, sample, headers=KEY), 503, "queue_unavailable")
        assert time.monotonic() - began < 2
        assert not between.hungry.is_set()
        assert len(all_jobs(jobs)) == 2  # it was accepted, although the reply was lost
        again = submit(client, sample, headers=KEY)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert accepted(again) in {job.id for job in all_jobs(jobs)}
        assert len(all_jobs(jobs)) == 2
        assert {f"default/inputs/{job.input_id}" for job in all_jobs(jobs)} <= set(storage.objects)
        between.close()


class TestKey:
    @pytest.mark.usefixtures("nothing_left")
    @pytest.mark.parametrize("key", ["", "two words", "é", "x" * 256, "tab\tbed"])
    def test_an_invalid_key_is_refused(self, client: Client, sample: bytes, key: str) -> None:
        response = submit(client, sample, headers={"Idempotency-Key": key})
        assert_problem(response, 422, "invalid_request", "Idempotency-Key")

    @pytest.mark.parametrize("key", ["a", "x" * 255, "!~", "a:b:c", "order/17?x=1"])
    def test_a_key_of_visible_ascii_characters_is_accepted(
        self, client: Client, sample: bytes, key: str
    ) -> None:
        headers = {"Idempotency-Key": key}
        first, again = (accepted(submit(client, sample, headers=headers)) for _ in range(2))
        assert first == again

    def test_a_key_is_kept_for_a_day(
        self, client: Client, sample: bytes, connection: Connection
    ) -> None:
        accepted(submit(client, sample, headers=KEY))
        (slot,) = connection.redis.keys(redis_keys.IDEMPOTENCY.glob)
        assert 86_390 < connection.redis.ttl(slot) <= 86_400

    def test_a_key_makes_a_new_job_after_its_job_is_erased(
        self, client: Client, sample: bytes, jobs: JobQueue
    ) -> None:
        first = accepted(submit(client, sample, headers=KEY))
        client.delete(f"/v1/jobs/{first}")
        second = submit(client, sample + b"\0", headers=KEY)
        assert accepted(second) != first
        assert "Idempotent-Replayed" not in second.headers
        assert [job.id for job in all_jobs(jobs)] == [second.json["id"]]

    def test_a_refused_request_does_not_use_up_the_key(self, client: Client, sample: bytes) -> None:
        assert_problem(submit(client, b"nonsense", headers=KEY), 415, "image_unsupported")
        accepted(submit(client, sample, headers=KEY))

    def test_a_request_that_fails_midway_does_not_use_up_the_key(
        self, client: Client, sample: bytes, storage: MemoryStorage
    ) -> None:
        storage.down = True
        assert_problem(submit(client, sample, headers=KEY), 503, "storage_unavailable")
        storage.down = False
        accepted(submit(client, sample, headers=KEY))
