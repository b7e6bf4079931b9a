"""What the workers and their launcher read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import NoDecode

from shared.review import ReviewLimits
from shared.settings.base import Settings
from shared.settings.common import (
    AttemptSettings,
    LogSettings,
    MetricsSettings,
    NetworkSettings,
    PhotoSettings,
    RetentionSettings,
    ShutdownSettings,
)
from shared.settings.services import RedisSettings, StorageSettings


class ModelSettings(Settings):
    """Which model to serve, and where its weights are. Also read by `nukki models`."""

    model: str = Field(
        default="grabcut",
        description="The model to serve: `grabcut`, a SAM that `nukki models list` names, or "
        "`package.module:factory` for your own (docs/own-model.md).",
    )
    checkpoint: Path | None = Field(
        default=None,
        description="The model's weights file. If unset, the file in the models folder is used.",
    )
    models_dir: Path = Field(
        default=Path("nukki-data/models"),
        description="The models folder, where `nukki models pull` stores weights.",
    )


class PlacementSettings(Settings):
    """What the launcher sets for each worker, unless it is set already."""

    device: Literal["cpu", "cuda"] | None = Field(
        default=None, description="Device of the model. If unset, CUDA if there is a GPU."
    )
    worker_cores: int | None = Field(
        default=None,
        ge=1,
        description="CPU cores per worker process. If unset, an even share of the machine's.",
    )
    metrics_port: int | None = Field(
        default=None,
        gt=0,
        le=65535,
        description="Port of the worker's Prometheus metrics. If there are several workers on a "
        "host, each takes the next port.",
    )


class SegmenterSettings(ModelSettings, PlacementSettings):
    """What loading the model needs."""

    precision: Literal["fp32", "bf16", "fp16"] | None = Field(
        default=None,
        description="Number format of SAM. If unset, FP16 on CUDA, or the CPU's best.",
    )
    max_batch: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Photos per batch on the device. If unset, 16 on CUDA and 1 on a CPU.",
    )


class LauncherSettings(ModelSettings, PlacementSettings, ShutdownSettings, LogSettings):
    """The settings of `python -m worker.launcher`."""


class WorkerSettings(
    RedisSettings,
    StorageSettings,
    RetentionSettings,
    PhotoSettings,
    NetworkSettings,
    AttemptSettings,
    SegmenterSettings,
    MetricsSettings,
    ShutdownSettings,
    LogSettings,
):
    """The settings of `python -m worker`."""

    worker_threads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Jobs per worker process at once. If unset, four batches, but at least 8 and "
        "at most 64.",
    )
    megapixels_in_hand: float = Field(
        default=200.0,
        gt=0,
        description="Megapixels per worker process at once. Each takes up to 24 MB of memory. "
        "A job counts as its photo or canvas, and more for some results: see Limits.",
    )
    embedding_cache_mb: float = Field(
        default=512.0,
        ge=0,
        description="Megabytes of embeddings kept, so that another click on the same photo is "
        "fast.",
    )
    second_look: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="If a subject covers less than this share of the photo, it is cut again from "
        "a closer crop. 0 turns this off.",
    )
    review: Annotated[ReviewLimits, NoDecode] = Field(
        default=ReviewLimits(),
        description="Limits beyond which a cut is marked `needs_review`, as JSON. A limit that is "
        "left out keeps its default.",
    )
    stage_deadline: float = Field(
        default=120.0,
        gt=0,
        le=540.0,  # what a lost worker may still store is swept ten minutes later
        description="Seconds one stage of a job, or one batch on the device, may take. After that "
        "it counts as hung. Computing stages have longer: a megapixel adds 5 s, of AVIF 12 s.",
    )
    storage_patience: float = Field(
        default=3600.0,
        ge=0,
        description="Seconds a running job waits while the storage is down.",
    )
    fetch_timeout: float = Field(
        default=30.0, gt=0, description="Seconds to download a photo from its URL."
    )

    @property
    def pixels_in_hand(self) -> int:
        return int(self.megapixels_in_hand * 1_000_000)
