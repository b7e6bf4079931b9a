"""Where Redis and the storage are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from shared.settings.base import Settings
from shared.settings.values import also_without_prefix


class RedisSettings(Settings):
    """The Redis that holds the queue and every job's record."""

    redis_url: Annotated[str, also_without_prefix("REDIS_URL")] = Field(
        default="redis://127.0.0.1:6379/0",
        repr=False,
        description="Redis for job records and as Celery's broker. With Sentinel: "
        "`sentinel://:password@host:port,host:port/service/db`. At a socket: "
        "`unix://:password@/path/redis.sock?db=0`.",
    )


class EmbeddedRedisSettings(Settings):
    """The Redis that `nukki up` starts."""

    redis_mb: float | None = Field(
        default=None,
        ge=32,
        description="Megabytes that the Redis of `nukki up` may use. If unset, a quarter of the "
        "memory of the machine or its container.",
    )


class StorageSettings(Settings):
    """The storage of photos and results: an S3 bucket, or a local folder."""

    s3_bucket: Annotated[str | None, also_without_prefix("S3_BUCKET")] = Field(
        default=None,
        description="Bucket for photos and results. If unset, they go to a local folder.",
    )
    s3_endpoint: Annotated[str | None, also_without_prefix("S3_ENDPOINT")] = Field(
        default=None,
        description="URL of an S3-compatible server such as MinIO. If unset, AWS S3 is used.",
    )
    s3_public_endpoint: Annotated[str | None, also_without_prefix("S3_PUBLIC_ENDPOINT")] = Field(
        default=None,
        description="Endpoint used in presigned URLs, if callers reach the server by another URL.",
    )
    s3_region: Annotated[str, also_without_prefix("S3_REGION")] = Field(
        default="us-east-1", description="The bucket's region."
    )
    s3_access_key: Annotated[str | None, also_without_prefix("S3_ACCESS_KEY")] = Field(
        default=None,
        repr=False,
        description="Access key. If unset, the AWS SDK looks for credentials itself.",
    )
    s3_secret_key: Annotated[str | None, also_without_prefix("S3_SECRET_KEY")] = Field(
        default=None, repr=False, description="Secret key."
    )
    storage_dir: Path = Field(
        default=Path("nukki-data/storage"),
        description="The local folder that is used if no bucket is set.",
    )
    storage_reserve_mb: float | None = Field(
        default=None,
        ge=0,
        description="MB of the storage folder's volume kept free for the results of accepted jobs; "
        "below that, new jobs get 503. If unset, 5% of the volume, at most 2,000.",
    )
