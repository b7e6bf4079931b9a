"""What is in storage and Redis has forgotten: its side of the reconcile."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from shared.job import Job
from shared.queue import keys as redis_keys
from shared.queue.answers import Remains
from shared.queue.connection import Connection, translated

#: How long a courier that has stopped walking keeps the others from it.
TURN_MS = 120_000


@dataclass(frozen=True, slots=True)
class Place:
    """How far the walk is: which of its passes, and the last key that was looked at.

    `rests_until` is when the next walk begins, in ms by Redis's clock; 0 while one is under way.
    """

    photos: bool = False
    after: str = ""
    rests_until: int = 0


@dataclass(frozen=True, slots=True)
class Name:
    """A file, or the folder of an attempt, as it can be noted; `owner`: its input's or job's id."""

    kind: str
    owner: str
    noted: str


class Forgotten:
    """The walk's place, and what Redis knows of what the walk finds."""

    def __init__(self, connection: Connection, *, retention_ms: int) -> None:
        self._connection = connection
        self._retention_ms = retention_ms
        self._token = secrets.token_hex(8)

    def now_ms(self) -> int:
        """Redis's clock."""
        with translated():
            seconds, micros = self._connection.redis.time()
        return int(seconds * 1000 + micros // 1000)

    def run_id(self) -> str:
        """The id of the Redis process; another one may have been started from an older state."""
        with translated():
            return str(self._connection.redis.info("server")["run_id"])

    def turn(self) -> Place | None:
        """Where to go on; None: another courier is walking."""
        redis, turn = self._connection.redis, redis_keys.WALKER.key()
        with translated():
            mine = redis.set(turn, self._token, nx=True, px=TURN_MS)
            if not mine and redis.get(turn) != self._token:
                return None
            redis.pexpire(turn, TURN_MS)
            found = redis.hgetall(redis_keys.WALK.key())
        photos, rests = found.get("photos") == "1", int(found.get("rests_until", 0))
        return Place(photos, found.get("after", ""), rests)

    def keep(self, place: Place) -> None:
        """Remember how far the walk is."""
        fields = {
            "photos": int(place.photos),
            "after": place.after,
            "rests_until": place.rests_until,
        }
        with translated():
            self._connection.redis.hset(redis_keys.WALK.key(), mapping=fields)

    def unknown(self, names: Sequence[Name], *, note: bool = False) -> list[Name]:
        """Those that Redis does not know; `note`: they are noted to be swept now."""
        given = [[name.kind, name.owner, name.noted] for name in names]
        found = self._connection.run("orphans", names=given, note=note or None) if given else []
        return [names[at] for at in found]

    def adopt(self, job: Job) -> str:
        """Remember an archived job again, or note its files to be swept if its time is over."""
        return str(
            self._connection.run(
                "adopt",
                id=job.id,
                archived=Remains.of(job).to_fields(),
                finished=job.finished_ms,
                retention_ms=self._retention_ms,
            )
        )
