"""From a choice to a SAM that is loaded, placed and warm. Importing it imports torch."""

from __future__ import annotations

from pathlib import Path

from shared.checkpoints import Choice
from shared.errors import ConfigError
from shared.settings import Settings
from worker.segmenters.auto import AutoSegmenter
from worker.segmenters.precision import Placement
from worker.segmenters.protocol import Segmenter
from worker.segmenters.sam import SamSegmenter


def load_sam(choice: Choice, settings: Settings) -> Segmenter:
    """The model, warmed up for every batch size.

    Raises:
        ConfigError: the checkpoint is missing or is not this model's, or the precision or the
            device cannot be had.
        ImportError: its package is not installed.
    """
    if choice.checkpoint is None:
        raise ConfigError(f"{choice.model} needs its weights: nukki models pull {choice.model}")
    placement = Placement.choose(precision=settings.precision)
    model = _load(choice.model, choice.checkpoint, placement)
    model.warm_up(range(1, model.max_batch + 1))
    return AutoSegmenter(model)


def _load(name: str, checkpoint: Path, placement: Placement) -> SamSegmenter:
    # Each generation is a package of its own, and neither needs the other's.
    if name.startswith("sam2"):
        from worker.segmenters.sam2 import Sam2Segmenter

        return Sam2Segmenter.load(name, checkpoint, placement)
    from worker.segmenters.sam1 import Sam1Segmenter

    return Sam1Segmenter.load(name, checkpoint, placement)
