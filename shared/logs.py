"""Logging for every process: one line per event, with the ids of its job and worker."""

from __future__ import annotations

import logging
import sys

_CONTEXT = ("job", "worker", "delivery", "request_id")


class _ContextFormatter(logging.Formatter):
    """Appends `key=value` for each context field that the record has."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        context = " ".join(
            f"{name}={getattr(record, name)}" for name in _CONTEXT if hasattr(record, name)
        )
        head, newline, traceback = line.partition("\n")
        return f"{head} {context}{newline}{traceback}" if context else line


def configure(level: str) -> None:
    """Send the `nukki` loggers, and others' warnings, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_ContextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("nukki").setLevel(level.upper())
