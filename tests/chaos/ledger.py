"""What the harness knows of each job: what it submitted, was told and observed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import Flag, auto

from tests.chaos.photos import Photo

#: Seconds after verification during which a job still shows which worker is busy.
_LATELY = 5.0


class Fate(Flag):
    """What the submitter does to a job at a random moment after it is accepted."""

    KEPT = 0
    CANCELED = auto()
    DELETED = auto()


@dataclass(slots=True)
class Entry:
    """One job as its submitter sees it."""

    number: int
    photo: Photo
    key: str
    fate: Fate = Fate.KEPT
    by_url: bool = False
    posts: int = 0
    job_id: str | None = None  # from a 202 or 200
    accepted: float = 0.0
    messages: list[tuple[str, str]] = field(default_factory=list)  # webhook id, type
    named: set[str] = field(default_factory=set)  # job ids named in webhooks
    seen: tuple[str, ...] | None = None  # fields of the record at the first check
    view: tuple[str, str] | None = None  # the API's status and `finished_at` then
    verified: float | None = None  # when it was verified
    kept: bool = False  # until the storage audit
    erasing: bool = False
    erased: bool = False

    @property
    def is_deleted(self) -> bool:
        """Whether its submitter deletes it: then the only promise is that nothing remains."""
        return Fate.DELETED in self.fate


@dataclass
class Ledger:
    """All jobs, and what went wrong."""

    entries: list[Entry] = field(default_factory=list)
    by_id: dict[str, Entry] = field(default_factory=dict)
    to_verify: asyncio.Queue[Entry] = field(default_factory=asyncio.Queue)
    wrongs: dict[str, list[str]] = field(default_factory=dict)
    announced: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def open(
        self, photo: Photo, seed: int, fate: Fate = Fate.KEPT, *, by_url: bool = False
    ) -> Entry:
        """Add a job that is not yet submitted."""
        number = len(self.entries)
        entry = Entry(number, photo, f"chaos-{seed}-{number}", fate, by_url)
        self.entries.append(entry)
        return entry

    def accept(self, entry: Entry, job_id: str) -> None:
        """Record the answer to a submit; a second id for the same key is wrong."""
        if entry.job_id is not None and entry.job_id != job_id:
            self.wrong("two jobs for one key", f"{entry.key}: {entry.job_id}, {job_id}")
        entry.job_id, entry.accepted = job_id, time.monotonic()
        self.by_id[job_id] = entry
        if entry.messages and not entry.is_deleted:
            self.to_verify.put_nowait(entry)

    def tell(self, number: int, job_id: str, webhook_id: str, event: str) -> None:
        """Record a webhook."""
        if not 0 <= number < len(self.entries):
            self.wrong("webhook of an unknown job", job_id)
            return
        entry = self.entries[number]
        first = not entry.messages
        entry.messages.append((webhook_id, event))
        entry.named.add(job_id)
        if first and entry.job_id is not None and not entry.is_deleted:
            self.to_verify.put_nowait(entry)

    def wrong(self, kind: str, what: str) -> None:
        """Record something that must not happen."""
        print(f"WRONG {kind}: {what}", flush=True)
        self.wrongs.setdefault(kind, []).append(what)

    @property
    def accepted(self) -> int:
        return len(self.by_id)

    @property
    def told(self) -> int:
        """Number of webhooks received."""
        return sum(len(entry.messages) for entry in self.entries)

    @property
    def outstanding(self) -> int:
        """Number of jobs not yet verified, without those meant to fail, which take long."""
        return sum(entry.verified is None for entry in self.entries if entry.photo.fails is None)

    def lively(self) -> list[str]:
        """Ids of jobs that may be running or ran seconds ago; every busy worker has one of them."""
        since = time.monotonic() - _LATELY
        return [
            entry.job_id
            for entry in self.entries
            if entry.job_id and (entry.verified is None or entry.verified > since)
        ]

    def pending(self) -> list[Entry]:
        """Jobs whose outcome has not been verified."""
        return [entry for entry in self.entries if entry.verified is None]
