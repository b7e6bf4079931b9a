"""The process that decoders are forked from: `python -P -m worker.decoding.template FD`.

It has loaded the image libraries, so that a new decoder is there within milliseconds and shares
their memory. It is a program of its own rather than a fork of the worker, which has threads and a
device. It also is the parent that waits for the decoders, so it can tell how one died.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import time
from typing import Any

from worker.decoding import messages
from worker.decoding.child import serve, warm_up
from worker.decoding.verdict import KILLED


def main() -> None:
    """Fork and end decoders until the worker closes the socket; it ends with its worker."""
    worker = socket.socket(fileno=int(sys.argv[1]))
    warm_up()
    gc.freeze()  # collecting would copy the pages that decoders share
    forked: set[int] = set()
    while True:
        try:
            request, descriptor = messages.receive(worker)
            if descriptor is not None:
                reply = _fork(worker, socket.socket(fileno=descriptor))
                forked |= {reply["pid"]} if "pid" in reply else set()
            else:
                reply = _end(request["end"], request["patience"])
                forked.discard(request["end"])
            messages.send(worker, reply)
        except messages.Closed:
            break
    for pid in forked:
        _end(pid, 0)


def _fork(worker: socket.socket, decoder: socket.socket) -> dict[str, Any]:
    """Fork a decoder that serves `decoder`; its process id, or the number of the error."""
    mine = os.getpid()
    with decoder:
        try:
            pid = os.fork()
        except OSError as error:
            return {"errno": error.errno}
        if pid:
            return {"pid": pid}
        code = 1
        try:
            worker.close()
            serve(decoder, mine)
            code = 0
        finally:
            os._exit(code)


def _end(pid: int, patience: float) -> dict[str, Any]:
    """Wait for a decoder to die, or kill it, and tell how it died: its signal, or its status."""
    deadline = time.monotonic() + patience
    while not (found := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() >= deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return {"ended": KILLED}
        time.sleep(0.001)
    code = os.waitstatus_to_exitcode(found[1])
    return {"ended": signal.Signals(-code).name if code < 0 else f"status {code}"}


if __name__ == "__main__":
    main()
