"""Processes that are killed, stopped or told to leave."""

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

#: Seconds to wait for the moment that a fault needs.
OCCASION = 8.0


async def kill(ground: Ground, worker: psutil.Process) -> None:
    """SIGKILL a worker, and follow the jobs that it had in hand."""
    name = name_of(worker)
    worker.suspend()  # what it has in hand stays so while we look
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
    """The moment that `sight` sees, held, in one of these processes."""
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
    """SIGKILL of a worker at the moment when it sends one script.

    Attributes:
        script: which one.
        passes: whether it still reaches Redis.
        within: seconds of which a random part goes by before the end.
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
    """SIGKILL of a worker that has stored a result, as it is about to finish the job."""

    kind = "worker killed before finish"
    script, passes = "finish", False


class WorkerKilledAfterFinish(_KilledAt):
    """SIGKILL of a worker whose job Redis has finished, before it hears so."""

    kind = "worker killed after finish"
    script, passes = "finish", True


class ApiKilledBeforeDoorbell(Fault):
    """SIGKILL of the API that has recorded a job, as it is about to ring for it."""

    kind = "API killed before doorbell"

    async def inject(self, ground: Ground) -> bool:
        api = psutil.Process(ground.services.children["api"].pid)
        moment = await caught(ground, rings, [api])
        if moment is None:
            return False
        moment[1].kill()
        moment[0].let_go(passes=False)
        return True


class CourierKilled(Fault):
    """SIGKILL of a courier: a janitor, a sweeper and a postman."""

    kind = "courier killed"

    async def inject(self, ground: Ground) -> bool:
        ground.services.signal(ground.rng.choice(COURIERS), signal.SIGKILL)
        return True


class LauncherKilled(Fault):
    """SIGKILL of a launcher: its workers are told to leave, and another starts its own."""

    kind = "launcher killed"

    async def inject(self, ground: Ground) -> bool:
        ground.services.signal(ground.rng.choice(list(LAUNCHERS)), signal.SIGKILL)
        return True


class WorkerStopped(Fault):
    """SIGSTOP of a worker past its leases; then it goes on, and finds its jobs another's."""

    kind = "worker stopped past its lease"

    async def inject(self, ground: Ground) -> bool:
        worker = await ground.a_worker()
        worker.suspend()
        await asyncio.sleep(LEASE + 2 + ground.rng.random())
        worker.resume()
        return True


class ToldToLeave(Fault):
    """SIGTERM under load, of a worker, a launcher, a courier or the API."""

    kind = "SIGTERM"

    async def inject(self, ground: Ground) -> bool:
        name = ground.rng.choice(["worker", "worker", *RESTARTED])
        if name == "worker":
            (await ground.a_worker()).terminate()
        else:
            ground.services.signal(name, signal.SIGTERM)
        return True
