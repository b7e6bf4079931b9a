"""Checks of the compose files that need no Docker engine."""

from __future__ import annotations

import importlib.util
import os
import re

import pytest
import yaml

from nukki.command import main
from shared.settings import StackSettings
from tests.compose import (
    BASE,
    CPU,
    FILLED_IN,
    FOLDER,
    METRICS,
    ROOT,
    Tree,
    Unset,
    example,
    filled,
    merged,
    variables_of,
)

STACKS = [(BASE,), (BASE, CPU), (BASE, METRICS), (BASE, CPU, METRICS)]
OURS = {"api", "courier", "worker-gpu0", "worker-gpu1", "worker"}
ONE_SHOT = {"minio-volume", "minio-init", "models"}
ENVIRONMENT = example() | FILLED_IN
WHOLE = filled(merged(BASE, CPU, METRICS), ENVIRONMENT)["services"]

each_service = pytest.mark.parametrize("name", WHOLE)
each_of_ours = pytest.mark.parametrize("name", sorted(OURS))


def started(*files: str, profiles: frozenset[str] = frozenset()) -> set[str]:
    """The services that `up` starts."""
    services = merged(*files)["services"]
    return {
        name
        for name, service in services.items()
        if not service.get("profiles") or profiles & set(service["profiles"])
    }


def devices(service: Tree) -> list[str]:
    [asked] = service["deploy"]["resources"]["reservations"]["devices"]
    assert asked["capabilities"] == ["gpu"]
    return list(asked["device_ids"])


def seconds(duration: str) -> int:
    found = re.fullmatch(r"(\d+)s", duration)
    assert found is not None
    return int(found[1])


def test_the_example_names_exactly_the_variables_used() -> None:
    named = variables_of(BASE, CPU, METRICS)
    assert example().keys() == named.keys()
    required = {name for name, wanted in named.items() if wanted}
    assert required == {*FILLED_IN, "S3_PUBLIC_ENDPOINT"}


@pytest.mark.parametrize("files", STACKS, ids="+".join)
def test_nothing_starts_without_its_secrets(files: tuple[str, ...]) -> None:
    for name, required in variables_of(*files).items():
        if required:
            with pytest.raises(Unset, match=name):
                filled(merged(*files), ENVIRONMENT | {name: ""})
    assert filled(merged(*files), ENVIRONMENT)


def test_no_secret_has_a_value_in_the_example() -> None:
    assert {example()[name] for name in FILLED_IN} == {""}


def test_the_stack_starts_one_gpu_worker_and_more_by_profile() -> None:
    core = {"api", "courier", "redis", "minio", "minio-volume", "minio-init"}
    assert started(BASE) == core | {"worker-gpu0"}
    assert started(BASE, profiles=frozenset({"gpu1"})) == core | {"worker-gpu0", "worker-gpu1"}
    assert started(BASE, CPU) == core | {"worker"}
    assert started(BASE, METRICS) == core | {"worker-gpu0", "prometheus", "grafana"}


def test_each_gpu_worker_has_its_own_device_and_name() -> None:
    workers = [WHOLE["worker-gpu0"], WHOLE["worker-gpu1"]]
    assert [devices(worker) for worker in workers] == [["0"], ["1"]]
    assert len({worker["hostname"] for worker in workers}) == 2
    same = [{k: v for k, v in w.items() if k not in SPECIAL} for w in workers]
    assert same[0] == same[1]


SPECIAL = {"hostname", "profiles", "deploy"}


def test_the_cpu_worker_is_configured_like_the_gpu_workers() -> None:
    own = {"NUKKI_MODEL", "NUKKI_MODELS_DIR", "NUKKI_DEVICE"}
    gpu, cpu = WHOLE["worker-gpu0"], WHOLE["worker"]
    assert "deploy" not in cpu
    assert without(cpu["environment"], own) == without(gpu["environment"], own)
    own = {"hostname", "profiles", "deploy", "image", "build", "command", "environment", "volumes"}
    assert without(cpu, own) == without(gpu, own)


def without(tree: Tree, names: set[str]) -> Tree:
    return {name: value for name, value in tree.items() if name not in names}


@each_service
def test_every_service_has_a_health_check_and_is_confined(name: str) -> None:
    service = WHOLE[name]
    if name in ONE_SHOT:
        assert service["healthcheck"] == {"disable": True}
        assert service["restart"] == "no"
    else:
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["restart"] == "unless-stopped"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    if name == "minio-volume":
        assert (service["user"], service["cap_add"]) == ("0:0", ["CHOWN"])
        assert service["network_mode"] == "none"
    else:
        assert service["user"].split(":")[0] not in {"", "0", "root"}
        assert "cap_add" not in service


