"""Logging for every process: one line per event, with the ids of its job and worker."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType

_CONTEXT = ("job", "worker", "delivery", "request_id")
#: Characters of a message, or of a line of a traceback, that are written.
_LONGEST = 8192
#: Where the lines of a traceback begin: only a new event begins at the line's start.
_INDENT = "    "

log = logging.getLogger("nukki")


def escaped(text: str) -> str:
    r"""The text on one line, without anything that a terminal or a reader would take for more.

    Line ends, control characters, directional marks, lone surrogates and what has no glyph are
    written as Python writes them in a string: a line end as `\n`, an escape as `\x1b`.
    """
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}… ({len(text) - _LONGEST} more characters)"
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _name(char) for char in text)


def _name(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


class LineFormatter(logging.Formatter):
    """Writes an event as one line, with `key=value` for each context field that it has.

    What came from outside may stand in a message and in an exception's text, so both are escaped.
    A traceback follows on lines of its own, which are indented.
    """

    def format(self, record: logging.LogRecord) -> str:
        message = escaped(record.getMessage())
        head = f"{self.formatTime(record)} {record.levelname} {escaped(record.name)}: {message}"
        context = (
            f" {name}={escaped(str(getattr(record, name)))}"
            for name in _CONTEXT
            if hasattr(record, name)
        )
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        rest = f"{trace}\n{record.stack_info or ''}".split("\n")
        return "\n".join([head + "".join(context), *(_INDENT + escaped(at) for at in rest if at)])


def configure(level: str) -> None:
    """Send the `nukki` loggers, and others' warnings, to standard error, and so what nobody caught.

    Errors that end a thread or a process would otherwise be printed as they are.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    log.setLevel(level.upper())
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        log.critical("uncaught", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        name = args.thread.name if args.thread else "a thread"
        error = (args.exc_type, args.exc_value, args.exc_traceback)
        log.error("uncaught in %s", name, exc_info=error)


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    if args.exc_value is not None:
        error = (args.exc_type, args.exc_value, args.exc_traceback)
        log.error("%s: %r", args.err_msg or "ignored in", args.object, exc_info=error)
