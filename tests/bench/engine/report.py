"""The keys of `summary.json`, their targets, and the printed tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.bench.engine.throughput import Throughput


@dataclass(frozen=True, slots=True)
class Target:
    """A figure's target: at least, at most, or within a distance of 0."""

    key: str
    wanted: str
    met: Callable[[float], bool]
    unit: str = ""


def at_least(key: str, value: float) -> Target:
    return Target(key, f"≥ {value:g}", lambda found: found >= value)


def at_most(key: str, value: float, unit: str = "") -> Target:
    return Target(key, f"≤ {value:g}{unit}", lambda found: found <= value, unit)


def within(key: str, value: float) -> Target:
    return Target(key, f"within ± {value:g}", lambda found: abs(found) <= value)


def reported(key: str) -> Target:
    """A figure that is reported without a target."""
    return Target(key, "", lambda _found: True)


TARGETS = (
    at_least("saturation", 0.90),
    at_least("cpu_saturation", 0.80),
    at_least("vs_batch_1", 3),
    at_least("vs_naive", 4),
    reported("vs_naive_our_codecs"),
    at_least("sam_cpu_saturation", 0.90),
    at_most("interactive_p95_ratio", 3),
    at_least("submit_ratio", 0.6),
    within("submit_p99_drift", 0.20),
    at_most("redis_bytes_per_job", 3072, " B"),
    within("rss_drift", 0.05),
    reported("device_busy"),
)
#: Only for a GPU's `device_busy`, because a simulated device oversleeps.
GPU_BUSY = at_least("gpu_device_busy", 0.90)


def table(summary: Mapping[str, float | None], targets: tuple[Target, ...] = TARGETS) -> str:
    """A table of key, value, target, met or missed."""
    lines = [f"{'key':24} {'value':>10}  {'wanted':14} "]
    for target in targets:
        if target.key not in summary:
            continue
        value = summary[target.key]
        if value is None:
            lines.append(f"{target.key:24} {'–':>10}  {target.wanted:14} not measured")
            continue
        verdict = "" if not target.wanted else "met" if target.met(value) else "MISSED"
        shown = f"{value:.0f}{target.unit}" if target.unit else f"{value:.3f}"
        lines.append(f"{target.key:24} {shown:>10}  {target.wanted:14} {verdict}")
    return "\n".join(line.rstrip() for line in lines)


def stages(title: str, measured: Throughput) -> str:
    """A table of wall and CPU milliseconds per photo by stage."""
    lines = [f"{title}: {measured.images_per_s:.2f} images/s over {measured.photos} photos"]
    lines.append(f"  {'stage':20} {'wall ms':>9} {'CPU ms':>9}")
    for name in {**measured.stage_ms, **measured.stage_cpu_ms}:
        wall, cpu = measured.stage_ms.get(name), measured.stage_cpu_ms.get(name)
        lines.append(f"  {name:20} {_number(wall):>9} {_number(cpu):>9}")
    summed = sum(measured.stage_cpu_ms.values()) if measured.stage_cpu_ms else None
    lines.append(f"  {'all stages':20} {'':9} {_number(summed):>9}")
    lines.append(f"  {'the worker process':20} {'':9} {_number(measured.process_cpu_ms):>9}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
