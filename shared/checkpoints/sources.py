"""The sources of weights: https, S3 or a local file, each opened as a stream of bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import boto3
import httpx
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import (
    ConnectionError as Unconnected,
)

from shared.errors import CheckpointError, ConfigError, StorageUnavailable, UrlUnavailable
from shared.settings import StorageSettings, is_loopback

_CHUNK = 1 << 18
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_SECRETS = re.compile(r"(https?://)(?:[^/?#]*@)?([^?#]*)", re.IGNORECASE)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_S3_CONFIG = Config(
    signature_version="s3v4",
    s3={"addressing_style": "path"},
    retries={"total_max_attempts": 3, "mode": "standard"},
    connect_timeout=10,
    read_timeout=60,
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


@dataclass(frozen=True, slots=True)
class Resume:
    """What an earlier attempt left: the first `offset` bytes of the version `validator` names."""

    offset: int
    validator: str


@dataclass(frozen=True, slots=True)
class Stream:
    """An open source.

    Attributes:
        start: offset in the file of the first chunk; 0 unless it continues from a `Resume`.
        total: the whole file's length in bytes, if known.
        validator: names this version of the file; None if the source cannot resume it.
        chunks: the bytes from `start` on; raises UrlUnavailable or StorageUnavailable if the
            connection breaks, CheckpointError if a local file cannot be read.
    """

    start: int
    total: int | None
    validator: str | None
    chunks: Iterator[bytes]


def open_source(
    source: str, settings: StorageSettings, resume: Resume | None
) -> AbstractContextManager[Stream]:
    """Open `https://…`, `s3://bucket/key` (using the `S3_*` settings) or a path.

    Raises:
        ConfigError: the source is none of these, or plain http from another machine.
        CheckpointError: there is no such file, or access is denied.
        UrlUnavailable, StorageUnavailable: the server does not answer; retryable.
    """
    scheme = source.partition("://")[0].lower() if "://" in source else ""
    match scheme:
        case "http" | "https":
            return _http(source, resume)
        case "s3":
            return _s3(source, settings, resume)
        case "":
            return _file(Path(source))
        case _:
            raise ConfigError(
                f"cannot pull from {scheme}://; use https://, s3://bucket/key or a path"
            )


def bare(source: str) -> str:
    """The source without its possible secrets: a URL's password and query."""
    found = _SECRETS.match(source)
    return f"{found[1]}{found[2]}" if found else source


@contextmanager
def _http(url: str, resume: Resume | None) -> Iterator[Stream]:
    try:
        host = httpx.URL(url).host
        with httpx.Client(
            timeout=_TIMEOUT,
            follow_redirects=True,
            trust_env=not is_loopback(host),
            event_hooks={"request": [_require_safe]},
        ) as client:
            for attempt in (resume, None) if resume else (None,):
                with client.stream("GET", url, headers=_headers(attempt)) as response:
                    stream = _answered(response, attempt)
                    if stream is not None:
                        yield stream
                        return
    except httpx.InvalidURL as error:
        raise ConfigError(f"{bare(url)} is not a valid URL: {error}") from error
    except httpx.HTTPError as error:
        raise UrlUnavailable(f"{bare(url)}: {error or type(error).__name__}") from error


def _require_safe(request: httpx.Request) -> None:
    """Refuse plain http to other machines; also called for every redirect."""
    if request.url.scheme != "https" and not is_loopback(request.url.host):
        raise ConfigError(f"{bare(str(request.url))} is not https")


def _headers(resume: Resume | None) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    if resume:
        # With If-Range, the server sends the whole file if it has changed.
        headers |= {"Range": f"bytes={resume.offset}-", "If-Range": resume.validator}
    return headers


def _answered(response: httpx.Response, resume: Resume | None) -> Stream | None:
    """The stream of an answer; None if the file must be requested from the start."""
    if resume and response.status_code == 206:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        same = _validator(response) in {None, resume.validator}
        if found is None or int(found[1]) != resume.offset or not same:
            return None
        total = None if found[2] == "*" else int(found[2])
        return Stream(resume.offset, total, resume.validator, response.iter_raw())
    if resume and response.status_code == 416:
        if response.headers.get("Content-Range") != f"bytes */{resume.offset}":
            return None
        return Stream(resume.offset, resume.offset, resume.validator, iter(()))
    if response.status_code != 200:
        said = f"{bare(str(response.url))} answered {response.status_code}"
        raise UrlUnavailable(said) if response.status_code in _PASSING else CheckpointError(said)
    length = response.headers.get("Content-Length", "")
    return Stream(
        0, int(length) if length.isdecimal() else None, _validator(response), response.iter_raw()
    )


def _validator(response: httpx.Response) -> str | None:
    """The value for If-Range: a strong ETag, else the date (RFC 9110, 13.1.5)."""
    etag: str | None = response.headers.get("ETag")
    date: str | None = response.headers.get("Last-Modified")
    return etag if etag and not etag.startswith("W/") else date


@contextmanager
def _s3(source: str, settings: StorageSettings, resume: Resume | None) -> Iterator[Stream]:
    bucket, _, key = source[len("s3://") :].partition("/")
    if not bucket or not key:
        raise ConfigError(f"{source} is not s3://bucket/key")
    try:
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=settings.s3_endpoint,
            region_name=settings.s3_region,
            aws_access_key_id=settings.s3_access_key,
            aws_secret_access_key=settings.s3_secret_key,
            config=_S3_CONFIG,
        )
    except ValueError as error:
        raise ConfigError(f"the object storage: {error}") from error
    with closing(client), _translated(source):
        head = client.head_object(Bucket=bucket, Key=key)
        total, etag = int(head["ContentLength"]), str(head["ETag"])
        known = resume is not None and resume.validator == etag and resume.offset <= total
        start = resume.offset if resume and known else 0
        if start == total:
            yield Stream(start, total, etag, iter(()))
            return
        answer = client.get_object(Bucket=bucket, Key=key, IfMatch=etag, Range=f"bytes={start}-")
        with closing(answer["Body"]) as body:
            yield Stream(start, total, etag, body.iter_chunks(_CHUNK))


@contextmanager
def _translated(source: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
        if status >= 500 or code == "PreconditionFailed":  # replaced since head_object
            raise StorageUnavailable(f"{source}: the object storage answered {code}") from error
        said = "there is no such object" if status == 404 else f"the object storage answered {code}"
        raise CheckpointError(f"{source}: {said}") from error
    except (Unconnected, HTTPClientError, IncompleteReadError) as error:
        raise StorageUnavailable(f"{source}: {type(error).__name__}") from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise ConfigError(f"{source} needs S3_ACCESS_KEY and S3_SECRET_KEY") from error
    except BotoCoreError as error:
        raise CheckpointError(f"{source}: {error}") from error


@contextmanager
def _file(path: Path) -> Iterator[Stream]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    with file:
        yield Stream(0, path.stat().st_size, None, _pieces(file, path))


def _pieces(file: BinaryIO, path: Path) -> Iterator[bytes]:
    try:
        while piece := file.read(_CHUNK):
            yield piece
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
