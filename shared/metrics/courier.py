"""What the courier counts beside its jobs."""

from __future__ import annotations

from prometheus_client import Counter

from shared.queue.deliveries import DeliveryState

WEBHOOK_ATTEMPTS = Counter(
    "nukki_webhook_attempts_total",
    "Tries of webhooks: delivered, to be retried, dead after this one, or answered 410",
    ["outcome"],
)

_OUTCOME_OF = {
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.PENDING: "retry",
    DeliveryState.DEAD: "dead",
    DeliveryState.SUSPENDED: "suspended",
}
for _outcome in _OUTCOME_OF.values():
    WEBHOOK_ATTEMPTS.labels(_outcome)  # there from the start, so that a rate sees the first


def count_attempt(state: DeliveryState) -> None:
    """Count a try by what its delivery became."""
    WEBHOOK_ATTEMPTS.labels(_OUTCOME_OF[state]).inc()
