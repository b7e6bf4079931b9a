"""S3, or any server that speaks its protocol, as storage."""

from __future__ import annotations

import base64
import io
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, BinaryIO

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from shared.errors import ConfigError, NotFound, StorageUnavailable
from shared.settings import StorageSettings
from shared.storage import keys
from shared.storage.etags import ETags, md5_of
from shared.storage.protocol import Grant, SignedPut, Stored
from shared.storage.s3_config import CONFIG, STORAGE_TIMEOUT
from shared.storage.s3_errors import translated

_ROOM_REMEMBERED = 10.0  # seconds for which a write that worked shows room
#: The source of a conditional copy has changed.
_REPLACED = frozenset({"412", "PreconditionFailed"})


class S3Storage:
    """Objects in one bucket. The client and its connection pool are shared by all threads."""

    def __init__(
        self,
        bucket: str,
        *,
        endpoint: str | None = None,
        public_endpoint: str | None = None,
        region: str = "us-east-1",
        access_key: str | None = None,
        secret_key: str | None = None,
        answers_within: float | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            bucket: where the objects are; the next five arguments say how to reach it.
            endpoint: of a server that is not Amazon's.
            public_endpoint: the address that presigned URLs carry.
            region: the bucket's.
            access_key: unset: the AWS SDK's own chain.
            secret_key: the same.
            answers_within: seconds of silence after which a call fails, for callers that must
                answer soon. A `put` pings first and then has the full timeout, because a large
                file takes a while to write.
        """
        self._bucket = bucket
        self._hasty = answers_within is not None
        self._etags = ETags()
        self._roomy_until = 0.0
        quick = CONFIG.merge(Config(read_timeout=answers_within or STORAGE_TIMEOUT))

        def client(address: str | None, config: Config = quick) -> Any:
            return boto3.session.Session().client(
                "s3",
                endpoint_url=address,
                region_name=region,
                aws_access_key_id=access_key,
                aws_secret_access_key=secret_key,
                config=config,
            )

        try:
            self._client = client(endpoint)
            self._writer = client(endpoint, CONFIG) if self._hasty else self._client
            self._signer = client(public_endpoint) if public_endpoint else self._client
        except ValueError as error:  # an endpoint without http://, a region with a space
            raise ConfigError(f"the object storage: {error}") from error

    @classmethod
    def from_settings(
        cls, settings: StorageSettings, *, answers_within: float | None = None
    ) -> S3Storage:
        """The storage that `S3_*` describe."""
        return cls(
            settings.s3_bucket or "",
            endpoint=settings.s3_endpoint,
            public_endpoint=settings.s3_public_endpoint,
            region=settings.s3_region,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key,
            answers_within=answers_within,
        )

    def put(self, key: str, data: bytes | BinaryIO, content_type: str) -> None:
        if self._hasty:
            self.ping()
        body = io.BytesIO(data) if isinstance(data, bytes) else data
        md5 = md5_of(body)
        with translated(key):
            answer = self._writer.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,
                ContentType=content_type,
                ContentMD5=base64.b64encode(md5).decode(),  # the server refuses other bytes
            )
        if self._etags.doubts(answer.get("ETag"), md5):
            # Encryption, for one, makes ETags that are no digests; the object itself tells.
            self._require_kept(key, md5)

    def _require_kept(self, key: str, md5: bytes) -> None:
        if md5_of(io.BytesIO(self._get(key)[0])) != md5:
            raise StorageUnavailable("the object storage kept other bytes than were sent")
        self._etags.are_md5 = False

    def get(self, key: str, *, limit: int | None = None) -> bytes:
        ranged = {} if limit is None else {"Range": f"bytes=0-{max(limit, 1) - 1}"}
        data, etag = self._get(key, **ranged)
        known = limit is None and self._etags.are_md5
        if known and self._etags.doubts(etag, md5_of(io.BytesIO(data))):
            raise StorageUnavailable("the object storage gave other bytes than it holds")
        return data if limit is None else data[:limit]

    def _get(self, key: str, **ranged: str) -> tuple[bytes, str | None]:
        """The bytes, and the ETag that came with them."""
        with translated(key):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=key, **ranged)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") == "InvalidRange":
                    return b"", None  # an empty object has no first byte
                raise
            # Not `with body`: that is urllib3's stream, whose errors botocore does not translate.
            with closing(answer["Body"]) as body:
                return bytes(body.read()), answer.get("ETag")

    def size(self, key: str) -> int | None:
        head = self._head(key)
        return None if head is None else int(head["ContentLength"])

    def _head(self, key: str) -> Any:
        try:
            with translated(key):
                return self._client.head_object(Bucket=self._bucket, Key=key)
        except NotFound:
            self.ping()  # a HEAD's 404 may also mean that the bucket is missing
            return None

    def version(self, key: str) -> str | None:
        head = self._head(key)
        if head is not None and not head.get("ETag"):
            raise StorageUnavailable("the object storage gave no ETag")
        return None if head is None else str(head["ETag"])

    def copy(self, source: str, target: str, version: str) -> None:
        if self._hasty:
            self.ping()
        with translated(source):
            try:
                self._writer.copy_object(
                    Bucket=self._bucket,
                    Key=target,
                    CopySource={"Bucket": self._bucket, "Key": source},
                    CopySourceIfMatch=version,
                )
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in _REPLACED:
                    raise NotFound(f"replaced meanwhile: {source}") from error
                raise

    def delete(self, keys: Sequence[str]) -> None:
        # One by one: DeleteObjects wants a checksum header that not every server agrees on.
        for key in keys:
            try:
                with translated(key):
                    self._client.delete_object(Bucket=self._bucket, Key=key)
            except NotFound:
                continue

    def presign_get(
        self, key: str, *, expires: float, content_type: str, filename: str
    ) -> str | None:
        return str(
            self._signer.generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": self._bucket,
                    "Key": key,
                    "ResponseContentType": content_type,
                    "ResponseContentDisposition": f'inline; filename="{filename}"',
                },
                ExpiresIn=math.ceil(expires),
            )
        )

    def presign_put(
        self,
        key: str,
        *,
        expires: float,
        size: int,
        content_type: str,
        base_url: str,  # noqa: ARG002
    ) -> SignedPut:
        url = self._signer.generate_presigned_url(
            "put_object",
            # The length is signed too: the storage itself refuses a larger file.
            Params={
                "Bucket": self._bucket,
                "Key": key,
                "ContentType": content_type,
                "ContentLength": size,
            },
            ExpiresIn=math.ceil(expires),
        )
        return SignedPut(str(url), {"Content-Type": content_type})

    def redeem(self, token: str) -> Grant:  # noqa: ARG002
        raise NotFound("uploads go to the object storage itself")

    def walk(self, after: str = "") -> Iterator[Stored]:
        while True:
            with translated(self._bucket):
                page = self._client.list_objects_v2(Bucket=self._bucket, StartAfter=after)
            for item in page.get("Contents", []):
                after = str(item["Key"])
                yield Stored(after, item["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return

    def tidy(self) -> int:
        return 0  # S3 never leaves a partial object

    def require_room(self) -> None:
        """Write a small object and delete it; what a quota leaves cannot be asked otherwise."""
        if time.monotonic() < self._roomy_until:
            return
        self.ping()
        with translated(self._bucket):
            self._writer.put_object(Bucket=self._bucket, Key=keys.PROBE, Body=b"room?")
            self._client.delete_object(Bucket=self._bucket, Key=keys.PROBE)
        self._roomy_until = time.monotonic() + _ROOM_REMEMBERED

    def ping(self) -> None:
        try:
            with translated(self._bucket):
                self._client.head_bucket(Bucket=self._bucket)
        except NotFound as error:
            raise StorageUnavailable(f"there is no bucket {self._bucket}") from error
