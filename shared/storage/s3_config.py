"""How the S3 client behaves on the network."""

from __future__ import annotations

from botocore.config import Config

#: Seconds of silence after which the storage counts as down. After a large file's last byte the
#: server may be silent for some seconds while it writes to disk.
STORAGE_TIMEOUT = 10.0

CONFIG = Config(
    signature_version="s3v4",
    s3={"addressing_style": "path"},
    # Callers retry, because they know what a delay costs; a submit may take only two seconds.
    retries={"total_max_attempts": 1, "mode": "standard"},
    connect_timeout=1,
    read_timeout=STORAGE_TIMEOUT,
    max_pool_connections=64,
    tcp_keepalive=True,
    # Not every S3-compatible server knows the SDK's newer trailing checksums.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
