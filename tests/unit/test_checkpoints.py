"""The models folder, and every way that weights get into it or are kept out."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import shutil
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner, Result
from moto.server import ThreadedMotoServer

from nukki.command import main
from shared.checkpoints import CATALOGUE, Choice, Model, ModelsFolder, best_present, find, resolve
from shared.checkpoints.folder import DigestCheck, parsed_digest
from shared.checkpoints.pull import Pulled, pull
from shared.checkpoints.sources import bare
from shared.errors import CheckpointError, ConfigError, StorageUnavailable, UrlUnavailable
from shared.settings import ModelSettings, StorageSettings

BODY = os.urandom(700_001)
DIGEST = hashlib.sha256(BODY).hexdigest()
OTHER = os.urandom(700_001)
NAME = "sam2.1_hiera_tiny"


@dataclass
class FileServer:
    """One file over real HTTP, with the faults that servers have."""

    body: bytes = BODY
    etag: str | None = '"one"'
    status: int = 200
    ranges: bool = True
    if_range: bool = True
    #: Bytes after which the next answers break off, each in its turn; None: it does not.
    breaks: list[int | None] = field(default_factory=list)
    #: Held back until set.
    gate: threading.Event | None = None
    redirect: str | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/weights.pt"

    def part(self, headers: dict[str, str]) -> tuple[int, int]:
        """The status, and where the answer begins."""
        wanted = headers.get("range", "")
        if not self.ranges or not wanted:
            return self.status, 0
        if self.if_range and headers.get("if-range", self.etag) != self.etag:
            return self.status, 0
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        return (206, start) if start < len(self.body) else (416, len(self.body))


@pytest.fixture
def server() -> Iterator[FileServer]:
    shelf = FileServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            shelf.asked.append(headers)
            if shelf.redirect:
                self.send_response(302)
                self.send_header("Location", shelf.redirect)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            status, start = shelf.part(headers)
            content = shelf.body[start:]
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if shelf.etag:
                self.send_header("ETag", shelf.etag)
            if status == 206:
                last, size = len(shelf.body) - 1, len(shelf.body)
                self.send_header("Content-Range", f"bytes {start}-{last}/{size}")
            if status == 416:
                self.send_header("Content-Range", f"bytes */{len(shelf.body)}")
            self.end_headers()
            broken = shelf.breaks.pop(0) if shelf.breaks else None
            half = len(content) // 2
            self.wfile.write(content[:half] if broken is None else content[:broken])
            self.wfile.flush()
            if shelf.gate:
                shelf.gate.wait(20)
            if broken is None:
                self.wfile.write(content[half:])
            else:
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    shelf.port = listener.server_port
    thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
    thread.start()
    yield shelf
    listener.shutdown()
    listener.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.checkpoints.pull._PAUSE", 0.0)
    for name in [name for name in os.environ if name.startswith(("NUKKI_", "S3_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def folder(tmp_path: Path) -> ModelsFolder:
    return ModelsFolder(tmp_path / "models")


@pytest.fixture
def model(server: FileServer) -> Model:
    """A published model whose file is the server's."""
    return replace(find(NAME), url=server.url, sha256=DIGEST, size=len(BODY))


@pytest.fixture
def unpinned(model: Model) -> Model:
    return replace(model, sha256=None)


@pytest.fixture
def settings() -> StorageSettings:
    return StorageSettings.load()


def _names(folder: ModelsFolder) -> set[str]:
    """What is in the folder but the lock."""
    return {path.name for path in folder.path.iterdir() if not path.name.endswith(".lock")}


WHOLE = {"sam2.1_hiera_tiny.pt", "sam2.1_hiera_tiny.sha256"}


