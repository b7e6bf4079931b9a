"""The benchmark's arithmetic: rates over a steady window, percentiles, bounds."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


class TooFew(ValueError):
    """Too few measurements for a figure."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time window in seconds of one clock."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The slope of the least-squares line of `y` over `x`.

    Raises:
        TooFew: fewer than two different `x`.
    """
    if len(x) != len(y):
        raise ValueError(f"{len(x)} x and {len(y)} y")
    mean_x, mean_y = sum(x) / max(1, len(x)), sum(y) / max(1, len(y))
    spread = sum((item - mean_x) ** 2 for item in x)
    if spread == 0:
        raise TooFew("a line needs two different places")
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread


def steady(finished: Sequence[float], lead: float = 0.15, trail: float = 0.1) -> list[float]:
    """Sorted finishing times without the share `lead` of ramp-up and `trail` of tail."""
    moments = sorted(finished)
    kept = moments[math.ceil(len(moments) * lead) : len(moments) - math.floor(len(moments) * trail)]
    if len(kept) < 3:
        raise TooFew(f"{len(finished)} finishing times leave {len(kept)}")
    return kept


def rate(moments: Sequence[float]) -> float:
    """Events per second, from their sorted times.

    The slope of the line through (moment, count), not count over span: jobs finish in batches,
    and where in a batch the window begins and ends would be worth half a batch at either end.
    """
    return 1 / slope(range(len(moments)), moments)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the least value that a `share` (0..1) of them do not exceed."""
    if not values:
        raise TooFew("a percentile of nothing")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def device_rate(batch: int, batch_seconds: float, photo_seconds: float) -> float:
    """Photos per second of a device that always has a full batch."""
    seconds = batch_seconds + batch * photo_seconds
    return math.inf if seconds == 0 else batch / seconds


def bound(device: float, cores: int, cpu_seconds: float) -> float:
    """Most photos per second: of the device, or of the cores at `cpu_seconds` per photo."""
    return min(device, cores / cpu_seconds) if cpu_seconds > 0 else device


@dataclass(slots=True)
class Series:
    """Samples of a counter or gauge, ascending by `time.time`."""

    moments: list[float]
    values: list[float]

    def within(self, window: Window) -> Series:
        """The samples in a window, and its neighbours if it holds fewer than two."""
        first = bisect_left(self.moments, window.begin)
        last = bisect_right(self.moments, window.end)
        if last - first < 2:
            first, last = max(0, first - 1), last + 1
        return Series(self.moments[first:last], self.values[first:last])

    def rate(self, window: Window) -> float:
        """The counter's increase per second over the window, at least 0."""
        part = self.within(window)
        return max(0.0, slope(part.moments, part.values))

    def mean(self, window: Window) -> float:
        """The gauge's mean over the window."""
        part = self.within(window)
        if not part.values:
            raise TooFew("no samples")
        return sum(part.values) / len(part.values)
