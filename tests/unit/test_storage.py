"""Tests every storage the same way: a folder, moto's server, and a real S3 server if one is set.

Set it with NUKKI_TEST_S3_ENDPOINT, _ACCESS_KEY, _SECRET_KEY and, unless the defaults fit, _BUCKET
and _REGION. With NUKKI_TEST_S3_REQUIRED=1, as in CI, its absence is a failure. Moto does not check
signatures, so what a signature forbids is tested only on the folder and the real server.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from nukki.redis_server import free_port
from shared.errors import ConfigError, NotFound, StorageUnavailable
from shared.job import new_id
from shared.settings import StorageSettings
from shared.storage import LocalStorage, S3Storage, SignedPut, Storage, open_storage

KIND = "image/png"
BASE_URL = "http://nukki.test"
KEYS = ("moto-access-key", "moto-secret-key")


_open = functools.cache(S3Storage)  # slow to create


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An S3 server to test against."""

    url: str
    access_key: str
    secret_key: str
    bucket: str
    region: str = "us-east-1"

    def open(self, **changes: str) -> S3Storage:
        """Our storage on this server."""
        given = {
            "bucket": self.bucket,
            "endpoint": self.url,
            "region": self.region,
            "access_key": self.access_key,
            "secret_key": self.secret_key,
        }
        return _open(**(given | changes))

    def make_bucket(self) -> None:
        """Create the bucket unless it exists."""
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=self.url,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )
        try:
            client.head_bucket(Bucket=self.bucket)
        except ClientError:
            client.create_bucket(Bucket=self.bucket)


@pytest.fixture(scope="session")
def moto() -> Iterator[Endpoint]:
    server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = Endpoint(f"http://{host}:{port}", *KEYS, bucket="nukki-test")
    endpoint.make_bucket()
    yield endpoint
    server.stop()


@pytest.fixture(scope="session")
def real() -> Endpoint:
    named = {name: os.environ.get(f"NUKKI_TEST_S3_{name}") for name in _VARIABLES}
    if not named["ENDPOINT"]:
        if os.environ.get("CI") and os.environ.get("NUKKI_TEST_S3_REQUIRED") == "1":
            pytest.fail("NUKKI_TEST_S3_ENDPOINT is not set in CI")
        pytest.skip("NUKKI_TEST_S3_ENDPOINT names no S3 server")
    endpoint = Endpoint(
        named["ENDPOINT"],
        named["ACCESS_KEY"] or "",
        named["SECRET_KEY"] or "",
        bucket=named["BUCKET"] or "nukki-test",
        region=named["REGION"] or "us-east-1",
    )
    endpoint.make_bucket()
    return endpoint


_VARIABLES = ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY", "BUCKET", "REGION")
S3 = [pytest.param("moto", marks=pytest.mark.s3), pytest.param("real", marks=pytest.mark.s3)]
ALL_BUT_MOTO = ["local", S3[1]]


