"""The courier process: `python -m worker.courier`."""

from __future__ import annotations

import signal
import sys

from shared import logs, metrics
from shared.errors import ConfigError
from shared.settings import Settings
from worker.courier.rounds import Courier


def main() -> int:
    """Run the courier; returns the exit status."""
    try:
        settings = Settings.load()
        logs.configure(settings.log_level)
        metrics.serve_courier(settings)
        courier = Courier(settings)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 78
    signal.signal(signal.SIGTERM, courier.stop)
    signal.signal(signal.SIGINT, courier.stop)
    courier.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
