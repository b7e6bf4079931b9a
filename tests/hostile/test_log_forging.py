"""Callers that try to forge lines of a log, or to send codes to the terminal that shows it."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nukki import data_folder
from nukki.data_folder import DataFolder
from shared import logs, processes
from tests.api.conftest import Client, submit

#: Whatever has no glyph: all controls (C0, C1, DEL), line ends, marks of direction, surrogates.
HOSTILE = [
    chr(code)
    for code in range(sys.maxunicode + 1)
    if unicodedata.category(chr(code)) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
]
FORGED = "2026-11-26 09:00:00,000 CRITICAL nukki.api: FORGED"
LINE_ENDS = ["\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    """What a logger `nukki` writes through the formatter of every process."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logs.LineFormatter())
    logger = logging.getLogger("nukki")
    logger.addHandler(handler)
    yield text
    logger.removeHandler(handler)


def lines(output: io.StringIO) -> list[str]:
    return output.getvalue().removesuffix("\n").splitlines()


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param("".join(HOSTILE), None, id="hostile"),
        pytest.param("é 한국어 😀 \\n", "é 한국어 😀 \\n", id="plain"),
    ],
)
def test_no_control_character_reaches_a_log(said: str, shown: str | None) -> None:
    # Formatted without being logged: pytest's own report could not be sent with surrogates.
    record = logging.LogRecord("nukki.api", logging.WARNING, __file__, 1, "got %s", (said,), None)
    line = logs.LineFormatter().format(record)
    assert line.isprintable()
    assert shown is None or line.endswith(f"got {shown}")


@pytest.mark.parametrize("end", LINE_ENDS)
def test_a_message_is_one_line(output: io.StringIO, end: str) -> None:
    forged = f"x{end}{FORGED}"
    logging.getLogger("nukki.api").error("%s", forged, extra={"request_id": forged, "job": forged})
    (line,) = lines(output)
    assert line.count(FORGED) == 3
    assert not line.startswith(FORGED)


@pytest.mark.parametrize("end", LINE_ENDS)
def test_only_an_event_begins_a_line(output: io.StringIO, end: str) -> None:
    cause = ValueError(f"x{end}{FORGED}{end}\x1b[2J")
    cause.add_note(f"note{end}{FORGED}")

    def fail() -> None:
        raise RuntimeError(f"y{end}{FORGED}") from cause

    try:
        fail()
    except RuntimeError:
        logging.getLogger("nukki.worker").exception("a round failed")
    first, *rest = lines(output)
    assert first.endswith("ERROR nukki.worker: a round failed")
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
    assert "    Traceback (most recent call last):" in rest
    assert any(line.strip().startswith("raise RuntimeError") for line in rest)


def test_a_message_has_a_longest_length(output: io.StringIO) -> None:
    logging.getLogger("nukki.api").warning("%s", "\n" * 1_000_000)
    assert len(output.getvalue()) < 40_000


CHILD = """
import logging, sys, threading, warnings
from shared import logs
logs.configure("info")
bad = "x\\n2026-11-26 09:00:00,000 CRITICAL nukki.api: FORGED\\x1b[2J\\u202e"
for name in ("nukki.api", "celery.worker", "waitress", "py.warnings", "root"):
    logging.getLogger(name).warning(bad)
warnings.warn(bad)
def fail(): raise ValueError(bad)
thread = threading.Thread(target=fail, name=bad)
thread.start(); thread.join()
class Held:
    def __del__(self): fail()
Held()
fail()
"""


def test_what_nobody_caught_is_escaped_too() -> None:
    argv = [sys.executable, "-c", CHILD]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 1
    found = ran.stderr.splitlines()
    assert all(line.isprintable() for line in found)
    assert not [line for line in found if line.startswith("2026-11-26 09:00:00")]
    assert sum("FORGED" in line for line in found) >= 9
    assert sum("Traceback" in line for line in found) == 3


def test_a_configuration_error_is_one_line(tmp_path: Path) -> None:
    env = {"PATH": "", f"NUKKI_X\n{FORGED}": "1"}
    argv = [sys.executable, "-m", "worker.courier"]
    root = Path(__file__).parent.parent.parent
    ran = subprocess.run(
        argv, capture_output=True, text=True, env=env, cwd=root, check=False, timeout=60
    )
    assert ran.returncode == 78
    (line,) = ran.stderr.splitlines()
    assert FORGED in line


class TestApi:
    @pytest.mark.parametrize("end", ["\n", "\r", "\x1b[2J", "\u2028", "\u202e"])
    def test_a_request_forges_no_line(
        self, client: Client, sample: bytes, output: io.StringIO, end: str
    ) -> None:
        logging.getLogger("nukki").setLevel("DEBUG")
        forged = f"x{end}{FORGED}"
        calls: list[Callable[[], object]] = [
            lambda: submit(client, sample, job=json.dumps({forged: 1})),
            lambda: submit(client, sample, job=json.dumps({"model": forged})),
            lambda: submit(client, sample, job=json.dumps({"output": {"preset": forged}})),
            lambda: client.get("/v1/jobs", query_string={forged: "1", "limit": forged}),
            lambda: client.get(f"/v1/uploads/content/{forged}"),
            lambda: client.get(f"/{forged}"),
            lambda: client.get("/v1/jobs", headers={"Host": "evil.example"}),
        ]
        for call in calls:
            call()
        written = lines(output)
        assert len(written) >= len(calls)
        assert all(line.isprintable() and not line.startswith(FORGED) for line in written)


class TestRotation:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataFolder]:
        monkeypatch.setattr(data_folder, "_LOG_LIMIT", 10_000)
        folder = DataFolder(tmp_path)
        folder.prepare()
        yield folder
        folder.release()

    def test_a_log_stays_small_while_a_service_writes(self, folder: DataFolder) -> None:
        script = "import os\nfor n in range(20000): os.write(1, b'%06d %s\\n' % (n, b'x' * 40))"
        with folder.log("api") as log:
            child = processes.spawn([sys.executable, "-c", script], output=log)
        largest = 0
        path = folder.path / "logs" / "api.log"
        while child.poll() is None:
            folder.rotate()
            largest = max(largest, sum(item.stat().st_size for item in path.parent.iterdir()))
        folder.rotate()
        assert sorted(item.name for item in path.parent.iterdir()) == ["api.log", "api.log.1"]
        assert largest < 500_000  # of 960,000
        assert path.stat().st_size <= 10_000
        both = (path.with_suffix(".log.1").read_bytes() + path.read_bytes()).splitlines()
        assert both[-1].startswith(b"019999 ")
        assert all(item.stat().st_mode & 0o077 == 0 for item in path.parent.iterdir())

    def test_a_dead_services_last_lines_are_escaped(self, folder: DataFolder) -> None:
        with folder.log("api") as log:
            log.write(b"first\n\x1b[2Jsecond\r\xe2\x80\xaethird\n\xff")
        shown = folder.last_lines("api")
        assert all(part.isprintable() for part in shown.split("\n"))
        assert "\\x1b[2Jsecond\\r\\u202ethird" in shown

    def test_they_are_those_of_this_run_after_a_rotation(self, folder: DataFolder) -> None:
        (folder.path / "logs" / "api.log").write_text("an earlier run\n")
        with folder.log("api") as log:
            log.write(b"x" * 20_000 + b"\n")
            log.flush()
            folder.rotate()
            log.write(b"the end\n")
        assert folder.last_lines("api") == ":\n  the end"
