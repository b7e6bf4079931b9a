"""The part of the map of Redis that webhooks use; `shared/queue/keys.py` is the whole map."""

from __future__ import annotations

from shared.queue.family import Family, Kind

DELIVERY = Family(
    "delivery",
    "DELIVERY",
    Kind.HASH,
    "One webhook: tenant, url, event, state, created, due (ms of the next try), attempts (times "
    "taken, also the token), spent (tries of the schedule), lost (leases lost in a row), "
    "queued (ms when it was last queued), bytes (counted in held).",
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
    "URLs that answered 410 Gone, the latest 10,000: URL → ms until which nothing is sent to it.",
    "settle_delivery, take_deliveries, and what ends a job",
    "replay_delivery; expires a retention after its last entry",
)
