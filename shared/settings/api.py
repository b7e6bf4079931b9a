"""What the API reads."""

from __future__ import annotations

from pydantic import Field

from shared.errors import ConfigError
from shared.settings.common import (
    LogSettings,
    NetworkSettings,
    PhotoSettings,
    RetentionSettings,
    ShutdownSettings,
    SigningSettings,
)
from shared.settings.services import RedisSettings, StorageSettings
from shared.settings.values import Hosts, TenantSecrets, is_loopback


class ApiSettings(
    RedisSettings,
    StorageSettings,
    RetentionSettings,
    PhotoSettings,
    NetworkSettings,
    SigningSettings,
    ShutdownSettings,
    LogSettings,
):
    """The settings of `python -m api`."""

    api_keys: TenantSecrets = Field(
        default=(),
        repr=False,
        description="API keys as `tenant:key,tenant:key`. If unset, no key is required.",
    )
    public_url: str | None = Field(
        default=None,
        description="Base URL that callers use. If unset, it is taken from each request.",
    )
    allowed_hosts: Hosts = Field(
        default=(),
        description="Hosts that callers may address, beside loopback and the one of "
        "`NUKKI_PUBLIC_URL`: names (`*.name` for those below it, `*` for any), addresses and "
        "networks, without a port, separated by commas. If unset, any host with API keys, and no "
        "other without. `/health/` answers to all.",
    )
    api_processes: int = Field(
        default=1, ge=1, description="API server processes that share the port, one per free core."
    )
    api_connections: int = Field(
        default=8192,
        ge=16,
        description="Open connections per API process; beyond that the longest idle one is closed.",
    )
    api_waiting: int = Field(
        default=4096,
        ge=1,
        description="Callers per API process that may wait for a job; tenants share them fairly.",
    )
    spool_bytes: int = Field(
        default=8_000_000_000,
        gt=0,
        description="Bytes of photos being received that an API process keeps in temporary files; "
        "one address may hold half of them. More get 503.",
    )
    upload_expiry: float = Field(
        default=3600.0,
        gt=0,
        le=7 * 86400.0,  # S3's own limit
        description="Seconds an upload URL is valid. Its file is kept for as long again.",
    )
    max_queued: int = Field(
        default=1_000_000,
        gt=0,
        description="Maximum number of queued jobs; more get 429. Each takes 3 KiB of Redis.",
    )
    max_record_mb: float = Field(
        default=4000.0,
        gt=0,
        description="Megabytes of Redis that the records of jobs and webhooks may hold, and never "
        "more than 70% of its maxmemory; beyond that submits get 503.",
    )
    upload_quota_mb: float = Field(
        default=20_000.0,
        gt=0,
        description="Megabytes of unused uploads per tenant; more get 429. Each counts 65 KB or "
        "more until a job uses it or it expires.",
    )
    tenant_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Largest share of the queue for one tenant, if there are several: of "
        "`NUKKI_MAX_QUEUED` and of `NUKKI_MAX_RECORD_MB`; beyond that its submits get 429.",
    )

    @property
    def share_of_a_tenant(self) -> float:
        """The whole queue if there is one tenant, since nobody else could use the rest."""
        several = len({tenant for tenant, _ in self.api_keys}) > 1
        return self.tenant_share if several else 1.0

    @property
    def max_queued_of_a_tenant(self) -> int:
        """Jobs that one tenant may have queued."""
        return max(1, int(self.max_queued * self.share_of_a_tenant))

    @property
    def max_record_bytes(self) -> int:
        return int(self.max_record_mb * 1_000_000)

    @property
    def upload_quota(self) -> int:
        """Bytes of unused uploads per tenant."""
        return int(self.upload_quota_mb * 1_000_000)

    def require_keys(self, host: str) -> None:
        """Refuse to serve other machines without API keys.

        Raises:
            ConfigError: `host`, the address to listen on, is not loopback and no key is set.
        """
        if not self.api_keys and not is_loopback(host):
            raise ConfigError(
                f"{host} can be reached from other machines: set NUKKI_API_KEYS (tenant:key), "
                "or listen on 127.0.0.1"
            )
