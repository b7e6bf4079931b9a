"""The child process: runs a target on each file under a memory limit.

Standard input: for each file its length in eight bytes, then the file; `LIMIT` as a length means
that the warm-up is over. Standard output: one line of JSON per file.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from shared.errors import ImageError
from tests.fuzz.targets import Wrong

LIMIT = (1 << 64) - 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("target", help="module:function")
    parser.add_argument("--memory", type=int, required=True, help="bytes beyond the warm-up's")
    arguments = parser.parse_args()
    module, _, name = arguments.target.partition(":")
    target = getattr(importlib.import_module(module), name)
    files = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # library output must not mix with the answers
    base = 0
    while head := files.read(8):
        (length,) = struct.unpack("<Q", head)
        if length == LIMIT:
            base = address_space("VmSize")
            ceiling = base + arguments.memory
            resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
            continue
        answer = run(target, _exactly(files, length))
        if base:
            answer["peak"] = address_space("VmPeak") - base
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def run(target: Callable[[bytes], tuple[int, int]], data: bytes) -> dict[str, Any]:
    """Run the target on the file; return the outcome's kind, and the size or reason."""
    try:
        return {"kind": "read", "size": target(data)}
    except ImageError as error:
        return {"kind": "refused", "detail": f"{type(error).__name__}: {error}"}
    except Wrong as error:
        return {"kind": "wrong", "detail": str(error)}
    except MemoryError:
        return {"kind": "memory", "detail": traceback.format_exc(limit=-6)}
    except BaseException:  # noqa: BLE001 - any other exception is a fault to report
        return {"kind": "foreign exception", "detail": traceback.format_exc(limit=-6)}


def address_space(name: str) -> int:
    """`VmSize` or `VmPeak` of this process, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.partition(name + ":")[2].split()[0])


def _exactly(files: BinaryIO, length: int) -> bytes:
    data = files.read(length)
    if len(data) != length:
        raise SystemExit(1)
    return data


if __name__ == "__main__":
    main()
