"""Errors of edges: of alpha against the true alpha, and of colours against the true ones.

Masks, *exact* and *net* from the true alpha thresholded at one half:

- *exact*: blurred (sigma 2 px) and area-reduced to 256 × 256, like SAM's output;
- *net*: with errors like a network's: the exact one displaced by a random field (sigma 6 px,
  standard deviation 2 px), blurred (sigma 2 px), then the sigmoid of 10·(m - ½); the mean of
  several fields;
- *end to end*: the segmenter's own mask for one click on the photo.

`*_mse` is 1000 · the mean square error of alpha over the whole photo. `*_mse_ratio` is its mean
over the photos, relative to that of Gaussian softening (sigma 2 px of the thresholded up-sampling)
of the same masks. `*_ms_per_mp` is CPU time on one thread per megapixel of the whole photo,
the best of three. `net` and `end_to_end` are of `matte`, `soft_*` before them of `soft`.

`colour_error` is of composites whose foreground is known (see `reference`), with true alpha: the
mean absolute error, in 8-bit levels, of the subject on white where 0 < alpha < 255;
`colour_error_ratio` is relative to pasting the photo's own pixels. `white_error` is everything
together: the same error with our alpha of the *net* mask and our colours, where the true or our
alpha is fractional; `white_error_ratio` is relative to Gaussian softening with own pixels there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np

from shared.schema import Edge, Output
from tests.bench import reference
from tests.bench.cases import Case
from worker.framing.cutout import compose
from worker.matting.edges import refine
from worker.matting.foreground import estimate_foreground

Array = Any
Row = dict[str, Any]

SIDE = 256
FIELDS = 3
_WHITE, _MAGENTA = Output(background="#ffffff"), Output(background="#ff00ff")


def exact(alpha: Array) -> Array:
    hard = (alpha > 127).astype(np.float32)
    return cv2.resize(cv2.GaussianBlur(hard, (0, 0), 2), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def net(mask: Array, seed: int, deviation: float = 2.0) -> Array:
    rng = np.random.default_rng(seed)
    place = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float32)
    for axis in range(2):
        field = cv2.GaussianBlur(rng.standard_normal(mask.shape).astype(np.float32), (0, 0), 6)
        place[axis] += deviation * field / field.std()
    moved = cv2.remap(mask, place[1], place[0], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(moved, (0, 0), 2)
    return np.asarray(1 / (1 + np.exp(-10 * (soft - 0.5))), np.float32)


def softened(mask: Array, shape: tuple[int, int]) -> Array:
    """Gaussian softening as in the service's first generation: (H, W) uint8."""
    large = cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_LINEAR)
    hard = (large > 0.5).astype(np.float32)
    return np.rint(cv2.GaussianBlur(hard, (0, 0), 2) * 255).astype(np.uint8)


def mse(one: Array, other: Array) -> float:
    return float(np.mean(((one.astype(np.float32) - other) / 255) ** 2)) * 1000


def timed(work: Callable[[], Array], pixels: int) -> tuple[Array, float]:
    """Run `work` three times: its result, and the best CPU time in milliseconds per megapixel."""
    best = float("inf")
    for _ in range(3):
        begun = time.process_time()
        found = work()
        best = min(best, time.process_time() - begun)
    return found, best * 1e3 / (pixels / 1e6)


