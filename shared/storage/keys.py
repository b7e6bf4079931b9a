"""Every storage key name, in one place.

The names are templates, because Lua scripts build and read them too: `shared/queue/scripts.py`
hands the templates to the scripts. No part of a name contains a slash.
"""

from __future__ import annotations

import re

#: The files an attempt may store. Fixed, so that erasing one never lists a bucket.
RESULT = "result"
ALPHA = "alpha"
LOGITS = "logits"
ATTEMPT_FILES = (RESULT, ALPHA, LOGITS)

#: A photo. Only the service itself writes it, so what a job reads never changes.
INPUT = "{tenant}/inputs/{input}"
#: Where a signed address puts an upload. It is copied to its INPUT when a job first names it.
UPLOAD = "{tenant}/uploads/{input}"
#: The folder of one claim of a job; it holds ATTEMPT_FILES.
ATTEMPT = "{tenant}/jobs/{job}/{claim}/"
#: A finished job's record, once Redis has dropped it.
ARCHIVE = "{tenant}/jobs/{job}/job.json"
#: No file, but a member of the Redis set `expiry`: what erasing an archived job needs to know.
REMAINS = "{tenant}/jobs/{job}/{claims}/{input}/{backdrop}"

#: An empty object that says a caller erased the job. It outlives whatever a Redis that is rolled
#: back could remember of it. `~` sorts after the tenants, so that these can be listed alone.
ERASED = "~erased/{tenant}/{job}"

#: A small object that is written, and deleted at once, to see whether the storage has room.
PROBE = ".nukki-room"

_PART = re.compile(r"\\\{(\w+)\\\}")


def input_key(tenant: str, input_id: str) -> str:
    """The key of a photo."""
    return INPUT.format(tenant=tenant, input=input_id)


def upload_key(tenant: str, input_id: str) -> str:
    """The key that the signed address of an upload writes to."""
    return UPLOAD.format(tenant=tenant, input=input_id)


def attempt_key(tenant: str, job_id: str, claim: int, name: str) -> str:
    """The key of the file `name` of one claim of a job."""
    return ATTEMPT.format(tenant=tenant, job=job_id, claim=claim) + name


def archive_key(tenant: str, job_id: str) -> str:
    """The key of a finished job's record, once Redis has dropped it."""
    return ARCHIVE.format(tenant=tenant, job=job_id)


def erased_key(tenant: str, job_id: str) -> str:
    """The key of the object that says a caller erased the job."""
    return ERASED.format(tenant=tenant, job=job_id)


def beside(key: str, name: str) -> str:
    """The key of the file `name` of the same attempt as `key`."""
    return key.rpartition("/")[0] + "/" + name


def files_of(noted: str) -> list[str]:
    """The keys behind a noted name: a single key, or the files of an attempt's folder."""
    return [noted + name for name in ATTEMPT_FILES] if noted.endswith("/") else [noted]


def read(template: str, name: str) -> dict[str, str] | None:
    """The parts of a name made from a template; None if it was made from another."""
    found = re.fullmatch(_PART.sub(r"(?P<\1>[^/]*)", re.escape(template)), name)
    return None if found is None else found.groupdict()
