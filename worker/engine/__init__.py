"""The engine: in-flight limit, device queue, batches, embedding cache. Imports no torch."""

from worker.engine.calls import Ask, Call, CallResult
from worker.engine.device import Engine
from worker.engine.in_flight import InFlightLimit, Reservation

__all__ = ["Ask", "Call", "CallResult", "Engine", "InFlightLimit", "Reservation"]
