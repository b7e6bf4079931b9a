"""The engine: permits, the device's backlog, batches, the embeddings kept. Knows no torch."""

from worker.engine.calls import Answer, Ask, Call
from worker.engine.device import Engine
from worker.engine.permits import Permit, Permits

__all__ = ["Answer", "Ask", "Call", "Engine", "Permit", "Permits"]
