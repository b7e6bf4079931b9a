"""A local folder as storage: the embedded default."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from itsdangerous import BadSignature, URLSafeTimedSerializer

from shared.errors import ConfigError, NotFound, StorageUnavailable
from shared.storage import room, walking
from shared.storage.protocol import Grant, SignedPut, Stored

#: Created with the folder. If it is missing, the folder is not ours: a volume is not mounted.
_MARKER = ".upload-secret"
_SECRET = re.compile(r"[0-9a-f]{64}")
#: Where files are written before they are renamed, so that leftovers are easy to find.
_PARTIAL = ".partial"
#: Seconds after which a partial file is a leftover: its process was killed.
_ABANDONED = 3600.0


class LocalStorage:
    """Objects are files below `root`; several processes may share it."""

    def __init__(self, root: Path, *, reserve: int | None = None) -> None:
        """Keep objects below `root`; `reserve`: bytes left free, see `require_room`."""
        self._reserve = reserve
        self._root = root.resolve()
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            self._signer = URLSafeTimedSerializer(self._secret(), salt="nukki-upload")
        except OSError as error:
            raise StorageUnavailable(f"the storage folder: {error.strerror}") from error

    def put(self, key: str, data: bytes | BinaryIO, content_type: str) -> None:  # noqa: ARG002
        path = self._path(key)
        with self._translated(key):
            self._require_marker()
            handle, name = tempfile.mkstemp(dir=self._partials())
            try:
                with os.fdopen(handle, "wb") as file:
                    if isinstance(data, bytes):
                        file.write(data)
                    else:
                        shutil.copyfileobj(data, file, 1 << 20)
                    file.flush()
                    os.fsync(file.fileno())
                self._place(Path(name), path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise

    def get(self, key: str, *, limit: int | None = None) -> bytes:
        with self._translated(key), self._path(key).open("rb") as file:
            return file.read() if limit is None else file.read(limit)

    def size(self, key: str) -> int | None:
        try:
            with self._translated(key):
                return self._path(key).stat().st_size
        except NotFound:
            return None

    def version(self, key: str) -> str | None:
        try:
            with self._translated(key):
                return _version(self._path(key))
        except NotFound:
            return None

    def copy(self, source: str, target: str, version: str) -> None:
        """Link the file: a later `put` renames another file into its place and leaves this one."""
        with self._translated(source):
            self._require_marker()
            link = self._partials() / secrets.token_hex(16)
            link.hardlink_to(self._path(source))
            try:
                if _version(link) != version:
                    raise NotFound(f"replaced meanwhile: {source}")
                self._place(link, self._path(target))
            finally:
                link.unlink(missing_ok=True)

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            path = self._path(key)
            with self._translated(key):
                self._require_marker()
                path.unlink(missing_ok=True)
            self._prune(path.parent)

    def presign_get(
        self,
        key: str,  # noqa: ARG002
        *,
        expires: float,  # noqa: ARG002
        content_type: str,  # noqa: ARG002
        filename: str,  # noqa: ARG002
    ) -> str | None:
        return None

    def presign_put(
        self,
        key: str,
        *,
        expires: float,
        size: int,
        content_type: str,
        base_url: str,
    ) -> SignedPut:
        token = self._signer.dumps([key, size, expires])
        url = f"{base_url}/v1/uploads/content/{token}"
        return SignedPut(str(url), {"Content-Type": content_type})

    def redeem(self, token: str) -> Grant:
        try:
            key, size, expires = self._signer.loads(token)
            self._signer.loads(token, max_age=expires)
        except BadSignature as error:  # SignatureExpired is one
            raise NotFound("this upload address is not valid, or no longer") from error
        return Grant(str(key), int(size))

    def walk(self, after: str = "") -> Iterator[Stored]:
        with self._translated("."):
            self._require_marker()
            yield from walking.walk(self._root, after, hidden=".")

    def tidy(self) -> int:
        folder, gone = self._root / _PARTIAL, 0
        with self._translated("."):
            self._require_marker()
            for path in folder.iterdir() if folder.exists() else ():
                with contextlib.suppress(
                    FileNotFoundError
                ):  # it got its name, or a neighbour's tidy
                    if time.time() - path.stat().st_mtime > _ABANDONED:
                        path.unlink()
                        gone += 1
        return gone

    def require_room(self) -> None:
        with self._translated("."):
            disk = shutil.disk_usage(self._root)
        room.require(disk.total, disk.free, self._reserve)

    def ping(self) -> None:
        with self._translated("."), tempfile.TemporaryFile(dir=self._root):
            self._require_marker()

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if not (self._root / _MARKER).exists():
                raise StorageUnavailable("the storage folder is gone") from error
            raise NotFound(f"no such object: {key}") from error
        except OSError as error:
            raise StorageUnavailable(f"the storage folder: {error.strerror}") from error

    def _path(self, key: str) -> Path:
        path = (self._root / key).resolve()
        if not path.is_relative_to(self._root) or path == self._root:
            raise NotFound(f"no such object: {key}")
        return path

    def _require_marker(self) -> None:
        if not (self._root / _MARKER).exists():
            raise FileNotFoundError

    def _partials(self) -> Path:
        """The folder that all `put`s in progress share."""
        folder = self._root / _PARTIAL
        folder.mkdir(exist_ok=True)
        return folder

    def _place(self, written: Path, path: Path) -> None:
        """Rename a file; another process's `_prune` may remove the folder meanwhile."""
        while True:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                written.replace(path)
            except FileNotFoundError:
                self._require_marker()
                if not written.exists():
                    raise
            else:
                return

    def _prune(self, folder: Path) -> None:
        """Remove the folders that a deletion left empty."""
        while folder != self._root:
            try:
                folder.rmdir()
            except OSError:  # not empty, or another process removed it first
                return
            folder = folder.parent

    def _secret(self) -> str:
        """The key that signs upload addresses, the same for every process on this folder."""
        path = self._root / _MARKER
        handle, name = tempfile.mkstemp(dir=self._root, prefix=".partial-")
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)  # fails if another process was first; its secret is used
        except FileExistsError:
            pass
        finally:
            Path(name).unlink()
        secret = path.read_text(errors="replace")
        if not _SECRET.fullmatch(secret):  # with an empty one, anybody could sign addresses
            raise ConfigError(
                f"{path} is damaged: restore it from a copy, or delete it, which makes upload "
                "addresses that were handed out invalid"
            )
        return secret


def _version(path: Path) -> str:
    """Of a file that was renamed into its place: each is a new file, with its own time."""
    found = path.stat()
    return f"{found.st_ino}-{found.st_mtime_ns}"
