"""Targets with one fault each, triggered by a word in the file; the fuzzer must report all."""

from __future__ import annotations

import ctypes
import os
import struct
import time

from shared.errors import ImageInvalid
from tests.fuzz.targets import Wrong


def allocates(data: bytes) -> tuple[int, int]:
    """Allocates as many bytes as the header says."""
    return _fault(data, lambda: bytearray(struct.unpack_from("<Q", data)[0]))


def hangs(data: bytes) -> tuple[int, int]:
    return _fault(data, lambda: time.sleep(3600))


def raises(data: bytes) -> tuple[int, int]:
    return _fault(data, lambda: struct.unpack("<Q", b"short"))


def aborts(data: bytes) -> tuple[int, int]:
    return _fault(data, os.abort)


def reads_elsewhere(data: bytes) -> tuple[int, int]:
    return _fault(data, lambda: ctypes.string_at(8))


def leaves(data: bytes) -> tuple[int, int]:
    return _fault(data, lambda: os._exit(0))


def contradicts(data: bytes) -> tuple[int, int]:
    def wrong() -> None:
        raise Wrong("two answers")

    return _fault(data, wrong)


def measures(data: bytes) -> tuple[int, int]:
    return 1, 2


def agrees(data: bytes) -> tuple[int, int]:
    return 2, 1


def always(data: bytes) -> tuple[int, int]:
    return raises(b"trigger")


def _fault(data: bytes, fault: object) -> tuple[int, int]:
    if b"trigger" not in data:
        raise ImageInvalid
    assert callable(fault)
    fault()
    return 1, 1