class TestCatalogue:
    def test_each_pinned_digest_has_two_sources(self) -> None:
        for model in CATALOGUE.values():
            if model.sha256 is not None:
                assert parsed_digest(model.sha256) == model.sha256
                assert len({source.split("/")[2] for source in model.sources}) >= 2

    def test_what_the_issue_knew_of_the_digests_holds(self) -> None:
        begins = {
            "sam2.1_hiera_tiny": "7402e0d8",
            "sam2.1_hiera_base_plus": "a2345aed",
            "sam_vit_h": "a7bf3b02",
        }
        assert {name: (find(name).sha256 or "")[:8] for name in begins} == begins

    def test_every_file_is_its_own_and_comes_from_meta_by_https(self) -> None:
        models = CATALOGUE.values()
        assert len({model.file for model in models}) == len({m.sha256 for m in models}) == 7
        for model in models:
            assert model.url.startswith("https://dl.fbaipublicfiles.com/")
            assert model.url.endswith(f"/{model.file}")

    def test_an_unknown_name_is_named_with_those_there_are(self) -> None:
        with pytest.raises(ConfigError, match=r"no such model: sam9 \(choose .*sam_vit_b\)"):
            find("sam9")

    def test_grabcut_has_no_weights(self) -> None:
        with pytest.raises(ConfigError, match="grabcut has no weights"):
            find("grabcut")


