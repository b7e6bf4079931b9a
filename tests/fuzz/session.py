"""A run of the fuzzer: makes files, runs the target, counts outcomes, saves faulty files."""

from __future__ import annotations

import collections
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz.mutations import Mutator
from tests.fuzz.sandbox import Outcome, Sandbox
from tests.fuzz.seeds import Seed

#: Limits for Pillow, whose faults are not reported: memory in bytes, seconds, file bytes.
_ORACLE_MEMORY, _ORACLE_SECONDS, _ORACLE_BYTES = 512 << 20, 2.0, 128 << 10


@dataclass(frozen=True)
class Plan:
    """Parameters of a run.

    Attributes:
        target: `module:function`; see `targets`.
        seeds: the sound files, all of the formats to test.
        files: how many damaged files at most.
        seed: of the random numbers.
        memory: bytes of address space beyond the child's own.
        seconds: the longest that a file may take.
        minutes: the longest that the run may take; None for no limit.
        oracle: the target whose sizes are the right ones; None for no comparison.
        artifacts: where files that show a fault are written.
        warm_up: whether the seeds are run before the memory limit is set.
    """

    target: str
    seeds: Sequence[Seed]
    files: int
    seed: int
    memory: int
    seconds: float
    artifacts: Path
    minutes: float | None = None
    oracle: str | None = "tests.fuzz.targets:pillow_size"
    warm_up: bool = False


@dataclass(frozen=True)
class Finding:
    """A file that shows a fault, where it was written, and how it was made."""

    path: Path
    kind: str
    detail: str
    number: int
    origin: str


@dataclass
class Report:
    """Results of a run: outcomes by format and kind, and the findings."""

    counts: dict[str, collections.Counter[str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    compared: int = 0
    peak: int = 0
    slowest: float = 0.0
    seconds: float = 0.0

    def table(self) -> str:
        """One line per format, and one for all."""
        kinds = sorted({kind for counts in self.counts.values() for kind in counts})
        lines = ["format".ljust(8) + "".join(kind.rjust(20) for kind in kinds)]
        for name, counts in self.counts.items():
            lines.append(name.ljust(8) + "".join(f"{counts[kind]:20,}" for kind in kinds))
        lines.append(
            f"{self.files:,} files in {self.seconds:.0f} s; {self.compared:,} sizes compared with"
            f" Pillow's; slowest {1000 * self.slowest:.0f} ms; most memory"
            f" {self.peak / 2**20:.1f} MiB; faults: {len(self.findings)}"
        )
        return "\n".join(lines)


def damaged(seeds: Sequence[Seed], seed: int) -> Iterator[tuple[Seed, bytes]]:
    """An endless stream of damaged files; each depends only on its number, `seed` and the seeds."""
    mutator = Mutator(seeds)
    for number in itertools.count():
        yield mutator.make(Random(f"{seed}:{number}"))


def run(plan: Plan) -> Report:
    """Run the target on the files and compare its sizes with the oracle's."""
    report = Report()
    began = time.monotonic()
    warm_up = [seed.data for seed in plan.seeds] if plan.warm_up else []
    with (
        Sandbox(plan.target, memory=plan.memory, seconds=plan.seconds, warm_up=warm_up) as target,
        Sandbox(plan.oracle or "", memory=_ORACLE_MEMORY, seconds=_ORACLE_SECONDS) as oracle,
    ):
        for number, (seed, data) in enumerate(damaged(plan.seeds, plan.seed)):
            late = plan.minutes is not None and time.monotonic() - began > 60 * plan.minutes
            if number == plan.files or late:
                break
            start = time.monotonic()
            outcome = target.run(data)
            report.slowest = max(report.slowest, time.monotonic() - start)
            if plan.oracle and outcome.size is not None and len(data) <= _ORACLE_BYTES:
                outcome = _compared(outcome, oracle.run(data), report)
            _count(plan, report, number, seed, data, outcome)
    report.seconds = time.monotonic() - began
    return report


def _compared(outcome: Outcome, oracle: Outcome, report: Report) -> Outcome:
    """The outcome; `wrong` if both read the file and their sizes differ."""
    if outcome.size is None or oracle.size is None:
        return outcome
    report.compared += 1
    if outcome.size == oracle.size:
        return outcome
    return Outcome("wrong", f"it is {outcome.size}, by Pillow {oracle.size}", peak=outcome.peak)


def _count(  # noqa: PLR0917
    plan: Plan, report: Report, number: int, seed: Seed, data: bytes, outcome: Outcome
) -> None:
    report.files += 1
    report.peak = max(report.peak, outcome.peak)
    report.counts.setdefault(seed.format, collections.Counter())[outcome.kind] += 1
    if outcome.sound:
        return
    plan.artifacts.mkdir(parents=True, exist_ok=True)
    path = plan.artifacts / f"{plan.seed}-{number}-{outcome.kind.replace(' ', '-')}.{seed.format}"
    path.write_bytes(data)
    finding = Finding(path, outcome.kind, outcome.detail, number, f"{seed.format}, {seed.kind}")
    report.findings.append(finding)
    told = {"seed": plan.seed, "target": plan.target, "number": number, "origin": finding.origin}
    told |= {"kind": finding.kind, "detail": finding.detail}
    path.with_suffix(path.suffix + ".json").write_text(json.dumps(told, indent=1) + "\n")
