"""The engine: permits, the device's backlog, batches, the embeddings kept. Knows no torch."""

from worker.engine.calls import Answer, Ask, Call
from worker.engine.device import Engine
from worker.engine.in_flight import InFlightLimit, Reservation

__all__ = ["Answer", "Ask", "Call", "Engine", "InFlightLimit", "Reservation"]
