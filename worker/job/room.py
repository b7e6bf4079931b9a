"""Whether a job's result can be made at all, and how much room and time it needs."""

from __future__ import annotations

from shared.images.headers import ImageInfo
from shared.images.probe import probe
from shared.schema.duration import allowance
from shared.schema.extent import require_possible
from shared.schema.weight import Sizes, weight
from worker.job.run import Run


def require_room(run: Run, photo: bytes, backdrop: bytes | None) -> None:
    """Refuse a canvas that is too large, before any work, and give large work its time.

    Args:
        run: the job's run; its `allowance` is set.
        photo: the photo's file.
        backdrop: the background image's file.

    Raises:
        ImageError: one of them is not an image that can be read.
        InvalidRequest: as `require_possible`, the same error as at submit.
    """
    output, limit = run.claim.job.request.output, run.runtime.settings.max_pixels
    info = probe(photo, max_pixels=limit)
    size = (info.width, info.height)
    require_possible(output, size, limit)
    behind = 0 if backdrop is None else probe(backdrop, max_pixels=limit).pixels
    run.allowance = allowance(output, Sizes.of(output, size, max_pixels=limit, backdrop=behind))


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
