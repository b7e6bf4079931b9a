"""The objects that a worker process holds, made once when it starts."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from shared.outbound import Outbound
from shared.queue.doorbell import Bell
from shared.queue.leases import LeaseTable
from shared.settings import WorkerSettings
from shared.storage import Storage
from worker.decoding import Decoders
from worker.engine import Engine, InFlightLimit
from worker.heartbeat import Heartbeat
from worker.job.fetch_slots import FetchSlots
from worker.job.threads import JobThreads
from worker.job.waiting_room import WaitingRoom


@dataclass(frozen=True, slots=True)
class Runtime:
    """The objects that a job's pipeline uses.

    Attributes:
        threads: what runs jobs that had to wait.
        waiting: the jobs that wait for a slot, or unclaimed for room.
        downloads: limits the photos fetched from their URLs at once.
        reads: limits the photos of unknown size read from storage at once.
        pixels_in_flight: limits the pixels of the photos in memory at once.
        cores: limits the stages that compute at once, to the number of cores plus one: a stage
            sometimes waits for another thread, and more would only slow each other down.
    """

    settings: WorkerSettings
    storage: Storage
    leases: LeaseTable
    doorbell: Bell
    outbound: Outbound
    engine: Engine
    decoders: Decoders
    heartbeat: Heartbeat
    threads: JobThreads
    downloads: FetchSlots
    reads: FetchSlots
    pixels_in_flight: InFlightLimit
    cores: InFlightLimit
    waiting: WaitingRoom = field(default_factory=WaitingRoom)
    draining: threading.Event = field(default_factory=threading.Event)
