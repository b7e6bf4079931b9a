"""What a job reads before it starts: its photo, an earlier job's cut, the image behind."""

from __future__ import annotations

import contextlib
import hashlib

from shared.errors import LeaseLost, NotFound
from shared.images.probe import probe
from shared.storage import keys
from worker.job.outcome import NO_QUEUE
from worker.job.run import Run


def fetch_photo(run: Run) -> tuple[bytes, str]:
    """The photo's file and its SHA-256. A photo from a URL is fetched once and then stored.

    Raises:
        LeaseLost: the job was taken away, or erased with its photo, in the meantime.
    """
    runtime, record = run.runtime, run.claim.photo
    key = keys.input_key(record.tenant, record.id)
    if record.stored or record.url is None:
        data = runtime.storage.get(key)
    else:
        data = runtime.outbound.fetch(
            record.url,
            max_bytes=runtime.settings.max_bytes,
            timeout=runtime.settings.fetch_timeout,
        )
        run.lease.require()  # it may have been lost during the download
        runtime.storage.put(key, data, "application/octet-stream")
    digest = record.digest or hashlib.sha256(data).hexdigest()
    pixels = record.pixels or probe(data, max_pixels=runtime.settings.max_pixels).pixels
    if run.reservation is not None:
        run.reservation.shrink(pixels + run.claim.job.extra_pixels)
    if record.digest is None or record.pixels is None:
        with contextlib.suppress(*NO_QUEUE):  # the next job that reads it records it
            known = runtime.leases.record_input(
                run.claim, digest=digest, size=len(data), pixels=pixels
            )
            if not known:  # erased with all of its jobs, so nobody needs it any more
                run.stored.append(key)
                raise LeaseLost
    return data, digest


def fetch_parent(run: Run) -> tuple[bytes | None, bytes | None]:
    """The stored alpha that `mask` or `render` names, and its logits if the model had any."""
    job, storage = run.claim.job, run.runtime.storage
    if job.parent_alpha is None:
        return None, None
    alpha = storage.get(job.parent_alpha)
    try:
        return alpha, storage.get(keys.beside(job.parent_alpha, keys.LOGITS))
    except NotFound:
        return alpha, None


def fetch_backdrop(run: Run) -> bytes | None:
    """The image that `output.background` names; None when it is a colour or transparent."""
    job, backdrop = run.claim.job, run.claim.job.request.output.backdrop
    if backdrop is None:
        return None
    return run.runtime.storage.get(keys.input_key(job.tenant, backdrop))
