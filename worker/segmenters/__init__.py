"""The segmenters by name, behind one protocol."""

from __future__ import annotations

from shared.checkpoints import Choice, resolve
from shared.errors import ConfigError
from shared.settings import SegmenterSettings
from worker.segmenters.custom import ModelOptions, load_custom
from worker.segmenters.grabcut import GrabCutSegmenter
from worker.segmenters.protocol import Embedding, Prediction, Question, Segmenter

__all__ = ["Embedding", "ModelOptions", "Prediction", "Question", "Segmenter", "load"]


def load(settings: SegmenterSettings) -> Segmenter:
    """Load the segmenter that the settings select; it is returned warm.

    Raises:
        ConfigError: there is no such model, its weights cannot be used, a package it needs is not
            installed, or a model of the user's own failed.
    """
    choice = resolve(settings)
    if choice.custom:
        options = ModelOptions(
            choice.checkpoint, settings.device, settings.precision, settings.max_batch
        )
        return load_custom(choice.model, options)
    if choice.published:
        return _load_sam(choice, settings)
    if choice.checkpoint is not None:
        raise ConfigError(f"{choice.model} has no weights, so it takes no checkpoint")
    return GrabCutSegmenter()


def _load_sam(choice: Choice, settings: SegmenterSettings) -> Segmenter:
    """Load a SAM. Its module is imported here since torch is optional and takes seconds."""
    try:
        from worker.segmenters.sam_loader import load_sam
    except ImportError as error:
        raise ConfigError(f"{choice.model} needs torch: pip install 'nukki[sam]'") from error
    return load_sam(choice, settings)
