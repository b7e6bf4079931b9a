"""The segmenters, by name, behind one protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shared.errors import ConfigError
from shared.settings import Settings
from worker.segmenters.grabcut import GrabCutSegmenter
from worker.segmenters.protocol import Embedding, Prediction, Question, Segmenter
from worker.segmenters.simulated import SimulatedSegmenter

__all__ = ["Embedding", "Prediction", "Question", "Segmenter", "load"]

_LOADERS: Mapping[str, Callable[[Settings], Segmenter]] = {
    "grabcut": lambda _settings: GrabCutSegmenter(),
    "simulated": lambda settings: SimulatedSegmenter(settings.simulated_seconds),
}


def load(settings: Settings) -> Segmenter:
    """The segmenter that the settings name, its weights loaded.

    Raises:
        ConfigError: no such model, or a checkpoint given to one that has no weights.
    """
    loader = _LOADERS.get(settings.model)
    if loader is None:
        raise ConfigError(f"no such model: {settings.model} (there are {', '.join(_LOADERS)})")
    if settings.checkpoint is not None:
        raise ConfigError(f"{settings.model} has no weights, so it takes no checkpoint")
    return loader(settings)
