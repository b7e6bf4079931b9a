"""What the courier reads."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeFloat

from shared.settings.common import (
    AttemptSettings,
    LogSettings,
    MetricsSettings,
    NetworkSettings,
    RetentionSettings,
    SigningSettings,
)
from shared.settings.services import RedisSettings, StorageSettings
from shared.settings.values import COMMA_SEPARATED


class CourierSettings(
    RedisSettings,
    StorageSettings,
    RetentionSettings,
    NetworkSettings,
    SigningSettings,
    AttemptSettings,
    MetricsSettings,
    LogSettings,
):
    """The settings of `python -m worker.courier`."""

    webhook_timeout: float = Field(
        default=15.0, gt=0, description="Seconds one webhook request may take."
    )
    webhook_schedule: Annotated[tuple[NonNegativeFloat, ...], *COMMA_SEPARATED] = Field(
        default=(0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400),
        min_length=1,
        description="Seconds to wait before each attempt of a webhook, ±10%; the first is made "
        "at once. After the last attempt the webhook is dead.",
    )
    webhook_per_receiver: int = Field(
        default=4,
        ge=1,
        description="Webhook requests at once per tenant and receiver (host and port).",
    )
    courier_metrics_port: int | None = Field(
        default=None, gt=0, le=65535, description="Port of the courier's Prometheus metrics."
    )
