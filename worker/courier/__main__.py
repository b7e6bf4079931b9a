"""The courier process: `python -m worker.courier` sends webhooks and does the upkeep."""

from __future__ import annotations

import signal

from shared import metrics
from shared.settings import CourierSettings
from shared.startup import starting
from worker.courier.rounds import Courier


def main() -> int:
    """Run the courier until SIGTERM; returns the exit status."""
    with starting(CourierSettings) as settings:
        metrics.serve(settings.courier_metrics_port, settings.metrics_host)
        courier = Courier(settings)
    signal.signal(signal.SIGTERM, courier.stop)
    signal.signal(signal.SIGINT, courier.stop)
    courier.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
