"""The webhook sender: tries each webhook under one id until a try is answered 2xx."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence

from shared import webhooks
from shared.errors import ConfigError, ServiceError
from shared.metrics.courier import count_attempt
from shared.outbound import Answer, Outbound
from shared.queue.deliveries import Delivery, DeliveryQueue
from shared.records import Records
from shared.webhooks import SecretBook
from worker.courier.redelivery import decide

log = logging.getLogger("nukki.webhooks")


class WebhookSender:
    """Makes one try of a delivery that is due."""

    def __init__(
        self,
        deliveries: DeliveryQueue,
        records: Records,
        outbound: Outbound,
        secrets: SecretBook,
        *,
        schedule: Sequence[float],
        timeout: float,
    ) -> None:
        self._deliveries = deliveries
        self._records = records
        self._outbound = outbound
        self._secrets = secrets
        self._schedule = schedule
        self._timeout = timeout

    @property
    def lease_ms(self) -> int:
        """Milliseconds that a try may take before it counts as lost."""
        return int((self._timeout + 15) * 1000)

    def deliver(self, delivery: Delivery) -> None:
        """Make one try and record its result.

        If the job cannot be read because storage or Redis is down, the receiver is not called: no
        try is recorded, and the delivery is put off.

        Raises:
            QueueUnavailable, QueueFull: nothing could be recorded; the lease will expire.
        """
        began = time.monotonic()
        answer = self._try(delivery)
        took_ms = round((time.monotonic() - began) * 1000)
        chance = random.random()  # noqa: S311  # spreads tries; no secret
        step = decide(
            answer, delivery.attempt, self._schedule, chance=chance, now=delivery.taken_ms / 1000
        )
        status = answer.status if isinstance(answer, Answer) else 0
        error = answer.message if isinstance(answer, ServiceError) else ""
        if step.spends:
            count_attempt(step.state)
        self._deliveries.settle(delivery, step, took_ms=took_ms, status=status, error=error)
        log.info(
            "%s on try %d in %d ms: %s" if step.spends else "%s before try %d, %d ms: %s",
            step.state.value,
            delivery.attempt,
            took_ms,
            error or f"{status} {getattr(answer, 'snippet', '')!a}",
            extra={"job": delivery.job_id, "delivery": delivery.id},
        )

    def _try(self, delivery: Delivery) -> Answer | ServiceError:
        """The receiver's answer, or the reason there was none."""
        try:
            job = self._records.get(delivery.job_id, delivery.tenant)
            signing = self._secrets.of(delivery.tenant)
            if not signing:
                return ConfigError("no signing secret is configured")
            body = webhooks.body(delivery.event, job)
            # By Redis's clock: this host's may be wrong, and receivers would refuse the message.
            headers = webhooks.headers(delivery.id, delivery.taken_ms // 1000, body, signing)
            return self._outbound.post(
                delivery.url, headers=headers, body=body, timeout=self._timeout
            )
        except ServiceError as error:
            return error
        except Exception:  # an unsettled delivery would count as lost with its courier
            log.exception("unexpected", extra={"delivery": delivery.id})
            return ServiceError("the try failed inside the service; see its log")
