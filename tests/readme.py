"""The generated parts of the documents, and the code blocks of the documents for the tests."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from shared.settings import (
    ApiSettings,
    CourierSettings,
    LauncherSettings,
    ModelSettings,
    RedisSettings,
    SegmenterSettings,
    StorageSettings,
    WorkerSettings,
)
from shared.settings.base import Settings, variable
from shared.settings.common import (
    AttemptSettings,
    LogSettings,
    MetricsSettings,
    NetworkSettings,
    PhotoSettings,
    RetentionSettings,
    ShutdownSettings,
    SigningSettings,
)
from shared.settings.services import EmbeddedRedisSettings
from shared.settings.worker import PlacementSettings
from tests import redis_map

README = Path(__file__).parent.parent / "README.md"
_SETTINGS = re.compile(r"(<!-- settings -->\n).*?(<!-- /settings -->)", re.DOTALL)

PROCESSES: Mapping[str, type[Settings]] = {
    "API": ApiSettings,
    "worker": WorkerSettings,
    "launcher": LauncherSettings,
    "courier": CourierSettings,
}
#: The sections of the table, and the classes whose own settings they list.
_SECTIONS: Mapping[str, Sequence[type[Settings]]] = {
    "Redis": [RedisSettings, EmbeddedRedisSettings],
    "Storage": [StorageSettings],
    "API": [ApiSettings],
    "Worker": [ModelSettings, PlacementSettings, SegmenterSettings, WorkerSettings],
    "Courier": [CourierSettings],
}
#: The classes of the last section, whose table says which processes read a setting.
_SHARED: Sequence[type[Settings]] = [
    RetentionSettings,
    PhotoSettings,
    NetworkSettings,
    SigningSettings,
    AttemptSettings,
    ShutdownSettings,
    MetricsSettings,
    LogSettings,
]


def own_fields(group: type[Settings]) -> Iterator[tuple[str, FieldInfo]]:
    """The settings that a class defines itself, in order."""
    for name in group.__annotations__:
        if name in group.model_fields:
            yield name, group.model_fields[name]


def tables() -> str:
    """The settings as the README's Markdown tables, one per process."""
    lines: list[str] = []
    for title, groups in _SECTIONS.items():
        lines += [
            f"### {title}",
            "",
            "| variable | default | what it does |",
            "| --- | --- | --- |",
        ]
        lines += [_row(*item) for group in groups for item in own_fields(group)]
        lines.append("")
    lines += ["### Several processes", "", "| variable | default | what it does | read by |"]
    lines.append("| --- | --- | --- | --- |")
    for group in _SHARED:
        readers = ", ".join(name for name, kind in PROCESSES.items() if issubclass(kind, group))
        lines += [f"{_row(*item)} {readers} |" for item in own_fields(group)]
    return "\n".join(lines)


def _row(name: str, field: FieldInfo) -> str:
    default = field.default
    if isinstance(default, tuple):
        default = ",".join(f"{item:g}" for item in default)
    if isinstance(default, BaseModel):
        default = default.model_dump_json()
    shown = "" if default in (None, "") else f"`{default}`"
    return f"| `{variable(name, field)}` | {shown} | {field.description} |"


def rendered(text: str) -> str:
    """The README with its configuration tables generated."""
    return _SETTINGS.sub(lambda found: f"{found[1]}{tables()}\n{found[2]}", text)


def blocks(language: str, document: Path = README) -> list[str]:
    """The document's code blocks in that language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", required=True)
    parser.parse_args()
    README.write_text(rendered(README.read_text()))
    redis_map.PAGE.write_text(redis_map.page())
