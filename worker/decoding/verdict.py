"""What a decoder's death says: the image's fault, the machine's, or not known yet."""

from __future__ import annotations

from shared.errors import (
    DecoderUnavailable,
    ImageInvalid,
    ImageTooLarge,
    ImageUnsupported,
    OutOfMemory,
    ServiceError,
)

#: How a decoder ended that the worker gave up waiting for.
KILLED = "killed"

#: The errors that a decoder reports by name; the first that fits is told.
TOLD: dict[str, type[Exception]] = {
    error.__name__: error
    for error in (ImageUnsupported, ImageTooLarge, ImageInvalid, OutOfMemory, ValueError)
}

#: The clock of its budget, which counts CPU time alone, ran out.
_OVER_TIME = {"SIGPROF"}
#: The kernel took the process, or a page that it had promised. The budget bounds what an image
#: makes a decoder use, so it was the machine that had too little.
_OUT_OF_MEMORY = {"SIGKILL", "SIGBUS"}
_CRASHED = {"SIGSEGV", "SIGABRT", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS"}


def verdict(ended: str, *, again: bool) -> ServiceError | None:
    """The error of an image whose decoder ended so; None if a second decoder should tell.

    `again`: this was the second. A decoder that crashes twice on an image does so because of it;
    once may be chance.
    """
    if ended in _OVER_TIME:
        return ImageInvalid("Decoding the image takes far longer than its pixels do.")
    if ended in _OUT_OF_MEMORY:
        return OutOfMemory()
    if ended == KILLED:
        return DecoderUnavailable("Decoding the image came to a standstill.")
    if not again:
        return None
    if ended in _CRASHED:
        return ImageInvalid("The image is damaged: it crashes the decoder.")
    return DecoderUnavailable(f"The process that decodes images ended with {ended}.")
