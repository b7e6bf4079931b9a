"""The segmenters, by name, behind one protocol."""

from __future__ import annotations

from shared.checkpoints import Choice, resolve
from shared.errors import ConfigError
from shared.settings import Settings
from worker.segmenters.grabcut import GrabCutSegmenter
from worker.segmenters.protocol import Embedding, Prediction, Question, Segmenter
from worker.segmenters.simulated import SimulatedSegmenter

__all__ = ["Embedding", "Prediction", "Question", "Segmenter", "load"]


def load(settings: Settings) -> Segmenter:
    """The segmenter that the settings mean, its weights loaded and warm.

    Raises:
        ConfigError: no such model, weights it cannot use, or a package it needs is not installed.
    """
    choice = resolve(settings)
    if choice.model == "grabcut":
        _require_weightless(choice)
        return GrabCutSegmenter()
    if choice.model == "simulated":
        _require_weightless(choice)
        return SimulatedSegmenter(
            settings.simulated_seconds,
            settings.simulated_batch_seconds,
            settings.max_batch,
            settings.simulated_crash_width,
            settings.simulated_hang_width,
        )
    return _load_sam(choice, settings)


def _require_weightless(choice: Choice) -> None:
    if choice.checkpoint is not None:
        raise ConfigError(f"{choice.model} has no weights, so it takes no checkpoint")


def _load_sam(choice: Choice, settings: Settings) -> Segmenter:
    """Imported here and not above: torch is an extra, and takes seconds."""
    try:
        from worker.segmenters.sam_loader import load_sam
    except ImportError as error:
        raise ConfigError(f"{choice.model} needs torch: pip install 'nukki[sam]'") from error
    return load_sam(choice, settings)
