"""The launcher process: `python -m worker.launcher` runs the workers of this host."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from shared import logs
from shared.errors import ConfigError
from shared.settings import Settings
from worker.launcher.devices import places
from worker.launcher.supervisor import Launcher

_EX_CONFIG = 78


def main(argv: list[str] | None = None) -> int:
    """Run the workers of this host; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m worker.launcher", description=__doc__)
    parser.add_argument("--model", help="the segmenter to serve (NUKKI_MODEL)")
    parser.add_argument("--checkpoint", help="its weights (NUKKI_CHECKPOINT)")
    parser.add_argument(
        "--devices",
        help="the CUDA devices, as `0,2` or by UUID; `cpu` for none (default: all there are)",
    )
    options = parser.parse_args(argv)
    for name in ("model", "checkpoint"):  # the workers read their settings for themselves
        if getattr(options, name):
            os.environ[f"NUKKI_{name.upper()}"] = getattr(options, name)
    try:
        settings = Settings.load()
        logs.configure(settings.log_level)
        workers = places(settings, options.devices, os.environ)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return _EX_CONFIG
    launcher = Launcher(workers, settings.shutdown_grace)
    signal.signal(signal.SIGTERM, launcher.stop)
    signal.signal(signal.SIGINT, launcher.stop)
    return launcher.run()


if __name__ == "__main__":
    raise SystemExit(main())
