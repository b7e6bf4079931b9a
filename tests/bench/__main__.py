"""The benchmark of the whole service: one command, a table, a JSON file and a picture.

    python -m tests.bench [--quick] [--only SECTION,…] [--set NAME=VALUE …] [--gpu] [--out FOLDER]

Every ratio is of figures measured in this one call. A figure that misses what is wanted of it is
reported, and the exit status is 0; only what could not be measured makes it 1.
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

#: The load average under which a machine counts as this bench's own.
_QUIET = 0.7


def main() -> int:
    """Measure, report; the exit status."""
    options = _options()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    run = Run(QUICK if options.quick else FULL, dict(options.set))
    wanted = [name for name in SECTIONS if options.only is None or name in options.only]
    if options.gpu:
        wanted.append("gpu")
    load = os.getloadavg()[0]
    if load > _QUIET:
        print(f"the machine has other work (load {load:.1f}): the figures suffer by it")
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
    """One section; its failure costs its own figures, not the others'."""
    print(f"{name} …", flush=True)
    begun = time.monotonic()
    try:
        done = SECTIONS[name](run) if name in SECTIONS else run.gpu()
    except Exception:  # noqa: BLE001 - whatever it was, the other sections still count
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
        help="a setting for every stack, such as NUKKI_WORKER_THREADS=8",
    )  # fmt: skip
    parser.add_argument("--gpu", action="store_true", help="base_plus on CUDA as well")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
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
