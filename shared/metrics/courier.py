"""Metrics of the courier, other than `jobs`."""

from __future__ import annotations

from prometheus_client import Counter

from shared.queue.deliveries import DeliveryState

WEBHOOK_ATTEMPTS = Counter(
    "nukki_webhook_attempts_total",
    "Webhook attempts by outcome: delivered, retry, dead (the last one failed) or suspended (410)",
    ["outcome"],
)

_OUTCOME_OF = {
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.PENDING: "retry",
    DeliveryState.DEAD: "dead",
    DeliveryState.SUSPENDED: "suspended",
}
for _outcome in _OUTCOME_OF.values():
    WEBHOOK_ATTEMPTS.labels(_outcome)  # exported from the start, so that rate() counts the first


def count_attempt(state: DeliveryState) -> None:
    """Count an attempt by the state of its delivery afterwards."""
    WEBHOOK_ATTEMPTS.labels(_OUTCOME_OF[state]).inc()
