"""One picture of a run: throughput beside its baselines and bounds, and where the time goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # no display where a bench runs
from matplotlib import pyplot

#: Dark enough for white paper, and told apart by those who see red and green alike (Okabe, Ito).
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#f0e442")
_ENGINE, _OTHER, _BOUND = "#0072b2", "#999999", "#d8d8d8"


@dataclass(frozen=True, slots=True)
class Bars:
    """One panel of throughput: images a second by name, the engine's and its bound last."""

    title: str
    images_per_s: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Stack:
    """One bar of milliseconds a photo by stage."""

    name: str
    milliseconds: Mapping[str, float]


def draw(path: Path, bars: Sequence[Bars], stacks: Sequence[Stack], note: str) -> None:
    """Write the picture as PNG."""
    figure = pyplot.figure(figsize=(12, 9.5), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[1, 1.15])
    for axes, panel in zip(above.subplots(1, len(bars), squeeze=False)[0], bars, strict=True):
        _throughput(axes, panel)
    above.suptitle("Throughput, images/s", fontweight="bold")
    _stages(below.subplots(), stacks)
    below.suptitle("Where a photo's time goes, ms a photo", fontweight="bold")
    figure.text(0.995, 0.002, note, ha="right", va="bottom", fontsize=7, color="#666666")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


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
    names = list(dict.fromkeys(name for item in stacks for name in item.milliseconds))
    labels = [item.name for item in stacks]
    left = [0.0] * len(stacks)
    for index, name in enumerate(names):
        widths = [item.milliseconds.get(name, 0.0) for item in stacks]
        axes.barh(labels, widths, left=left, label=name, color=_COLOURS[index % len(_COLOURS)])
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for place, total in enumerate(left):
        axes.text(total, place, f" {total:.0f}", va="center", fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.set_xlabel("ms; wall time includes waiting for the device and for a processor")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
