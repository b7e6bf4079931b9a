"""Rules of the packages: import direction, import cost, module size."""

from __future__ import annotations

import ast
import os
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


#: For interpreters that find our packages and the tests whatever this one was told.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


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


def _printed(probe: str) -> str:
    """What a fresh interpreter prints."""
    shown = subprocess.run(
        [sys.executable, "-c", probe],
        capture_output=True,
        text=True,
        check=True,
        env=ENVIRONMENT,
    )
    return shown.stdout.strip()


@pytest.mark.parametrize(
    ("modules", "unloaded"),
    [
        ("nukki, nukki.command", "api worker shared flask celery cv2"),  # the client is light
        (
            "api.app, nukki.stack, worker.__main__, worker.courier.rounds, worker.launcher.devices",
            "torch",  # the embedded default does without
        ),
        ("shared.arrays", "cv2 PIL tomllib pydantic"),
        ("shared.images.headers", "cv2 PIL numpy"),
        ("worker.job.retry", "celery redis cv2 numpy"),
        ("api.app", "cv2 worker"),
    ],
)
def test_a_module_loads_no_more_than_it_needs(modules: str, unloaded: str) -> None:
    probe = f"import sys, {modules}; print(*[m for m in '{unloaded}'.split() if m in sys.modules])"
    assert _printed(probe) == ""


#: Imports each module in a child of its own, in which none of ours has been imported. The children
#: are forked, so that third-party packages are paid for once: no module of ours can rely on those.
_IMPORT_EACH = """
import contextlib, importlib, os, sys, traceback

for name in ("boto3", "botocore.session", "celery.bin.worker", "cv2", "flask_openapi3", "httpx",
             "kombu.transport.redis", "numpy", "PIL.Image", "prometheus_client",
             "pydantic_settings", "redis.sentinel", "sam2.build_sam", "tests.reference",
             "gunicorn"):
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module(name)
if "tests.reference" in sys.modules:
    with contextlib.suppress(ModuleNotFoundError):
        sys.modules["tests.reference"].torchvision()  # SAM 1 imports it; a CPU's does not import
assert not {"api", "nukki", "shared", "worker"} & sys.modules.keys()
for module in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        try:
            importlib.import_module(module)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(module, flush=True)
"""


def test_every_module_imports_alone() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for room in ROOMS
        for path in _modules(room)
    ]
    child = subprocess.run(
        [sys.executable, "-c", _IMPORT_EACH, *names],
        capture_output=True,
        text=True,
        check=True,
        env=ENVIRONMENT,
    )
    assert child.stdout == "", child.stderr


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_reads_its_configuration_at_import(room: str) -> None:
    for path in _modules(room):
        for node in ast.parse(path.read_text()).body:
            calls = [item for item in ast.walk(node) if isinstance(item, ast.Call)]
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr):
                names = {ast.unparse(call.func) for call in calls}
                reads = {name for name in names if name.endswith(("Settings", "Settings.load"))}
                assert not reads | names & {"os.getenv", "os.environ.get"}


def test_modules_have_at_most_250_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for room in ROOMS
        for path in _modules(room)
        if (lines := len(path.read_text().splitlines())) > 250
    }
    assert not long
