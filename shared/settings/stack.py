"""What `nukki up` checks before it starts the processes."""

from __future__ import annotations

from shared.settings.api import ApiSettings
from shared.settings.courier import CourierSettings
from shared.settings.services import EmbeddedRedisSettings
from shared.settings.worker import WorkerSettings


class StackSettings(ApiSettings, WorkerSettings, CourierSettings, EmbeddedRedisSettings):  # type: ignore[misc]  # the plugin's own names clash
    """The settings of every process that `nukki up` runs."""
