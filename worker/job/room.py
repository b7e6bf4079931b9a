"""Whether a job's result can be made at all, and how much of the in-flight limit it needs."""

from __future__ import annotations

from shared.images.headers import ImageInfo
from shared.images.probe import probe
from shared.schema.extent import require_possible
from shared.schema.weight import Sizes, weight
from worker.job.run import Run


def require_room(run: Run, photo: bytes) -> None:
    """Refuse a canvas that is too large, before any work.

    Args:
        run: the job's run.
        photo: the photo's file.

    Raises:
        ImageError: it is not an image that can be read.
        InvalidRequest: as `require_possible`, the same error as at submit.
    """
    limit = run.runtime.settings.max_pixels
    info = probe(photo, max_pixels=limit)
    require_possible(run.claim.job.request.output, (info.width, info.height), limit)


def room_for(run: Run, photo: ImageInfo) -> int:
    """The pixels that a job counts for, once its photo is known; at submit it was not."""
    job, limit = run.claim.job, run.runtime.settings.max_pixels
    output = job.request.output
    sizes = Sizes.of(
        output,
        (photo.width, photo.height),
        max_pixels=limit,
        backdrop=limit if output.backdrop else 0,
    )
    return min(weight(output, sizes), photo.pixels + job.extra_pixels)
