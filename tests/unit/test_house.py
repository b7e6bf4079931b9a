"""Rules of the packages: import direction, import cost, module size."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
ROOMS = ("api", "worker", "shared", "nukki")

#: What no module of a room may import, anywhere in it.
FORBIDDEN = {
    "shared": {"api", "worker", "nukki", "flask", "torch"},
    "api": {"worker", "nukki", "torch"},
    "worker": {"api", "nukki", "flask"},
}


def _modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("room", FORBIDDEN)
def test_imports_point_one_way(room: str) -> None:
    wrong = {
        str(path.relative_to(ROOT)): sorted(bad)
        for path in _modules(room)
        if (bad := _imports(path) & FORBIDDEN[room])
    }
    assert not wrong


def test_the_client_loads_none_of_the_servers_rooms() -> None:
    probe = (
        "import sys, nukki, nukki.command; "
        "print([room for room in ('api', 'worker', 'shared', 'flask', 'celery', 'cv2') "
        "if room in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"


def test_the_embedded_default_loads_no_torch() -> None:
    probe = (
        "import sys, api.app, worker.__main__, worker.courier.__main__, worker.launcher.__main__; "
        "import nukki.stack; "
        "print('torch' in sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "False"


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_reads_its_configuration_at_import(room: str) -> None:
    for path in _modules(room):
        for node in ast.parse(path.read_text()).body:
            calls = [item for item in ast.walk(node) if isinstance(item, ast.Call)]
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr):
                names = {ast.unparse(call.func) for call in calls}
                assert not names & {"Settings", "Settings.load", "os.getenv", "os.environ.get"}


def test_modules_stay_readable() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for room in ROOMS
        for path in _modules(room)
        if (lines := len(path.read_text().splitlines())) > 350
    }
    assert not long
