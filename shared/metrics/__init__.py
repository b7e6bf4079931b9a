"""The Prometheus metrics of each process.

Each kind of process has a module, which only that process imports, so that no process exports
another's metrics as zeros. `jobs` is the exception: several processes count in it. All metrics are
in prometheus_client's default registry.
"""

from __future__ import annotations

from shared.metrics.server import serve

__all__ = ["serve"]
