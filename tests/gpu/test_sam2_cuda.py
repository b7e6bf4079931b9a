"""SAM 2.1 in FP16 against FP32 on a CUDA device; skipped without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sam2.build_sam import build_sam2

from tests.sam import CASES, Case, photo, randomised
from worker.segmenters.precision import Placement
from worker.segmenters.sam2 import CONFIGS, Sam2Segmenter

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
NAME = "sam2.1_hiera_base_plus"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "base_plus.pt"
    model = randomised(build_sam2(CONFIGS[NAME], device="cpu"))
    torch.save({"model": model.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def both(checkpoint: Path) -> tuple[Sam2Segmenter, Sam2Segmenter]:
    """The same weights in FP16 and in FP32."""
    half, full = (
        Sam2Segmenter.load(NAME, checkpoint, Placement.choose("cuda", precision))
        for precision in ("fp16", "fp32")
    )
    return half, full


def test_cuda_computes_in_fp16_by_default() -> None:
    assert Placement.choose().precision == "fp16"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fp16_masks_equal_fp32_where_logits_are_clear(
    both: tuple[Sam2Segmenter, Sam2Segmenter], case: Case
) -> None:
    image = photo(1, 640, 480)
    found, wanted = (
        segmenter.candidates(
            [case.question(segmenter.encode([segmenter.prepare(image)])[0], image, 256)]
        )[0].logits
        for segmenter in both
    )
    clear = np.abs(wanted) > 4 * np.abs(found - wanted).max()
    assert clear.mean() > 0.2
    assert np.array_equal((found > 0)[clear], (wanted > 0)[clear])


def test_a_batch_of_sixteen_equals_one_at_a_time(
    both: tuple[Sam2Segmenter, Sam2Segmenter],
) -> None:
    _, full = both
    images = [photo(seed, 320 + seed, 240) for seed in range(16)]
    together = full.encode([full.prepare(image) for image in images])
    for image, embedding in zip(images, together, strict=True):
        [alone] = full.encode([full.prepare(image)])
        assert torch.allclose(alone.coarse, embedding.coarse, atol=1e-3)
