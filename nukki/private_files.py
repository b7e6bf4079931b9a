"""Files and folders that only their owner can use, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from shared.durable import sync_folder

FOLDER_MODE, FILE_MODE = 0o700, 0o600
#: Takes all rights from the group and from others, of whatever a process creates.
UMASK = 0o077


def replace(path: Path, text: str) -> None:
    """Write a file under a new name, make it durable, and then give it its name.

    Whoever reads the file, even after a crash or a power failure, finds the old text or the new.

    Raises:
        OSError: it cannot be written; the old file is as it was.
    """
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)  # of a process that was killed
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def open_private(path: Path, flags: int) -> int:
    """Open a file, creating it if it is missing, for its owner alone; returns the descriptor."""
    handle = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    if others_rights(os.fstat(handle).st_mode) and os.fstat(handle).st_uid == os.geteuid():
        os.fchmod(handle, FILE_MODE)
    return handle


def tighten(folder: Path) -> str | None:
    """Take a folder's rights from all but its owner.

    Returns:
        What its mode was and whether it could be changed, for people; None if it was tight.
    """
    mode = folder.stat().st_mode & 0o7777
    if not others_rights(mode):
        return None
    try:
        folder.chmod(FOLDER_MODE)
    except OSError as error:
        return f"{folder} is open to other users ({mode:04o}): {error.strerror}"
    return f"{folder} was open to other users ({mode:04o}); now it is not ({FOLDER_MODE:04o})"


def others_rights(mode: int) -> int:
    """The rights that the group and others have."""
    return mode & UMASK
