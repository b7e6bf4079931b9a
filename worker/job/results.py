"""The files that a job leaves in storage: its result, the alpha, and the model's logits."""

from __future__ import annotations

import hashlib

from shared.images.encode import encode
from shared.job import Result, StoredFile
from shared.schema import OutputFormat
from shared.storage import keys
from worker.job.cut import Cut
from worker.job.logits import write_logits
from worker.job.run import Run


def result_files(result: bytes, cut: Cut, model: str | None) -> dict[str, bytes]:
    """A job's files by name. Alpha and logits are kept for later renders and corrections."""
    files = {keys.RESULT: result, keys.ALPHA: encode(cut.alpha, OutputFormat.PNG)}
    if cut.logits is not None:
        files[keys.LOGITS] = write_logits(cut.logits, str(model))
    return files


def store(
    run: Run, files: dict[str, bytes], size: tuple[int, int]
) -> tuple[Result, dict[str, StoredFile]]:
    """Store the files under this claim's own keys, so that a late worker overwrites nothing.

    `size` is the result's (width, height). Returns the result, and what is known of the others.
    """
    job = run.claim.job
    types = {
        keys.RESULT: job.request.output.format.content_type,
        keys.ALPHA: "image/png",
        keys.LOGITS: "application/octet-stream",
    }
    for name, data in files.items():
        key = keys.attempt_key(job.tenant, job.id, job.claims, name)
        run.stored.append(key)
        run.runtime.storage.put(key, data, types[name])
    known = {
        name: StoredFile(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        for name, data in files.items()
    }
    result = known.pop(keys.RESULT)
    made = Result(
        content_type=types[keys.RESULT],
        width=size[0],
        height=size[1],
        bytes=result.bytes,
        sha256=result.sha256,
    )
    return made, known
