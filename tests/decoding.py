"""The decoder processes of the tests: one pool for all, since each template takes half a second."""

from __future__ import annotations

import atexit
import functools

from worker.decoding import Decoders


@functools.cache
def decoders() -> Decoders:
    """Two decoders, started when first used."""
    made = Decoders(2, patience=30)
    atexit.register(made.close)
    return made
