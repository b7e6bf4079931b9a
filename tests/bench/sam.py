"""Speed of SAM 2.1: encoder, decoder and second click, against Meta's predictor.

    python -m tests.bench.sam [--model NAME] [--checkpoint FILE] [--batches 1,4] [--json OUT]

Without a checkpoint the weights are random, which does not affect speed. With CUDA our model runs
there in FP16, and the reference in FP32; on a CPU ours runs in the precision that `Placement`
chooses.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sam2.build_sam import build_sam2

from shared.arrays import UInt8Array
from shared.images.decode import decode
from shared.schema import Prompt
from tests.reference import sam2_predictor
from worker.engine import Ask, Engine
from worker.segmenters.precision import Placement
from worker.segmenters.protocol import Question
from worker.segmenters.sam2 import CONFIGS, Sam2Segmenter

_SAMPLE = Path(__file__).parent.parent.parent / "nukki" / "samples" / "coffee.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=sorted(CONFIGS), default="sam2.1_hiera_tiny")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--batches", default="1,2,4")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = options.checkpoint or _random_weights(options.model, Path(folder))
        figures = _measure(options, checkpoint)
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def _random_weights(name: str, folder: Path) -> Path:
    torch.manual_seed(0)
    path = folder / "random.pt"
    torch.save({"model": build_sam2(CONFIGS[name], device="cpu").state_dict()}, path)
    return path


def _measure(options: argparse.Namespace, checkpoint: Path) -> dict[str, Any]:
    placement = Placement.choose()
    ours = Sam2Segmenter.load(options.model, checkpoint, placement)
    device = placement.device
    reference = sam2_predictor(build_sam2(CONFIGS[options.model], str(checkpoint), str(device)))
    photos = _photos(16)
    on_cuda = device.type == "cuda"

    def wait() -> None:
        if on_cuda:
            torch.cuda.synchronize()

    def timed(work: Callable[[], object]) -> float:
        work()
        spent = []
        for _ in range(options.runs):
            wait()
            begun = time.perf_counter()
            work()
            wait()
            spent.append(time.perf_counter() - begun)
        return statistics.median(spent)

    def loop() -> None:
        with torch.inference_mode():
            reference.set_image(photos[0])
            reference.predict(np.array([[300.0, 120.0]]), np.array([1]))

    def one() -> None:
        [embedding] = ours.encode([ours.prepare(image) for image in photos[:1]])
        ours.decode([Question(embedding, _click(0))])

    reference_s, ours_s = timed(loop), timed(one)
    figures: dict[str, Any] = {
        "model": options.model,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "precision": placement.precision.value,
        "reference_fp32_images_per_s": round(1 / reference_s, 3),
        "ours_images_per_s": round(1 / ours_s, 3),
        "vs_reference_loop": round(reference_s / ours_s, 3),
    }
    for size in [int(item) for item in options.batches.split(",")]:
        batch = [ours.prepare(photo) for photo in photos[:size]]
        spent = timed(lambda batch=batch: ours.encode(batch))  # type: ignore[misc]
        bare = timed(lambda batch=batch: _bare(ours, batch))  # type: ignore[misc]
        figures[f"encode_batch_{size}_images_per_s"] = round(size / spent, 3)
        figures[f"encode_batch_{size}_of_bare_forward"] = round(bare / spent, 3)
    figures |= _decoder(ours, photos, timed) | _second_click(ours, photos[0], options.runs)
    return figures


def _bare(ours: Sam2Segmenter, batch: list[UInt8Array]) -> None:
    """Run only the encoder's forward pass, on pixels that are on the device already."""
    side = ours._side
    pixels = torch.zeros((len(batch), 3, side, side), device=ours.placement.device)
    with ours.placement.computing():
        ours._model.forward_image(pixels)


def _decoder(
    ours: Sam2Segmenter, photos: list[UInt8Array], timed: Callable[[Callable[[], object]], float]
) -> dict[str, float]:
    """Decode 16 prompts of 16 photos together, against one by one."""
    embeddings = [item for photo in photos for item in ours.encode([ours.prepare(photo)])]
    questions = [Question(item, _click(index)) for index, item in enumerate(embeddings)]
    together = timed(lambda: ours.decode(questions))
    apart = timed(lambda: [ours.decode([question]) for question in questions])
    return {"decode_16_ms": round(together * 1000, 1), "decode_vs_loop": round(apart / together, 3)}


def _second_click(ours: Sam2Segmenter, photo: UInt8Array, runs: int) -> dict[str, float]:
    """Time two clicks in the engine: the first encodes, the second uses the cached embedding."""
    engine = Engine(ours, cache_bytes=1 << 30)
    first: list[float] = []
    second: list[float] = []
    for run in range(runs + 1):
        for click, spent in enumerate((first, second)):
            begun = time.perf_counter()
            call = engine.prepare(photo, [Ask(_click(click))], digest=str(run), urgent=True)
            engine.segment(call)
            if run:
                spent.append(time.perf_counter() - begun)
    ratio = statistics.median(second) / statistics.median(first)
    return {
        "first_click_ms": round(statistics.median(first) * 1000, 1),
        "second_click_ms": round(statistics.median(second) * 1000, 1),
        "second_of_first": round(ratio, 4),
    }


def _photos(count: int) -> list[UInt8Array]:
    sample = decode(_SAMPLE.read_bytes()).rgb
    return [np.ascontiguousarray(np.roll(sample, 7 * shift, axis=1)) for shift in range(count)]


def _click(index: int) -> Prompt:
    return Prompt(points=((100 + 20 * index, 120),))


if __name__ == "__main__":
    main()
