"""Tells a machine without memory from a damaged image: decoders report both in the same way."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import ImageError, OutOfMemory
from shared.images.headers import ImageInfo, memory_bound

#: OpenCV's error code for an allocation that failed.
_OPENCV_NO_MEMORY = -4
#: More bytes per pixel than decoding any sound image needs, and those of small ones.
_MOST_PER_PIXEL, _SMALL = 40, 48 << 20


@contextmanager
def telling_shortage(info: ImageInfo) -> Iterator[None]:
    """Raise OutOfMemory where the block, which decodes such an image, fails for lack of memory.

    OpenCV, libtiff and libwebp say "damaged" of a sound image when an allocation fails. So an image
    counts as damaged only while there is memory for decoding a sound one of its size.
    """
    try:
        yield
    except ImageError as error:
        if not available(needed(info)):
            raise OutOfMemory from error
        raise
    except Exception as error:
        if is_shortage(error):
            raise OutOfMemory from error
        raise


def needed(info: ImageInfo) -> int:
    """The most bytes that decoding a sound image needs, though its header claim 65,535 channels."""
    return min(memory_bound(info), info.pixels * _MOST_PER_PIXEL + _SMALL)


def is_shortage(error: BaseException | None) -> bool:
    """Whether an allocation that failed caused the error: by Python, NumPy, OpenCV or torch."""
    while error is not None:
        said = str(error)
        if (
            isinstance(error, MemoryError | OutOfMemory)
            or getattr(error, "code", None) == _OPENCV_NO_MEMORY  # ours have text there
            or "bad_alloc" in said
            or "DefaultCPUAllocator" in said
        ):
            return True
        error = error.__cause__
    return False


def available(size: int) -> bool:
    """Whether the system promises this process `size` bytes more; none of them is touched."""
    try:
        mmap.mmap(-1, max(1, size), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError:
        return False
    return True
