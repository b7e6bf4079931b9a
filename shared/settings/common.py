"""Settings that several processes read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from shared.settings.base import Settings
from shared.settings.values import COMMA_SEPARATED, TenantSecrets


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class LogSettings(Settings):
    """Logging."""

    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)
    ] = Field(default="INFO", description="Level of the `nukki` loggers.")


class ShutdownSettings(Settings):
    """How a process stops."""

    shutdown_grace: float = Field(
        default=25.0,
        ge=0,
        description="Seconds to finish running jobs and requests after SIGTERM.",
    )


class RetentionSettings(Settings):
    """How long finished jobs are kept."""

    retention: float = Field(
        default=7 * 86400.0, gt=0, description="Seconds to keep a finished job and its files."
    )
    record_retention: float = Field(
        default=86400.0,
        gt=0,
        description="Seconds a finished job stays in Redis and in lists; after that it is read "
        "from storage.",
    )

    @property
    def retention_ms(self) -> int:
        return int(self.retention * 1000)

    @property
    def record_ms(self) -> int:
        """How long a finished job's record stays in Redis: never longer than the job."""
        return int(min(self.record_retention, self.retention) * 1000)


class PhotoSettings(Settings):
    """The largest photo."""

    max_bytes: int = Field(default=50_000_000, gt=0, description="Largest accepted file, in bytes.")
    max_megapixels: float = Field(
        default=100.0, gt=0, description="Largest accepted photo, in megapixels."
    )

    @property
    def max_pixels(self) -> int:
        return int(self.max_megapixels * 1_000_000)


class NetworkSettings(Settings):
    """Which of the callers' URLs may be requested."""

    allow_networks: Annotated[tuple[str, ...], *COMMA_SEPARATED] = Field(
        default=(),
        description="Private networks that photo and webhook URLs may reach, such as "
        "`10.0.0.0/8`, separated by commas.",
    )


class SigningSettings(Settings):
    """The secrets that sign webhooks."""

    webhook_secrets: TenantSecrets = Field(
        default=(),
        repr=False,
        description="Webhook signing secrets as `tenant:whsec_…,…`. To rotate, give a tenant two: "
        "each webhook is signed with both.",
    )


class AttemptSettings(Settings):
    """When a job is tried again."""

    lease: float = Field(
        default=30.0,
        ge=1,
        description="Seconds without a heartbeat after which a job goes to another worker.",
    )
    max_attempts: int = Field(default=3, ge=1, description="Attempts per job.")


class MetricsSettings(Settings):
    """Where a process other than the API serves its metrics."""

    metrics_host: str = Field(
        default="127.0.0.1",
        description="Address on which the worker and the courier serve Prometheus metrics.",
    )
