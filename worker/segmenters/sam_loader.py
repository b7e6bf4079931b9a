"""From a choice to a SAM that is loaded, placed and warm. Importing it imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from shared.checkpoints import Choice
from shared.errors import ConfigError
from shared.settings import Settings
from worker.segmenters.auto import AutoSegmenter
from worker.segmenters.precision import Placement
from worker.segmenters.protocol import Segmenter
from worker.segmenters.sam import SamSegmenter

if TYPE_CHECKING:
    from worker.segmenters.sam1 import Sam1Segmenter
    from worker.segmenters.sam2 import Sam2Segmenter


def load_sam(choice: Choice, settings: Settings) -> Segmenter:
    """The model, warmed up for every batch size.

    Raises:
        ConfigError: the checkpoint is missing or is not this model's, its package is not
            installed, or the precision or the device cannot be had.
    """
    placement = Placement.choose(settings.device, settings.precision)
    model = open_sam(choice, placement, settings.max_batch)
    if model.placement.device.type == "cuda":
        torch.set_num_threads(1)  # photos are made ready on many threads at once
    model.warm_up(range(1, model.max_batch + 1))
    return AutoSegmenter(model)


def open_sam(choice: Choice, placement: Placement, max_batch: int | None = None) -> SamSegmenter:
    """The bare model, cold.

    Raises:
        ConfigError: as `load_sam`.
    """
    if choice.checkpoint is None:
        raise ConfigError(f"{choice.model} needs its weights: nukki models pull {choice.model}")
    kind = _kind(choice.model)
    return kind.load(choice.model, choice.checkpoint, placement, max_batch)


def _kind(name: str) -> type[Sam2Segmenter] | type[Sam1Segmenter]:
    """Each generation is a package of its own, and neither needs the other's."""
    extra = "sam" if name.startswith("sam2") else "sam1"
    try:
        if extra == "sam":
            from worker.segmenters.sam2 import Sam2Segmenter

            return Sam2Segmenter
        from worker.segmenters.sam1 import Sam1Segmenter
    except (ImportError, RuntimeError) as error:  # torchvision beside another torch: the latter
        raise ConfigError(f"{name} needs pip install 'nukki[{extra}]': {error}") from error
    return Sam1Segmenter
