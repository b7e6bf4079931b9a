"""The checker reports each error it looks for, and nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.checker import Checker
from tests.chaos.ledger import Entry, Fate, Ledger
from tests.chaos.photos import Photo

PHOTO, DEADLY = Photo("photo", b"jpeg"), Photo("deadly", b"jpeg", "poisoned")
EXPECTED = b"the fault-free result"
ENDED = ("succeeded", "1700", "token", "1", "worker")

Answer = Callable[[httpx.Request], httpx.Response]


class Record:
    """Stand-in for Redis: every job's record has these fields."""

    def __init__(self, fields: tuple[str, ...]) -> None:
        self.fields = fields

    async def hgetall(self, _key: str) -> dict[str, str]:
        return {}

    async def hmget(self, _key: str, *_names: str) -> list[str]:
        return list(self.fields)


def service(
    status: str = "succeeded",
    *,
    code: str | None = None,
    digest: bytes = EXPECTED,
    content: bytes | None = EXPECTED,
    known: bool = True,
) -> Answer:
    """An API that gives these answers for every job."""
    view = {
        "status": status,
        "finished_at": "then",
        "error": {"code": code} if code else None,
        "result": {"sha256": hashlib.sha256(digest).hexdigest()},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            return httpx.Response(204)
        if not known or (request.url.path.endswith("/result") and content is None):
            return httpx.Response(404)
        if request.url.path.endswith("/result"):
            return httpx.Response(200, content=content)
        return httpx.Response(200, json=view)

    return answer


def looked_at(
    answer: Answer,
    photo: Photo = PHOTO,
    then: Callable[[Ledger, Record], None] | None = None,
    evidence: Path | None = None,
    fate: Fate = Fate.KEPT,
) -> set[str]:
    """The kinds of error found in one job, checked once and again after `then`."""
    ledger, record = Ledger(), Record(ENDED)
    entry = ledger.open(photo, 1, fate)
    ledger.accept(entry, "job_1")

    async def look() -> None:
        transport = httpx.MockTransport(answer)
        async with httpx.AsyncClient(base_url="http://nukki", transport=transport) as http:
            redis: Any = record
            checker = Checker(ledger, http, redis, {"photo": EXPECTED}, evidence or tmp)
            await checker.verify(entry)
            if then is not None:
                then(ledger, record)
            if entry.seen is not None:
                await checker.erase(entry)

    with tempfile.TemporaryDirectory() as folder:
        tmp = Path(folder)
        asyncio.run(look())
    assert entry.verified is not None
    return set(ledger.wrongs)


def test_a_job_with_the_expected_outcome_passes() -> None:
    assert looked_at(service()) == set()
    assert looked_at(service("failed", code="poisoned"), DEADLY) == set()


@pytest.mark.parametrize(
    ("answer", "photo", "wrong"),
    [
        (service(known=False), PHOTO, "lost"),
        (service("failed", code="segmenter_failed"), PHOTO, "lost"),
        (service("processing"), PHOTO, "lost"),
        (service("canceled"), PHOTO, "lost"),
        (service(content=b"other bytes"), PHOTO, "corrupt"),
        (service(content=None), PHOTO, "corrupt"),
        (service(digest=b"other bytes"), PHOTO, "corrupt"),
        (service("succeeded"), DEADLY, "not poisoned"),
        (service("failed", code="segmenter_failed"), DEADLY, "not poisoned"),
    ],
)
def test_each_kind_of_error_is_reported(answer: Answer, photo: Photo, wrong: str) -> None:
    assert looked_at(answer, photo) == {wrong}


def test_only_a_job_its_submitter_canceled_may_be_canceled() -> None:
    assert looked_at(service("canceled"), fate=Fate.CANCELED) == set()
    assert looked_at(service(), fate=Fate.CANCELED) == set()  # the cancel came too late
    assert looked_at(service(content=None), fate=Fate.CANCELED) == {"corrupt"}


def test_a_differing_result_is_saved_as_evidence(tmp_path: Path) -> None:
    looked_at(service(content=b"other bytes"), evidence=tmp_path / "differing")
    assert (tmp_path / "differing" / "job_1-result.png").read_bytes() == b"other bytes"
    assert (tmp_path / "differing" / "job_1-expected.png").read_bytes() == EXPECTED


def test_a_changed_outcome_is_reported_as_finished_twice() -> None:
    def finished_again(_: Ledger, record: Record) -> None:
        record.fields = ("succeeded", "1900", "another token", "2", "worker")

    assert looked_at(service(), then=finished_again) == {"finished twice"}


def test_an_archived_record_is_not_reported() -> None:
    def archived(_: Ledger, record: Record) -> None:
        record.fields = ("", "", "", "", "")

    assert looked_at(service(), then=archived) == set()


def test_an_outcome_announced_twice_is_reported() -> None:
    def announced_again(ledger: Ledger, _: Record) -> None:
        ledger.announced["job_1"] += 2

    assert looked_at(service(), then=announced_again) == {"finished twice"}


def test_two_jobs_for_one_idempotency_key_are_reported() -> None:
    ledger = Ledger()
    entry: Entry = ledger.open(PHOTO, 1)
    ledger.accept(entry, "job_1")
    ledger.accept(entry, "job_2")
    assert set(ledger.wrongs) == {"two jobs for one key"}
