"""Holds the keys found in Redis against the map in `shared/queue/keys.py`."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.exceptions import RedisError

from tests.chaos.ledger import Ledger
from tests.redis_map import family_of

#: How the ledger names what is found.
OUTSIDE = "key outside the map"


async def strays(redis: Any) -> list[str]:
    """The keys that no family of the map has, or that have another type than theirs.

    Raises:
        RedisError: not answered.
    """
    names = [name async for name in redis.scan_iter(count=1000)]
    pipeline = redis.pipeline(transaction=False)
    for name in names:
        pipeline.type(name)
    found = []
    for name, kind in zip(names, await pipeline.execute(), strict=True):
        family = family_of(name)
        if kind == "none":  # removed since the scan
            continue
        if family is None:
            found.append(f"{name}, a {kind}")
        elif family.kind != kind:
            found.append(f"{name}, a {kind}, is a {family.kind} in the map")
    return sorted(found)


async def watch(ledger: Ledger, redis: Any, *, every: float = 1.0) -> None:
    """Sample the keys each `every` seconds and note each stray once; until canceled."""
    noted: set[str] = set()
    while True:
        try:
            found = set(await strays(redis))
        except (RedisError, OSError):
            found = set()
        for stray in sorted(found - noted):
            ledger.wrong(OUTSIDE, stray)
        noted |= found
        await asyncio.sleep(every)
