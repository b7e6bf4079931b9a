"""Every kind of fault."""

from __future__ import annotations

from tests.chaos.faults import deaths, files, hooks, photos, queue
from tests.chaos.ground import Fault

KINDS: tuple[type[Fault], ...] = (
    deaths.WorkerKilled,
    deaths.WorkerKilledAfterClaim,
    deaths.WorkerKilledBeforeFinish,
    deaths.WorkerKilledAfterFinish,
    deaths.WorkerStopped,
    deaths.ApiKilledBeforeDoorbell,
    deaths.CourierKilled,
    deaths.LauncherKilled,
    deaths.ToldToLeave,
    queue.RedisKilled,
    queue.RedisStopped,
    queue.ClientsKilled,
    queue.BlackHole,
    queue.HalfOpen,
    queue.NearlyFull,
    queue.Full,
    queue.DoorbellsDoubled,
    files.StorageFails,
    files.StorageHangs,
    files.StorageStopped,
    files.PutHangs,
    files.UploadBroken,
    hooks.ReceiverFails,
    hooks.ReceiverHangs,
    hooks.ReceiverLate,
    hooks.ReceiverAnswersTwice,
    hooks.ReceiverBreaksOff,
    photos.DeadlyPhoto,
    photos.DeviceHangs,
)
