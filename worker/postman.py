"""The postman: sends webhooks, each under one id, until one try is answered 2xx."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from shared import webhooks
from shared.errors import NotFound, UrlForbidden, UrlUnavailable
from shared.metrics.courier import count_attempt
from shared.outbound import Outbound
from shared.queue.deliveries import Delivery, DeliveryQueue, DeliveryState
from shared.queue.jobs import JobQueue
from shared.webhooks import SecretBook

log = logging.getLogger("nukki.postman")


class Postman:
    """Delivers what is due."""

    def __init__(
        self,
        deliveries: DeliveryQueue,
        jobs: JobQueue,
        outbound: Outbound,
        secrets: SecretBook,
        *,
        schedule: Sequence[float],
        timeout: float,
    ) -> None:
        self._deliveries = deliveries
        self._jobs = jobs
        self._outbound = outbound
        self._secrets = secrets
        self._schedule = schedule
        self._timeout = timeout

    @property
    def lease_ms(self) -> int:
        """How long a try may take before it counts as lost."""
        return int((self._timeout + 15) * 1000)

    def deliver(self, delivery: Delivery) -> None:
        """Make one try, and record what came of it."""
        state, answer = self._try(delivery)
        delay_ms = 0
        if state is DeliveryState.PENDING:
            if delivery.attempt < len(self._schedule):
                delay_ms = int(self._schedule[delivery.attempt] * 1000)
            else:
                state = DeliveryState.DEAD
        count_attempt(state)
        self._deliveries.settle(delivery, state, answer, delay_ms=delay_ms)
        log.info(
            "%s on try %d: %s",
            state.value,
            delivery.attempt,
            answer,
            extra={"job": delivery.job_id, "delivery": delivery.id},
        )

    def _try(self, delivery: Delivery) -> tuple[DeliveryState, str]:
        """What this try leads to, were there no end of tries; and what was answered."""
        try:
            job = self._jobs.get(delivery.job_id)
        except NotFound:
            return DeliveryState.DEAD, "the job has been erased"
        signing = self._secrets.of(delivery.tenant)
        if not signing:
            return DeliveryState.PENDING, "no signing secret is configured"
        body = webhooks.body(delivery.event, job)
        headers = webhooks.headers(delivery.id, int(time.time()), body, signing)
        try:
            answer = self._outbound.post(
                delivery.url, headers=headers, body=body, timeout=self._timeout
            )
        except UrlForbidden as error:
            return DeliveryState.DEAD, error.message
        except UrlUnavailable as error:
            return DeliveryState.PENDING, error.message
        if 200 <= answer.status < 300:
            return DeliveryState.DELIVERED, str(answer.status)
        return DeliveryState.PENDING, f"{answer.status} {answer.snippet}".strip()
