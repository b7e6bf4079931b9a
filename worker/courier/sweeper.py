"""The sweeper: archives finished jobs, erases expired ones, deletes files no longer needed."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from shared.errors import StorageUnavailable
from shared.queue.jobs import JobQueue
from shared.queue.upkeep import Past, Upkeep
from shared.records import Records
from shared.storage import Storage
from shared.storage.keys import files_of

log = logging.getLogger("nukki.sweeper")

_TIDY_EVERY = 600.0
#: Storage calls at once: their time is spent on round trips.
_AT_ONCE = 8

Item = TypeVar("Item")


class Sweeper:
    """Archives, erases and deletes what is due. Any number of copies may run at once."""

    def __init__(self, upkeep: Upkeep, jobs: JobQueue, storage: Storage) -> None:
        self._upkeep = upkeep
        self._jobs = jobs
        self._storage = storage
        self._records = Records(jobs, storage)
        self._tidied = -_TIDY_EVERY

    def clear(self) -> int:
        """Archive, erase and delete a batch of what is due; returns how many were handled.

        Whatever fails because storage is down is due again in a minute.
        """
        self._tidy()
        past = self._upkeep.past()
        # First what frees room: a full storage takes no archive.
        done = self._each([item for item in past if item.erase], self._let_go)
        done += self._each([item for item in past if not item.erase], self._let_go)
        return done + self._each(self._upkeep.sweepable(), self._delete)

    @staticmethod
    def _each(items: Sequence[Item], do: Callable[[Item], None]) -> int:
        """Call `do` on each item, several at once, until storage is found to be down."""
        away = threading.Event()

        def done(item: Item) -> bool:
            if away.is_set():
                return False
            try:
                do(item)
            except StorageUnavailable as error:
                if not away.is_set():
                    log.info("left for later: %s", error)
                away.set()
                return False
            return True

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="sweep") as pool:
            return sum(pool.map(done, items))

    def _let_go(self, past: Past) -> None:
        if not past.erase:
            self._records.archive(past.job_id)
        elif past.remains is None:
            self._jobs.erase(past.job_id)
        else:
            self._jobs.erase_remains(past.job_id, past.remains)

    def _delete(self, name: str) -> None:
        self._storage.delete(files_of(name))
        self._jobs.swept(name)

    def _tidy(self) -> None:
        if time.monotonic() >= self._tidied + _TIDY_EVERY:
            self._tidied = time.monotonic()
            with contextlib.suppress(StorageUnavailable):
                gone = self._storage.tidy()
                if gone:
                    log.info("%d unfinished files removed", gone)
