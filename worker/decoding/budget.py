"""What decoding an image may cost at most, by its header, and the limits that hold it to that."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shared.errors import ImageInvalid, OutOfMemory
from shared.images import memory
from shared.images.headers import ImageInfo

#: Nanoseconds of CPU time per pixel, about five times those of each format's slowest sound file
#: (noise at the best quality, 12 megapixels): slow machines must decode it too.
_DECODE_NS = {
    "jpeg": 150,
    "png": 200,
    "webp": 500,
    "avif": 600,
    "tiff": 200,
    "bmp": 50,
    "gif": 100,
}
_COLOUR_NS = 200
#: Pillow reads a BMP's run lengths in Python, byte by byte.
_RUN_LENGTHS_NS = 2000
#: Seconds for any image, and for each byte of its file, most of which may be metadata.
_SECONDS, _SECONDS_PER_BYTE = 0.5, 20e-9
#: Address space that is reserved rather than used: stacks and arenas of a decoder's threads.
_RESERVED, _RESERVED_PER_CORE = 160 << 20, 10 << 20


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that decoding may need: CPU seconds, and bytes beyond those the process has."""

    seconds: float
    space: int

    @classmethod
    def of(cls, info: ImageInfo | None, file_size: int) -> Self:
        """The budget of an image; without `info`, of reading the header itself."""
        seconds, space = _SECONDS + _SECONDS_PER_BYTE * file_size, 3 * file_size + _reserved()
        if info is not None:
            seconds += info.pixels * _nanoseconds(info) * 1e-9
            space += memory.needed(info) * 5 // 4
        return cls(seconds, space)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold this process to the budget while the block runs; only for its main thread.

        Too much CPU time ends the process by SIGPROF, whatever library is at work.

        Raises:
            ImageInvalid: the block needed more memory than the budget.
            OutOfMemory: it needed no more, but the machine did not have that.
        """
        try:
            with self._space_limited():
                start_clock(self.seconds)
                yield
        except MemoryError as error:
            if not memory.available(self.space):
                raise OutOfMemory from error
            raise ImageInvalid(
                f"Decoding the image needs over {self.space >> 20} MiB, more than its pixels do."
            ) from error

    @contextmanager
    def _space_limited(self) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = _address_space() + self.space
        if soft == resource.RLIM_INFINITY or limit < soft:
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def start_clock(seconds: float) -> None:
    """End this process by SIGPROF after so much CPU time of its threads from now; 0 for never."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _nanoseconds(info: ImageInfo) -> int:
    if info.format == "bmp" and info.channels == 1:
        return _RUN_LENGTHS_NS
    passes = 3 if info.progressive else 1
    return _DECODE_NS[info.format] * passes + _COLOUR_NS * (2 if info.channels == 4 else 1)


def _reserved() -> int:
    return _RESERVED + _RESERVED_PER_CORE * len(os.sched_getaffinity(0))


def _address_space() -> int:
    """Bytes of address space that this process has."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()
