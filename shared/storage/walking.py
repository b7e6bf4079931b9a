"""Walks a folder's files in the order in which S3 lists keys."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from shared.storage.protocol import Stored


def walk(folder: Path, after: str, hidden: str = "", prefix: str = "") -> Iterator[Stored]:
    """The files below `folder` whose key comes after `after`, read folder by folder as asked for.

    Args:
        folder: where to begin.
        after: a key, or "" for all.
        hidden: beginning of names in `folder` itself that are no objects; "": none.
        prefix: of the keys; the folder's own.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # deleted meanwhile
        with os.scandir(folder) as found:
            names = sorted(item.name + ("/" if item.is_dir() else "") for item in found)
        for name in names:
            key, path = prefix + name, folder / name
            if hidden and name.startswith(hidden):
                continue
            if name.endswith("/"):
                if key > after or after.startswith(key):
                    yield from walk(path, after, prefix=key)
            elif key > after:
                with contextlib.suppress(FileNotFoundError):
                    yield Stored(key, path.stat().st_mtime)
