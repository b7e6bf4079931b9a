"""The settings of every process, read once from the environment at start-up.

`values` and `base` read variables, `services` and `common` hold the groups that several processes
read, and `api`, `worker`, `courier` and `stack` join these to what one process reads. A function
takes the narrowest group it can do with: `open_storage` takes `StorageSettings`.
"""

from __future__ import annotations

from shared.settings.api import ApiSettings
from shared.settings.courier import CourierSettings
from shared.settings.services import RedisSettings, StorageSettings
from shared.settings.stack import StackSettings
from shared.settings.values import DEFAULT_TENANT, is_loopback
from shared.settings.worker import (
    LauncherSettings,
    ModelSettings,
    SegmenterSettings,
    WorkerSettings,
)

__all__ = [
    "DEFAULT_TENANT",
    "ApiSettings",
    "CourierSettings",
    "LauncherSettings",
    "ModelSettings",
    "RedisSettings",
    "SegmenterSettings",
    "StackSettings",
    "StorageSettings",
    "WorkerSettings",
    "is_loopback",
]
