"""`python -m tests.chaos`: run the stack under faults and print the results."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import shutil
import tempfile
from pathlib import Path

from nukki.redis_server import find_server
from tests.chaos.faults import KINDS
from tests.chaos.plan import Plan
from tests.chaos.run import run


def main() -> int:
    """Run and print the results; return 1 if any check failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=20.0, help="minutes of faults; 0: each kind once"
    )
    parser.add_argument("--jobs", type=int, default=10_000, help="least number of jobs accepted")
    parser.add_argument(
        "--stop", type=float, default=30.0, help="seconds that each long outage lasts"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of every random choice")
    parser.add_argument("--only", help="only kinds of fault whose name contains this")
    parser.add_argument("--logs", type=Path, help="an empty folder for the services' logs")
    parser.add_argument("--json", type=Path, help="file for the results as JSON")
    options = parser.parse_args()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    plan = Plan(options.seed, options.jobs, options.minutes or None, options.stop)
    kinds = [kind for kind in KINDS if not options.only or options.only in kind.kind]
    folder = options.logs or Path(tempfile.mkdtemp(prefix="nukki-chaos-"))
    tally = asyncio.run(run(plan, folder, find_server(), kinds))
    print(tally.table())
    if options.json:
        options.json.write_text(json.dumps(tally.as_json(), indent=1))
    minutes = options.minutes
    missed = tally.missed(
        jobs=options.jobs, faults=round(5 * minutes), kinds=12, claims=round(2 * minutes)
    )
    print("\n".join(["FAILED:", *missed]) if missed else "every check passed")
    if missed:
        print(f"the services' logs and differing results are in {folder}")
    elif not options.logs:
        shutil.rmtree(folder)
    return bool(missed)


if __name__ == "__main__":
    raise SystemExit(main())
