"""What each process counts, for Prometheus.

A module for each kind of process, which only that kind imports: no process shows another's zeros.
All are in prometheus_client's default registry; `jobs` alone is counted by several.
"""

from __future__ import annotations

from shared.metrics.server import serve, serve_courier

__all__ = ["serve", "serve_courier"]
