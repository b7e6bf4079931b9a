"""The reconcile: a slow walk through storage for what Redis has forgotten, as after a rollback.

Archived jobs are remembered again; what no archive and no record owns is swept once it is older
than anything is meant to live. Jobs come before photos, because archives own photos.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from shared.errors import NotFound, StorageUnavailable
from shared.queue.forgotten import Forgotten, Name, Place
from shared.records import Records
from shared.storage import Storage, Stored, keys

log = logging.getLogger("nukki.reconcile")

#: Files per step. A step follows each of the sweeper's rounds: about twenty files per second.
FILES = 100
#: The longest that a file is spared beyond its retention, and that the courier rests between walks.
_DAY_MS = 86400 * 1000


class Reconcile:
    """Walks through storage, a step at a time; of several couriers only one walks."""

    def __init__(
        self, forgotten: Forgotten, records: Records, storage: Storage, *, retention_ms: int
    ) -> None:
        self._forgotten = forgotten
        self._records = records
        self._storage = storage
        #: Older than this nothing lives unless Redis knows it. The margin also bears a storage
        #: whose clock differs.
        self._horizon_ms = retention_ms + min(retention_ms, _DAY_MS)
        self._rest_ms = min(retention_ms, _DAY_MS)
        self._walk: Iterator[Stored] = iter(())
        self._at: Place | None = None

    def step(self) -> None:
        """Look at the next files.

        Raises:
            QueueUnavailable, StorageUnavailable: the same files are looked at again later.
        """
        place, now_ms = self._forgotten.turn(), self._forgotten.now_ms()
        if place is None or place.rests_until > now_ms + self._rest_ms:
            place = None if place is None else replace(place, rests_until=0)  # its clock went back
        if place is None or place.rests_until > now_ms:
            return
        if place != self._at:  # another courier walked, or this one began
            self._walk = self._storage.walk(place.after)
        self._at = None  # after an error, begin where the place says
        found = list(islice(self._walk, FILES))
        old = [item for item in found if item.modified * 1000 + self._horizon_ms < now_ms]
        if place.photos:
            self._sweep_photos(old)
        else:
            self._sweep_attempts(old)
            self._adopt(found)
        after = self._next(place, found, now_ms)
        self._forgotten.keep(after)
        self._at = after if found else None

    def _next(self, place: Place, found: Sequence[Stored], now_ms: int) -> Place:
        if found:
            return replace(place, after=found[-1].key, rests_until=0)
        if not place.photos:
            return Place(photos=True)
        return Place(rests_until=now_ms + self._rest_ms)

    def _sweep_photos(self, old: Sequence[Stored]) -> None:
        names = []
        for item in old:
            for template in (keys.INPUT, keys.UPLOAD):
                parts = keys.read(template, item.key)
                if parts is not None:
                    names.append(Name("input", parts["input"], item.key))
            parts = keys.read(keys.ERASED, item.key)
            if parts is not None:  # nothing of that time is remembered by any Redis
                names.append(Name("job", parts["job"], item.key))
        self._note(names)

    def _sweep_attempts(self, old: Sequence[Stored]) -> None:
        """Sweep the folders of attempts whose job is neither in Redis nor archived."""
        folders: dict[str, Name] = {}
        tenants: dict[str, str] = {}
        for item in old:
            folder, _, file = item.key.rpartition("/")
            parts = keys.read(keys.ATTEMPT, f"{folder}/")
            if parts is not None and file in keys.ATTEMPT_FILES:
                folders[folder] = Name("job", parts["job"], f"{folder}/")
                tenants[parts["job"]] = parts["tenant"]
        unknown = self._forgotten.unknown(list(folders.values()))
        jobs = dict.fromkeys(name.owner for name in unknown)
        archived = {
            job_id
            for job_id in jobs
            if self._storage.size(keys.archive_key(tenants[job_id], job_id)) is not None
        }
        self._note([name for name in unknown if name.owner not in archived])

    def _adopt(self, found: Sequence[Stored]) -> None:
        archives = []
        for item in found:
            parts = keys.read(keys.ARCHIVE, item.key)
            if parts is not None:
                archives.append((Name("job", parts["job"], item.key), parts["tenant"]))
        unknown = set(self._forgotten.unknown([name for name, _ in archives]))
        for name, tenant in archives:
            if name not in unknown:
                continue
            try:
                job = self._records.archived(name.owner, tenant)
            except (
                NotFound,
                StorageUnavailable,
            ):  # erased meanwhile, or damaged; the next walk tells
                continue
            done = self._forgotten.adopt(job)
            if done != "known":
                log.info("found in storage, forgotten by Redis: %s", done, extra={"job": job.id})

    def _note(self, names: Sequence[Name]) -> None:
        noted = self._forgotten.unknown(names, note=True)
        if noted:
            log.info("%d files or folders that nothing knows are swept", len(noted))
