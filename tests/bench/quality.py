"""Quality of the segmenter without weights, on any folder with `image/` and `alpha/`.

    python -m tests.bench.quality --json OUT [--data DIR] [--sheet OUT.png] [--edges DIR] [--quick]

Each photo is cut with one click where the subject is thickest, with random clicks inside it, and
without a click; upright, rotated, resized, and with the subject scaled and pasted onto its own
filled-in background. IoU is of the alpha above 127, at the photo's size. Seconds are CPU
time on one thread, encoding included. `plain_*` is a textbook GrabCut at 512 px, for comparison.
For the figures of edges and their colours see `edges`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: the figures are for one core

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from shared.schema import Output, Prompt
from tests import material
from tests.bench import edges
from tests.bench.cases import Case, Point, anywhere, composited, deepest, load, resized, turned
from worker.matting.clicks import clean_mask
from worker.matting.edges import refine
from worker.segmenters.grabcut import GrabCutSegmenter
from worker.segmenters.masks import iou
from worker.segmenters.protocol import Prediction, Question

Array = Any

RANDOM_CLICKS = 5
SCALES = (0.45, 0.6, 0.8)
SIZES = (0.5, 2.0)
MAGENTA = (255, 0, 255)


def plain(rgb: Array, point: Point | None) -> Array:
    """Textbook GrabCut: a ring of background, and a disc (or all the rest) of likely subject."""
    factor = 512 / max(rgb.shape[:2])
    size = (round(rgb.shape[1] * factor), round(rgb.shape[0] * factor))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    around = cv2.GC_PR_BGD if point else cv2.GC_PR_FGD
    labels: Array = np.full(small.shape[:2], around, dtype=np.uint8)
    short = min(labels.shape)
    if point:
        place = (int(point[0] * factor), int(point[1] * factor))
        cv2.circle(labels, place, round(0.5 * short), cv2.GC_PR_FGD, -1)
        cv2.circle(labels, place, max(1, round(0.02 * short)), cv2.GC_FGD, -1)
    ring = max(1, round(0.03 * short))
    edge = np.ones(labels.shape, dtype=bool)
    edge[ring:-ring, ring:-ring] = False
    labels[edge & (labels != cv2.GC_FGD)] = cv2.GC_BGD
    cv2.setRNGSeed(0)
    models = np.zeros((2, 1, 65))
    cv2.grabCut(small, labels, (0, 0, 1, 1), models[0], models[1], 5, cv2.GC_INIT_WITH_MASK)
    mask = (labels & 1).astype(np.float32)
    return cv2.resize(mask, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0.5


class Bench:
    """Cuts cases and collects their figures."""

    def __init__(self) -> None:
        self.segmenter = GrabCutSegmenter()
        self.rows: dict[str, dict[str, Any]] = defaultdict(dict)
        self.sheet: list[Array] = []
        self.clicked: dict[str, Array] = {}

    def cut(
        self, case: Case, embedding: Any, point: Point | None
    ) -> tuple[Array, Array, Prediction, float]:
        prompt = Prompt(points=(point,)) if point else Prompt()
        begun = time.process_time()
        prediction = self.segmenter.decode([Question(embedding, prompt)])[0]
        seconds = time.process_time() - begun
        mask = clean_mask(prediction.mask, prompt, case.rgb.shape[1::-1])
        return refine(mask, case.rgb, Output().edge), mask, prediction, seconds

    def measure(self, case: Case, *, clicks: int = 0, baseline: bool = False) -> None:
        row, truth, kind = self.rows[case.name], case.truth, case.kind
        prefix = "" if kind == "upright" else f"{kind}_"
        begun = time.process_time()
        embedding = self.segmenter.encode([self.segmenter.prepare(case.rgb)])[0]
        encoding = time.process_time() - begun
        point = deepest(truth)
        click, mask, _, seconds = self.cut(case, embedding, point)
        row[f"{prefix}click_iou"] = iou(click > 127, truth)
        row[f"{prefix}click_s"] = encoding + seconds
        auto, _, prediction, seconds = self.cut(case, embedding, None)
        row[f"{prefix}auto_iou"] = iou(auto > 127, truth)
        row[f"{prefix}auto_s"] = encoding + seconds
        row[f"{prefix}auto_confidence"] = prediction.scores[0]
        row[f"{prefix}auto_reasons"] = list(prediction.reasons)
        if clicks:
            found = [
                iou(self.cut(case, embedding, p)[0] > 127, truth)
                for p in anywhere(truth, clicks, seed=7)
            ]
            row[f"{prefix}random_click_iou"] = float(np.mean(found))
        if baseline:
            row["plain_click_iou"] = iou(plain(case.rgb, point), truth)
            row["plain_auto_iou"] = iou(plain(case.rgb, None), truth)
        if kind == "upright":
            self.clicked[case.name] = mask
            self.sheet.append(strip(case, point, click, auto, row))

    def means(self) -> dict[str, Any]:
        """The mean of every figure over the photos; for `*_s` also the maximum."""
        found: dict[str, Any] = {}
        names = sorted({name for row in self.rows.values() for name in row})
        for name in names:
            values = [row[name] for row in self.rows.values() if name in row]
            if not isinstance(values[0], list):
                found[name] = round(float(np.mean(values)), 4)
            if name.endswith("_s"):
                found[f"{name}_max"] = round(float(np.max(values)), 4)
        return found | edges.ratios(found)


def strip(case: Case, point: Point, click: Array, auto: Array, row: dict[str, Any]) -> Array:
    """The photo, and the cuts with and without a click on magenta, side by side."""
    before = case.rgb.copy()
    cv2.circle(before, (int(point[0]), int(point[1])), max(before.shape) // 60, MAGENTA, -1)
    panels = [before]
    for alpha in (click, auto):
        share = alpha[..., None].astype(np.float32) / 255
        panels.append((case.rgb * share + np.array(MAGENTA) * (1 - share)).astype(np.uint8))
    panels = [cv2.resize(panel, (320, 240), interpolation=cv2.INTER_AREA) for panel in panels]
    texts = (
        case.name,
        f"click {row['click_iou']:.3f}",
        f"auto {row['auto_iou']:.3f} {'REVIEW' if row['auto_reasons'] else ''}",
    )
    for panel, text in zip(panels, texts, strict=True):
        for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(panel, text, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, width)
    return np.hstack(panels)


def contact(strips: list[Array]) -> Array:
    rows = [*strips, *([np.zeros_like(strips[0])] * (len(strips) % 2))]
    return np.vstack([np.hstack(rows[i : i + 2]) for i in range(0, len(rows), 2)])


def table(rows: dict[str, dict[str, Any]], means: dict[str, Any]) -> str:
    columns = [name for name in means if name.endswith("_iou")]
    short = {name: name.removesuffix("_iou").replace("composited", "at") for name in columns}
    lines = ["photo      " + " ".join(f"{short[name]:>16}" for name in columns) + "  reasons"]
    for photo, row in rows.items():
        figures = " ".join(f"{row[n]:16.3f}" if n in row else " " * 16 for n in columns)
        lines.append(f"{photo[:10]:10} {figures}  {', '.join(row['auto_reasons'])}")
    lines.append(f"{'mean':10} " + " ".join(f"{means[name]:16.3f}" for name in columns))
    lines.append(
        f"seconds per photo: click {means['click_s']:.2f} (longest {means['click_s_max']:.2f}), "
        f"auto {means['auto_s']:.2f} (longest {means['auto_s_max']:.2f})"
    )
    lines.append("edges: " + ", ".join(f"{name} {means[name]:.3f}" for name in edges.ratios(means)))
    spent = [name for name in means if name.endswith("_ms_per_mp")]
    lines.append("edges: " + ", ".join(f"{name} {means[name]:.1f}" for name in spent))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the segmenter without weights.")
    parser.add_argument(
        "--data",
        type=Path,
        default=material.folder("data", "mattes"),
        help="folder with image/ and alpha/ (default: data/mattes of NUKKI_TEST_MATERIAL)",
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet here (PNG)")
    parser.add_argument("--edges", type=Path, help="write every photo's edges here (PNG files)")
    parser.add_argument("--quick", action="store_true", help="upright photos only")
    asked = parser.parse_args()
    if not (asked.data / "image").is_dir() or not (asked.data / "alpha").is_dir():
        print(f"skipped: {asked.data} lacks image/ or alpha/")
        return 0
    cv2.setNumThreads(1)
    bench = Bench()
    cases = list(load(asked.data))
    for seed, case in enumerate(cases):
        bench.measure(case, clicks=RANDOM_CLICKS, baseline=True)
        if not asked.quick:
            for scale in SCALES:
                bench.measure(composited(case, scale, seed))
            for quarters in (1, 2):
                bench.measure(turned(case, quarters))
            for factor in SIZES:
                bench.measure(resized(case, factor))
        clicked = bench.clicked[case.name]
        other = cases[(seed + 1) % len(cases)].rgb
        bench.rows[case.name] |= edges.measure(case, clicked, other)
        if asked.edges:
            asked.edges.mkdir(parents=True, exist_ok=True)
            sheet = np.ascontiguousarray(edges.strips(case, clicked)[..., ::-1])
            cv2.imwrite(str(asked.edges / f"{case.name}.png"), sheet)
    if not bench.rows:
        print(f"skipped: no readable photo with alpha in {asked.data}")
        return 0
    means = bench.means()
    print(table(bench.rows, means))
    if asked.json:
        asked.json.write_text(json.dumps({**means, "photos": bench.rows}, indent=1))
    if asked.sheet:
        cv2.imwrite(str(asked.sheet), np.ascontiguousarray(contact(bench.sheet)[..., ::-1]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
