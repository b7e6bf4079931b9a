"""A decoder: it decodes one file after another, until the worker closes its socket."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from shared.errors import ImageError, ImageInvalid, OutOfMemory
from shared.images import exif
from shared.images.decode import decode
from shared.images.memory import is_shortage, telling_shortage
from shared.images.probe import probe
from worker.decoding import messages
from worker.decoding.budget import Budget, start_clock
from worker.decoding.verdict import TOLD

_PR_SET_PDEATHSIG = 1
Reply = tuple[dict[str, Any], list[bytes | memoryview]]


def serve(worker: socket.socket, parent: int) -> None:
    """Answer requests until the worker has gone; `parent` is the template's process id.

    A request names its `kind`, the `max_pixels` and brings the file. A reply brings arrays, or says
    the `error` and its `message`; `cpu` is its CPU seconds.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before that
        return
    _die_first()
    while True:
        try:
            request, file = messages.receive(worker)
        except messages.Closed:
            return
        begun = time.process_time()
        reply, parts = _answer(request, messages.contents(file) if file is not None else b"")
        try:
            memory = messages.shared(*parts) if parts else None
        except OSError as error:
            reply, memory = _told(OutOfMemory(str(error))), None
        del parts
        start_clock(0)
        reply["cpu"] = time.process_time() - begun
        messages.send(worker, reply, memory)
        if memory is not None:
            os.close(memory)


def _die_first() -> None:
    """Have Linux choose this process before its worker where the machine runs out of memory."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _answer(request: dict[str, Any], data: bytes) -> Reply:
    """The reply to a request, and the arrays or bytes that it brings."""
    kinds: dict[str, Callable[[bytes, int], Reply]] = {"photo": photo, "gray": gray, "exif": kept}
    start_clock(Budget.of(None, len(data)).seconds)
    try:
        return kinds[request["kind"]](data, request["max_pixels"])
    except Exception as error:  # noqa: BLE001  # on damaged bytes a decoder may raise anything
        return _told(OutOfMemory() if is_shortage(error) else error), []


def _told(error: Exception) -> dict[str, Any]:
    for name, kind in TOLD.items():
        if isinstance(error, kind):
            return {"error": name, "message": str(error)}
    return {"error": "", "message": "".join(traceback.format_exception(error))[-8000:]}


def photo(data: bytes, max_pixels: int) -> Reply:
    """A photo: its (H, W, 3) pixels, and its (H, W) alpha if it has one."""
    found = decode(
        data, max_pixels=max_pixels, bounds=lambda info: Budget.of(info, len(data)).held()
    )
    parts: list[bytes | memoryview] = [np.ascontiguousarray(found.rgb).data]
    shapes = [found.rgb.shape]
    if found.alpha is not None:
        parts.append(np.ascontiguousarray(found.alpha).data)
        shapes.append(found.alpha.shape)
    return {"shapes": shapes, "warnings": found.warnings}, parts


def gray(data: bytes, max_pixels: int) -> Reply:
    """The (H, W) levels of a mask that this service stored."""
    info = probe(data, max_pixels=max_pixels)
    with telling_shortage(info), Budget.of(info, len(data)).held():
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        if found is None:
            raise ImageInvalid
    return {"shapes": [found.shape]}, [np.ascontiguousarray(found, np.uint8).data]


def kept(data: bytes, max_pixels: int) -> Reply:
    """The EXIF block to carry over; see `shared.images.exif`."""
    info = probe(data, max_pixels=max_pixels)
    with telling_shortage(info), Budget.of(info, len(data)).held():
        block = exif.kept(data)
    return {"size": len(block)}, [block] if block else []


def warm_up() -> None:
    """Do what libraries do at their first use, so that forked decoders need not do it each."""
    cv2.setNumThreads(1)
    picture = np.full((16, 16, 3), 200, np.uint8)
    for suffix in (".jpg", ".png", ".webp", ".bmp", ".tif"):
        with suppress(ImageError):
            decode(cv2.imencode(suffix, picture)[1].tobytes())
