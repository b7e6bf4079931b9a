"""Device faults: out of memory, and everything else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from shared.errors import DeviceLost, SegmenterFailed

log = logging.getLogger("nukki.worker")

Item = TypeVar("Item")
Answer = TypeVar("Answer")

#: How CUDA, its libraries and torch's own checks begin their messages.
_MARKS = ("CUDA error", "CUDA driver error", "CUBLAS_STATUS", "cuDNN error", "CUDNN_STATUS")


def within_memory(
    work: Callable[[Sequence[Item]], list[Answer]], items: Sequence[Item]
) -> list[Answer]:
    """`work(items)`, in halves if the device's memory does not hold all of them at once.

    Raises:
        SegmenterFailed: one item alone does not fit.
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
    # Not inside the handler: its traceback would keep the failed batch in memory.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(items) == 1:
        raise SegmenterFailed(f"out of device memory: {reason}")
    log.warning("out of device memory with %d at once; trying half of them", len(items))
    half = (len(items) + 1) // 2
    return [*within_memory(work, items[:half]), *within_memory(work, items[half:])]


def is_device_fault(error: BaseException) -> bool:
    """Whether the device, not the model's code, raised it."""
    # torch before 2.8 has no class of its own for it.
    accelerator: type[BaseException] | None = getattr(torch, "AcceleratorError", None)
    if accelerator is not None and isinstance(error, accelerator):
        return True
    return isinstance(error, RuntimeError) and any(mark in str(error) for mark in _MARKS)
