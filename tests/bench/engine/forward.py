"""The bare batched forward pass of a SAM in its own process, the engine's baseline.

    python -m tests.bench.engine.forward --model NAME --checkpoint FILE --megapixels N

Reads a number of photos from each line of its input, encodes and decodes as many in full batches,
and answers with the seconds that took. It prints one line first, when it is loaded and warm.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from sam2.build_sam import build_sam2

from shared import processes
from shared.schema import Prompt
from tests.bench.engine.photos import ROOT, pixels
from tests.sam import randomised
from worker.segmenters.precision import Placement
from worker.segmenters.protocol import Question
from worker.segmenters.sam2 import CONFIGS, Sam2Segmenter

_PHOTOS = 4
#: Warm-up photos that are not counted: the first few are twice as slow.
_WARM = 4


def random_weights(name: str, folder: Path) -> Path:
    """Write a checkpoint with seeded random weights, which do not affect the model's speed."""
    torch.manual_seed(0)
    path = folder / f"{name}.pt"
    torch.save({"model": randomised(build_sam2(CONFIGS[name], device="cpu")).state_dict()}, path)
    return path


def click(megapixels: float) -> Prompt:
    """A click in the middle of a photo of this many megapixels."""
    height, width = pixels(megapixels).shape[:2]
    return Prompt(points=((width // 2, height // 2),))


@dataclass(slots=True)
class Forward:
    """A handle on the process of the bare forward pass."""

    _child: subprocess.Popen[str]
    described: Mapping[str, Any]

    @classmethod
    def _begin(cls, child: subprocess.Popen[str]) -> Self:
        return cls(child, json.loads(_line(child)))

    def images_per_s(self, photos: int) -> float:
        """Photos per second over this many photos."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{photos}\n")
        self._child.stdin.flush()
        return photos / float(_line(self._child))


def _line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise RuntimeError(f"the bare forward ended with status {child.wait()}")
    return line


@contextmanager
def bare_forward(name: str, checkpoint: Path, megapixels: float) -> Iterator[Forward]:
    """Run the process, loaded and warmed up; it is stopped on exit."""
    # As the launcher does for workers: numpy's threads would compete with torch's.
    env = os.environ | {
        "OPENBLAS_NUM_THREADS": os.environ.get("OPENBLAS_NUM_THREADS", "1"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    argv = [sys.executable, "-m", "tests.bench.engine.forward", "--model", name]
    argv += ["--checkpoint", str(checkpoint), "--megapixels", str(megapixels)]
    child = subprocess.Popen(
        argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Forward._begin(child)
    finally:
        processes.stop(child, 5)  # type: ignore[arg-type]


def main() -> None:
    """Measure on each line of input until it ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, choices=sorted(CONFIGS))
    parser.add_argument("--checkpoint", required=True, type=Path)
    parser.add_argument("--megapixels", required=True, type=float)
    options = parser.parse_args()
    placement = Placement.choose()
    model = Sam2Segmenter.load(options.model, options.checkpoint, placement)
    prompt = click(options.megapixels)
    # Prepared beforehand, because the bound is of the network, not of the CPU's part.
    photos = itertools.cycle(
        [model.prepare(pixels(options.megapixels, index)) for index in range(_PHOTOS)]
    )

    def run(count: int) -> float:
        begun = time.perf_counter()
        for first in range(0, count, model.max_batch):
            size = min(model.max_batch, count - first)
            batch = list(itertools.islice(photos, size))
            model.decode([Question(item, prompt) for item in model.encode(batch)])
        return time.perf_counter() - begun

    run(max(_WARM, model.max_batch))
    described = {
        "device": torch.cuda.get_device_name() if placement.device.type == "cuda" else "cpu",
        "precision": placement.precision.value,
        "threads": torch.get_num_threads(),
        "batch": model.max_batch,
    }
    print(json.dumps(described), flush=True)
    for line in sys.stdin:
        print(run(int(line)), flush=True)


if __name__ == "__main__":
    main()
