"""The worker's decoders: a few processes, one file at a time each, replaced when they die."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shared.arrays import UInt8Array
from shared.errors import DecoderUnavailable, OutOfMemory
from shared.images.headers import MAX_PIXELS
from shared.images.photo import Photo
from shared.metrics.worker import DECODER_DEATHS, STAGE_CPU
from worker.decoding import messages
from worker.decoding.forks import Decoder, Forks, unavailable
from worker.decoding.verdict import TOLD, verdict


class Decoders:
    """Decodes files as `shared.images` does, in other processes; safe to call from many threads.

    Every call may raise, besides the errors of its image:

        OutOfMemory: the machine had too little memory for it.
        DecoderUnavailable: no decoder could be started, or one made no progress for `patience`.

    Both are worth another try, elsewhere or later. An image that needs more time or memory than
    its pixels account for, or that crashes a decoder, is ImageInvalid.
    """

    def __init__(self, count: int, *, patience: float = 90.0) -> None:
        """Decode at most `count` files at once. `patience` is in seconds, of waiting for one."""
        self._free = threading.BoundedSemaphore(count)
        self._idle: list[Decoder] = []
        self._lock = threading.Lock()
        self._forks = Forks(patience)

    def photo(self, data: bytes, *, max_pixels: int = MAX_PIXELS) -> Photo:
        """The photo in a file; see `shared.images.decode`."""
        reply, memory = self._ask("photo", data, max_pixels)
        rgb, *alpha = _planes(reply, memory)
        return Photo(rgb, alpha[0] if alpha else None, tuple(reply["warnings"]))

    def gray(self, data: bytes) -> UInt8Array:
        """The (H, W) levels of a mask that this service stored, whatever its size.

        Raises:
            ImageError: it is damaged.
        """
        (found,) = _planes(*self._ask("gray", data, sys.maxsize))
        return found

    def exif(self, data: bytes, *, max_pixels: int = MAX_PIXELS) -> bytes:
        """The EXIF block to carry over; see `shared.images.exif`.

        Raises:
            ValueError: it is damaged, or too long.
        """
        _, memory = self._ask("exif", data, max_pixels)
        return b"" if memory is None else messages.contents(memory)

    def close(self) -> None:
        """End all processes; calls in hand fail."""
        with self._lock:
            idle, self._idle = self._idle, []
        for decoder in idle:
            decoder.socket.close()
        self._forks.close()

    def _ask(self, kind: str, data: bytes, max_pixels: int) -> tuple[dict[str, Any], int | None]:
        """A decoder's reply, and its shared memory."""
        request = {"kind": kind, "max_pixels": max_pixels}
        with self._free, _lacks_told():
            file = messages.shared(data)
            try:
                reply, memory = self._reply(request, file)
            finally:
                os.close(file)
        STAGE_CPU.labels("decode").inc(reply["cpu"])
        if "error" in reply:
            raise TOLD.get(reply["error"], RuntimeError)(reply["message"])
        return reply, memory

    def _reply(self, request: dict[str, Any], file: int) -> tuple[dict[str, Any], int | None]:
        """The reply of the first decoder that survives, or of a second."""
        for again in (False, True):
            decoder = self._take()
            try:
                answer = decoder.ask(request, file)
            except BaseException as error:
                ended = self._forks.end(decoder, at_once=not isinstance(error, messages.Closed))
                DECODER_DEATHS.labels(ended).inc()
                if not isinstance(error, messages.Closed | TimeoutError):
                    raise
                if failure := verdict(ended, again=again):
                    raise failure from error
            else:
                with self._lock:
                    self._idle.append(decoder)
                return answer
        raise DecoderUnavailable

    def _take(self) -> Decoder:
        """The decoder used last, since its memory is warm; a new one if all are at work."""
        while True:
            with self._lock:
                if not self._idle:
                    break
                decoder = self._idle.pop()
            if decoder.lives:
                return decoder
            DECODER_DEATHS.labels(self._forks.end(decoder, at_once=False)).inc()
        return self._forks.new()


def _planes(reply: dict[str, Any], memory: int | None) -> list[UInt8Array]:
    if memory is None:
        raise DecoderUnavailable("A decoder replied without pixels. This is a bug.")
    with _lacks_told():
        return messages.planes(memory, *(tuple(shape) for shape in reply["shapes"]))


@contextmanager
def _lacks_told() -> Iterator[None]:
    """Tell what the system lacks: memory, descriptors or processes."""
    try:
        yield
    except OSError as error:
        raise unavailable(error.errno) from error
    except MemoryError as error:
        raise OutOfMemory from error