@pytest.fixture(params=["local", *S3])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Every storage in turn."""
    if request.param == "local":
        return LocalStorage(tmp_path / "storage")
    endpoint: Endpoint = request.getfixturevalue(request.param)
    return endpoint.open()


@pytest.fixture(params=S3)
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    """Every S3 server in turn."""
    return cast(Endpoint, request.getfixturevalue(request.param))


@pytest.fixture
def local(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "storage")


@pytest.fixture
def key(storage: Storage) -> Iterator[str]:
    """A key for this test, deleted afterwards."""
    name = f"shop/inputs/{new_id('inp')}"
    yield name
    with contextlib.suppress(StorageUnavailable):
        storage.delete([name])


def redeem(storage: Storage, signed: SignedPut, body: bytes) -> int:
    """Upload as a caller of `/v1/uploads` does; returns the HTTP status."""
    path = urlsplit(signed.url).path
    if not signed.url.startswith(BASE_URL):
        return httpx.put(signed.url, content=body, headers=dict(signed.headers)).status_code
    try:
        grant = storage.redeem(path.removeprefix("/v1/uploads/content/"))
    except NotFound:
        return 404
    if grant.size != len(body):
        return 422  # as the API's own route answers
    storage.put(grant.key, io.BytesIO(body), signed.headers["Content-Type"])
    return 200


def sign_put(storage: Storage, key: str, size: int, expires: float = 60) -> SignedPut:
    return storage.presign_put(
        key, expires=expires, size=size, content_type=KIND, base_url=BASE_URL
    )


def sign_get(storage: Storage, key: str, expires: float = 60) -> str | None:
    return storage.presign_get(key, expires=expires, content_type=KIND, filename="cut.png")


# Put, get, size, delete


def test_get_returns_what_was_put(storage: Storage, key: str) -> None:
    data = bytes(range(256)) * 100
    storage.put(key, data, KIND)
    assert storage.get(key) == data


@pytest.mark.parametrize(
    "make", [io.BytesIO, tempfile.TemporaryFile, tempfile.SpooledTemporaryFile]
)
def test_a_file_is_put_whole(storage: Storage, key: str, make: Callable[[], Any]) -> None:
    data = os.urandom(3_000_000)
    with make() as file:
        file.write(data)
        file.seek(0)
        storage.put(key, file, KIND)
        assert not file.closed
    assert storage.get(key) == data


def test_a_second_put_replaces_the_first(storage: Storage, key: str) -> None:
    storage.put(key, b"the first, a longer one", KIND)
    storage.put(key, b"the second", KIND)
    assert storage.get(key) == b"the second"


@pytest.mark.parametrize(
    ("limit", "got"), [(0, b""), (1, b"0"), (4, b"0123"), (10, None), (99, None)]
)
def test_a_limit_returns_the_beginning(
    storage: Storage, key: str, limit: int, got: bytes | None
) -> None:
    storage.put(key, b"0123456789", KIND)
    assert storage.get(key, limit=limit) == (b"0123456789" if got is None else got)


def test_the_size_is_that_of_the_bytes(storage: Storage, key: str) -> None:
    storage.put(key, b"0123456789", KIND)
    assert storage.size(key) == 10


def test_a_missing_object_has_no_size(storage: Storage, key: str) -> None:
    assert storage.size(key) is None


@pytest.mark.parametrize("limit", [None, 0, 64])
def test_an_empty_object_is_not_missing(storage: Storage, key: str, limit: int | None) -> None:
    storage.put(key, b"", KIND)
    assert storage.get(key, limit=limit) == b""
    assert storage.size(key) == 0


@pytest.mark.parametrize("limit", [None, 64])
def test_a_missing_object_is_not_found(storage: Storage, key: str, limit: int | None) -> None:
    with pytest.raises(NotFound, match=key):
        storage.get(key, limit=limit)


def test_a_deleted_object_is_gone(storage: Storage, key: str) -> None:
    storage.put(key, b"data", KIND)
    storage.delete([key])
    assert storage.size(key) is None


def test_deleting_again_is_no_error(storage: Storage, key: str) -> None:
    storage.put(key, b"data", KIND)
    storage.delete([key, key, f"{key}-never-there"])
    storage.delete([key])


def test_deleting_leaves_other_objects(storage: Storage, key: str) -> None:
    storage.put(key, b"data", KIND)
    storage.put(f"{key}-neighbour", b"mine", KIND)
    storage.delete([key])
    assert storage.get(f"{key}-neighbour") == b"mine"
    storage.delete([f"{key}-neighbour"])


def test_a_walk_finds_every_object_in_order_and_goes_on_after_any(storage: Storage) -> None:
    root = new_id("walk")
    names = sorted(f"{root}/{name}" for name in ("a/b/2", "a/b/10", "a-b", "a.b/c", "a/c", "b"))
    for name in names:
        storage.put(name, b"x", KIND)
    found = [item for item in storage.walk(f"{root}/") if item.key.startswith(root)]
    assert [item.key for item in found] == names
    assert all(abs(item.modified - time.time()) < 600 for item in found)
    for at, name in enumerate(names):
        later = [item.key for item in storage.walk(name) if item.key.startswith(root)]
        assert later == names[at + 1 :]
    storage.delete(names)


def test_a_folder_walks_past_its_own_files(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "storage")
    storage.put("shop/inputs/inp_1", b"x", KIND)
    assert [item.key for item in storage.walk()] == ["shop/inputs/inp_1"]
    (tmp_path / "storage" / ".upload-secret").unlink()
    with pytest.raises(StorageUnavailable):
        list(storage.walk())


def test_sixteen_threads_put_at_once(storage: Storage, key: str) -> None:
    contents = {f"{key}/{number}": os.urandom(20_000) for number in range(32)}
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: storage.put(name, contents[name], KIND), contents))
        got = dict(zip(contents, pool.map(storage.get, contents), strict=True))
    assert got == contents
    storage.delete(list(contents))


def test_a_copy_keeps_its_bytes_when_its_source_is_replaced(storage: Storage, key: str) -> None:
    storage.put(key, b"the first", KIND)
    storage.copy(key, f"{key}-copy", storage.version(key) or "")
    storage.put(key, b"the other", KIND)
    assert storage.get(f"{key}-copy") == b"the first"
    storage.delete([key, f"{key}-copy"])


@pytest.mark.parametrize("storage", ALL_BUT_MOTO, indirect=True)  # moto copies any version
def test_a_source_that_was_replaced_is_not_copied(storage: Storage, key: str) -> None:
    storage.put(key, b"the first", KIND)
    version = storage.version(key) or ""
    storage.put(key, b"the other", KIND)
    with pytest.raises(NotFound):
        storage.copy(key, f"{key}-copy", version)
    assert storage.size(f"{key}-copy") is None


def test_a_missing_object_has_no_version_and_no_copy(storage: Storage, key: str) -> None:
    assert storage.version(key) is None
    with pytest.raises(NotFound):
        storage.copy(key, f"{key}-copy", '"0"')


def test_copying_again_changes_nothing(storage: Storage, key: str) -> None:
    storage.put(key, b"data", KIND)
    for _ in range(2):
        storage.copy(key, f"{key}-copy", storage.version(key) or "")
    assert storage.get(f"{key}-copy") == b"data"
    storage.delete([key, f"{key}-copy"])


@pytest.mark.parametrize("storage", ALL_BUT_MOTO, indirect=True)  # moto's own threads race here
def test_of_sixteen_concurrent_puts_of_one_key_one_wins(storage: Storage, key: str) -> None:
    contents = [bytes([number]) * 100_000 for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda data: storage.put(key, data, KIND), contents))
    assert storage.get(key) in contents


def test_concurrent_puts_and_deletes_do_not_interfere(storage: Storage, key: str) -> None:
    def come_and_go(name: str) -> None:
        mine = f"{key}/{name}/result"
        for _ in range(20):
            storage.put(mine, b"data", KIND)
            assert storage.get(mine) == b"data"
            storage.delete([mine])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, "abcd"))


# Signed addresses


def test_the_folder_has_no_signed_get(local: LocalStorage) -> None:
    local.put("shop/inputs/a", b"data", KIND)
    assert sign_get(local, "shop/inputs/a") is None


def test_a_signed_get_returns_the_bytes_with_the_requested_type(endpoint: Endpoint) -> None:
    storage, key = endpoint.open(), f"shop/inputs/{new_id('inp')}"
    storage.put(key, b"data", "application/octet-stream")
    answer = httpx.get(sign_get(storage, key) or "")
    storage.delete([key])
    assert answer.content == b"data"
    assert answer.headers["content-type"] == KIND
    assert answer.headers["content-disposition"] == 'inline; filename="cut.png"'


def test_a_signed_put_accepts_the_signed_size(storage: Storage, key: str) -> None:
    signed = sign_put(storage, key, 5)
    assert redeem(storage, signed, b"12345") == 200
    assert storage.get(key) == b"12345"


def test_a_signed_put_names_every_header_it_needs(storage: Storage, key: str) -> None:
    assert dict(sign_put(storage, key, 5).headers) == {"Content-Type": KIND}


def test_a_signed_put_accepts_a_large_file(storage: Storage, key: str) -> None:
    data = os.urandom(6_000_000)
    assert redeem(storage, sign_put(storage, key, len(data)), data) == 200
    assert storage.get(key) == data


@pytest.mark.parametrize("storage", ALL_BUT_MOTO, indirect=True)
@pytest.mark.parametrize("body", [b"123456", b"1234", b""], ids=["larger", "smaller", "empty"])
def test_a_signed_put_refuses_any_other_size(storage: Storage, key: str, body: bytes) -> None:
    assert redeem(storage, sign_put(storage, key, 5), body) in {403, 422}
    assert storage.size(key) is None


def test_a_signed_put_without_a_length_is_refused(real: Endpoint) -> None:
    storage, key = real.open(), f"shop/inputs/{new_id('inp')}"
    signed = sign_put(storage, key, 5)
    chunked = httpx.put(signed.url, content=iter([b"12345", b"6"]), headers=dict(signed.headers))
    assert chunked.status_code in {403, 411}
    assert storage.size(key) is None


def test_a_signed_put_under_another_type_is_refused(real: Endpoint) -> None:
    storage, key = real.open(), f"shop/inputs/{new_id('inp')}"
    signed = sign_put(storage, key, 5)
    answer = httpx.put(signed.url, content=b"12345", headers={"Content-Type": "text/html"})
    assert answer.status_code == 403
    assert storage.size(key) is None


@pytest.mark.parametrize("storage", ALL_BUT_MOTO, indirect=True)
def test_a_signed_put_that_has_expired_is_refused(storage: Storage, key: str) -> None:
    signed = sign_put(storage, key, 5, expires=1)
    time.sleep(2.1)
    assert redeem(storage, signed, b"12345") in {403, 404}
    assert storage.size(key) is None


@pytest.mark.parametrize("storage", ALL_BUT_MOTO, indirect=True)
@pytest.mark.parametrize("place", [-1, -8], ids=["at the end", "inside"])
def test_a_signed_put_that_was_tampered_with_is_refused(
    storage: Storage, key: str, place: int
) -> None:
    signed = sign_put(storage, key, 5)
    letters = list(signed.url)
    letters[place] = "8" if letters[place] != "8" else "0"
    assert redeem(storage, SignedPut("".join(letters), signed.headers), b"12345") in {403, 404}
    assert storage.size(key) is None


def test_a_signed_put_of_another_key_is_refused(real: Endpoint) -> None:
    storage, key = real.open(), f"shop/inputs/{new_id('inp')}"
    signed = sign_put(storage, key, 5)
    moved = signed.url.replace(key, f"{key}x")
    answer = httpx.put(moved, content=b"12345", headers=dict(signed.headers))
    assert answer.status_code == 403
    assert storage.size(f"{key}x") is None


@pytest.mark.parametrize(
    ("old", "new"), [("Signature=", "Signature=0"), ("image%2Fpng", "text%2Fhtml")]
)
def test_a_signed_get_that_was_tampered_with_is_refused(real: Endpoint, old: str, new: str) -> None:
    storage, key = real.open(), f"shop/inputs/{new_id('inp')}"
    storage.put(key, b"data", KIND)
    url = sign_get(storage, key) or ""
    answer = httpx.get(url.replace(old, new))
    storage.delete([key])
    assert old in url
    assert answer.status_code == 403


def test_a_signed_get_that_has_expired_is_refused(real: Endpoint) -> None:
    storage, key = real.open(), f"shop/inputs/{new_id('inp')}"
    storage.put(key, b"data", KIND)
    url = sign_get(storage, key, expires=1) or ""
    time.sleep(2.1)
    answer = httpx.get(url)
    storage.delete([key])
    assert answer.status_code == 403


def test_a_wrong_secret_is_storage_unavailable(real: Endpoint) -> None:
    storage = real.open(secret_key="not-the-secret")
    with pytest.raises(StorageUnavailable):
        storage.put("shop/inputs/a", b"data", KIND)


def test_signed_addresses_carry_the_public_endpoint_and_work_there(endpoint: Endpoint) -> None:
    public = endpoint.url.replace("127.0.0.1", "localhost")
    storage = endpoint.open(public_endpoint=public)
    key = f"shop/inputs/{new_id('inp')}"
    signed = sign_put(storage, key, 5)
    assert signed.url.startswith(f"{public}/")
    assert redeem(storage, signed, b"12345") == 200
    url = sign_get(storage, key) or ""
    assert url.startswith(f"{public}/")
    assert httpx.get(url).content == b"12345"
    storage.delete([key])


def test_signing_needs_no_answer_from_the_server() -> None:
    nobody = Endpoint(f"http://127.0.0.1:{free_port()}", *KEYS, bucket="nukki-test").open()
    assert sign_get(nobody, "shop/inputs/a")
    assert sign_put(nobody, "shop/inputs/a", 5).url


def test_a_fraction_of_a_second_is_rounded_up_because_zero_is_invalid() -> None:
    nobody = Endpoint(f"http://127.0.0.1:{free_port()}", *KEYS, bucket="nukki-test").open()
    assert "X-Amz-Expires=1&" in (sign_get(nobody, "shop/inputs/a", expires=0.5) or "")
    assert "X-Amz-Expires=1&" in sign_put(nobody, "shop/inputs/a", 5, expires=0.5).url


def test_the_folders_upload_address_is_the_apis(local: LocalStorage) -> None:
    url = sign_put(local, "shop/inputs/a", 5).url
    assert url.startswith(f"{BASE_URL}/v1/uploads/content/")
    grant = local.redeem(url.rpartition("/")[2])
    assert (grant.key, grant.size) == ("shop/inputs/a", 5)


def test_a_token_is_valid_in_every_process_on_the_folder(tmp_path: Path) -> None:
    here, there = LocalStorage(tmp_path), LocalStorage(tmp_path)
    token = sign_put(here, "shop/inputs/a", 5).url.rpartition("/")[2]
    assert there.redeem(token).key == "shop/inputs/a"


def test_a_token_of_another_folder_is_refused(tmp_path: Path) -> None:
    here, there = LocalStorage(tmp_path / "here"), LocalStorage(tmp_path / "there")
    token = sign_put(here, "shop/inputs/a", 5).url.rpartition("/")[2]
    with pytest.raises(NotFound):
        there.redeem(token)


@pytest.mark.parametrize("token", ["", ".", "a.b.c", "é", "x" * 10_000])
def test_an_invalid_token_is_not_found(storage: Storage, token: str) -> None:
    with pytest.raises(NotFound):
        storage.redeem(token)


# Outages


def test_ping_raises_nothing_while_storage_is_up(storage: Storage) -> None:
    storage.ping()


CALLS: dict[str, Callable[[Storage], object]] = {
    "put": lambda storage: storage.put("shop/inputs/a", b"data", KIND),
    "get": lambda storage: storage.get("shop/inputs/a"),
    "limited get": lambda storage: storage.get("shop/inputs/a", limit=4),
    "size": lambda storage: storage.size("shop/inputs/a"),
    "version": lambda storage: storage.version("shop/inputs/a"),
    "copy": lambda storage: storage.copy("shop/inputs/a", "shop/inputs/b", '"0"'),
    "delete": lambda storage: storage.delete(["shop/inputs/a"]),
    "ping": lambda storage: storage.ping(),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@each_call
def test_storage_without_its_bucket_is_unavailable(
    endpoint: Endpoint, call: Callable[[Storage], object]
) -> None:
    with pytest.raises(StorageUnavailable):
        call(endpoint.open(bucket="nukki-no-such-bucket"))


@each_call
def test_a_dead_server_is_reported_within_two_seconds(call: Callable[[Storage], object]) -> None:
    dead = Endpoint(f"http://127.0.0.1:{free_port()}", *KEYS, bucket="nukki-test").open()
    began = time.monotonic()
    with pytest.raises(StorageUnavailable):
        call(dead)
    assert time.monotonic() - began < 2


def test_a_server_that_drops_connections_silently_is_reported_within_two_seconds() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        # Two connections that are not accepted fill the backlog; the next gets no answer.
        with contextlib.ExitStack() as waiting:
            for _ in range(2):
                client = waiting.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(address)
            url = f"http://127.0.0.1:{address[1]}"
            silent = Endpoint(url, *KEYS, bucket="nukki-test").open()
            began = time.monotonic()
            with pytest.raises(StorageUnavailable):
                silent.ping()
            assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nonly this",
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"",
    ],
    ids=["cut short", "cut short in a chunk", "500", "503", "nonsense", "nothing"],
)
def test_an_incomplete_answer_is_never_taken_for_the_object(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(StorageUnavailable):
            Endpoint(url, *KEYS, bucket="nukki-test").open().get("shop/inputs/a")
        thread.join()


def test_a_server_that_comes_back_is_used_again(moto: Endpoint) -> None:
    port = free_port()
    storage = Endpoint(f"http://127.0.0.1:{port}", *KEYS, bucket="nukki-test").open()
    with pytest.raises(StorageUnavailable):
        storage.ping()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    try:
        storage.ping()  # moto keeps its state in its process, so the bucket exists
    finally:
        server.stop()


# The local folder


@pytest.mark.parametrize(
    "key", ["../outside", "a/../../outside", "/etc/passwd", "", ".", "a/..", "shop/../.."]
)
def test_a_key_that_leaves_the_folder_is_refused(local: LocalStorage, key: str) -> None:
    for call in (
        lambda: local.put(key, b"data", KIND),
        lambda: local.get(key),
        lambda: local.delete([key]),
    ):
        with pytest.raises(NotFound):
            call()
    assert local.size(key) is None


def test_a_link_that_leaves_the_folder_is_refused(local: LocalStorage, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"not ours")
    (tmp_path / "storage" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(NotFound):
        local.get("link/file")


class Faulty(io.BytesIO):
    """A file that raises after its first block."""

    def read(self, size: int | None = -1) -> bytes:  # noqa: ARG002
        if self.tell():
            raise RuntimeError("the caller hung up")
        return super().read(1000)


def files_below(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_an_interrupted_put_keeps_the_old_object(local: LocalStorage, tmp_path: Path) -> None:
    local.put("shop/inputs/a", b"the first", KIND)
    with pytest.raises(RuntimeError):
        local.put("shop/inputs/a", Faulty(bytes(5000)), KIND)
    assert local.get("shop/inputs/a") == b"the first"
    assert files_below(tmp_path) == {"a", ".upload-secret"}


def test_an_interrupted_put_leaves_no_files(local: LocalStorage, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        local.put("shop/inputs/a", Faulty(bytes(5000)), KIND)
    assert local.size("shop/inputs/a") is None
    assert files_below(tmp_path) == {".upload-secret"}


def test_readers_never_see_a_half_written_object(local: LocalStorage) -> None:
    versions = [bytes([number]) * 2_000_000 for number in range(4)]
    local.put("shop/inputs/a", versions[0], KIND)
    done = threading.Event()

    def write() -> None:
        for number in range(40):
            local.put("shop/inputs/a", io.BytesIO(versions[number % 4]), KIND)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert local.get("shop/inputs/a") in versions
    writer.join()


def test_deleting_the_last_object_leaves_no_empty_folders(
    local: LocalStorage, tmp_path: Path
) -> None:
    local.put("shop/jobs/job_1/1/result", b"data", KIND)
    local.delete(["shop/jobs/job_1/1/result"])
    left = {path.name for path in (tmp_path / "storage").iterdir()}
    assert left == {".upload-secret", ".partial"}
    assert not list((tmp_path / "storage" / ".partial").iterdir())


def test_a_put_survives_a_concurrent_delete_of_its_empty_folder(
    local: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace
    rivals = iter([True])

    def after_a_rival(self: Path, target: Path) -> Path:
        if next(rivals, False):  # another `delete` runs between mkdir and replace
            (tmp_path / "storage" / "shop" / "inputs").rmdir()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", after_a_rival)
    local.put("shop/inputs/a", b"data", KIND)
    assert local.get("shop/inputs/a") == b"data"


def test_leftovers_of_a_killed_process_are_removed_after_an_hour(
    local: LocalStorage, tmp_path: Path
) -> None:
    storage = "from shared.storage import LocalStorage; import os, pathlib, signal, sys\n"
    faulty = (
        "class Deadly:\n"
        "    def read(self, size): os.kill(os.getpid(), signal.SIGKILL)\n"
        "LocalStorage(pathlib.Path(sys.argv[1])).put('shop/inputs/a', Deadly(), '')"
    )
    folder = tmp_path / "storage"
    subprocess.run([sys.executable, "-c", storage + faulty, str(folder)], check=False)
    (left,) = (folder / ".partial").iterdir()
    assert local.size("shop/inputs/a") is None
    assert local.tidy() == 0  # it might still be in progress
    os.utime(left, (time.time() - 3601,) * 2)
    assert local.tidy() == 1
    assert not left.exists()


def test_tidying_a_missing_folder_is_unavailable(local: LocalStorage, tmp_path: Path) -> None:
    assert local.tidy() == 0
    shutil.rmtree(tmp_path / "storage")
    with pytest.raises(StorageUnavailable):
        local.tidy()


@each_call
@pytest.mark.parametrize("left", ["nothing", "an empty folder"])
def test_a_missing_folder_is_unavailable_not_empty(
    local: LocalStorage, tmp_path: Path, call: Callable[[Storage], object], left: str
) -> None:
    shutil.rmtree(tmp_path / "storage")
    if left == "an empty folder":  # the mount point of a volume that is not mounted
        (tmp_path / "storage").mkdir()
    with pytest.raises(StorageUnavailable):
        call(local)


def test_a_missing_folder_is_not_recreated(local: LocalStorage, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "storage")
    with pytest.raises(StorageUnavailable):
        local.put("shop/inputs/a", b"data", KIND)
    assert not (tmp_path / "storage").exists()


def test_a_folder_that_cannot_be_created_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(StorageUnavailable, match="storage folder"):
        LocalStorage(tmp_path / "file" / "storage")


def test_two_processes_creating_the_folder_at_once_share_its_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: LocalStorage(tmp_path / "storage"), range(8)))
    token = sign_put(made[0], "shop/inputs/a", 5).url.rpartition("/")[2]
    assert {storage.redeem(token).key for storage in made} == {"shop/inputs/a"}


# Choosing the storage


@pytest.mark.parametrize(("bucket", "kind"), [(None, LocalStorage), ("nukki", S3Storage)])
def test_setting_a_bucket_selects_s3(tmp_path: Path, bucket: str | None, kind: type) -> None:
    settings = StorageSettings.load(storage_dir=tmp_path, s3_bucket=bucket)
    assert type(open_storage(settings)) is kind


def test_the_settings_select_the_bucket(moto: Endpoint) -> None:
    settings = StorageSettings.load(
        s3_bucket=moto.bucket,
        s3_endpoint=moto.url,
        s3_access_key=moto.access_key,
        s3_secret_key=moto.secret_key,
        s3_public_endpoint="https://files.example",
    )
    storage = open_storage(settings)
    storage.ping()
    assert (sign_get(storage, "a") or "").startswith("https://files.example/nukki-test/a?")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("s3_endpoint", "minio:9000"), ("s3_public_endpoint", "a"), ("s3_region", "not a region")],
)
def test_invalid_s3_settings_are_a_config_error(setting: str, value: str) -> None:
    settings = StorageSettings.load(s3_bucket="nukki", **{setting: value})
    with pytest.raises(ConfigError, match="object storage"):
        open_storage(settings)
