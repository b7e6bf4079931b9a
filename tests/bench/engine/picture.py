"""The picture of a run: throughput, baselines and bounds, and the time per stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl

mpl.use("Agg")  # works without a display
from matplotlib import pyplot as plt

#: Dark enough on white, and distinguishable with red-green colour blindness (Okabe, Ito).
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#f0e442")
#: The least share, in percent, at which a stage's milliseconds fit into its bar.
_READABLE = 3.0
_ENGINE, _OTHER, _BOUND = "#0072b2", "#999999", "#d8d8d8"


@dataclass(frozen=True, slots=True)
class Bars:
    """One panel of throughput: images per second by name, the engine and its bound last."""

    title: str
    images_per_s: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Stack:
    """One bar: milliseconds per photo by stage."""

    name: str
    milliseconds: Mapping[str, float]


def draw(path: Path, bars: Sequence[Bars], stacks: Sequence[Stack], note: str) -> None:
    """Write the picture as PNG."""
    figure = plt.figure(figsize=(12, 9.5), layout="constrained")
    above, below = cast(Any, figure.subfigures(2, 1, height_ratios=[1, 1.15]))
    for axes, panel in zip(above.subplots(1, len(bars), squeeze=False)[0], bars, strict=True):
        _throughput(axes, panel)
    above.suptitle("Throughput, images/s", fontweight="bold")
    _stages(below.subplots(), stacks)
    below.suptitle("Where a photo's time goes, with its milliseconds", fontweight="bold")
    figure.text(0.995, 0.002, note, ha="right", va="bottom", fontsize=7, color="#666666")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _throughput(axes: Any, panel: Bars) -> None:
    names = list(panel.images_per_s)
    colours = [
        _ENGINE if name == "engine" else _BOUND if "bound" in name else _OTHER for name in names
    ]
    drawn = axes.bar(names, list(panel.images_per_s.values()), color=colours)
    axes.bar_label(drawn, fmt="%.1f", padding=2, fontsize=9)
    axes.set_title(panel.title, fontsize=10)
    axes.tick_params(axis="x", labelsize=8)
    axes.margins(y=0.15)
    axes.spines[["top", "right"]].set_visible(False)


def _stages(axes: Any, stacks: Sequence[Stack]) -> None:
    """Draw shares of the whole, so that seconds and milliseconds fit one panel."""
    names = list(dict.fromkeys(name for item in stacks for name in item.milliseconds))
    totals = [sum(item.milliseconds.values()) or 1.0 for item in stacks]
    labels = [f"{item.name}, {total:.0f} ms" for item, total in zip(stacks, totals, strict=True)]
    left = [0.0] * len(stacks)
    for index, name in enumerate(names):
        spent = [item.milliseconds.get(name, 0.0) for item in stacks]
        shares = [100 * value / total for value, total in zip(spent, totals, strict=True)]
        colour = _COLOURS[index % len(_COLOURS)]
        drawn = axes.barh(labels, shares, left=left, label=name, color=colour)
        shown = [
            f"{value:.0f}" if share > _READABLE else ""
            for value, share in zip(spent, shares, strict=True)
        ]
        axes.bar_label(drawn, shown, label_type="center", fontsize=8)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    axes.invert_yaxis()
    axes.margins(x=0)
    axes.set_xlabel("% of a photo's stages; wall time includes waiting for device and processor")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
