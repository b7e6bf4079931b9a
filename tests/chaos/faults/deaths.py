"""Faults that kill, suspend or terminate processes."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import ClassVar

import psutil

from tests.chaos.ground import Fault, Ground
from tests.chaos.plan import LEASE
from tests.chaos.services import COURIERS, LAUNCHERS, RESTARTED, name_of
from tests.chaos.wire import Sight, Trap, rings, runs

#: Seconds to wait for the right moment to inject a fault.
OCCASION = 8.0


async def kill(ground: Ground, worker: psutil.Process) -> None:
    """SIGKILL a worker and measure when its jobs are claimed again."""
    name = name_of(worker)
    worker.suspend()  # so that its jobs do not change while we list them
    try:
        jobs = await ground.measures.in_hand(name)
        at = await ground.measures.now()
    finally:
        worker.kill()
    ground.measures.follow(at, jobs)


class WorkerKilled(Fault):
    """SIGKILL of a worker at a random moment."""

    kind = "worker killed"

    async def inject(self, ground: Ground) -> bool:
        worker = await ground.a_worker()
        await asyncio.sleep(ground.rng.random() / 2)
        await kill(ground, worker)
        return True


async def caught(
    ground: Ground, sight: Sight, among: list[psutil.Process]
) -> tuple[Trap, psutil.Process] | None:
    """Hold the next chunk that `sight` matches from one of these processes; None if none comes."""
    deadline = time.monotonic() + OCCASION
    while time.monotonic() < deadline:
        found = await ground.services.redis_wire.catch(sight, deadline - time.monotonic())
        if found is None:
            break
        trap, link = found
        owner = ground.services.owner(link)
        if owner is not None and owner in among:
            return trap, owner
        trap.let_go(passes=True)
    return None


class _KilledAt(Fault):
    """SIGKILL of a worker at the moment it calls one Lua script.

    Attributes:
        script: the script's name.
        passes: whether the call still reaches Redis.
        within: most seconds from the call to the kill; the delay is random.
    """

    script: ClassVar[str]
    passes: ClassVar[bool]
    within: ClassVar[float] = 0.0

    async def inject(self, ground: Ground) -> bool:
        moment = await caught(ground, runs(self.script), await ground.warm_workers())
        if moment is None:
            return False
        trap, worker = moment
        if self.passes:
            trap.let_go(passes=True)
            await asyncio.sleep(self.within * ground.rng.random())
        try:
            await kill(ground, worker)
        finally:
            if not self.passes:
                trap.let_go(passes=False)
        return True


class WorkerKilledAfterClaim(_KilledAt):
    """SIGKILL of a worker between a job's claim and its finish."""

    kind = "worker killed after claim"
    script, passes, within = "claim", True, 0.02


class WorkerKilledBeforeFinish(_KilledAt):
    """SIGKILL of a worker that has stored a result and is about to finish the job."""

    kind = "worker killed before finish"
    script, passes = "finish", False


class WorkerKilledAfterFinish(_KilledAt):
    """SIGKILL of a worker whose job is finished in Redis, before it gets the answer."""

    kind = "worker killed after finish"
    script, passes = "finish", True


class ApiKilledBeforeDoorbell(Fault):
    """SIGKILL of an API server after it has recorded a job, before it rings the doorbell."""

    kind = "API killed before doorbell"

    async def inject(self, ground: Ground) -> bool:
        moment = await caught(ground, rings, ground.services.servers())
        if moment is None:
            return False
        moment[1].kill()
        moment[0].let_go(passes=False)
        return True


class CourierKilled(Fault):
    """SIGKILL of a courier: a janitor, a sweeper and a webhook sender."""

    kind = "courier killed"

    async def inject(self, ground: Ground) -> bool:
        ground.services.signal(ground.rng.choice(COURIERS), signal.SIGKILL)
        return True


class LauncherKilled(Fault):
    """SIGKILL of a launcher: its workers exit, and a restarted launcher starts new ones."""

    kind = "launcher killed"

    async def inject(self, ground: Ground) -> bool:
        ground.services.signal(ground.rng.choice(list(LAUNCHERS)), signal.SIGKILL)
        return True


class WorkerStopped(Fault):
    """SIGSTOP of a worker past its leases; when it resumes, other workers have its jobs."""

    kind = "worker stopped past its lease"

    async def inject(self, ground: Ground) -> bool:
        worker = await ground.a_worker()
        worker.suspend()
        await asyncio.sleep(LEASE + 2 + ground.rng.random())
        worker.resume()
        return True


class ToldToLeave(Fault):
    """SIGTERM under load to a worker, a launcher, a courier or the API."""

    kind = "SIGTERM"

    async def inject(self, ground: Ground) -> bool:
        name = ground.rng.choice(["worker", "worker", *RESTARTED])
        if name == "worker":
            (await ground.a_worker()).terminate()
        else:
            ground.services.signal(name, signal.SIGTERM)
        return True
