"""An S3 server's errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from shared.errors import NotFound, StorageUnavailable

_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Raise NotFound or StorageUnavailable for what goes wrong with an object."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _MISSING:
            raise NotFound(f"no such object: {key}") from error
        raise StorageUnavailable(f"the object storage answered {code}") from error
    except BotoCoreError as error:
        raise StorageUnavailable(f"the object storage: {type(error).__name__}") from error
