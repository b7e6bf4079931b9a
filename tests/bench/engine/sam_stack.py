"""A real network through the whole stack against its bare forward pass, on CPU and GPU."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from tests.bench.engine.forward import bare_forward, click, random_weights
from tests.bench.engine.photos import files
from tests.bench.engine.stacks import deployed
from tests.bench.engine.throughput import Throughput, measure


@dataclass(frozen=True, slots=True)
class SamBound:
    """Photos per second of the stack and of the bare forward pass."""

    model: str
    engine: Throughput
    forward_images_per_s: float
    described: Mapping[str, Any]

    @property
    def saturation(self) -> float:
        return self.engine.images_per_s / self.forward_images_per_s


def sam_bound(
    model: str,
    *,
    photos: int,
    photos_of_forward: int,
    rounds: int,
    megapixels: float,
    more: Mapping[str, str],
) -> SamBound:
    """Measure both in turn, with random weights; one is idle while the other works."""
    bare: list[float] = []
    engine: list[Throughput] = []
    with tempfile.TemporaryDirectory(prefix="nukki-bench-") as folder:
        checkpoint = random_weights(model, Path(folder))
        settings = {"NUKKI_MODEL": model, "NUKKI_CHECKPOINT": str(checkpoint)}
        with (
            bare_forward(model, checkpoint, megapixels) as forward,
            deployed(settings, more) as deployment,
        ):
            for _ in range(rounds):
                bare.append(forward.images_per_s(photos_of_forward // rounds))
                share = files(megapixels, photos // rounds)
                # The first batch waits for its photos, and during the last compositions the
                # device is idle: neither is typical of a busy service.
                engine.append(
                    measure(deployment, share, prompt=click(megapixels), lead=0.1, trail=0.1)
                )
            bare.append(forward.images_per_s(photos_of_forward // rounds))
            described = forward.described
    return SamBound(model, Throughput.mean(engine), fmean(bare), described)
