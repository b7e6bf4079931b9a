"""Pulling weights over HTTP: resuming, refusals, concurrent pulls."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.checkpoints import Model, ModelsFolder, best_present
from shared.checkpoints.pull import Pulled, pull
from shared.errors import CheckpointError, ConfigError, UrlUnavailable
from shared.settings import StorageSettings
from tests.checkpoints import (
    BODY,
    DIGEST,
    OTHER,
    WHOLE,
    FileServer,
    file_names,
    wait_until,
)


class TestHttp:
    def test_a_pull_downloads_the_file_and_records_its_digest(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        seen: list[tuple[int, int | None]] = []
        pulled = pull(
            model, folder, settings, progress=lambda done, total: seen.append((done, total))
        )
        assert pulled == Pulled(folder.weights(model), DIGEST, fresh=True)
        assert pulled.path.read_bytes() == BODY
        assert file_names(folder) == WHOLE
        assert (seen[0], seen[-1]) == ((0, len(BODY)), (len(BODY), len(BODY)))
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert folder.is_verified(model)
        assert "range" not in server.asked[0]

    def test_a_file_with_the_right_digest_is_not_pulled_again(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        pull(model, folder, settings)
        assert not pull(model, folder, settings).fresh
        assert len(server.asked) == 1

    def test_a_file_with_the_wrong_digest_is_pulled_again(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings
    ) -> None:
        folder.path.mkdir()
        folder.weights(model).write_bytes(OTHER)
        lines: list[str] = []
        assert pull(model, folder, settings, say=lines.append).fresh
        assert folder.weights(model).read_bytes() == BODY
        assert "has the wrong digest" in lines[0]

    def test_a_failed_download_is_resumed(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.breaks = [300_000]
        with pytest.raises(UrlUnavailable, match=r"0\.3 MB are kept, the same command continues"):
            pull(model, folder, settings, tries=1)
        assert file_names(folder) == {
            "sam2.1_hiera_tiny.pt.partial",
            "sam2.1_hiera_tiny.pt.partial.json",
        }
        seen: list[int] = []
        pull(model, folder, settings, progress=lambda done, _: seen.append(done))
        assert server.asked[1]["range"] == "bytes=300000-"
        assert server.asked[1]["if-range"] == '"one"'
        assert seen[0] == 300_000
        assert folder.weights(model).read_bytes() == BODY
        assert file_names(folder) == WHOLE

    def test_an_interrupted_pull_is_resumed(
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

    def test_a_dropped_connection_is_retried_automatically(
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

    def test_an_attempt_without_progress_ends_the_retries(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.breaks = [200_000, 0, 0, 0, 0, 0]
        with pytest.raises(UrlUnavailable, match="are kept"):
            pull(model, folder, settings, tries=5)
        assert len(server.asked) == 2

    def test_a_server_that_ignores_range_restarts_the_download(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.breaks, server.ranges = [300_000], False
        assert pull(model, folder, settings).fresh
        assert len(server.asked) == 2
        assert folder.weights(model).read_bytes() == BODY

    @pytest.mark.parametrize(
        "if_range", [True, False], ids=["supports If-Range", "ignores If-Range"]
    )
    def test_a_file_changed_on_the_server_restarts_the_download(
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
    def test_without_a_strong_etag_the_download_restarts(
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

    def test_a_partial_file_from_another_source_is_not_resumed(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.breaks = [300_000]
        with pytest.raises(UrlUnavailable):
            pull(model, folder, settings, tries=1)
        assert pull(model, folder, settings, source=server.url + "2").fresh
        assert "range" not in server.asked[1]

    def test_a_complete_partial_file_is_only_verified(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.breaks = [len(BODY) - 1]
        with pytest.raises(UrlUnavailable):
            pull(model, folder, settings, tries=1)
        with (folder.path / f"{model.file}.partial").open("ab") as file:
            file.write(BODY[-1:])
        assert pull(model, folder, settings).fresh
        assert len(server.asked) == 2

    def test_a_damaged_partial_file_is_deleted_and_pulled_again(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.breaks = [300_000]
        with pytest.raises(UrlUnavailable):
            pull(model, folder, settings, tries=1)
        partial = folder.path / f"{model.file}.partial"
        partial.write_bytes(OTHER[:300_000])
        with pytest.raises(CheckpointError, match="it was deleted"):
            pull(model, folder, settings)
        assert file_names(folder) == set()
        assert pull(model, folder, settings).fresh

    def test_a_download_with_the_wrong_digest_is_deleted(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.body = OTHER
        wrong = hashlib.sha256(OTHER).hexdigest()
        with pytest.raises(CheckpointError, match=f"{wrong}, not {DIGEST}; it was deleted"):
            pull(model, folder, settings)
        assert file_names(folder) == set()

    def test_a_404_error_names_the_file(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.status = 404
        with pytest.raises(CheckpointError, match=r"weights\.pt answered 404"):
            pull(model, folder, settings)
        assert file_names(folder) == set()

    def test_a_503_is_a_temporary_error(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.status = 503
        with pytest.raises(UrlUnavailable, match="answered 503"):
            pull(model, folder, settings)

    def test_the_error_for_an_unreachable_server_hides_credentials(
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
    def test_unsupported_sources_are_refused(
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

    def test_the_final_name_appears_only_when_the_file_is_complete(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.gate = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            pulling = pool.submit(pull, model, folder, settings)
            wait_until((folder.path / f"{model.file}.partial").exists)
            assert not folder.has(model)
            assert best_present(folder.path) is None
            server.gate.set()
            assert pulling.result(20).fresh
        assert folder.has(model)

    def test_concurrent_pulls_download_only_once(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, server: FileServer
    ) -> None:
        server.gate = threading.Event()
        lines: list[str] = []
        with ThreadPoolExecutor(4) as pool:
            first = pool.submit(pull, model, folder, settings)
            wait_until(lambda: bool(server.asked))
            others = [
                pool.submit(pull, model, folder, settings, say=lines.append) for _ in range(3)
            ]
            wait_until(lambda: len(lines) == 3)
            server.gate.set()
            assert first.result(20).fresh
            assert not any(other.result(20).fresh for other in others)
        assert lines == ["another process is already pulling sam2.1_hiera_tiny; waiting for it"] * 3
        assert len(server.asked) == 1
        assert folder.weights(model).read_bytes() == BODY
