"""The interface of every storage, and the signed uploads it hands out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class SignedPut:
    """An address that takes one file without an API key: `PUT` with exactly these headers."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a signed address of ours allows: to store `size` bytes under `key`."""

    key: str
    size: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored object: its key, and when it was stored, in seconds since the epoch."""

    key: str
    modified: float


class Storage(Protocol):
    """Where images live. Every method raises StorageUnavailable while the storage is down."""

    def put(self, key: str, data: bytes | BinaryIO, content_type: str) -> None:
        """Store atomically; an existing object is replaced."""

    def get(self, key: str, *, limit: int | None = None) -> bytes:
        """The object's bytes, at most the first `limit` of them.

        Raises:
            NotFound: there is no such object.
        """

    def size(self, key: str) -> int | None:
        """The object's size in bytes; None if there is no such object."""

    def version(self, key: str) -> str | None:
        """A name for the object's present bytes, another after each `put`; None: no such object."""

    def copy(self, source: str, target: str, version: str) -> None:
        """Copy the object within the storage, whole or not at all.

        Raises:
            NotFound: there is no such object, or no longer in this version.
        """

    def delete(self, keys: Sequence[str]) -> None:
        """Delete; a missing object is not an error."""

    def presign_get(
        self, key: str, *, expires: float, content_type: str, filename: str
    ) -> str | None:
        """A URL to download the object for `expires` seconds; None: serve the bytes yourself."""

    def presign_put(
        self, key: str, *, expires: float, size: int, content_type: str, base_url: str
    ) -> SignedPut:
        """A URL to upload `size` bytes for `expires` seconds; `base_url` is the API's own."""

    def redeem(self, token: str) -> Grant:
        """What a token in one of our own `presign_put` URLs allows.

        Raises:
            NotFound: not our token, or it has expired.
        """

    def walk(self, after: str = "") -> Iterator[Stored]:
        """The objects whose key comes after `after`, by key; listed in pages, as they are taken."""

    def tidy(self) -> int:
        """Remove old leftovers of interrupted `put`s; returns the number of files."""

    def require_room(self) -> None:
        """Raise StorageUnavailable if nothing more should be accepted: the storage is nearly full.

        What is left is a reserve for the results of jobs that were accepted before.
        """

    def ping(self) -> None:
        """Raise StorageUnavailable unless the storage answers."""
