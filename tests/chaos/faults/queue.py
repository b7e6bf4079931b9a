"""Faults of Redis, of the connections to it, and of doorbells."""

from __future__ import annotations

import asyncio
import signal
import time

import psutil
from redis.exceptions import RedisError

from shared.job import Lane
from shared.queue.doorbell import Doorbell, make_celery
from shared.settings import RedisSettings
from tests.chaos.ground import Fault, Ground
from tests.chaos.services import name_of

#: Seconds after which a service that has not resumed is given up.
_RESUME_TIMEOUT = 30.0


class RedisKilled(Fault):
    """SIGKILL of Redis, then a restart from the same append-only file."""

    kind = "Redis killed"

    async def inject(self, ground: Ground) -> bool:
        services = ground.services
        workers = {name_of(worker): worker for worker in await ground.warm_workers()}
        child = services.children["redis"]
        with ground.measures.outage():
            child.kill()
            await asyncio.to_thread(child.wait)
            await asyncio.sleep(0.3 + 2 * ground.rng.random())
            services.spawn("redis")
            await _answers(ground)
        ground.measures.gaps.append(await _gap(ground, workers))
        return True


async def _gap(ground: Ground, workers: dict[str, psutil.Process]) -> float:
    """Seconds until a job is accepted, every worker has claimed one, and a webhook arrives.

    Workers that have exited meanwhile are not waited for. At most `_RESUME_TIMEOUT`.
    """
    ledger, measures = ground.ledger, ground.measures
    accepted, told = ledger.accepted, ledger.told
    back, began = await measures.now(), time.monotonic()
    left = set(workers)
    while time.monotonic() < began + _RESUME_TIMEOUT:
        await asyncio.sleep(0.1)
        left = {name for name in left if workers[name].is_running()}
        left -= await measures.resumed(back, left, ledger.lively())
        if not left and ledger.accepted > accepted and ledger.told > told:
            break
    return time.monotonic() - began


async def _answers(ground: Ground) -> None:
    for _ in range(600):
        try:
            await ground.redis.ping()
        except (RedisError, OSError):
            await asyncio.sleep(0.05)
        else:
            return
    raise TimeoutError("Redis did not come back")


class RedisStopped(Fault):
    """SIGSTOP of Redis for a while: it accepts connections and never answers."""

    kind = "Redis stopped"
    rare = True

    async def inject(self, ground: Ground) -> bool:
        with ground.measures.outage():
            ground.services.signal("redis", signal.SIGSTOP)
            try:
                await asyncio.sleep(ground.plan.stop)
            finally:
                ground.services.signal("redis", signal.SIGCONT)
        return True


class ClientsKilled(Fault):
    """CLIENT KILL of every connection."""

    kind = "CLIENT KILL"

    async def inject(self, ground: Ground) -> bool:
        kill = ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        return int(await ground.redis.execute_command(*kill)) > 0


class BlackHole(Fault):
    """The network to Redis drops everything for a while."""

    kind = "Redis black-holed"

    async def inject(self, ground: Ground) -> bool:
        wire = ground.services.redis_wire
        with ground.measures.outage():
            wire.black_hole()
            await asyncio.sleep(2 + 4 * ground.rng.random())
            wire.surface()
        return True


class HalfOpen(Fault):
    """Every connection to Redis is closed at Redis's end only; new ones work."""

    kind = "Redis half-open"

    async def inject(self, ground: Ground) -> bool:
        with ground.measures.outage():
            return ground.services.redis_wire.halve() > 0


class NearlyFull(Fault):
    """Redis is too full for new jobs to be accepted, but running jobs still finish."""

    kind = "Redis nearly full"

    async def inject(self, ground: Ground) -> bool:
        used = int((await ground.redis.info("memory"))["used_memory"])
        told = ground.ledger.told
        busy = await ground.measures.in_hand()
        refused = ground.ledger.refused["503"]
        await ground.redis.config_set("maxmemory", int(used / 0.9))
        try:
            await asyncio.sleep(3)
            for _ in range(70):
                if not busy or ground.ledger.told > told:
                    break
                await asyncio.sleep(0.1)
        finally:
            await ground.redis.config_set("maxmemory", 0)
        if ground.ledger.refused["503"] == refused:
            ground.notes.append("Redis nearly full: no submit was refused")
        if busy and ground.ledger.told == told:
            ground.ledger.wrong("nothing finished at maxmemory", f"{len(busy)} jobs were running")
        return True


class Full(Fault):
    """Redis is at its maxmemory and refuses every write that needs memory."""

    kind = "Redis full"

    async def inject(self, ground: Ground) -> bool:
        with ground.measures.outage():
            await ground.redis.config_set("maxmemory", "1mb")
            try:
                await asyncio.sleep(1.5)
            finally:
                await ground.redis.config_set("maxmemory", 0)
        return True


class DoorbellsDoubled(Fault):
    """Ten extra doorbells for each of up to eight jobs, in any state."""

    kind = "doorbells ×10"

    async def inject(self, ground: Ground) -> bool:
        known = [entry.job_id for entry in ground.ledger.entries[-400:] if entry.job_id]
        if not known:
            return False
        chosen = ground.rng.sample(known, min(8, len(known)))
        await asyncio.to_thread(self._ring, ground.services.redis_url, chosen)
        return True

    @staticmethod
    def _ring(url: str, job_ids: list[str]) -> None:
        celery = make_celery(RedisSettings.load(redis_url=url))
        bell = Doorbell(celery)
        for job_id in job_ids * 10:
            bell.ring(job_id, Lane.INTERACTIVE)
        celery.close()
