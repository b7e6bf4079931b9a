"""The audit reports what must not be left behind, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis.asyncio as aioredis

from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.family import PREFIX
from shared.storage import keys
from shared.testing import RedisProcess
from tests.chaos.audit import Audit
from tests.chaos.checker import Checker
from tests.chaos.key_map import watch
from tests.chaos.ledger import Ledger
from tests.chaos.photos import Photo

JOB, PHOTO = "job_1", keys.input_key("default", "inp_1")
FILES = [keys.attempt_key("default", JOB, 1, name) for name in (keys.RESULT, keys.ALPHA)]


@dataclass
class Stack:
    """One kept job in Redis and storage; erasing it leaves only `remains`."""

    connection: Connection
    redis_url: str
    status: str = "succeeded"
    by_url: bool = False
    objects: list[str] = field(default_factory=lambda: [PHOTO, *FILES])
    jobs: list[str] = field(default_factory=lambda: [JOB])
    remains: dict[str, str] = field(default_factory=dict)

    def storage_client(self) -> Any:
        return self

    def get_paginator(self, _call: str) -> Any:
        return self

    def paginate(self, Bucket: str) -> list[dict[str, Any]]:  # noqa: N803  # boto3's name
        return [{"Contents": [{"Key": key} for key in self.objects]}] if Bucket else []

    def _erase(self, request: httpx.Request) -> httpx.Response:
        assert request.method == "DELETE"
        self.connection.redis.flushall()
        self.objects = [name for name in self.objects if name not in {PHOTO, *FILES}]
        if self.remains:
            self.connection.redis.mset(self.remains)
        return httpx.Response(204)

    def audited(self) -> set[str]:
        """The kinds of error the audit finds."""
        fields = {"status": self.status, "input": "inp_1", "claims": "1"}
        self.connection.redis.hset(redis_keys.JOB.key(JOB), mapping=fields)
        self.connection.redis.zadd(redis_keys.JOBS.key("default"), dict.fromkeys(self.jobs, 1))
        ledger = Ledger()
        entry = ledger.open(Photo("photo", b"jpeg"), 1, by_url=self.by_url)
        ledger.accept(entry, JOB)
        ledger.tell(0, JOB, "msg_1", f"job.{self.status}")
        asyncio.run(self._audit(ledger))
        return set(ledger.wrongs)

    async def _audit(self, ledger: Ledger) -> None:
        redis = aioredis.Redis.from_url(self.redis_url, decode_responses=True)
        transport = httpx.MockTransport(self._erase)
        async with redis, httpx.AsyncClient(base_url="http://nukki", transport=transport) as http:
            checker = Checker(ledger, http, redis, {}, Path())
            stack: Any = self
            await Audit(stack, redis, ledger, checker).run()


@pytest.fixture
def stack(connection: Connection, shared_redis: RedisProcess) -> Stack:
    return Stack(connection, shared_redis.url)


@pytest.mark.parametrize("by_url", [True, False])
def test_a_job_with_all_its_files_passes(stack: Stack, by_url: bool) -> None:
    stack.by_url = by_url
    assert stack.audited() == set()


@pytest.mark.parametrize("missing", [PHOTO, *FILES])
@pytest.mark.parametrize("by_url", [True, False])
def test_a_missing_file_is_reported(stack: Stack, missing: str, by_url: bool) -> None:
    stack.by_url = by_url
    stack.objects.remove(missing)
    assert stack.audited() == {"file missing"}


@pytest.mark.parametrize("fetched", [True, False])
def test_a_canceled_job_may_lack_a_photo_given_by_url(stack: Stack, fetched: bool) -> None:
    stack.status, stack.by_url = "canceled", True
    stack.objects = [PHOTO] if fetched else []
    assert stack.audited() == set()


def test_a_canceled_job_may_not_lack_an_uploaded_photo(stack: Stack) -> None:
    stack.status, stack.objects = "canceled", []
    assert stack.audited() == {"file missing"}


def test_an_orphaned_object_is_reported(stack: Stack) -> None:
    stack.objects.append(keys.attempt_key("default", "job_2", 1, keys.RESULT))
    assert stack.audited() == {"orphan in storage"}


def test_a_job_no_submitter_knows_is_reported(stack: Stack) -> None:
    stack.jobs.append("job_2")
    assert stack.audited() == {"job nobody was told of"}


def test_a_key_left_behind_is_reported(stack: Stack) -> None:
    stack.remains = {
        redis_keys.INPUT.key("inp_1"): "",
        redis_keys.IDEMPOTENCY.key("default", "key"): "",
    }
    assert stack.audited() == {"key left behind"}


def test_a_key_outside_the_map_is_reported(stack: Stack) -> None:
    stack.connection.redis.set(f"{PREFIX}new", "")
    assert stack.audited() == {"key outside the map"}


def test_a_key_of_the_wrong_type_is_reported(stack: Stack) -> None:
    stack.connection.redis.set(redis_keys.DUE.key(), "")
    assert stack.audited() == {"key outside the map"}


def test_watching_reports_each_unknown_key_once(
    connection: Connection, shared_redis: RedisProcess
) -> None:
    stray = f"{PREFIX}new"

    async def sampled() -> Ledger:
        ledger = Ledger()
        async with aioredis.Redis.from_url(shared_redis.url, decode_responses=True) as redis:
            watching = asyncio.create_task(watch(ledger, redis, every=0.01))
            await redis.set(stray, "")
            await asyncio.sleep(0.2)
            await redis.delete(stray)
            watching.cancel()
        return ledger

    assert connection.redis.keys() == []
    assert asyncio.run(sampled()).wrongs == {"key outside the map": [f"{stray}, a string"]}