class TestHttp:
    def test_a_pull_brings_the_file_and_remembers_its_digest(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        seen: list[tuple[int, int | None]] = []
        pulled = pull(
            model, folder, settings, progress=lambda done, total: seen.append((done, total))
        )
        assert pulled == Pulled(folder.weights(model), DIGEST, fresh=True)
        assert pulled.path.read_bytes() == BODY
        assert _names(folder) == WHOLE
        assert (seen[0], seen[-1]) == ((0, len(BODY)), (len(BODY), len(BODY)))
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert folder.is_verified(model)
        assert "range" not in server.asked[0]

    def test_what_is_there_and_right_is_not_pulled_again(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        pull(model, folder, settings)
        assert not pull(model, folder, settings).fresh
        assert len(server.asked) == 1

    def test_what_is_there_and_wrong_is_pulled_again(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings
    ) -> None:
        folder.path.mkdir()
        folder.weights(model).write_bytes(OTHER)
        lines: list[str] = []
        assert pull(model, folder, settings, say=lines.append).fresh
        assert folder.weights(model).read_bytes() == BODY
        assert "has the wrong digest" in lines[0]

    def test_a_pull_that_broke_off_goes_on_from_there(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.breaks = [300_000]
        with pytest.raises(UrlUnavailable, match=r"0\.3 MB are kept, the same command continues"):
            pull(model, folder, settings, tries=1)
        assert _names(folder) == {
            "sam2.1_hiera_tiny.pt.partial",
            "sam2.1_hiera_tiny.pt.partial.json",
        }
        seen: list[int] = []
        pull(model, folder, settings, progress=lambda done, _: seen.append(done))
        assert server.asked[1]["range"] == "bytes=300000-"
        assert server.asked[1]["if-range"] == '"one"'
        assert seen[0] == 300_000
        assert folder.weights(model).read_bytes() == BODY
        assert _names(folder) == WHOLE

    def test_a_pull_that_was_stopped_goes_on_from_there(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        def stop(done: int, _total: int | None) -> None:
            if done > 200_000:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            pull(model, folder, settings, progress=stop)
        assert not folder.has(model)
        kept = (folder.path / f"{model.file}.partial").stat().st_size
        assert kept > 200_000
        assert pull(model, folder, settings).fresh
        assert server.asked[1]["range"] == f"bytes={kept}-"

    def test_a_connection_that_breaks_is_taken_up_again_by_itself(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.breaks = [200_000, 100_000, 50_000]
        lines: list[str] = []
        assert pull(model, folder, settings, say=lines.append).fresh
        assert [asked.get("range") for asked in server.asked] == [
            None,
            "bytes=200000-",
            "bytes=300000-",
            "bytes=350000-",
        ]
        assert len(lines) == 3
        assert all("are kept; trying again" in line for line in lines)

    def test_it_gives_up_where_a_try_brings_nothing(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.breaks = [200_000, 0, 0, 0, 0, 0]
        with pytest.raises(UrlUnavailable, match="are kept"):
            pull(model, folder, settings, tries=5)
        assert len(server.asked) == 2

    def test_a_server_that_ignores_the_range_is_taken_from_the_beginning(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.breaks, server.ranges = [300_000], False
        assert pull(model, folder, settings).fresh
        assert len(server.asked) == 2
        assert folder.weights(model).read_bytes() == BODY

    @pytest.mark.parametrize("if_range", [True, False], ids=["knows If-Range", "ignores If-Range"])
    def test_a_file_that_changed_meanwhile_is_taken_from_the_beginning(
        self,
        model: Model,
        folder: ModelsFolder,
        settings: StorageSettings,
        server: FileServer,
        if_range: bool,
    ) -> None:
        server.body, server.etag, server.breaks = OTHER, '"old"', [300_000]
        with pytest.raises(UrlUnavailable):
            pull(model, folder, settings, tries=1)
        server.body, server.etag, server.if_range = BODY, '"new"', if_range
        assert pull(model, folder, settings).fresh
        assert folder.weights(model).read_bytes() == BODY

    @pytest.mark.parametrize("etag", [None, 'W/"weak"'])
    def test_without_a_strong_validator_it_starts_over(
        self,
        model: Model,
        folder: ModelsFolder,
        settings: StorageSettings,
        server: FileServer,
        etag: str | None,
    ) -> None:
        server.etag, server.breaks = etag, [300_000]
        lines: list[str] = []
        assert pull(model, folder, settings, say=lines.append).fresh
        assert "trying again" in lines[0]
        assert "kept" not in lines[0]
        assert "range" not in server.asked[1]

    def test_the_part_of_another_source_is_not_gone_on_with(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.breaks = [300_000]
        with pytest.raises(UrlUnavailable):
            pull(model, folder, settings, tries=1)
        assert pull(model, folder, settings, source=server.url + "2").fresh
        assert "range" not in server.asked[1]

    def test_a_part_that_lacks_nothing_is_only_checked(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.breaks = [len(BODY) - 1]
        with pytest.raises(UrlUnavailable):
            pull(model, folder, settings, tries=1)
        with (folder.path / f"{model.file}.partial").open("ab") as file:
            file.write(BODY[-1:])
        assert pull(model, folder, settings).fresh
        assert len(server.asked) == 2

    def test_a_damaged_part_is_found_out_deleted_and_pulled_anew(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.breaks = [300_000]
        with pytest.raises(UrlUnavailable):
            pull(model, folder, settings, tries=1)
        partial = folder.path / f"{model.file}.partial"
        partial.write_bytes(OTHER[:300_000])
        with pytest.raises(CheckpointError, match="it was deleted"):
            pull(model, folder, settings)
        assert _names(folder) == set()
        assert pull(model, folder, settings).fresh

    def test_a_wrong_digest_is_refused_and_the_file_deleted(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.body = OTHER
        wrong = hashlib.sha256(OTHER).hexdigest()
        with pytest.raises(CheckpointError, match=f"{wrong}, not {DIGEST}; it was deleted"):
            pull(model, folder, settings)
        assert _names(folder) == set()

    def test_a_missing_file_is_named(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.status = 404
        with pytest.raises(CheckpointError, match=r"weights\.pt answered 404"):
            pull(model, folder, settings)
        assert _names(folder) == set()

    def test_an_overloaded_server_may_answer_later(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.status = 503
        with pytest.raises(UrlUnavailable, match="answered 503"):
            pull(model, folder, settings)

    def test_a_server_that_is_not_there_is_named_without_its_secrets(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings
    ) -> None:
        source = "http://me:secret@127.0.0.1:9/w.pt?signature=secret"
        with pytest.raises(UrlUnavailable, match=r"http://127\.0\.0\.1:9/w\.pt: ") as caught:
            pull(model, folder, settings, source=source)
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("source", "complaint"),
        [
            ("http://example.com/w.pt", "http://example.com/w.pt is not https"),
            ("http://127.0.0.1.example.com/w.pt", "is not https"),
            ("ftp://example.com/w.pt", "cannot pull from ftp://"),
            ("https://host:bad/w.pt", "is not a valid URL"),
            ("s3://bucket", "is not s3://bucket/key"),
        ],
    )
    def test_other_sources_are_refused(
        self,
        model: Model,
        folder: ModelsFolder,
        settings: StorageSettings,
        source: str,
        complaint: str,
    ) -> None:
        with pytest.raises(ConfigError, match=complaint):
            pull(model, folder, settings, source=source)

    def test_a_redirect_to_plain_http_is_refused(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.redirect = "http://example.com/w.pt"
        with pytest.raises(ConfigError, match=r"http://example\.com/w\.pt is not https"):
            pull(model, folder, settings)

    def test_nothing_is_seen_under_the_final_name_before_it_is_whole(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.gate = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            pulling = pool.submit(pull, model, folder, settings)
            _until((folder.path / f"{model.file}.partial").exists)
            assert not folder.has(model)
            assert best_present(folder.path) is None
            server.gate.set()
            assert pulling.result(20).fresh
        assert folder.has(model)

    def test_of_two_pulls_at_once_one_does_the_work(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.gate = threading.Event()
        lines: list[str] = []
        with ThreadPoolExecutor(4) as pool:
            first = pool.submit(pull, model, folder, settings)
            _until(lambda: bool(server.asked))
            others = [
                pool.submit(pull, model, folder, settings, say=lines.append) for _ in range(3)
            ]
            _until(lambda: len(lines) == 3)
            server.gate.set()
            assert first.result(20).fresh
            assert not any(other.result(20).fresh for other in others)
        assert lines == ["another process is already pulling sam2.1_hiera_tiny; waiting for it"] * 3
        assert len(server.asked) == 1
        assert folder.weights(model).read_bytes() == BODY


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class TestRoom:
    def test_too_little_room_is_said_before_the_download(
        self,
        model: Model,
        folder: ModelsFolder,
        settings: StorageSettings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**9, 10**9, 100_000))
        with pytest.raises(CheckpointError, match=r"has 0\.1 MB free, but 0\.7 MB are needed"):
            pull(model, folder, settings)
        assert not folder.has(model)

    def test_a_disk_that_fills_up_is_named(
        self,
        model: Model,
        folder: ModelsFolder,
        settings: StorageSettings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def full(_handle: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(CheckpointError, match=r"cannot write in .*: No space left on device"):
            pull(model, folder, settings)
        assert not folder.has(model)

    def test_a_folder_that_cannot_be_made_is_named(
        self, model: Model, tmp_path: Path, settings: StorageSettings
    ) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(CheckpointError, match=r"cannot write in .*: Not a directory"):
            pull(model, ModelsFolder(tmp_path / "file" / "models"), settings)


class TestFile:
    def test_a_local_file_is_copied(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, tmp_path: Path
    ) -> None:
        source = tmp_path / "mine.pt"
        source.write_bytes(BODY)
        assert pull(model, folder, settings, source=str(source)).fresh
        assert _names(folder) == WHOLE
        assert source.read_bytes() == BODY

    def test_a_wrong_local_file_is_left_alone(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, tmp_path: Path
    ) -> None:
        source = tmp_path / "mine.pt"
        source.write_bytes(OTHER)
        with pytest.raises(CheckpointError, match="it was deleted"):
            pull(model, folder, settings, source=str(source))
        assert _names(folder) == set()
        assert source.read_bytes() == OTHER

    def test_a_missing_one_is_named(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, tmp_path: Path
    ) -> None:
        with pytest.raises(CheckpointError, match=r"cannot read .*nothing\.pt: No such file"):
            pull(model, folder, settings, source=str(tmp_path / "nothing.pt"))


class TestDigest:
    def test_without_a_pinned_digest_one_is_asked_for(
        self, unpinned: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        with pytest.raises(ConfigError, match="pass it with --sha256"):
            pull(unpinned, folder, settings)
        assert not server.asked

    def test_the_given_one_is_checked_and_remembered(
        self, unpinned: Model, folder: ModelsFolder, settings: StorageSettings
    ) -> None:
        with pytest.raises(CheckpointError, match="it was deleted"):
            pull(unpinned, folder, settings, sha256="0" * 64)
        assert folder.expected(unpinned) is None
        assert pull(unpinned, folder, settings, sha256=DIGEST.upper()).fresh
        assert folder.expected(unpinned) == DIGEST
        assert not pull(unpinned, folder, settings).fresh
        assert (folder.path / f"{NAME}.sha256").read_text() == f"{DIGEST}  {unpinned.file}\n"

    def test_another_than_the_pinned_one_is_refused(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        with pytest.raises(ConfigError, match="--checkpoint FILE"):
            pull(model, folder, settings, sha256="0" * 64)
        assert not server.asked

    @pytest.mark.parametrize("text", ["", "abc", "g" * 64, "0" * 65])
    def test_what_is_no_digest_is_refused(self, text: str) -> None:
        with pytest.raises(ConfigError, match="64 hexadecimal digits"):
            parsed_digest(text)

    def test_weights_written_since_are_no_longer_verified(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings
    ) -> None:
        pull(model, folder, settings)
        folder.weights(model).write_bytes(OTHER)
        later = time.time() + 5
        os.utime(folder.weights(model), (later, later))
        assert not folder.is_verified(model)
        assert folder.verify(model) == (DigestCheck.WRONG, hashlib.sha256(OTHER).hexdigest())

    def test_verify_finds_what_changed_under_the_same_time(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings
    ) -> None:
        pull(model, folder, settings)
        written = folder.weights(model).stat().st_mtime
        folder.weights(model).write_bytes(OTHER)
        os.utime(folder.weights(model), (written, written))
        assert folder.is_verified(model)
        assert folder.verify(model)[0] is DigestCheck.WRONG
        assert not folder.is_verified(model)
        folder.weights(model).write_bytes(BODY)
        assert folder.verify(model) == (DigestCheck.OK, DIGEST)
        assert folder.is_verified(model)

    def test_verify_does_without_writing_where_it_may_not(
        self,
        model: Model,
        folder: ModelsFolder,
        settings: StorageSettings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        pull(model, folder, settings)

        def refused(*_: object) -> None:
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr(ModelsFolder, "remember", refused)
        monkeypatch.setattr(os, "utime", refused)
        assert folder.verify(model)[0] is DigestCheck.OK
        folder.weights(model).write_bytes(OTHER)
        assert folder.verify(model)[0] is DigestCheck.WRONG

    def test_verify_says_what_it_cannot_know(self, unpinned: Model, folder: ModelsFolder) -> None:
        assert folder.verify(unpinned) == (DigestCheck.MISSING, "")
        folder.path.mkdir()
        folder.weights(unpinned).write_bytes(BODY)
        assert folder.verify(unpinned) == (DigestCheck.UNKNOWN, DIGEST)
        (folder.path / f"{NAME}.sha256").write_text("no digest at all")
        assert folder.verify(unpinned) == (DigestCheck.UNKNOWN, DIGEST)


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """S3 settings of a real server with the file at s3://weights/tiny.pt."""
    moto = ThreadedMotoServer("127.0.0.1", 0)
    moto.start()
    host, port = moto.get_host_and_port()
    named = {
        "s3_endpoint": f"http://{host}:{port}",
        "s3_access_key": "key",
        "s3_secret_key": "secret",
    }
    with closing(_s3_client(named)) as client:
        client.create_bucket(Bucket="weights")
        client.put_object(Bucket="weights", Key="tiny.pt", Body=BODY)
        client.put_object(Bucket="weights", Key="other.pt", Body=OTHER)
    yield named
    moto.stop()


def _s3_client(named: dict[str, str]) -> boto3.client:
    return boto3.client(
        "s3",
        endpoint_url=named["s3_endpoint"],
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )


@pytest.mark.s3
class TestS3:
    def test_an_object_is_pulled(
        self, model: Model, folder: ModelsFolder, s3: dict[str, str]
    ) -> None:
        assert pull(model, folder, StorageSettings.load(**s3), source="s3://weights/tiny.pt").fresh
        assert folder.weights(model).read_bytes() == BODY
        assert _names(folder) == WHOLE

    @pytest.mark.parametrize("etag", [True, False], ids=["same version", "other version"])
    def test_a_part_is_gone_on_with_if_it_is_of_the_same_version(
        self, model: Model, folder: ModelsFolder, s3: dict[str, str], etag: bool
    ) -> None:
        with closing(_s3_client(s3)) as client:
            same = client.head_object(Bucket="weights", Key="tiny.pt")["ETag"]
        source, partial = "s3://weights/tiny.pt", folder.path / f"{model.file}.partial"
        folder.path.mkdir()
        partial.write_bytes((BODY if etag else OTHER)[:300_000])
        note = {"source": source, "validator": same if etag else '"other"'}
        partial.with_name(f"{partial.name}.json").write_text(json.dumps(note))
        seen: list[int] = []
        settings = StorageSettings.load(**s3)
        pull(model, folder, settings, source=source, progress=lambda done, _: seen.append(done))
        assert seen[0] == (300_000 if etag else 0)
        assert folder.weights(model).read_bytes() == BODY

    def test_a_wrong_object_is_refused_and_deleted(
        self, model: Model, folder: ModelsFolder, s3: dict[str, str]
    ) -> None:
        with pytest.raises(CheckpointError, match=r"s3://weights/other\.pt has .* was deleted"):
            pull(model, folder, StorageSettings.load(**s3), source="s3://weights/other.pt")
        assert _names(folder) == set()

    @pytest.mark.parametrize("source", ["s3://weights/nothing.pt", "s3://nothing/tiny.pt"])
    def test_a_missing_one_is_named(
        self, model: Model, folder: ModelsFolder, s3: dict[str, str], source: str
    ) -> None:
        with pytest.raises(CheckpointError, match=f"{source}: there is no such object"):
            pull(model, folder, StorageSettings.load(**s3), source=source)

    def test_a_server_that_is_not_there_may_come_back(
        self, model: Model, folder: ModelsFolder, s3: dict[str, str]
    ) -> None:
        settings = StorageSettings.load(**s3 | {"s3_endpoint": "http://127.0.0.1:9"})
        with pytest.raises(StorageUnavailable, match=r"s3://weights/tiny\.pt: "):
            pull(model, folder, settings, source="s3://weights/tiny.pt")


class TestChoice:
    def test_the_best_present_is_chosen_else_grabcut(self, folder: ModelsFolder) -> None:
        settings = ModelSettings.load(models_dir=folder.path)
        assert best_present(folder.path) is None
        assert resolve(settings) == Choice("grabcut")
        folder.path.mkdir()
        order = ["vit_b", "vit_l", "vit_h", "tiny", "small", "base_plus", "large"]
        for part in order:
            model = next(model for name, model in CATALOGUE.items() if name.endswith(part))
            folder.weights(model).touch()
            assert best_present(folder.path) == model
            assert resolve(settings) == Choice(model.name, folder.weights(model))

    def test_a_named_model_has_its_weights_in_the_folder(self, folder: ModelsFolder) -> None:
        settings = ModelSettings.load(models_dir=folder.path, model=NAME)
        with pytest.raises(ConfigError, match=f"nukki models pull {NAME}$"):
            resolve(settings)
        folder.path.mkdir()
        folder.weights(find(NAME)).touch()
        assert resolve(settings) == Choice(NAME, folder.weights(find(NAME)))

    def test_a_named_checkpoint_wins_over_the_folder(self, folder: ModelsFolder) -> None:
        settings = ModelSettings.load(
            models_dir=folder.path, model=NAME, checkpoint=Path("mine.pt")
        )
        assert resolve(settings) == Choice(NAME, Path("mine.pt"))

    def test_a_checkpoint_alone_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="needs its model's name"):
            resolve(ModelSettings.load(checkpoint=Path("mine.pt")))

    @pytest.mark.parametrize("checkpoint", [None, Path("mine.pt")])
    def test_an_unknown_model_is_named(self, checkpoint: Path | None) -> None:
        with pytest.raises(ConfigError, match=r"no such model: sam9 \(choose grabcut, sam2\.1"):
            resolve(ModelSettings.load(model="sam9", checkpoint=checkpoint))

    def test_the_environment_names_a_model_as_well(
        self, folder: ModelsFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder.path.mkdir()
        folder.weights(find(NAME)).touch()
        monkeypatch.setenv("NUKKI_MODELS_DIR", str(folder.path))
        monkeypatch.setenv("NUKKI_MODEL", "grabcut")
        assert resolve(ModelSettings.load()) == Choice("grabcut")


@pytest.fixture
def nukki(
    folder: ModelsFolder, model: Model, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """The command, in a world where the tiny model's file is the server's."""
    monkeypatch.setenv("NUKKI_MODELS_DIR", str(folder.path))
    monkeypatch.setitem(CATALOGUE, NAME, model)
    return lambda *arguments: CliRunner().invoke(main, ["models", *arguments])


def _row(listed: Result) -> list[str]:
    """What `list` says of the tiny model."""
    (line,) = [line for line in listed.output.splitlines() if line.startswith(f"{NAME} ")]
    return re.split(r" {2,}", line)[1:]


class TestCommand:
    def test_pull_list_verify_and_path(
        self, nukki: Callable[..., Result], folder: ModelsFolder
    ) -> None:
        path = folder.weights(find(NAME))
        assert _row(nukki("list")) == ["-", "-", "1 MB", "pinned"]
        assert "would serve grabcut" in nukki("list").output
        missing = nukki("path", NAME)
        assert missing.exit_code == 1
        assert f"nukki models pull {NAME}" in missing.stderr

        pulled = nukki("pull", NAME)
        assert pulled.exit_code == 0, pulled.output
        assert f"{path}  (pulled and verified, SHA-256 {DIGEST})" in pulled.stdout
        assert find(NAME).file in pulled.stderr
        assert "already there, verified" in nukki("pull", NAME).stdout

        assert nukki("path", NAME).stdout == f"{path}\n"
        assert _row(nukki("list")) == ["present", "yes", "1 MB", "pinned"]
        assert f"would serve {NAME}" in nukki("list").output
        assert nukki("verify").output == f"{NAME}  ok\n"
        assert nukki("verify", NAME).exit_code == 0

        path.write_bytes(OTHER)
        wrong = nukki("verify")
        assert wrong.exit_code == 1
        assert f"{NAME}  wrong: " in wrong.output
        assert _row(nukki("list")) == ["present", "no", "1 MB", "pinned"]

    def test_verify_with_nothing_there(self, nukki: Callable[..., Result]) -> None:
        assert nukki("verify").exit_code == 0
        named = nukki("verify", NAME)
        assert named.exit_code == 1
        assert f"nukki models pull {NAME}" in named.output

    def test_a_model_without_a_digest_asks_for_it(
        self, nukki: Callable[..., Result], unpinned: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(CATALOGUE, NAME, unpinned)
        assert _row(nukki("list")) == ["-", "-", "1 MB", "none"]
        refused = nukki("pull", NAME)
        assert refused.exit_code == 1
        assert "pass it with --sha256" in refused.stderr
        assert nukki("pull", NAME, "--sha256", DIGEST).exit_code == 0
        assert _row(nukki("list")) == ["present", "yes", "1 MB", "remembered"]

    def test_another_source_and_another_folder(
        self, nukki: Callable[..., Result], folder: ModelsFolder, tmp_path: Path
    ) -> None:
        (tmp_path / "mine.pt").write_bytes(BODY)
        elsewhere = tmp_path / "elsewhere"
        done = nukki("pull", NAME, "--from", str(tmp_path / "mine.pt"), "--dir", str(elsewhere))
        assert done.exit_code == 0
        assert (elsewhere / find(NAME).file).read_bytes() == BODY
        assert not folder.path.exists()
        assert nukki("path", NAME, "--dir", str(elsewhere)).exit_code == 0

    @pytest.mark.parametrize("command", ["pull", "verify", "path"])
    def test_an_unknown_model_is_named(self, nukki: Callable[..., Result], command: str) -> None:
        refused = nukki(command, "sam9")
        assert refused.exit_code == 1
        assert "Error: no such model: sam9" in refused.stderr

    def test_a_wrong_file_leaves_with_one_line(
        self, nukki: Callable[..., Result], server: FileServer
    ) -> None:
        server.body = OTHER
        refused = nukki("pull", NAME)
        assert refused.exit_code == 1
        assert "it was deleted" in refused.stderr
        assert "Traceback" not in refused.output

    @pytest.mark.usefixtures("nukki")
    def test_up_says_how_to_get_missing_weights(self) -> None:
        refused = CliRunner().invoke(main, ["up", "--model", NAME])
        assert refused.exit_code == 1
        assert f"get them with: nukki models pull {NAME}" in refused.stderr


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("https://me:secret@host:8/a/b.pt?key=secret#x", "https://host:8/a/b.pt"),
        ("s3://bucket/a/b.pt", "s3://bucket/a/b.pt"),
        ("/a/b?c.pt", "/a/b?c.pt"),
    ],
)
def test_what_may_be_secret_in_a_source_is_not_shown(source: str, shown: str) -> None:
    assert bare(source) == shown