def measure(case: Case, clicked: Array, other: Array) -> Row:
    """Measure one photo; `clicked` is the mask of one click, `other` any other photo."""
    row: Row = {}
    alpha, rgb = case.alpha, case.rgb
    mask = exact(alpha)
    row["gaussian_mse"] = mse(softened(mask, alpha.shape), alpha)
    for edge in (Edge.SOFT, Edge.MATTE):
        found, spent = timed(partial(refine, mask, rgb, edge), alpha.size)
        row[f"{edge.value}_mse"], row[f"{edge.value}_ms_per_mp"] = mse(found, alpha), spent
    wrong = [net(mask, seed) for seed in range(FIELDS)]
    results = [timed(partial(refine, m, rgb, Edge.MATTE), alpha.size) for m in wrong]
    row["net_gaussian_mse"] = mean(mse(softened(m, alpha.shape), alpha) for m in wrong)
    row["net_mse"] = mean(mse(found, alpha) for found, _ in results)
    row["net_ms_per_mp"] = mean(spent for _, spent in results)
    row["soft_net_mse"] = mean(mse(refine(m, rgb, Edge.SOFT), alpha) for m in wrong)
    row["end_to_end_gaussian_mse"] = mse(softened(clicked, alpha.shape), alpha)
    row["end_to_end_mse"] = mse(refine(clicked, rgb, Edge.MATTE), alpha)
    row["soft_end_to_end_mse"] = mse(refine(clicked, rgb, Edge.SOFT), alpha)
    row |= _colours(case, other)
    row |= _on_white(case, results[0][0], softened(wrong[0], alpha.shape))
    return row


def _colours(case: Case, other: Array) -> Row:
    picture, truth = reference.composited(case.rgb, case.alpha, other)
    found, spent = timed(partial(estimate_foreground, picture, case.alpha), case.alpha.size)
    band = (case.alpha > 0) & (case.alpha < 255)
    share = case.alpha[band][:, None] / 255

    def error(colours: Array) -> float:
        return float(np.abs(share * (colours[band] - truth[band])).mean())

    return {
        "colour_error": error(found),
        "own_colour_error": error(picture),
        "colour_ms_per_mp": spent,
    }


def _on_white(case: Case, matte: Array, gaussian: Array) -> Row:
    share = case.alpha[..., None].astype(np.float32) / 255
    wanted = 255 * (reference.foreground(case.rgb, case.alpha) * share + (1 - share))
    part = gaussian[..., None].astype(np.float32) / 255
    pasted = case.rgb * part + 255 * (1 - part)
    band = np.zeros(case.alpha.shape, bool)
    for alpha in (case.alpha, matte):
        band |= (alpha > 0) & (alpha < 255)
    ours = compose(case.rgb, matte, _WHITE)
    return {
        "white_error": float(np.abs(ours[band] - wanted[band]).mean()),
        "pasted_white_error": float(np.abs(pasted[band] - wanted[band]).mean()),
    }


def mean(values: Any) -> float:
    return float(np.mean(list(values)))


def ratios(means: dict[str, Any]) -> dict[str, float]:
    """The ratios of the means over the photos."""
    pairs = {
        "soft_mse_ratio": ("soft_mse", "gaussian_mse"),
        "matte_mse_ratio": ("matte_mse", "gaussian_mse"),
        "net_mse_ratio": ("net_mse", "net_gaussian_mse"),
        "soft_net_mse_ratio": ("soft_net_mse", "net_gaussian_mse"),
        "end_to_end_mse_ratio": ("end_to_end_mse", "end_to_end_gaussian_mse"),
        "soft_end_to_end_mse_ratio": ("soft_end_to_end_mse", "end_to_end_gaussian_mse"),
        "colour_error_ratio": ("colour_error", "own_colour_error"),
        "white_error_ratio": ("white_error", "pasted_white_error"),
    }
    return {name: round(means[one] / means[other], 4) for name, (one, other) in pairs.items()}


def strips(case: Case, clicked: Array) -> Array:
    """Photo, alpha, cutouts on white and magenta, full size: net mask above, one click below."""
    rows = []
    for mask in (net(exact(case.alpha), 0), clicked):
        alpha = refine(mask, case.rgb, Edge.MATTE)
        panels = [case.rgb, np.dstack([alpha] * 3)]
        panels += [compose(case.rgb, alpha, output) for output in (_WHITE, _MAGENTA)]
        rows.append(np.hstack(panels))
    return np.vstack(rows)
