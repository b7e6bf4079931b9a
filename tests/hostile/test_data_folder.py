"""Other users of the machine, and damage, against the data folder of `nukki up`."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nukki import private_files, secrets_file
from nukki.data_folder import DataFolder
from nukki.redis_server import require_not_older
from nukki.stack import Stack
from shared import webhooks
from shared.errors import ConfigError
from shared.storage.local import LocalStorage

OTHERS = 0o077


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that was started under a loose umask, on a folder that is open to others."""
    data = tmp_path_factory.mktemp("stack") / "data"
    (data / "logs").mkdir(parents=True)
    for folder in (data, data / "logs"):
        folder.chmod(0o777)
    before = os.umask(0o000)
    try:
        with Stack(data, say=lambda _line: None) as stack:
            yield stack
    finally:
        os.umask(before)


def test_every_process_of_a_stack_keeps_its_files_to_itself(running: Stack) -> None:
    roots = [running.pid(name) for name in ("redis", "worker", "courier", "api")]
    below = [child.pid for pid in roots for child in psutil.Process(pid).children(recursive=True)]
    assert len(below) >= 1  # the worker itself
    for pid in [*roots, *below]:
        status = Path(f"/proc/{pid}/status").read_text()
        assert "Umask:\t0077" in status


def test_no_file_of_a_stack_is_open_to_other_users(running: Stack) -> None:
    found = [running.data, *running.data.rglob("*")]
    names = {path.name for path in found}
    assert {"secrets.json", "redis.conf", "api.log", ".upload-secret", "nukki.lock"} <= names
    loose = {str(path): oct(path.stat().st_mode) for path in found if path.stat().st_mode & OTHERS}
    assert loose == {}


def _prepare(data: Path, lines: list[str]) -> None:
    folder = DataFolder(data)
    folder.prepare(lines.append)
    folder.release()


class TestModes:
    def test_an_open_folder_is_closed_with_a_line(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        (data / "storage").mkdir(parents=True)
        data.chmod(0o755)
        (data / "storage").chmod(0o770)
        lines: list[str] = []
        _prepare(data, lines)
        assert [stat.S_IMODE(path.stat().st_mode) for path in (data, data / "storage")] == [
            0o700
        ] * 2
        assert lines == [
            f"data     {data} was open to other users (0755); now it is not (0700)",
            f"data     {data}/storage was open to other users (0770); now it is not (0700)",
        ]

    def test_a_folder_of_other_things_is_left_as_it_is(self, tmp_path: Path) -> None:
        shared = tmp_path / "shared"
        shared.mkdir()
        (shared / "letter.txt").touch()
        shared.chmod(0o755)
        lines: list[str] = []
        _prepare(shared, lines)
        assert stat.S_IMODE(shared.stat().st_mode) == 0o755
        assert lines == []
        for name in ("redis", "logs"):
            assert stat.S_IMODE((shared / name).stat().st_mode) == 0o700

    def test_a_link_to_another_disk_is_left_as_it_is(self, tmp_path: Path) -> None:
        disk, data = tmp_path / "disk", tmp_path / "data"
        disk.mkdir(0o755)
        disk.chmod(0o755)
        data.mkdir()
        (data / "storage").symlink_to(disk)
        _prepare(data, [])
        assert stat.S_IMODE(disk.stat().st_mode) == 0o755


SECRET = webhooks.new_secret()
GOOD = {"redis": "0" * 48, "webhook:shop": SECRET}
DAMAGED = {
    "empty": b"",
    "blank": b"\n \n",
    "zeros, as after a power failure": b"\0" * 138,
    "cut short": json.dumps(GOOD).encode()[:60],
    "not JSON": b"hello",
    "not UTF-8": b"\xff\xfe{}",
    "an empty object": b"{}",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"redis"',
    "deep": b"[" * 100_000,
    "no password": json.dumps({"webhook:shop": SECRET}).encode(),
    "an empty password": json.dumps(GOOD | {"redis": ""}).encode(),
    "a password with a line end": json.dumps(GOOD | {"redis": "x" * 20 + "\nport 1"}).encode(),
    "a number": json.dumps(GOOD | {"redis": 7}).encode(),
    "a short secret": json.dumps(GOOD | {"webhook:shop": "whsec_AAAA"}).encode(),
    "a secret that is none": json.dumps(GOOD | {"webhook:shop": "whsec_$$$"}).encode(),
    "no secret": json.dumps(GOOD | {"webhook:shop": None}).encode(),
    "another name": json.dumps(GOOD | {"other": SECRET}).encode(),
}


class TestSecrets:
    @pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
    def test_a_damaged_file_is_named_and_left_as_it_is(
        self, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "secrets.json"
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"secrets\.json is (empty|damaged): restore"):
            secrets_file.kept(path, ["shop"])
        assert path.read_bytes() == content

    def test_a_file_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "secrets.json"
        path.mkdir()
        with pytest.raises(ConfigError, match=r"cannot read .*secrets\.json"):
            secrets_file.kept(path, ["shop"])

    def test_the_command_says_so_in_one_line_and_exits_78(self, tmp_path: Path) -> None:
        (tmp_path / "secrets.json").touch()
        argv = [sys.executable, "-m", "nukki", "up", "--data", str(tmp_path), "--port", "0"]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == os.EX_CONFIG
        (line,) = ran.stderr.splitlines()
        assert "secrets.json is empty" in line

    def test_a_new_tenant_is_added_and_nothing_else_changes(self, tmp_path: Path) -> None:
        path = tmp_path / "secrets.json"
        first = secrets_file.kept(path, ["redis"])
        both = secrets_file.kept(path, ["redis", "shop"])
        assert both.items() > first.items()
        assert secrets_file.kept(path, ["shop"]) == both
        assert {pair.partition(":")[0] for pair in secrets_file.signing(both).split(",")} == {
            "redis",
            "shop",
        }

    def test_a_lost_file_is_told(self, tmp_path: Path) -> None:
        folder = DataFolder(tmp_path)
        before = folder.has_lost_secrets
        (tmp_path / "redis" / "appendonlydir").mkdir(parents=True)
        assert (before, folder.has_lost_secrets) == (False, True)


class TestReplacing:
    def test_a_failure_leaves_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "note"
        private_files.replace(path, "old")

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            private_files.replace(path, "new")
        assert path.read_text() == "old"
        assert [item.name for item in tmp_path.iterdir()] == ["note"]

    def test_what_a_killed_process_left_is_in_nobodys_way(self, tmp_path: Path) -> None:
        (tmp_path / ".note.new").write_text("half")
        (tmp_path / ".note.new").chmod(0o666)
        private_files.replace(tmp_path / "note", "whole")
        assert (tmp_path / "note").read_text() == "whole"
        assert stat.S_IMODE((tmp_path / "note").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "7", "\0\0\0", "seven.two", "7.0.15 or so"])
def test_a_damaged_note_of_redis_version_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "redis-version").write_text(content)
    with pytest.raises(ConfigError, match="redis-version is damaged"):
        require_not_older((7, 0, 15), tmp_path)


@pytest.mark.parametrize("content", ["", "\0" * 64, "f" * 63, "g" * 64])
def test_a_damaged_upload_secret_is_named(tmp_path: Path, content: str) -> None:
    LocalStorage(tmp_path)
    (tmp_path / ".upload-secret").write_text(content)
    with pytest.raises(ConfigError, match=r"upload-secret is damaged"):
        LocalStorage(tmp_path)
