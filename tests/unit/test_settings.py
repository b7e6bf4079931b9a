"""Settings: read from the environment, with errors that name variables and hide secrets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shared.errors import ConfigError
from shared.review import ReviewLimits
from shared.settings import (
    ApiSettings,
    CourierSettings,
    LauncherSettings,
    RedisSettings,
    StackSettings,
    StorageSettings,
    WorkerSettings,
)
from shared.settings.base import Settings, variable
from shared.settings.services import EmbeddedRedisSettings
from tests.readme import PROCESSES, tables

SECRET = "hunter2-hunter2-hunter2"


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("NUKKI_", "S3_", "REDIS_")):
            monkeypatch.delenv(name)


def load(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> StackSettings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return StackSettings.load()


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("REDIS_URL", "redis://there:1/2", "redis_url", "redis://there:1/2"),
        ("NUKKI_REDIS_URL", "redis://there:1/2", "redis_url", "redis://there:1/2"),
        ("S3_BUCKET", "photos", "s3_bucket", "photos"),
        ("NUKKI_S3_BUCKET", "photos", "s3_bucket", "photos"),
        ("S3_ENDPOINT", "http://s3:9000", "s3_endpoint", "http://s3:9000"),
        ("S3_PUBLIC_ENDPOINT", "https://s3", "s3_public_endpoint", "https://s3"),
        ("S3_REGION", "eu-central-1", "s3_region", "eu-central-1"),
        ("S3_ACCESS_KEY", "AK", "s3_access_key", "AK"),
        ("S3_SECRET_KEY", "SK", "s3_secret_key", "SK"),
        ("NUKKI_STORAGE_DIR", "/srv/nukki", "storage_dir", Path("/srv/nukki")),
        ("NUKKI_API_KEYS", "shop:k1", "api_keys", (("shop", "k1"),)),
        ("NUKKI_MAX_BYTES", "1000", "max_bytes", 1000),
        ("NUKKI_MAX_MEGAPIXELS", "0.5", "max_megapixels", 0.5),
        ("NUKKI_MODEL", "sam_vit_b", "model", "sam_vit_b"),
        ("NUKKI_ALLOW_NETWORKS", "10.0.0.0/8, ::1", "allow_networks", ("10.0.0.0/8", "::1")),
        ("NUKKI_WEBHOOK_SCHEDULE", "0, 1.5,10", "webhook_schedule", (0, 1.5, 10)),
        ("NUKKI_LOG_LEVEL", "debug", "log_level", "DEBUG"),
    ],
)
def test_a_variable_sets_its_field(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, field: str, value: object
) -> None:
    assert getattr(load(monkeypatch, {variable: text}), field) == value


def test_every_setting_has_a_default() -> None:
    assert StackSettings.load().redis_url == "redis://127.0.0.1:6379/0"


@pytest.mark.parametrize("field", StackSettings.model_fields)
def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    name = variable(field, StackSettings.model_fields[field])
    default = StackSettings.load()
    assert load(monkeypatch, {name: ""}) == default


def test_overrides_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUKKI_MODEL", "sam_vit_b")
    assert StackSettings.load(model="grabcut").model == "grabcut"


def test_an_unknown_override_is_refused() -> None:
    with pytest.raises(ConfigError, match="modle"):
        StackSettings.load(modle="grabcut")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        StackSettings.load().model = "grabcut"  # type: ignore[misc]


def test_megapixels_are_millions_of_pixels() -> None:
    assert StackSettings.load(max_megapixels=1.5).max_pixels == 1_500_000


# Pairs


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("shop:secret", [("shop", "secret")]),
        ("shop:a,other:b", [("shop", "a"), ("other", "b")]),
        (" shop:a , other:b ,", [("shop", "a"), ("other", "b")]),
        ("shop:old,shop:new", [("shop", "old"), ("shop", "new")]),
        ("shop:with:colons:==", [("shop", "with:colons:==")]),
        ("a-b_9:x", [("a-b_9", "x")]),
        (",,", []),
    ],
)
@pytest.mark.parametrize("variable", ["NUKKI_API_KEYS", "NUKKI_WEBHOOK_SECRETS"])
def test_pairs_are_read(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, pairs: list[tuple[str, str]]
) -> None:
    loaded = load(monkeypatch, {variable: text})
    assert getattr(loaded, variable.removeprefix("NUKKI_").lower()) == tuple(pairs)


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        (SECRET, 1),
        (f":{SECRET}", 1),
        ("shop:", 1),
        (f"Shop:{SECRET}", 1),
        (f"-shop:{SECRET}", 1),
        (f"my shop:{SECRET}", 1),
        (f"../shop:{SECRET}", 1),
        (f"{'s' * 33}:{SECRET}", 1),
        (f"shop:{SECRET},{SECRET}", 2),
        (f"shop:{SECRET},, other:", 2),
    ],
)
def test_a_bad_pair_is_named_by_position_without_its_text(
    monkeypatch: pytest.MonkeyPatch, text: str, entry: int
) -> None:
    with pytest.raises(ConfigError, match=f"NUKKI_API_KEYS.*entry {entry} ") as refusal:
        load(monkeypatch, {"NUKKI_API_KEYS": text})
    assert SECRET not in str(refusal.value)


# Bad values


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("NUKKI_MAX_BYTES", "many"),
        ("NUKKI_MAX_BYTES", "0"),
        ("NUKKI_MAX_BYTES", "-5"),
        ("NUKKI_MAX_MEGAPIXELS", "0"),
        ("NUKKI_MAX_MEGAPIXELS", "nan"),
        ("NUKKI_API_WAITING", "0"),
        ("NUKKI_WORKER_THREADS", "0"),
        ("NUKKI_WORKER_THREADS", "257"),
        ("NUKKI_LEASE", "0.1"),
        ("NUKKI_LEASE", "inf"),
        ("NUKKI_MAX_ATTEMPTS", "0"),
        ("NUKKI_STAGE_DEADLINE", "0"),
        ("NUKKI_STAGE_DEADLINE", "600"),
        ("NUKKI_RETENTION", "0"),
        ("NUKKI_RETENTION", "inf"),
        ("NUKKI_RETENTION", "a week"),
        ("NUKKI_STORAGE_PATIENCE", "-1"),
        ("NUKKI_FETCH_TIMEOUT", "0"),
        ("NUKKI_WEBHOOK_TIMEOUT", "soon"),
        ("NUKKI_WEBHOOK_SCHEDULE", "0,soon"),
        ("NUKKI_WEBHOOK_SCHEDULE", "0,-1"),
        ("NUKKI_WEBHOOK_SCHEDULE", "0,nan"),
        ("NUKKI_LOG_LEVEL", "LOUD"),
    ],
)
def test_the_error_names_the_variable_with_a_bad_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    with pytest.raises(ConfigError, match=variable):
        load(monkeypatch, {variable: text})


def test_one_error_names_every_bad_value(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"NUKKI_LEASE.*NUKKI_MAX_BYTES"):
        load(monkeypatch, {"NUKKI_MAX_BYTES": "x", "NUKKI_LEASE": "y"})


# Secrets

SECRETS: dict[str, Any] = {
    "redis_url": f"redis://:{SECRET}@there:6379/0",
    "s3_access_key": SECRET,
    "s3_secret_key": SECRET,
    "api_keys": f"shop:{SECRET}",
    "webhook_secrets": f"shop:{SECRET}",
}


@pytest.mark.parametrize("field", SECRETS)
@pytest.mark.parametrize("show", [str, repr, "{}".format], ids=["str", "repr", "format"])
def test_a_secret_is_not_shown(field: str, show: Any) -> None:
    assert SECRET not in show(StackSettings.load(**{field: SECRETS[field]}))


@pytest.mark.parametrize("field", SECRETS)
def test_a_secret_is_not_shown_by_another_fields_error(field: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        StackSettings.load(**{field: SECRETS[field], "max_bytes": "x"})
    assert SECRET not in f"{refusal.value} {refusal.value!r}"
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize("field", StackSettings.model_fields)
def test_errors_do_not_repeat_the_given_value(field: str) -> None:
    try:
        StackSettings.load(**{field: [{SECRET: SECRET}]})
    except ConfigError as refusal:
        assert variable(field, StackSettings.model_fields[field]) in str(refusal)  # noqa: PT017 - not every field refuses it
        assert SECRET not in str(refusal)  # noqa: PT017


# Each process reads its own


@pytest.mark.parametrize(
    ("name", "readers"),
    [
        ("NUKKI_API_WAITING", {ApiSettings}),
        ("NUKKI_TENANT_SHARE", {ApiSettings}),
        ("NUKKI_PRECISION", {WorkerSettings}),
        ("NUKKI_STAGE_DEADLINE", {WorkerSettings}),
        ("NUKKI_METRICS_PORT", {WorkerSettings, LauncherSettings}),
        ("NUKKI_WEBHOOK_TIMEOUT", {CourierSettings}),
        ("NUKKI_LEASE", {WorkerSettings, CourierSettings}),
        ("NUKKI_RETENTION", {ApiSettings, WorkerSettings, CourierSettings}),
        ("NUKKI_LOG_LEVEL", set(PROCESSES.values())),
    ],
)
def test_a_bad_value_stops_only_the_processes_that_read_it(
    monkeypatch: pytest.MonkeyPatch, name: str, readers: set[type[Settings]]
) -> None:
    monkeypatch.setenv(name, "bad")
    every: list[type[Settings]] = [*PROCESSES.values(), RedisSettings, StorageSettings]
    for kind in every:
        if kind in readers:
            with pytest.raises(ConfigError, match=name):
                kind.load()
        else:
            kind.load()


@pytest.mark.parametrize("kind", [*PROCESSES.values(), RedisSettings, StorageSettings])
@pytest.mark.parametrize("name", ["NUKKI_LEESE", "S3_BUKET", "NUKKI_SIMULATED_SECONDS"])
def test_every_process_refuses_a_misspelled_variable(
    monkeypatch: pytest.MonkeyPatch, kind: type[Settings], name: str
) -> None:
    monkeypatch.setenv(name, SECRET)
    with pytest.raises(ConfigError, match=f"there is no such setting: {name}$"):
        kind.load()


@pytest.mark.parametrize("kind", PROCESSES.values())
def test_every_process_accepts_the_variables_of_the_others(
    monkeypatch: pytest.MonkeyPatch, kind: type[Settings]
) -> None:
    others = {"NUKKI_API_WAITING": "8", "NUKKI_MAX_BATCH": "2", "NUKKI_WEBHOOK_TIMEOUT": "3"}
    for name, value in {**others, "NUKKI_URL": "http://there", "NUKKI_TEST_ANY": "1"}.items():
        monkeypatch.setenv(name, value)
    kind.load()


def test_the_stack_has_the_settings_of_every_process() -> None:
    kinds: list[type[Settings]] = [*PROCESSES.values(), EmbeddedRedisSettings]
    every = {name for kind in kinds for name in kind.model_fields}
    assert every == set(StackSettings.model_fields)


# API keys


@pytest.mark.parametrize(
    ("host", "needed"),
    [
        ("127.0.0.1", False),
        ("127.0.0.2", False),
        ("localhost", False),
        ("::1", False),
        ("0.0.0.0", True),
        ("::", True),
        ("", True),
        ("192.168.1.5", True),
        ("10.0.0.1", True),
        ("8.8.8.8", True),
        ("nukki.example", True),
        ("localhost.example", True),
    ],
)
def test_keys_are_required_unless_the_host_is_loopback(host: str, needed: bool) -> None:
    StackSettings.load(api_keys="shop:key").require_keys(host)
    if needed:
        with pytest.raises(ConfigError, match="NUKKI_API_KEYS"):
            StackSettings.load().require_keys(host)
    else:
        StackSettings.load().require_keys(host)


# The README's table


@pytest.mark.parametrize("field", StackSettings.model_fields)
def test_every_setting_is_described_in_a_sentence(field: str) -> None:
    description = StackSettings.model_fields[field].description or ""
    assert description.endswith(".")
    assert description[0].isupper() or description[0] == "`"


def test_the_tables_have_one_row_per_setting() -> None:
    rows = [line for line in tables().splitlines() if line.startswith("| `")]
    variables = [variable(*item) for item in StackSettings.model_fields.items()]
    assert sorted(row.split("`")[1] for row in rows) == sorted(variables)
    assert {row.count(" | ") for row in rows} == {2, 3}


def test_the_last_table_says_which_processes_read_a_setting() -> None:
    readers = {
        line.split("`")[1]: line.rstrip(" |").rpartition(" | ")[2]
        for line in tables().partition("### Several processes")[2].splitlines()
        if line.startswith("| `")
    }
    assert readers["NUKKI_LEASE"] == "worker, courier"
    assert readers["NUKKI_WEBHOOK_SECRETS"] == "API, courier"
    assert readers["NUKKI_LOG_LEVEL"] == "API, worker, launcher, courier"


@pytest.mark.parametrize("field", StackSettings.model_fields)
def test_every_variable_changes_its_setting(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    name = variable(field, StackSettings.model_fields[field])
    special = {"api_keys": "t:s", "webhook_secrets": "t:s", "log_level": "ERROR"}
    special |= {"precision": "bf16", "device": "cuda", "tenant_share": "0.3"}
    special |= {"second_look": "0.2", "review": '{"border": 0.4}'}
    changed = special.get(field, "63")
    loaded = load(monkeypatch, {name: changed})
    assert getattr(loaded, field) != StackSettings.model_fields[field].default


def test_setting_one_review_threshold_keeps_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    review = load(monkeypatch, {"NUKKI_REVIEW": '{"border": 0.4}'}).review
    assert review == ReviewLimits(border=0.4)


@pytest.mark.parametrize("text", ['{"boarder": 0.4}', '{"iou": 2}', "0.5", "{"])
def test_an_invalid_review_setting_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with pytest.raises(ConfigError, match="NUKKI_REVIEW"):
        load(monkeypatch, {"NUKKI_REVIEW": text})
