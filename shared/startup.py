"""The start of every process: read its settings, set up its logs, or exit with a reason."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from shared import logs
from shared.errors import ConfigError
from shared.settings.common import LogSettings

#: The exit status after a ConfigError (78): starting again would not help.
EX_CONFIG = os.EX_CONFIG

_S = TypeVar("_S", bound=LogSettings)


@contextmanager
def starting(kind: type[_S]) -> Iterator[_S]:
    """Load a process's settings and configure its logs; the block does the rest of its start.

    Raises:
        SystemExit: EX_CONFIG if the settings are not valid or the block raises ConfigError. The
            message has been written to standard error.
    """
    try:
        settings = kind.load()
        logs.configure(settings.log_level)
        yield settings
    except ConfigError as error:
        sys.stderr.write(f"{logs.escaped(str(error))}\n")
        raise SystemExit(EX_CONFIG) from error
