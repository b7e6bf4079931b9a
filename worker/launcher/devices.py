"""The CUDA devices of this host, and the worker process for each. Does not import torch."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pynvml

from shared.checkpoints import Choice, resolve
from shared.errors import ConfigError
from shared.settings import LauncherSettings

log = logging.getLogger("nukki.launcher")

VISIBLE = "CUDA_VISIBLE_DEVICES"
_CPU = "cpu"
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Device:
    """A CUDA device as the driver lists it.

    Attributes:
        label: `gpu0`, by the index that `nvidia-smi` shows; a MIG instance is `gpu0-mig1`.
        identifier: the UUID, for CUDA_VISIBLE_DEVICES. An index would be ambiguous: CUDA puts the
            fastest device first, and `nvidia-smi` sorts by PCI bus.
    """

    label: str
    identifier: str

    def answers_to(self, given: str) -> bool:
        """Whether `given`, an index or the start of a UUID, means this device."""
        if given.isdecimal():
            return self.label == f"gpu{int(given)}"
        return given.startswith(("GPU-", "MIG-")) and self.identifier.startswith(given)


@dataclass(frozen=True, slots=True)
class Place:
    """A worker process to keep running: its name, and what its environment adds."""

    name: str
    env: Mapping[str, str] = field(default_factory=dict)


def places(
    settings: LauncherSettings,
    asked: str | None,
    environment: Mapping[str, str],
    listed: Callable[[], list[Device]] | None = None,
) -> list[Place]:
    """Plan one place per device, or one place if there is no device or the model uses none.

    Args:
        settings: the model, and what is set of its placement.
        asked: the option `--devices`: `cpu`, or indices and UUIDs separated by commas; None for
            all devices.
        environment: if it sets CUDA_VISIBLE_DEVICES, only those devices are used, in that order.
        listed: returns the host's devices; `present` by default.

    Raises:
        ConfigError: a device is unknown, given twice or not visible, the driver does not answer,
            the model's weights are missing, or there are not enough metrics ports.
    """
    host = f"worker@{socket.gethostname()}"
    if asked == _CPU:
        return [Place(host, {VISIBLE: "", "NUKKI_DEVICE": _CPU})]
    on_device = _uses_device(resolve(settings), settings)
    if asked is None and (not on_device or settings.device == _CPU):
        return [Place(host)]
    chosen = _choose(asked, environment.get(VISIBLE), (listed or present)(), on_device)
    if not chosen:
        return [Place(host)]
    required = {"NUKKI_DEVICE": "cuda"} if on_device else {}
    return [
        Place(
            f"{host}:{device.label}",
            {VISIBLE: device.identifier}
            | required
            | _cores(settings, len(chosen))
            | _metrics(settings, number),
        )
        for number, device in enumerate(chosen)
    ]


def _uses_device(choice: Choice, settings: LauncherSettings) -> bool:
    """Whether the model computes on a GPU if there is one.

    A model of the user's own does, unless NUKKI_DEVICE is `cpu`.
    """
    return choice.published or (choice.custom and settings.device != _CPU)


def _cores(settings: LauncherSettings, workers: int) -> dict[str, str]:
    """An even share of the cores, unless NUKKI_WORKER_CORES is set."""
    if settings.worker_cores is not None:
        return {}
    return {"NUKKI_WORKER_CORES": str(max(1, len(os.sched_getaffinity(0)) // workers))}


def _metrics(settings: LauncherSettings, number: int) -> dict[str, str]:
    """The metrics port of worker `number`, counted up from the one that is set."""
    if settings.metrics_port is None:
        return {}
    port = settings.metrics_port + number
    if port > _LAST_PORT:
        raise ConfigError(f"NUKKI_METRICS_PORT leaves no port for worker {number}")
    return {"NUKKI_METRICS_PORT": str(port)}


def _choose(
    asked: str | None, visible: str | None, there: list[Device], on_device: bool
) -> list[Device]:
    """The visible devices that were asked for, in the order asked."""
    if not there and visible and on_device:
        log.warning("%s is set, but this host has no NVIDIA driver", VISIBLE)
    if there and visible is not None:
        there = _named(_until_negative(visible), there, VISIBLE)
    if asked is None:
        return there
    names = _split(asked)
    if not names:
        raise ConfigError("--devices names no device")
    if not there and not on_device and all(name.isdecimal() for name in names):
        # The model uses no device, so a process per index can run without a driver.
        there = [Device(f"gpu{number}", str(number)) for number in set(map(int, names))]
    return _named(names, there, "--devices")


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _until_negative(visible: str) -> list[str]:
    """The names before the first negative index, where CUDA stops: `0,2,-1,1` means 0 and 2."""
    names = _split(visible)
    ends = [number for number, name in enumerate(names) if name.startswith("-")]
    return names[: ends[0]] if ends else names


def _named(names: Sequence[str], there: list[Device], where: str) -> list[Device]:
    """The device that each name means, in the names' order.

    Raises:
        ConfigError: a name matches no device or several, or two names match the same one.
    """
    chosen: list[Device] = []
    for name in names:
        found = [device for device in there if device.answers_to(name)]
        if not found:
            known = ", ".join(f"{device.label} {device.identifier}" for device in there)
            raise ConfigError(f"{where}: no such device: {name} (there are: {known or 'none'})")
        if len(found) > 1:
            raise ConfigError(f"{where}: {name} is ambiguous: {len(found)} devices match it")
        if found[0] in chosen:
            raise ConfigError(f"{where}: {found[0].label} is given twice")
        chosen += found
    return chosen


def present(nvml: Any = pynvml) -> list[Device]:
    """List the host's devices in the driver's order; none if there is no driver.

    NVML answers in milliseconds and, unlike torch, creates no CUDA context.

    Raises:
        ConfigError: there is a driver, but it does not work.
    """
    try:
        nvml.nvmlInit()
    except (nvml.NVMLError_LibraryNotFound, nvml.NVMLError_DriverNotLoaded):
        return []
    except nvml.NVMLError as error:
        raise ConfigError(f"the NVIDIA driver cannot list its devices: {error}") from error
    try:
        found: list[Device] = []
        for number in range(nvml.nvmlDeviceGetCount()):
            try:
                found += _instances(nvml, number)
            except nvml.NVMLError as error:  # the other devices may work
                log.critical("gpu%d does not answer and is not used: %s", number, error)
        return found
    finally:
        nvml.nvmlShutdown()


def _instances(nvml: Any, number: int) -> list[Device]:
    """The GPU, or its MIG instances if it is partitioned: CUDA then computes only on these."""
    gpu = nvml.nvmlDeviceGetHandleByIndex(number)
    try:
        partitioned = nvml.nvmlDeviceGetMigMode(gpu)[0] == nvml.NVML_DEVICE_MIG_ENABLE
    except nvml.NVMLError_NotSupported:
        partitioned = False
    if not partitioned:
        return [Device(f"gpu{number}", nvml.nvmlDeviceGetUUID(gpu))]
    instances = []
    for position in range(nvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
        try:
            instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, position)
        except nvml.NVMLError_NotFound:
            continue
        instances.append(Device(f"gpu{number}-mig{position}", nvml.nvmlDeviceGetUUID(instance)))
    return instances
