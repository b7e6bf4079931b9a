"""Where images live: one protocol, a local folder or S3 behind it."""

from __future__ import annotations

from shared.settings import StorageSettings
from shared.storage.local import LocalStorage
from shared.storage.protocol import Grant, SignedPut, Storage, Stored
from shared.storage.s3 import S3Storage

__all__ = ["Grant", "LocalStorage", "S3Storage", "SignedPut", "Storage", "Stored", "open_storage"]


def open_storage(settings: StorageSettings, *, answers_within: float | None = None) -> Storage:
    """S3 where a bucket is set, else the local folder; `answers_within`: see `S3Storage`."""
    if settings.s3_bucket:
        return S3Storage.from_settings(settings, answers_within=answers_within)
    reserve = settings.storage_reserve_mb
    return LocalStorage(
        settings.storage_dir, reserve=None if reserve is None else int(reserve * 1e6)
    )
