"""Every storage key name, in one place."""

from __future__ import annotations

#: The files an attempt may store. Fixed, so that erasing one never lists a bucket.
RESULT = "result"
ALPHA = "alpha"
LOGITS = "logits"
ATTEMPT_FILES = (RESULT, ALPHA, LOGITS)


def input_key(tenant: str, input_id: str) -> str:
    """Where a photo lies."""
    return f"{tenant}/inputs/{input_id}"


def attempt_key(tenant: str, job_id: str, claim: int, name: str) -> str:
    """Where one claim of a job stores the file `name`."""
    return f"{tenant}/jobs/{job_id}/{claim}/{name}"


def archive_key(tenant: str, job_id: str) -> str:
    """Where a finished job's record is kept once Redis has let it go."""
    return f"{tenant}/jobs/{job_id}/job.json"


def beside(key: str, name: str) -> str:
    """The file `name` of the same attempt as `key`."""
    return key.rpartition("/")[0] + "/" + name


def files_of(noted: str) -> list[str]:
    """The keys behind a noted name: an input's own, or an attempt folder's files."""
    return [noted + name for name in ATTEMPT_FILES] if noted.endswith("/") else [noted]
