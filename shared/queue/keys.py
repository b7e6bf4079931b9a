"""The map of Redis: every family of keys, and the one place in Python that builds their names.

`key()` in `lua/parts/base.lua` builds the same names; `docs/redis.md` shows the map.
"""

from __future__ import annotations

from shared.queue.family import PREFIX, Family, Kind

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
    "backdrop, extra_pixels. Times in ms, outage_seen in µs.",
    "accept, then claim, release, overdue, finish, cancel",
    "let_go once it is archived; erase",
)
INPUT = Family(
    "input",
    "INPUT",
    Kind.HASH,
    "One photo: tenant, url (to fetch it from), stored (1), digest, bytes, pixels, refs (jobs that "
    "use it), lingers (ms until which someone may still store it).",
    "note_input, admit, accept, record_input; erase counts refs down",
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
    "finish, release, cancel, overdue; let_go replaces the id",
    "erase",
)
SWEEP = Family(
    "sweep",
    "",
    Kind.ZSET,
    "Storage keys to delete: a file, or an attempt's folder (ends with /) → ms when it is due.",
    "note_input, admit, claim, release, finish, cancel, overdue, past, erase, let_go",
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
    "expires after a day",
)
FINISHED = Family(
    "finished",
    "",
    Kind.CHANNEL,
    "The id of each job that ends or is erased.",
    "finish, release, cancel, overdue, erase",
    "not stored",
)
DELIVERY = Family(
    "delivery",
    "DELIVERY",
    Kind.HASH,
    "One webhook: tenant, url, event, state, created, due (ms of the next try), attempts (times "
    "taken, also the token), spent (tries of the schedule), lost (leases lost in a row).",
    "finish, release, cancel, overdue; then take_deliveries, settle_delivery, replay_delivery",
    "erase of its job",
)
TRIES = Family(
    "tries",
    "DELIVERY",
    Kind.LIST,
    "Its last twenty tries: ms when it began, ms it took, status or 0, error.",
    "settle_delivery, take_deliveries",
    "erase of its job",
)
DELIVERIES = Family(
    "deliveries",
    "TENANT",
    Kind.ZSET,
    "A tenant's deliveries for listing: delivery id → µs when it was made.",
    "finish, release, cancel, overdue",
    "erase of its job",
)
PENDING = Family(
    "pending",
    "",
    Kind.SET,
    "Deliveries that are neither delivered, dead nor suspended, for the metrics.",
    "finish, release, cancel, overdue, settle_delivery, replay_delivery",
    "settle_delivery, take_deliveries, erase",
)
WAITING = Family(
    "waiting",
    "RECEIVER",
    Kind.ZSET,
    "Deliveries to one receiver (TENANT/host:port): delivery id → ms when it is due.",
    "finish, release, cancel, overdue, settle_delivery, replay_delivery, take_deliveries",
    "take_deliveries, erase",
)
CARRIED = Family(
    "carried",
    "RECEIVER",
    Kind.ZSET,
    "Deliveries in flight to one receiver: delivery id → ms when the lease ends.",
    "take_deliveries",
    "settle_delivery, erase; take_deliveries once the lease has ended",
)
RECEIVERS = Family(
    "receivers",
    "SHARE",
    Kind.ZSET,
    "Receivers of one share of the sender threads (TENANT, or TENANT/silent for receivers that "
    "gave no answer to their last try): receiver → ms when it is due.",
    "whatever adds to waiting; settle_delivery moves a receiver between its tenant's shares",
    "with the last delivery that waits for it or is in flight",
)
SHARES = Family(
    "shares",
    "",
    Kind.ZSET,
    "Share → µs when it was last served (0: never).",
    "whatever adds to receivers; take_deliveries",
    "with the last of its receivers",
)
SUSPENDED = Family(
    "suspended",
    "TENANT",
    Kind.ZSET,
    "URLs that answered 410 Gone: URL → ms until which nothing is sent to it.",
    "settle_delivery, take_deliveries, and what ends a job",
    "replay_delivery; expires a retention after its last entry",
)
WORKERS = Family(
    "workers",
    "",
    Kind.SET,
    "Names of the workers that have signed in.",
    "WorkerRoll.sign_in",
    "WorkerRoll.sign_out; WorkerRoll.present drops those that have gone",
)
WORKER = Family(
    "worker",
    "NAME",
    Kind.STRING,
    "A ready worker as JSON: name, model, device, threads.",
    "WorkerRoll.sign_in",
    "WorkerRoll.sign_out; expires after 15 seconds",
)
DOORBELLS = Family(
    "nukki",
    "LANE",
    Kind.LIST,
    "Celery messages of a lane, each naming a job that may be ready.",
    "Doorbell.ring, through Celery",
    "a worker takes them; an empty list is no key",
    prefix="",
    separator=".",
)
BINDINGS = Family(
    "_kombu.binding",
    "NAME",
    Kind.SET,
    "The queues of an exchange, by kombu, Celery's transport.",
    "Celery, as a process connects",
    "never; one for each lane",
    prefix="",
    separator=".",
)
PERMANENT_BINDINGS = Family(
    "_kombu.binding_permanent",
    "NAME",
    Kind.SET,
    "Those of an exchange's queues that never expire, by kombu from 5.7 on.",
    "Celery, as a process connects",
    "never; one for each lane",
    prefix="",
    separator=".",
)

FAMILIES: tuple[Family, ...] = (
    *(JOB, INPUT, JOBS, IDEMPOTENCY),
    *(LANE, QUEUED, SERVED, DUE, LEASED, EXPIRY, SWEEP, STORED, FINISHED),
    *(DELIVERY, TRIES, DELIVERIES, PENDING, WAITING, CARRIED, RECEIVERS, SHARES, SUSPENDED),
    *(WORKERS, WORKER, DOORBELLS, BINDINGS, PERMANENT_BINDINGS),
)