@each_service
def test_every_image_is_pinned(name: str) -> None:
    image = WHOLE[name]["image"]
    assert re.search(r":[\w.-]*\d|:local$", image)
    assert not image.endswith(":latest")
    assert ("build" in WHOLE[name]) == image.startswith("nukki-")


def test_only_the_api_storage_and_grafana_publish_ports() -> None:
    published = {name: item["ports"] for name, item in WHOLE.items() if "ports" in item}
    assert published == {
        "api": ["127.0.0.1:8000:8000"],
        "minio": ["127.0.0.1:9000:9000"],
        "grafana": ["127.0.0.1:3000:3000"],
    }


@each_of_ours
def test_our_services_load_the_settings_they_are_given(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in list(os.environ):
        if variable.startswith(("NUKKI_", "S3_", "REDIS_")):
            monkeypatch.delenv(variable)
    for variable, value in WHOLE[name]["environment"].items():
        monkeypatch.setenv(variable, value)
    settings = StackSettings.load()
    assert settings.redis_url == f"redis://:{FILLED_IN['REDIS_PASSWORD']}@redis:6379/0"
    assert (settings.s3_endpoint, settings.s3_bucket) == ("http://minio:9000", "nukki")
    assert settings.s3_public_endpoint == "http://localhost:9000"
    assert bool(settings.api_keys) == (name == "api")
    assert bool(settings.webhook_secrets) == (name in {"api", "courier"})
    # The launcher waits five seconds longer than its workers' grace; Docker waits longer still.
    assert seconds(WHOLE[name]["stop_grace_period"]) > settings.shutdown_grace + 5
    if name.startswith("worker"):
        assert (settings.metrics_host, settings.metrics_port) == ("0.0.0.0", 9101)
    if name == "courier":
        assert (settings.metrics_host, settings.courier_metrics_port) == ("0.0.0.0", 9102)


@each_of_ours
def test_our_services_run_existing_commands(name: str) -> None:
    assert WHOLE[name]["init"] is True
    program, command, *_ = WHOLE[name]["command"]
    assert program == "nukki"
    assert command in main.commands
    check = WHOLE[name]["healthcheck"]["test"]
    assert check[1] == "python"
    if check[2] == "-m":
        assert importlib.util.find_spec(check[3]) is not None


def test_redis_is_durable_and_never_evicts() -> None:
    command = WHOLE["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options == {
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--save": "",
        "--maxmemory": "1gb",
        "--maxmemory-policy": "noeviction",
        "--requirepass": FILLED_IN["REDIS_PASSWORD"],
    }


def test_prometheus_scrapes_all_our_services() -> None:
    jobs = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    asked = {
        (name, config["port"])
        for job in jobs
        for config in job["dns_sd_configs"]
        for name in config["names"]
    }
    ports = {"api": 8000, "courier": 9102}
    assert {(name, ports.get(name, 9101)) for name in OURS} <= asked


def test_volumes_are_declared_and_mounted_files_exist() -> None:
    mounts = [mount.split(":") for item in WHOLE.values() for mount in item.get("volumes", [])]
    volumes = {source for source, *_ in mounts if not source.startswith(".")}
    assert volumes == merged(BASE, CPU, METRICS)["volumes"].keys()
    files = [mount for mount in mounts if mount[0].startswith(".")]
    assert {mount[-1] for mount in files} == {"ro"}
    assert [source for source, *_ in files if not (FOLDER / source).exists()] == []


@pytest.mark.parametrize("name", ["api.Dockerfile", "worker.Dockerfile"])
def test_an_image_has_every_package_and_runs_as_the_compose_user(name: str) -> None:
    text = (FOLDER / name).read_text()
    lines = re.findall(r"^COPY (?!--)(.*) \S+$", text, re.MULTILINE)
    copied = {word for line in lines for word in line.split()}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    assert copied == kept
    assert {"api", "nukki", "shared", "worker"} <= copied
    assert all((ROOT / word).exists() for word in copied)
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    used = {item["build"]["dockerfile"]: item["user"] for item in WHOLE.values() if "build" in item}
    assert used[f"compose/{name}"] == "10001:10001"


def test_only_the_gpu_worker_image_has_torch() -> None:
    images = {name: WHOLE[name]["image"] for name in OURS}
    assert {name for name, image in images.items() if image == "nukki-worker:local"} == {
        "worker-gpu0",
        "worker-gpu1",
    }
    assert "torch" not in (FOLDER / "api.Dockerfile").read_text().split("FROM", 1)[1]
    gpu = (FOLDER / "worker.Dockerfile").read_text()
    assert "SAM2_BUILD_CUDA=0 pip install --no-build-isolation" in gpu
