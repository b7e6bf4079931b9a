"""The worker processes of a host, planned with a fake NVIDIA driver."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from shared.checkpoints import Choice
from shared.errors import ConfigError
from shared.settings import LauncherSettings, SegmenterSettings
from worker.launcher import devices
from worker.launcher.devices import Device, Place, places, present

HOST = f"worker@{socket.gethostname()}"
GPUS = [Device(f"gpu{number}", f"GPU-{number}{number}aa-{number}") for number in range(4)]
MIGS = [Device("gpu0-mig0", "MIG-11"), Device("gpu0-mig2", "MIG-12"), Device("gpu1", "GPU-7f")]


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("NUKKI_", "S3_", "REDIS_", "CUDA_")):
            monkeypatch.delenv(name)


def settings(**changes: Any) -> LauncherSettings:
    return LauncherSettings.load(
        **({"model": "sam2.1_hiera_tiny", "checkpoint": "my.pt"} | changes)
    )


def weightless(**changes: Any) -> LauncherSettings:
    return LauncherSettings.load(**({"model": "grabcut"} | changes))


def labels(found: Sequence[Place]) -> list[str]:
    return [place.name.removeprefix(HOST) for place in found]


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(8)))


def planned(
    asked: str | None = None,
    visible: str | None = None,
    there: list[Device] = GPUS,
    with_settings: LauncherSettings | None = None,
) -> list[Place]:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    return places(with_settings or settings(), asked, environment, lambda: there)


def test_every_device_gets_a_process_named_for_it() -> None:
    assert planned(there=GPUS[:2]) == [
        Place(
            f"{HOST}:gpu{number}",
            {
                "CUDA_VISIBLE_DEVICES": GPUS[number].identifier,
                "NUKKI_DEVICE": "cuda",
                "NUKKI_WORKER_CORES": "4",
            },
        )
        for number in (0, 1)
    ]


@pytest.mark.parametrize(("workers", "share"), [(1, "8"), (2, "4"), (3, "2"), (4, "2")])
def test_the_cores_are_shared_evenly(workers: int, share: str) -> None:
    shares = [place.env["NUKKI_WORKER_CORES"] for place in planned(there=GPUS[:workers])]
    assert shares == [share] * workers


def test_a_configured_core_count_is_kept() -> None:
    for place in planned(with_settings=settings(worker_cores=3)):
        assert "NUKKI_WORKER_CORES" not in place.env


def test_without_a_device_one_process_runs() -> None:
    assert planned(there=[]) == [Place(HOST)]


def test_a_model_that_needs_no_device_gets_one_process_and_asks_no_driver() -> None:
    def never() -> list[Device]:
        raise AssertionError

    assert places(weightless(), None, {}, never) == [Place(HOST)]
    assert places(settings(device="cpu"), None, {}, never) == [Place(HOST)]
    assert places(weightless(model="my:load", device="cpu"), None, {}, never) == [Place(HOST)]


def test_a_custom_model_gets_a_process_per_device() -> None:
    found = planned(with_settings=weightless(model="my.package:load"))
    assert [place.env["CUDA_VISIBLE_DEVICES"] for place in found] == [
        device.identifier for device in GPUS
    ]
    assert {place.env["NUKKI_DEVICE"] for place in found} == {"cuda"}
    assert planned(there=[], with_settings=weightless(model="my.package:load")) == [Place(HOST)]


@pytest.mark.parametrize("given", [settings, weightless])
def test_cpu_forces_one_process_that_sees_no_device(given: Any) -> None:
    [only] = planned("cpu", with_settings=given(device="cuda"))
    assert only == Place(HOST, {"CUDA_VISIBLE_DEVICES": "", "NUKKI_DEVICE": "cpu"})


@pytest.mark.parametrize(
    ("asked", "visible", "expected"),
    [
        ("0,2", None, [":gpu0", ":gpu2"]),
        ("2,0", None, [":gpu2", ":gpu0"]),
        (" 3 , 1 ,", None, [":gpu3", ":gpu1"]),
        ("GPU-22aa-2,GPU-0", None, [":gpu2", ":gpu0"]),
        (None, "3,1", [":gpu3", ":gpu1"]),
        (None, "0,2,-1,1", [":gpu0", ":gpu2"]),
        (None, "GPU-11,0", [":gpu1", ":gpu0"]),
        ("1", "3,1", [":gpu1"]),
        (None, "", [""]),
        (None, "-1", [""]),
    ],
)
def test_devices_are_chosen_by_number_or_uuid(
    asked: str | None, visible: str | None, expected: list[str]
) -> None:
    found = planned(asked, visible)
    assert labels(found) == expected
    by_label = {f":{device.label}": device.identifier for device in GPUS}
    for place, label in zip(found, expected, strict=True):
        assert place.env.get("CUDA_VISIBLE_DEVICES") == by_label.get(label)


@pytest.mark.parametrize(
    ("asked", "visible", "complaint"),
    [
        ("0,9", None, "--devices: no such device: 9 .*gpu0 GPU-00aa-0, gpu1"),
        ("all", None, "no such device: all"),
        ("", None, "names no device"),
        ("0,0", None, "gpu0 is given twice"),
        ("0,GPU-00aa", None, "gpu0 is given twice"),
        ("GPU-", None, "is ambiguous: 4 devices"),
        ("-1", None, "no such device: -1"),
        ("0", "1,2", "no such device: 0 .*gpu1"),
        ("0", "", r"no such device: 0 \(there are: none\)"),
        (None, "0,9", "CUDA_VISIBLE_DEVICES: no such device: 9"),
    ],
)
def test_an_unavailable_device_is_named_in_the_error(
    asked: str | None, visible: str | None, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        planned(asked, visible)


def test_a_model_that_needs_a_device_requires_it_to_exist() -> None:
    with pytest.raises(ConfigError, match="no such device: 0"):
        planned("0", there=[])


def test_a_model_that_needs_no_device_gets_the_processes_asked_for() -> None:
    found = planned("0,1", there=[], with_settings=weightless())
    assert found == [
        Place(
            f"{HOST}:gpu{number}",
            {"CUDA_VISIBLE_DEVICES": str(number), "NUKKI_WORKER_CORES": "4"},
        )
        for number in (0, 1)
    ]
    with pytest.raises(ConfigError, match="gpu1 is given twice"):
        planned("1,01", there=[], with_settings=weightless())


def test_a_partitioned_gpu_is_listed_as_its_mig_instances() -> None:
    assert labels(planned(there=MIGS)) == [":gpu0-mig0", ":gpu0-mig2", ":gpu1"]
    assert labels(planned("MIG-12,1", there=MIGS)) == [":gpu0-mig2", ":gpu1"]
    with pytest.raises(ConfigError, match=r"no such device: 0 .*gpu0-mig0 MIG-11"):
        planned("0", there=MIGS)


def test_each_process_has_a_metrics_port_of_its_own() -> None:
    found = planned("1,3", with_settings=settings(metrics_port=9101))
    assert [place.env["NUKKI_METRICS_PORT"] for place in found] == ["9101", "9102"]
    assert "NUKKI_METRICS_PORT" not in planned("1,3")[0].env
    with pytest.raises(ConfigError, match="NUKKI_METRICS_PORT"):
        planned("1,3", with_settings=settings(metrics_port=65535))


def test_visible_devices_without_a_driver_log_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "nukki.launcher"):
        assert planned(visible="0", there=[]) == [Place(HOST)]
    assert "no NVIDIA driver" in caplog.text


class Driver:
    """A fake NVML. Each GPU is a UUID, MIG instances by position, or an error code."""

    NVMLError = pynvml.NVMLError
    NVMLError_LibraryNotFound = pynvml.NVMLError_LibraryNotFound
    NVMLError_DriverNotLoaded = pynvml.NVMLError_DriverNotLoaded
    NVMLError_NotSupported = pynvml.NVMLError_NotSupported
    NVMLError_NotFound = pynvml.NVMLError_NotFound
    NVML_DEVICE_MIG_ENABLE = pynvml.NVML_DEVICE_MIG_ENABLE

    def __init__(self, gpus: Sequence[str | Mapping[int, str] | int] = (), fails: int = 0) -> None:
        self.gpus = gpus
        self.fails = fails
        self.open = 0

    def nvmlInit(self) -> None:  # noqa: N802
        if self.fails:
            raise pynvml.NVMLError(self.fails)
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, number: int) -> SimpleNamespace:  # noqa: N802
        gpu = self.gpus[number]
        if isinstance(gpu, int):
            raise pynvml.NVMLError(gpu)
        return SimpleNamespace(gpu=gpu)

    def nvmlDeviceGetMigMode(self, handle: SimpleNamespace) -> list[int]:  # noqa: N802
        if handle.gpu == "GPU-old":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [int(not isinstance(handle.gpu, str)), 0]

    def nvmlDeviceGetMaxMigDeviceCount(self, _handle: SimpleNamespace) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(  # noqa: N802
        self, handle: SimpleNamespace, position: int
    ) -> SimpleNamespace:
        if position not in handle.gpu:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return SimpleNamespace(gpu=handle.gpu[position])

    def nvmlDeviceGetUUID(self, handle: SimpleNamespace) -> str:  # noqa: N802
        return str(handle.gpu)


def test_the_driver_lists_gpus_and_their_instances() -> None:
    driver = Driver(["GPU-old", {0: "MIG-a", 2: "MIG-b"}, "GPU-c"])
    assert present(driver) == [
        Device("gpu0", "GPU-old"),
        Device("gpu1-mig0", "MIG-a"),
        Device("gpu1-mig2", "MIG-b"),
        Device("gpu2", "GPU-c"),
    ]
    assert driver.open == 0


@pytest.mark.parametrize(
    "code", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED]
)
def test_a_host_without_a_driver_has_no_devices(code: int) -> None:
    assert present(Driver(fails=code)) == []


def test_a_driver_that_does_not_work_is_an_error() -> None:
    with pytest.raises(ConfigError, match="cannot list its devices"):
        present(Driver(fails=pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH))


def test_a_lost_gpu_is_skipped(caplog: pytest.LogCaptureFixture) -> None:
    driver = Driver(["GPU-a", pynvml.NVML_ERROR_GPU_IS_LOST, "GPU-c"])
    assert [device.label for device in present(driver)] == ["gpu0", "gpu2"]
    assert "gpu1 does not answer" in caplog.text
    assert driver.open == 0


def test_an_unknown_device_option_exits_with_78(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from worker.launcher import __main__ as start

    monkeypatch.setattr(devices, "present", lambda: GPUS)
    monkeypatch.setenv("NUKKI_MODEL", "sam2.1_hiera_tiny")
    monkeypatch.setenv("NUKKI_CHECKPOINT", "my.pt")
    with pytest.raises(SystemExit) as left:
        start.main(["--devices", "1,8"])
    assert left.value.code == 78
    assert "--devices: no such device: 8" in capsys.readouterr().err


def test_a_worker_assigned_a_gpu_fails_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = pytest.importorskip("torch")
    from worker.segmenters import sam_loader

    placed: list[str] = []

    def instead(_choice: Choice, placement: Any, _max_batch: int | None) -> None:
        placed.append(placement.device.type)
        raise ConfigError("far enough")

    monkeypatch.setattr(sam_loader, "open_sam", instead)
    choice = Choice("sam2.1_hiera_tiny", Path("my.pt"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no such device: cuda"):
        sam_loader.load_sam(choice, SegmenterSettings.load(device="cuda"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for device in ("cpu", "cuda", None):
        with pytest.raises(ConfigError, match="far enough"):
            sam_loader.load_sam(choice, SegmenterSettings.load(device=device))
    assert placed == ["cpu", "cuda", "cuda"]
