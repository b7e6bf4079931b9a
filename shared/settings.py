"""Every setting of every process, read once from the environment at start-up."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    Field,
    NonNegativeFloat,
    ValidationError,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.errors import ConfigError
from shared.review import ReviewLimits

#: The tenant of every caller while no API keys are set.
DEFAULT_TENANT = "default"

_TENANT = re.compile(r"^[a-z0-9][a-z0-9_-]{0,31}$")
#: Variables that the client and its command read.
_CLIENT_VARIABLES = frozenset({"NUKKI_URL", "NUKKI_API_KEY"})


def _pairs(value: object) -> list[tuple[str, str]]:
    """`"shop:secret,other:secret2"` as pairs; a list of pairs passes through."""
    if not isinstance(value, str):
        return list(value) if isinstance(value, list | tuple) else []
    pairs = []
    for number, item in enumerate(filter(None, (part.strip() for part in value.split(","))), 1):
        tenant, colon, secret = item.partition(":")
        if not colon or not _TENANT.match(tenant) or not secret:
            # The item itself holds a secret, so only its place is named.
            raise ValueError(f"entry {number} is not tenant:secret (tenant: a-z, 0-9, - and _)")
        pairs.append((tenant, secret))
    return pairs


def _alias(name: str) -> Any:
    return Field(validation_alias=AliasChoices(name, f"NUKKI_{name}"))


class Settings(BaseSettings):
    """The configuration; field descriptions are the README's table."""

    model_config = SettingsConfigDict(
        env_prefix="NUKKI_",
        env_ignore_empty=True,  # compose files pass what is not set as an empty variable
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        allow_inf_nan=False,
    )

    redis_url: Annotated[str, _alias("REDIS_URL")] = Field(
        default="redis://127.0.0.1:6379/0",
        repr=False,
        description="Redis, for the job records and as Celery's broker; by its sentinels: "
        "`sentinel://:password@host:port,host:port/service/db`.",
    )
    s3_bucket: Annotated[str | None, _alias("S3_BUCKET")] = Field(
        default=None, description="The bucket; set, images live in S3, else in a local folder."
    )
    s3_endpoint: Annotated[str | None, _alias("S3_ENDPOINT")] = Field(
        default=None, description="An S3-compatible server's address, such as MinIO's."
    )
    s3_public_endpoint: Annotated[str | None, _alias("S3_PUBLIC_ENDPOINT")] = Field(
        default=None, description="The address that presigned URLs carry, where it differs."
    )
    s3_region: Annotated[str, _alias("S3_REGION")] = Field(
        default="us-east-1", description="The bucket's region."
    )
    s3_access_key: Annotated[str | None, _alias("S3_ACCESS_KEY")] = Field(
        default=None, repr=False, description="Access key; unset: the AWS SDK's own chain."
    )
    s3_secret_key: Annotated[str | None, _alias("S3_SECRET_KEY")] = Field(
        default=None, repr=False, description="Secret key."
    )
    storage_dir: Path = Field(
        default=Path("nukki-data/storage"), description="The local folder, where no bucket is set."
    )

    api_keys: Annotated[tuple[tuple[str, str], ...], NoDecode] = Field(
        default=(), repr=False, description="`tenant:key,tenant:key`; unset: no keys are asked for."
    )
    webhook_secrets: Annotated[tuple[tuple[str, str], ...], NoDecode] = Field(
        default=(),
        repr=False,
        description="`tenant:whsec_…,…`; one tenant may have several, and each signs (rotation).",
    )
    public_url: str | None = Field(
        default=None,
        description="This service's address as callers see it; unset: as each request names it.",
    )
    max_bytes: int = Field(default=50_000_000, gt=0, description="The largest file accepted.")
    max_megapixels: float = Field(default=100.0, gt=0, description="The largest image accepted.")
    api_threads: int = Field(default=32, ge=4, description="Request threads of one API process.")
    upload_expiry: float = Field(
        default=3600.0, gt=0, description="Seconds an upload URL is good, and its file is kept."
    )
    retention: float = Field(
        default=7 * 86400.0, gt=0, description="Seconds a finished job and its files are kept."
    )
    record_retention: float = Field(
        default=86400.0,
        gt=0,
        description="Seconds of that its record is in Redis, and in lists; then in the storage.",
    )
    max_queued: int = Field(
        default=1_000_000,
        gt=0,
        description="Jobs queued at most (429 above it); each takes 3 KiB of Redis.",
    )
    tenant_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="The share of those that one tenant may have, where there are several.",
    )

    model: str = Field(default="grabcut", description="The segmenter a worker serves.")
    checkpoint: Path | None = Field(default=None, description="That model's weights.")
    models_dir: Path = Field(
        default=Path("nukki-data/models"),
        description="The folder that `nukki models pull` keeps weights in.",
    )
    device: Literal["cpu", "cuda"] | None = Field(
        default=None, description="What SAM computes on; unset: CUDA where there is one."
    )
    precision: Literal["fp32", "bf16", "fp16"] | None = Field(
        default=None, description="Number format of SAM; unset: FP16 on CUDA, else the CPU's best."
    )
    max_batch: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Photos the device takes at once; unset: 16 on CUDA, 1 on a CPU.",
    )
    worker_threads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Jobs a worker process has in hand at once; unset: four batches, at least 8.",
    )
    worker_cores: int | None = Field(
        default=None,
        ge=1,
        description="Cores a worker process keeps busy; unset: an even share of the machine's.",
    )
    megapixels_in_hand: float = Field(
        default=200.0,
        gt=0,
        description="Megapixels of photos in a worker process at once; each takes 24 MB at most.",
    )
    embedding_cache_mb: float = Field(
        default=512.0, ge=0, description="Megabytes of embeddings kept for second clicks."
    )
    second_look: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the photo below which a subject is cut again from close; 0: never.",
    )
    review: Annotated[ReviewLimits, NoDecode] = Field(
        default=ReviewLimits(),
        description="When a cut needs review; as JSON, what is left out stays as it is.",
    )
    lease: float = Field(
        default=30.0, ge=1, description="Seconds without a heartbeat after which a job moves on."
    )
    max_attempts: int = Field(default=3, ge=1, description="Times a job is tried.")
    stage_deadline: float = Field(
        default=120.0,
        gt=0,
        le=540.0,  # what a lost worker may still store is swept ten minutes later
        description="Seconds a job's stage, or a batch at the device, may take; then it is hung.",
    )
    storage_patience: float = Field(
        default=3600.0,
        ge=0,
        description="Seconds a running job waits for a storage that stays dead.",
    )
    shutdown_grace: float = Field(
        default=25.0, ge=0, description="Seconds a worker has to finish its jobs on SIGTERM."
    )
    simulated_seconds: float = Field(
        default=0.0, ge=0, description="Seconds a photo takes the `simulated` segmenter (tests)."
    )
    simulated_batch_seconds: float = Field(
        default=0.0, ge=0, description="Seconds a batch takes it beside its photos (tests)."
    )
    simulated_crash_width: int | None = Field(
        default=None, gt=0, description="A photo so wide kills its process at once (tests)."
    )
    simulated_hang_width: int | None = Field(
        default=None, gt=0, description="Width of a photo that hangs that segmenter (tests)."
    )

    allow_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Private networks that photo and webhook URLs may reach, e.g. `10.0.0.0/8`.",
    )
    fetch_timeout: float = Field(default=30.0, gt=0, description="Seconds to fetch a photo's URL.")
    webhook_timeout: float = Field(default=15.0, gt=0, description="Seconds for a webhook call.")
    webhook_schedule: Annotated[tuple[NonNegativeFloat, ...], NoDecode] = Field(
        default=(0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400),
        min_length=1,
        description="Seconds to wait before each try of a webhook, ±10% (the first is made at "
        "once); after the last it is dead.",
    )
    webhook_per_receiver: int = Field(
        default=4,
        ge=1,
        description="Webhooks in flight at once from one tenant to one host and port.",
    )
    metrics_port: int | None = Field(
        default=None, gt=0, le=65535, description="Port of the worker's own Prometheus metrics."
    )
    courier_metrics_port: int | None = Field(
        default=None, gt=0, le=65535, description="Port of the courier's own Prometheus metrics."
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address of those ports.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        default="INFO", description="Level of the `nukki` loggers."
    )

    @field_validator("api_keys", "webhook_secrets", mode="before")
    @classmethod
    def _split_pairs(cls, value: object) -> object:
        return tuple(_pairs(value))

    @field_validator("allow_networks", "webhook_schedule", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @property
    def max_pixels(self) -> int:
        return int(self.max_megapixels * 1_000_000)

    @property
    def retention_ms(self) -> int:
        return int(self.retention * 1000)

    @property
    def record_ms(self) -> int:
        """How long a finished job's record stays in Redis: never longer than the job."""
        return int(min(self.record_retention, self.retention) * 1000)

    @property
    def max_queued_of_a_tenant(self) -> int:
        """All of the queue where there is one tenant, for nobody else could use the rest."""
        shared = len({tenant for tenant, _ in self.api_keys}) > 1
        return max(1, int(self.max_queued * self.tenant_share)) if shared else self.max_queued

    @property
    def pixels_in_hand(self) -> int:
        return int(self.megapixels_in_hand * 1_000_000)

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

    @classmethod
    def load(cls, **overrides: object) -> Settings:
        """From the environment, `overrides` first.

        Raises:
            ConfigError: a value is not valid, or a `NUKKI_` variable sets nothing; the message
                names each, and never its content.
        """
        _require_known(os.environ)
        try:
            return cls(**overrides)  # type: ignore[arg-type]  # pydantic validates them
        except ValidationError as error:
            problems = "; ".join(
                f"{_named(item['loc'])}: {item['msg']}"
                for item in error.errors(include_input=False, include_url=False)
            )
            raise ConfigError(f"the configuration is not valid: {problems}") from None


def _require_known(environment: Mapping[str, str]) -> None:
    """Refuse a misspelled variable: it would otherwise leave its setting at the default."""
    known = {variable(name, field) for name, field in Settings.model_fields.items()}
    known |= {f"NUKKI_{name}" for name in known} | _CLIENT_VARIABLES
    unknown = sorted(
        name
        for name in environment
        if name.startswith(("NUKKI_", "S3_"))
        and not name.startswith("NUKKI_TEST_")
        and name not in known
    )
    if unknown:
        raise ConfigError(f"there is no such setting: {', '.join(unknown)}")


def _named(place: tuple[int | str, ...]) -> str:
    """Where an error is, by the variable that people set."""
    field = Settings.model_fields.get(str(place[0])) if place else None
    first = str(place[0]) if field is None else variable(str(place[0]), field)
    return ".".join([first, *map(str, place[1:])])


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`, a name or an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def variable(name: str, field: FieldInfo) -> str:
    """The environment variable that sets a field."""
    if isinstance(field.validation_alias, AliasChoices):
        return str(field.validation_alias.choices[0])
    return f"NUKKI_{name.upper()}"
