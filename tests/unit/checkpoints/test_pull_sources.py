"""Pulling weights from S3 and local files, and disk errors."""

from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from shared.checkpoints import Model, ModelsFolder
from shared.checkpoints.pull import pull
from shared.errors import CheckpointError, StorageUnavailable
from shared.settings import StorageSettings
from tests.checkpoints import (
    BODY,
    OTHER,
    WHOLE,
    file_names,
)


class TestFile:
    def test_a_local_file_is_copied(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, tmp_path: Path
    ) -> None:
        source = tmp_path / "mine.pt"
        source.write_bytes(BODY)
        assert pull(model, folder, settings, source=str(source)).fresh
        assert file_names(folder) == WHOLE
        assert source.read_bytes() == BODY

    def test_a_local_file_with_the_wrong_digest_is_kept(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, tmp_path: Path
    ) -> None:
        source = tmp_path / "mine.pt"
        source.write_bytes(OTHER)
        with pytest.raises(CheckpointError, match="it was deleted"):
            pull(model, folder, settings, source=str(source))
        assert file_names(folder) == set()
        assert source.read_bytes() == OTHER

    def test_a_missing_file_is_reported(
        self, model: Model, folder: ModelsFolder, settings: StorageSettings, tmp_path: Path
    ) -> None:
        with pytest.raises(CheckpointError, match=r"cannot read .*nothing\.pt: No such file"):
            pull(model, folder, settings, source=str(tmp_path / "nothing.pt"))


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """S3 settings of a local server that has the file at s3://weights/tiny.pt."""
    moto = ThreadedMotoServer("127.0.0.1", 0)
    moto.start()
    host, port = moto.get_host_and_port()
    named = {
        "s3_endpoint": f"http://{host}:{port}",
        "s3_access_key": "key",
        "s3_secret_key": "secret",
    }
    with closing(_client(named)) as client:
        client.create_bucket(Bucket="weights")
        client.put_object(Bucket="weights", Key="tiny.pt", Body=BODY)
        client.put_object(Bucket="weights", Key="other.pt", Body=OTHER)
    yield named
    moto.stop()


def _client(named: dict[str, str]) -> boto3.client:
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
        assert file_names(folder) == WHOLE

    @pytest.mark.parametrize("etag", [True, False], ids=["same version", "other version"])
    def test_only_a_partial_object_of_the_same_version_is_resumed(
        self, model: Model, folder: ModelsFolder, s3: dict[str, str], etag: bool
    ) -> None:
        with closing(_client(s3)) as client:
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

    def test_an_object_with_the_wrong_digest_is_deleted(
        self, model: Model, folder: ModelsFolder, s3: dict[str, str]
    ) -> None:
        with pytest.raises(CheckpointError, match=r"s3://weights/other\.pt has .* was deleted"):
            pull(model, folder, StorageSettings.load(**s3), source="s3://weights/other.pt")
        assert file_names(folder) == set()

    @pytest.mark.parametrize("source", ["s3://weights/nothing.pt", "s3://nothing/tiny.pt"])
    def test_a_missing_object_is_reported(
        self, model: Model, folder: ModelsFolder, s3: dict[str, str], source: str
    ) -> None:
        with pytest.raises(CheckpointError, match=f"{source}: there is no such object"):
            pull(model, folder, StorageSettings.load(**s3), source=source)

    def test_an_unreachable_server_is_a_temporary_error(
        self, model: Model, folder: ModelsFolder, s3: dict[str, str]
    ) -> None:
        settings = StorageSettings.load(**s3 | {"s3_endpoint": "http://127.0.0.1:9"})
        with pytest.raises(StorageUnavailable, match=r"s3://weights/tiny\.pt: "):
            pull(model, folder, settings, source="s3://weights/tiny.pt")


class TestRoom:
    def test_too_little_disk_space_is_reported_before_the_download(
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

    def test_a_disk_that_fills_up_is_reported(
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

    def test_a_folder_that_cannot_be_created_is_reported(
        self, model: Model, tmp_path: Path, settings: StorageSettings
    ) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(CheckpointError, match=r"cannot write in .*: Not a directory"):
            pull(model, ModelsFolder(tmp_path / "file" / "models"), settings)
