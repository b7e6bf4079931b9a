"""Benchmark on a CUDA device: base_plus in FP16 through the whole stack, time per stage."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from tests.bench.engine.sam_stack import SamBound, sam_bound

MODEL = "sam2.1_hiera_base_plus"
MEGAPIXELS = 2.0


def gpu_bound(photos: int, more: Mapping[str, str]) -> SamBound | None:
    """Measure two rounds of `photos` each; None without a CUDA device."""
    if not torch.cuda.is_available():
        return None
    return sam_bound(
        MODEL,
        photos=2 * photos,
        photos_of_forward=2 * photos,
        rounds=2,
        megapixels=MEGAPIXELS,
        more=more,
    )
