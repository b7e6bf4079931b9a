"""The reserve: room on the storage's volume that only the results of accepted jobs may take."""

from __future__ import annotations

from shared.errors import StorageUnavailable

#: Bytes in reserve unless set, and at most this share of the volume: a small one is usable too.
_RESERVE = 2_000_000_000
_SHARE = 0.05


def require(total: int, free: int, reserve: int | None) -> None:
    """Raise StorageUnavailable if a volume has less free than its reserve; all in bytes."""
    least = min(_RESERVE, int(total * _SHARE)) if reserve is None else reserve
    if free < least:
        raise StorageUnavailable(
            f"the storage folder is nearly full: {free // 10**6:,} MB free, and "
            f"{least // 10**6:,} MB are reserved for jobs that were accepted"
        )
