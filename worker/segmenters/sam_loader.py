"""Loads SAM, moves it to its device and warms it up. Importing this imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from shared.checkpoints import Choice
from shared.errors import ConfigError
from shared.settings import SegmenterSettings
from worker.segmenters.auto import AutoSegmenter
from worker.segmenters.precision import Placement
from worker.segmenters.protocol import Segmenter
from worker.segmenters.sam import SamSegmenter

if TYPE_CHECKING:
    from worker.segmenters.sam1 import Sam1Segmenter
    from worker.segmenters.sam2 import Sam2Segmenter


def load_sam(choice: Choice, settings: SegmenterSettings) -> Segmenter:
    """Load the model and warm it up for every batch size.

    Raises:
        ConfigError: the checkpoint is missing or another model's, the model's package is not
            installed, or the precision or the device is not available.
    """
    placement = Placement.choose(settings.device, settings.precision)
    model = open_sam(choice, placement, settings.max_batch)
    if model.placement.device.type == "cuda":
        torch.set_num_threads(1)  # many threads prepare photos at once
    model.warm_up(range(1, model.max_batch + 1))
    return AutoSegmenter(model)


def open_sam(choice: Choice, placement: Placement, max_batch: int | None = None) -> SamSegmenter:
    """Load the model alone, without warming it up.

    Raises:
        ConfigError: as `load_sam`.
    """
    if choice.checkpoint is None:
        raise ConfigError(f"{choice.model} needs its weights: nukki models pull {choice.model}")
    kind = _kind(choice.model)
    return kind.load(choice.model, choice.checkpoint, placement, max_batch)


def _kind(name: str) -> type[Sam2Segmenter] | type[Sam1Segmenter]:
    """The class for that name. Each generation needs only its own package."""
    extra = "sam" if name.startswith("sam2") else "sam1"
    try:
        if extra == "sam":
            from worker.segmenters.sam2 import Sam2Segmenter

            return Sam2Segmenter
        from worker.segmenters.sam1 import Sam1Segmenter
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision is of another torch
        raise ConfigError(f"{name} needs pip install 'nukki[{extra}]': {error}") from error
    return Sam1Segmenter
