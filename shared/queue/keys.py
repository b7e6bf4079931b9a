"""The map of Redis: every family of keys, and the one place in Python that builds their names.

`key()` in `lua/parts/base.lua` builds the same names; `docs/redis.md` shows the map.
"""

from __future__ import annotations

from shared.queue.delivery_keys import (
    CARRIED,
    DELIVERIES,
    DELIVERY,
    PENDING,
    RECEIVERS,
    SHARES,
    SUSPENDED,
    TRIES,
    WAITING,
)
from shared.queue.family import PREFIX, Family, Kind
from shared.queue.process_keys import BINDINGS, DOORBELLS, PERMANENT_BINDINGS, WORKER, WORKERS

__all__ = [
    "BINDINGS",
    "CARRIED",
    "CLOCK",
    "DELIVERIES",
    "DELIVERY",
    "DOORBELLS",
    "DUE",
    "EVERY_KEY",
    "EXPIRY",
    "FAMILIES",
    "FINISHED",
    "HELD",
    "HOLD",
    "IDEMPOTENCY",
    "INPUT",
    "JOB",
    "JOBS",
    "LANE",
    "LEASED",
    "PENDING",
    "PERMANENT_BINDINGS",
    "PROMISED",
    "QUEUED",
    "RECEIVERS",
    "SERVED",
    "SHARES",
    "STORED",
    "SUSPENDED",
    "SWEEP",
    "TRIES",
    "WAITING",
    "WALK",
    "WALKER",
    "WORKER",
    "WORKERS",
]

#: A glob pattern that matches every key of ours, but not those of Celery.
EVERY_KEY = f"{PREFIX}*"

JOB = Family(
    "job",
    "JOB",
    Kind.HASH,
    "One job: tenant, request, input, base_url, status, lane, created, started, finished, outcome; "
    "attempts (tries spent), claims (times claimed), worker and token (of the lease), ended_by "
    "(the token that finished it); rung and rings (its doorbell), not_before (the end of a delay); "
    "crashes, quarantined; outage_since, outage_seen, outages (storage outages); parent_alpha, "
    "parent_files, "
    "backdrop, extra_pixels; slot (its idempotency key), bytes (counted in held). Times in ms, "
    "outage_seen in µs.",
    "accept, then claim, release, overdue, finish, cancel",
    "let_go once it is archived; erase",
)
INPUT = Family(
    "input",
    "INPUT",
    Kind.HASH,
    "One photo: tenant, url (to fetch it from), stored (1), digest, bytes, pixels, refs (jobs that "
    "use it), lingers (ms until which someone may still store it), promised (bytes counted in "
    "promised), sealed (the upload's version that jobs read).",
    "note_input, admit, accept, seal_upload, record_input; erase counts refs down",
    "erase of the last job that uses it; sweepable where no job does",
)
LANE = Family(
    "lane",
    "LANE",
    Kind.ZSET,
    "Queued jobs of a lane, in order: job id → µs when it entered the lane.",
    "accept, release, overdue",
    "claim, cancel, erase",
)
QUEUED = Family(
    "queued",
    "",
    Kind.HASH,
    "Tenant → its number of queued jobs.",
    "whatever adds to a lane or takes from it",
    "a tenant's field goes with its last queued job",
)
HELD = Family(
    "held",
    "",
    Kind.HASH,
    "Tenant → bytes that its records hold in Redis, estimated from above; `*` → those of all.",
    "accept, let_go, whatever ends a job",
    "a field goes with the last record: erase, let_go",
)
PROMISED = Family(
    "promised",
    "",
    Kind.HASH,
    "Tenant → bytes of its uploads that no job has used.",
    "note_input",
    "accept, sweepable, erase; a field goes with the last such upload",
)
CLOCK = Family(
    "clock",
    "",
    Kind.STRING,
    "ms when webhooks were last looked at: if that is yet to come, the clock has gone back.",
    "take_deliveries",
    "never",
)
HOLD = Family(
    "hold",
    "",
    Kind.STRING,
    "1 while nothing is archived, erased or swept, because the clock jumped forward.",
    "overdue, past, sweepable",
    "expires after an hour",
)
WALK = Family(
    "walk",
    "",
    Kind.HASH,
    "How far the reconcile is in storage: after (the last key), photos (1 in its second pass), "
    "rests_until (ms when the next walk begins).",
    "Forgotten.keep",
    "never",
)
WALKER = Family(
    "walker",
    "",
    Kind.STRING,
    "The token of the courier that walks.",
    "Forgotten.turn",
    "expires after two minutes without a step",
)
SERVED = Family(
    "served",
    "",
    Kind.HASH,
    "Lane → ms when the doorbell of the job last claimed in turn was rung: how far the lane's "
    "messages have been served.",
    "claim",
    "a lane's field goes when the lane is empty",
)
DUE = Family(
    "due",
    "",
    Kind.ZSET,
    "Queued jobs: job id → ms when the janitor looks at it.",
    "accept, release, overdue",
    "claim, cancel, erase",
)
LEASED = Family(
    "leased",
    "",
    Kind.ZSET,
    "Jobs being processed: job id → ms when the lease ends.",
    "claim, renew",
    "finish, release, cancel, erase; overdue once the lease has ended",
)
EXPIRY = Family(
    "expiry",
    "",
    Kind.ZSET,
    "Finished jobs: job id → ms when it is archived; once it is archived, "
    "TENANT/jobs/JOB/CLAIMS/INPUT[/BACKDROP] → ms when it is erased.",
    "finish, release, cancel, overdue; let_go replaces the id; adopt",
    "erase",
)
SWEEP = Family(
    "sweep",
    "",
    Kind.ZSET,
    "Storage keys to delete: a file, or an attempt's folder (ends with /) → ms when it is due.",
    "note_input, admit, claim, release, finish, cancel, overdue, past, erase, let_go, orphans, "
    "adopt",
    "accept (a photo in use), finish (a result), let_go (an archive), JobQueue.swept (deleted)",
)
JOBS = Family(
    "jobs",
    "TENANT",
    Kind.ZSET,
    "A tenant's jobs for listing: job id → µs when it was accepted.",
    "accept",
    "let_go, erase",
)
STORED = Family(
    "stored",
    "",
    Kind.STRING,
    "µs when a job last succeeded, kept only while some job waits for the storage.",
    "release creates it, finish updates it",
    "expires a retention after the last such release",
)
IDEMPOTENCY = Family(
    "idempotency",
    "TENANT:KEY",
    Kind.HASH,
    "A caller's idempotency key: job, fingerprint (the digest of the request).",
    "accept",
    "erase of its job while that is in Redis; expires after a day",
)
FINISHED = Family(
    "finished",
    "",
    Kind.CHANNEL,
    "The id of each job that ends or is erased.",
    "finish, release, cancel, overdue, erase",
    "not stored",
)
FAMILIES: tuple[Family, ...] = (
    *(JOB, INPUT, JOBS, IDEMPOTENCY),
    *(LANE, QUEUED, HELD, PROMISED, SERVED, DUE, LEASED, EXPIRY, SWEEP, STORED, CLOCK, HOLD),
    *(WALK, WALKER, FINISHED),
    *(DELIVERY, TRIES, DELIVERIES, PENDING, WAITING, CARRIED, RECEIVERS, SHARES, SUSPENDED),
    *(WORKERS, WORKER, DOORBELLS, BINDINGS, PERMANENT_BINDINGS),
)
