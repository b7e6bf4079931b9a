"""What an S3 server's ETags tell: of most servers the MD5 of an object's bytes, of some nothing."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

_BLOCK = 1 << 20


def md5_of(file: BinaryIO) -> bytes:
    """The MD5 of a file from where it stands, and is left. It shows accidents, not attacks."""
    digest, start = hashlib.md5(usedforsecurity=False), file.tell()
    while block := file.read(_BLOCK):
        digest.update(block)
    file.seek(start)
    return digest.digest()


class ETags:
    """Whether one server's ETags are MD5s, learned from what it answers to `PUT`."""

    def __init__(self) -> None:
        self.are_md5: bool | None = None

    def doubts(self, etag: str | None, md5: bytes) -> bool:
        """Whether an object's ETag speaks against its bytes; learns if it speaks for them."""
        if self.are_md5 is False:
            return False
        same = (etag or "").strip('"').lower() == md5.hex()
        self.are_md5 = self.are_md5 or same or None
        return not same
