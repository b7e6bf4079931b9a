"""The CUDA devices of this host, and the worker process that each gets. Imports no torch."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pynvml

from shared.checkpoints import resolve
from shared.checkpoints.catalogue import WEIGHTLESS
from shared.errors import ConfigError
from shared.settings import Settings

log = logging.getLogger("nukki.launcher")

VISIBLE = "CUDA_VISIBLE_DEVICES"
_CPU = "cpu"
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Device:
    """A CUDA device, as the driver lists it.

    Attributes:
        label: `gpu0`, by the index that `nvidia-smi` shows; a MIG instance is `gpu0-mig1`.
        identifier: what CUDA_VISIBLE_DEVICES takes. The UUID: CUDA itself counts the fastest
            device first, and `nvidia-smi` by PCI bus.
    """

    label: str
    identifier: str

    def answers_to(self, given: str) -> bool:
        """Whether `given`, an index or the beginning of a UUID, means this device."""
        if given.isdecimal():
            return self.label == f"gpu{int(given)}"
        return given.startswith(("GPU-", "MIG-")) and self.identifier.startswith(given)


@dataclass(frozen=True, slots=True)
class Place:
    """A worker process to keep: its name, and its environment beyond the launcher's own."""

    name: str
    env: Mapping[str, str] = field(default_factory=dict)


def places(
    settings: Settings,
    asked: str | None,
    environment: Mapping[str, str],
    listed: Callable[[], list[Device]] | None = None,
) -> list[Place]:
    """One place a device; one without a device where there is none, or the model needs none.

    `asked` is `--devices`: `cpu`, or indices and UUIDs with commas; None for all there are.
    An environment that already names visible devices bounds the choice, and gives its order.

    Raises:
        ConfigError: a device is unknown, given twice or not visible, the driver does not answer,
            the model's weights are not there, or the metrics ports do not suffice.
    """
    host = f"worker@{socket.gethostname()}"
    if asked == _CPU:
        return [Place(host, {VISIBLE: "", "NUKKI_DEVICE": _CPU})]
    on_device = resolve(settings).model not in WEIGHTLESS
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


def _cores(settings: Settings, workers: int) -> dict[str, str]:
    """An even share of the cores, where nobody has said how many a process may use."""
    if settings.worker_cores is not None:
        return {}
    return {"NUKKI_WORKER_CORES": str(max(1, len(os.sched_getaffinity(0)) // workers))}


def _metrics(settings: Settings, number: int) -> dict[str, str]:
    """A port of its own for each process, counted from the one that is set."""
    if settings.metrics_port is None:
        return {}
    port = settings.metrics_port + number
    if port > _LAST_PORT:
        raise ConfigError(f"NUKKI_METRICS_PORT leaves no port for device number {number}")
    return {"NUKKI_METRICS_PORT": str(port)}


def _choose(
    asked: str | None, visible: str | None, there: list[Device], on_device: bool
) -> list[Device]:
    """The devices asked for, among those visible, in order."""
    if not there and visible and on_device:
        log.warning("%s is set, but there is no NVIDIA driver here", VISIBLE)
    if there and visible is not None:
        there = _named(_until_negative(visible), there, VISIBLE)
    if asked is None:
        return there
    names = _split(asked)
    if not names:
        raise ConfigError("--devices names no device")
    if not there and not on_device and all(name.isdecimal() for name in names):
        # The model uses none of them, so that no driver is needed to keep a process for each.
        there = [Device(f"gpu{number}", str(number)) for number in set(map(int, names))]
    return _named(names, there, "--devices")


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _until_negative(visible: str) -> list[str]:
    """CUDA stops at an index below zero: `0,2,-1,1` shows devices 0 and 2."""
    names = _split(visible)
    ends = [number for number, name in enumerate(names) if name.startswith("-")]
    return names[: ends[0]] if ends else names


def _named(names: Sequence[str], there: list[Device], where: str) -> list[Device]:
    """The device that each name means.

    Raises:
        ConfigError: a name means none, or several, or one that another already meant.
    """
    chosen: list[Device] = []
    for name in names:
        found = [device for device in there if device.answers_to(name)]
        if not found:
            known = ", ".join(f"{device.label} {device.identifier}" for device in there)
            raise ConfigError(f"{where}: no such device: {name} (there are: {known or 'none'})")
        if len(found) > 1:
            raise ConfigError(f"{where}: {name} may be any of {len(found)} devices")
        if found[0] in chosen:
            raise ConfigError(f"{where}: {found[0].label} is given twice")
        chosen += found
    return chosen


def present(nvml: Any = pynvml) -> list[Device]:
    """The host's devices, in the driver's order; none without a driver.

    NVML answers in milliseconds and makes no CUDA context, which torch would.

    Raises:
        ConfigError: there is a driver, and it does not work.
    """
    try:
        nvml.nvmlInit()
    except (nvml.NVMLError_LibraryNotFound, nvml.NVMLError_DriverNotLoaded):
        return []
    except nvml.NVMLError as error:
        raise ConfigError(f"NVIDIA's driver does not list its devices: {error}") from error
    try:
        found: list[Device] = []
        for number in range(nvml.nvmlDeviceGetCount()):
            try:
                found += _instances(nvml, number)
            except nvml.NVMLError as error:  # the others can work
                log.critical("gpu%d does not answer and is left out: %s", number, error)
        return found
    finally:
        nvml.nvmlShutdown()


def _instances(nvml: Any, number: int) -> list[Device]:
    """A GPU, or what it is partitioned into: CUDA computes on MIG's instances alone then."""
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
