"""The memory that drawing and encoding a result take, against what the in-flight limit counts.

`python -m tests.bench.memory --megapixels 100` needs 5 GB. Below 16 megapixels
what does not grow with the photo outweighs the rest.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from shared.schema import Output
from shared.schema.weight import BYTES_PER_PIXEL, Sizes, weight
from worker.framing.publication import Trimmings, draw

_RESULTS = {
    "png": Output(),
    "zip": Output.model_validate({"format": "zip"}),
    "jpeg": Output.model_validate({"format": "jpeg", "background": "#ffffff"}),
    "webp": Output.model_validate({"format": "webp"}),
    "avif": Output.model_validate({"format": "avif"}),
    "mask": Output.model_validate({"type": "mask"}),
    "webp-mask": Output.model_validate({"type": "mask", "format": "webp"}),
    "shadow": Output.model_validate({"shadow": {}}),
    "scaled": Output.model_validate({"scale": 0.99}),
    "margin": Output.model_validate({"margin": "10%"}),
}


def main() -> int:
    """Measure each kind of result in a process of its own; 1 if one takes more than it counts."""
    parser = argparse.ArgumentParser(prog="tests.bench.memory", description=__doc__)
    parser.add_argument("--megapixels", type=float, default=16.0, help="Size of the photo.")
    parser.add_argument("--only", choices=_RESULTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    side = round((options.megapixels * 1e6) ** 0.5)
    if options.only is not None:
        return _measure(options.only, side)
    command = [sys.executable, "-m", "tests.bench.memory", "--megapixels", str(options.megapixels)]
    return max(
        subprocess.run([*command, "--only", name], check=False).returncode for name in _RESULTS
    )


def _measure(name: str, side: int) -> int:
    output = _RESULTS[name]
    cv2.setNumThreads(1)
    noise = np.random.default_rng(0)
    small = np.full((9, 9), 9, np.uint8)
    draw(np.zeros((9, 9, 3), np.uint8), small, output, (0, 0, 9, 9), Trimmings())
    before = _memory("VmRSS")
    rgb = noise.integers(0, 255, (side, side, 3), dtype=np.uint8)
    alpha = noise.integers(0, 255, (side, side), dtype=np.uint8)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    picture = draw(rgb, alpha, output, (0, 0, side, side), Trimmings(), max_pixels=10**9)
    del rgb
    picture.written(output)
    peak = _memory("VmHWM") - before
    counted = weight(output, Sizes.of(output, (side, side), max_pixels=10**9)) * BYTES_PER_PIXEL
    share = f"{peak / 1e6:6.0f} MB of {counted / 1e6:6.0f} MB counted, {peak / counted:4.0%}"
    sys.stdout.write(f"{name:10} {share}; {peak / side**2:5.1f} bytes per pixel of the photo\n")
    return int(peak > counted)


def _memory(field: str) -> int:
    """A figure of proc_pid_status(5), in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


if __name__ == "__main__":
    raise SystemExit(main())
