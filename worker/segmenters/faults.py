"""Device errors: out of memory, and a lost device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from shared.errors import DeviceLost, SegmenterFailed

log = logging.getLogger("nukki.worker")

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Prefixes of the error messages of CUDA, its libraries and torch's own checks.
_MARKS = ("CUDA error", "CUDA driver error", "CUBLAS_STATUS", "cuDNN error", "CUDNN_STATUS")


def within_memory(
    work: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item]
) -> list[Result]:
    """Run `work(items)`, halving the batch when it exceeds the device's memory.

    Raises:
        SegmenterFailed: one item alone exceeds the device's memory.
        DeviceLost: the device failed in another way; this process must exit.
    """
    try:
        return work(items)
    except torch.OutOfMemoryError as error:
        reason = str(error).partition("\n")[0]
    except RuntimeError as error:
        if not is_device_fault(error):
            raise
        raise DeviceLost(f"the device failed: {str(error).partition(chr(10))[0]}") from error
    # Outside the handler, because its traceback would keep the failed batch in memory.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(items) == 1:
        raise SegmenterFailed(f"out of device memory: {reason}")
    log.warning("out of device memory with a batch of %d; retrying in halves", len(items))
    half = (len(items) + 1) // 2
    return [*within_memory(work, items[:half]), *within_memory(work, items[half:])]


def is_device_fault(error: BaseException) -> bool:
    """Whether an error comes from the device, not from the model's code."""
    # torch before 2.8 has no class for device errors.
    accelerator: type[BaseException] | None = getattr(torch, "AcceleratorError", None)
    if accelerator is not None and isinstance(error, accelerator):
        return True
    return isinstance(error, RuntimeError) and any(mark in str(error) for mark in _MARKS)
