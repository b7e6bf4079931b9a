"""Benchmark of the whole service: prints a table, writes JSON files and a picture.

    python -m tests.bench [--quick] [--only SECTION,…] [--set NAME=VALUE …] [--gpu] [--out FOLDER]

Both figures of every ratio are measured in the same call. A figure that misses its target is
reported but the exit status stays 0; it is 1 only if a section could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import traceback
from pathlib import Path

from tests.bench.engine import report
from tests.bench.engine.picture import draw
from tests.bench.engine.run import FULL, QUICK, SECTIONS, Run
from tests.bench.engine.throughput import cores

#: The load average above which the machine is considered busy with other work.
_QUIET = 0.7


def main() -> int:
    """Measure and report; returns the exit status."""
    options = _options()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    run = Run(QUICK if options.quick else FULL, dict(options.set))
    wanted = [name for name in SECTIONS if options.only is None or name in options.only]
    if options.gpu:
        wanted.append("gpu")
    load = os.getloadavg()[0]
    if load > _QUIET:
        print(f"the machine is busy (load {load:.1f}), so the figures will be worse")
    begun = time.monotonic()
    failed = [name for name in wanted if not _measured(run, name)]
    took = time.monotonic() - begun
    note = f"{platform.machine()}, {cores()} cores, {'quick' if options.quick else 'full'} run"
    details = {
        "machine": {"cores": cores(), "processor": platform.machine(), "load_before": load},
        "quick": options.quick,
        "settings": dict(options.set),
        "seconds": round(took, 1),
        "failed": failed,
        **run.details,
    }
    (out / "engine.json").write_text(json.dumps(details, indent=1) + "\n")
    (out / "summary.json").write_text(json.dumps(run.summary, indent=1) + "\n")
    if run.bars:
        draw(out / "engine.png", run.bars, run.stacks, note)
    print("\n" + "\n\n".join([*run.stages, report.table(run.summary)]))
    print(f"\n{took:.0f} s; written to {out}: summary.json, engine.json, engine.png")
    if failed:
        print(f"not measured: {', '.join(failed)}")
    return 1 if failed else 0


def _measured(run: Run, name: str) -> bool:
    """Measure one section; whether it succeeded. A failure does not stop the other sections."""
    print(f"{name} …", flush=True)
    begun = time.monotonic()
    try:
        done = SECTIONS[name](run) if name in SECTIONS else run.gpu()
    except Exception:  # noqa: BLE001 - the other sections still run
        traceback.print_exc()
        return False
    print(f"  {done} ({time.monotonic() - begun:.0f} s)", flush=True)
    return True


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller counts, under two minutes")
    parser.add_argument("--only", type=_sections, help=f"of {', '.join(SECTIONS)}")
    parser.add_argument(
        "--set", type=_pair, action="append", default=[], metavar="NAME=VALUE",
        help="setting of every stack, such as NUKKI_WORKER_THREADS=8",
    )  # fmt: skip
    parser.add_argument("--gpu", action="store_true", help="also measure base_plus on CUDA")
    parser.add_argument("--out", type=Path, default=Path("bench-results"), help="output folder")
    return parser.parse_args()


def _sections(text: str) -> list[str]:
    names = [item for item in text.split(",") if item]
    unknown = sorted(set(names) - SECTIONS.keys())
    if unknown:
        raise argparse.ArgumentTypeError(f"no such section: {', '.join(unknown)}")
    return names


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE")
    return name, value


if __name__ == "__main__":
    raise SystemExit(main())
