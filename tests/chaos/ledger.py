"""What the harness knows of each job: what it asked, what it was told, what it saw."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import Flag, auto

from tests.chaos.photos import Photo

#: Seconds for which a job that has been verified still tells who worked on it.
_LATELY = 5.0


class Fate(Flag):
    """What its submitter does to a job, at any moment after it was accepted."""

    KEPT = 0
    CANCELED = auto()
    DELETED = auto()


@dataclass(slots=True)
class Entry:
    """A job as its submitter has it."""

    number: int
    photo: Photo
    key: str
    fate: Fate = Fate.KEPT
    by_url: bool = False
    posts: int = 0
    job_id: str | None = None  # from a 202 or 200
    accepted: float = 0.0
    messages: list[tuple[str, str]] = field(default_factory=list)  # webhook id, type
    named: set[str] = field(default_factory=set)  # ids of jobs that webhooks told of
    seen: tuple[str, ...] | None = None  # how the record ended, when it was looked at first
    view: tuple[str, str] | None = None  # the same as the API tells it: status, end
    verified: float | None = None  # when its bytes were
    kept: bool = False  # to the end, for the audit of the storage
    erasing: bool = False
    erased: bool = False

    @property
    def is_deleted(self) -> bool:
        """Whether its submitter deletes it: then nothing is promised but that nothing stays."""
        return Fate.DELETED in self.fate


@dataclass
class Ledger:
    """All entries, and what went wrong."""

    entries: list[Entry] = field(default_factory=list)
    by_id: dict[str, Entry] = field(default_factory=dict)
    to_verify: asyncio.Queue[Entry] = field(default_factory=asyncio.Queue)
    wrongs: dict[str, list[str]] = field(default_factory=dict)
    announced: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def open(
        self, photo: Photo, seed: int, fate: Fate = Fate.KEPT, *, by_url: bool = False
    ) -> Entry:
        """A new job, not yet submitted."""
        number = len(self.entries)
        entry = Entry(number, photo, f"chaos-{seed}-{number}", fate, by_url)
        self.entries.append(entry)
        return entry

    def accept(self, entry: Entry, job_id: str) -> None:
        """Note what a submit was answered; another id for the same key is wrong."""
        if entry.job_id is not None and entry.job_id != job_id:
            self.wrong("two jobs for one key", f"{entry.key}: {entry.job_id}, {job_id}")
        entry.job_id, entry.accepted = job_id, time.monotonic()
        self.by_id[job_id] = entry
        if entry.messages and not entry.is_deleted:
            self.to_verify.put_nowait(entry)

    def tell(self, number: int, job_id: str, webhook_id: str, event: str) -> None:
        """Note a webhook."""
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
        """Note what must not be."""
        print(f"WRONG {kind}: {what}", flush=True)
        self.wrongs.setdefault(kind, []).append(what)

    @property
    def accepted(self) -> int:
        return len(self.by_id)

    @property
    def told(self) -> int:
        """Webhooks that came."""
        return sum(len(entry.messages) for entry in self.entries)

    @property
    def outstanding(self) -> int:
        """Jobs not yet verified; those that are to fail take long, and hold up nobody."""
        return sum(entry.verified is None for entry in self.entries if entry.photo.fails is None)

    def lively(self) -> list[str]:
        """The ids of jobs that may be at work, or were some seconds ago: whoever works has some."""
        since = time.monotonic() - _LATELY
        return [
            entry.job_id
            for entry in self.entries
            if entry.job_id and (entry.verified is None or entry.verified > since)
        ]

    def pending(self) -> list[Entry]:
        """Entries whose end has not been verified."""
        return [entry for entry in self.entries if entry.verified is None]
