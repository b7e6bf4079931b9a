"""What the worker and its decoder processes send each other: JSON, with bytes in shared memory.

A message is one packet of a Unix socket. Files and pixels travel beside it as a memfd, which the
other side maps or reads: no size limit, no second copy, and nothing to name or clean up.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import socket
from typing import Any

import numpy as np

from shared.arrays import UInt8Array

_LONGEST = 1 << 16


class Closed(Exception):
    """The other side's process has ended."""


def send(to: socket.socket, message: dict[str, Any], memory: int | None = None) -> None:
    """Send a message, with the descriptor of its shared memory.

    Raises:
        Closed: nobody is there to read it.
        TimeoutError: the other side does not read.
    """
    try:
        socket.send_fds(to, [json.dumps(message).encode()], [] if memory is None else [memory])
    except ConnectionError as error:
        raise Closed from error


def receive(of: socket.socket) -> tuple[dict[str, Any], int | None]:
    """The next message, and the descriptor of its shared memory, which the caller closes.

    Raises:
        Closed: there is none, and there will be none.
        TimeoutError: there is none within the socket's timeout.
    """
    try:
        packet, descriptors, _, _ = socket.recv_fds(of, _LONGEST, 1, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError as error:
        raise Closed from error
    if not packet:
        raise Closed
    return json.loads(packet), descriptors[0] if descriptors else None


def shared(*parts: bytes | memoryview) -> int:
    """The descriptor of new shared memory that holds these bytes, one after the other.

    Raises:
        OSError: the system has no memory or no descriptor left.
    """
    memory = os.memfd_create("nukki", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for part in parts:
            left = memoryview(part).cast("B")
            while left:
                left = left[os.write(memory, left) :]
    except BaseException:
        os.close(memory)
        raise
    return memory


def contents(memory: int) -> bytes:
    """The bytes of shared memory; closes it."""
    with open(memory, "rb") as file:
        return file.read() if file.seek(0) == 0 else b""


def planes(memory: int, *shapes: tuple[int, ...]) -> list[UInt8Array]:
    """Arrays of these shapes, one after the other in shared memory, without a copy; closes it.

    Raises:
        ValueError: the memory is smaller. It can no longer shrink after that, and no access fail.
        OSError: it cannot be mapped.
    """
    try:
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        size = sum(int(np.prod(shape)) for shape in shapes)
        if os.fstat(memory).st_size < size:
            raise ValueError("the shared memory is smaller than its pixels")
        mapped = mmap.mmap(memory, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
    finally:
        os.close(memory)
    found, at = [], 0
    for shape in shapes:
        count = int(np.prod(shape))
        found.append(np.frombuffer(mapped, np.uint8, count, at).reshape(shape))
        at += count
    return found
