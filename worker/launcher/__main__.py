"""The launcher process: `python -m worker.launcher` runs the workers of this host."""

from __future__ import annotations

import argparse
import os
import signal

from shared.settings import LauncherSettings
from shared.startup import starting
from worker.launcher.devices import places
from worker.launcher.supervisor import Launcher


def main(argv: list[str] | None = None) -> int:
    """Run the workers of this host until SIGTERM; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m worker.launcher",
        description="Run one worker per GPU of this host, or a single one on the CPU.",
    )
    parser.add_argument("--model", help="model to serve (default: NUKKI_MODEL)")
    parser.add_argument("--checkpoint", help="its weights file (default: NUKKI_CHECKPOINT)")
    parser.add_argument(
        "--devices",
        help="CUDA devices to use, by index (`0,2`) or UUID; `cpu` for none (default: all)",
    )
    options = parser.parse_args(argv)
    for name in ("model", "checkpoint"):  # the workers read these from their environment
        if getattr(options, name):
            os.environ[f"NUKKI_{name.upper()}"] = getattr(options, name)
    with starting(LauncherSettings) as settings:
        workers = places(settings, options.devices, os.environ)
    launcher = Launcher(workers, settings.shutdown_grace)
    signal.signal(signal.SIGTERM, launcher.stop)
    signal.signal(signal.SIGINT, launcher.stop)
    return launcher.run()


if __name__ == "__main__":
    raise SystemExit(main())
