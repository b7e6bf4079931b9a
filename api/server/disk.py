"""Storage on a disk, called in native threads: waiting for a disk would stop the event loop."""

from __future__ import annotations

from typing import Any, cast

from gevent.threadpool import ThreadPool

from shared.storage import LocalStorage, Storage

#: Calls that wait for the disk at the same time; further ones queue.
_THREADS = 16
#: What needs no disk: signing and checking addresses. `walk`, a generator, is the courier's.
_QUICK = frozenset({"presign_get", "presign_put", "redeem", "walk"})


def in_threads(storage: Storage) -> Storage:
    """The same storage; a local folder's calls run in native threads.

    S3's need none: they wait for the network, which the event loop does.
    """
    return cast(Storage, _InThreads(storage)) if isinstance(storage, LocalStorage) else storage


class _InThreads:
    def __init__(self, storage: LocalStorage) -> None:
        self._storage = storage
        self._pool = ThreadPool(_THREADS)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._storage, name)
        if name in _QUICK or not callable(method):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._pool.apply(method, args, kwargs)

        return call
