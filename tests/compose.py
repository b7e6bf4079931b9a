"""Reads the compose files as Docker Compose does: merged, with variables filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "compose"
BASE, CPU, METRICS = "compose.yaml", "compose.cpu.yaml", "compose.metrics.yaml"

Tree = dict[str, Any]

_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:[-?])([^}]*))?\})")
#: A later file's list replaces an earlier one for these keys; other lists are joined.
_REPLACED = frozenset({"command", "entrypoint", "test"})


class Unset(Exception):
    """A required variable is not set."""


def merged(*names: str) -> Tree:
    """Merge these files into one project, as `-f` for each does."""
    whole: Tree = {}
    for name in names:
        _merge(whole, yaml.safe_load((FOLDER / name).read_text()))
    return whole


def _merge(into: Tree, other: Tree) -> None:
    for key, value in other.items():
        before = into.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            _merge(before, value)
        elif isinstance(before, list) and isinstance(value, list) and key not in _REPLACED:
            into[key] = before + value
        else:
            into[key] = value


def filled(tree: Any, variables: Mapping[str, str]) -> Any:
    """Replace `${NAME}`, `${NAME:-default}`, `${NAME:?message}` and `$$` in a tree.

    Raises:
        Unset: the variable of a `${NAME:?message}` is empty or missing.
    """

    def one(found: re.Match[str]) -> str:
        dollar, name, kind, text = found.groups()
        if dollar:
            return "$"
        value = variables.get(name, "")
        if kind == ":?" and not value:
            raise Unset(name)
        return value or (text if kind == ":-" else "")

    if isinstance(tree, dict):
        return {key: filled(value, variables) for key, value in tree.items()}
    if isinstance(tree, list):
        return [filled(value, variables) for value in tree]
    return _VARIABLE.sub(one, tree) if isinstance(tree, str) else tree


def variables_of(*names: str) -> dict[str, bool]:
    """The variables used in the files, and whether each is required."""
    found: dict[str, bool] = {}
    for name in names:
        text = re.sub(r"^\s*#.*$", "", (FOLDER / name).read_text(), flags=re.MULTILINE)
        for _, variable, kind, _ in _VARIABLE.findall(text):
            if variable:
                found[variable] = found.get(variable, False) or kind == ":?"
    return found


def example() -> dict[str, str]:
    """The variables and values in `.env.example`."""
    lines = (FOLDER / ".env.example").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


#: Values for the variables that `.env.example` leaves empty.
FILLED_IN = {
    "NUKKI_API_KEYS": "shop:0123456789abcdef0123",
    "NUKKI_WEBHOOK_SECRETS": "shop:whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "REDIS_PASSWORD": "8f14e45fceea167a5a36dedd4bea2543",
    "S3_ACCESS_KEY": "access",
    "S3_SECRET_KEY": "secret-secret",
    "GRAFANA_PASSWORD": "grafana-grafana",
}
