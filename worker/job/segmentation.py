"""What the device finds in a job's photo; a small subject is looked at twice."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.arrays import UInt8Array
from shared.errors import PromptInvalid
from shared.images.photo import Photo
from worker.engine import Ask, CallResult
from worker.job.closeup import Closeup
from worker.job.earlier import Earlier
from worker.job.run import Run
from worker.matting.alpha import crop
from worker.segmenters.protocol import Prediction


@dataclass(frozen=True, slots=True)
class Finding:
    """What the device found.

    Attributes:
        predictions: one per prompt of the job.
        closeup: the part of the photo that the only prediction shows; None for the whole photo.
    """

    predictions: tuple[Prediction, ...]
    closeup: Closeup | None = None


def segment(run: Run, photo: Photo, digest: str, earlier: Earlier) -> Finding:
    """Find what the job asks for, with a second look at a small subject.

    Raises:
        PromptInvalid: the prompt does not fit the photo.
        SegmentationError, LeaseLost: as `Engine.segment`.
    """
    request = run.claim.job.request
    misfit = request.misfit(photo.width, photo.height)
    if misfit is not None:
        raise PromptInvalid(str(misfit))
    asks = [Ask(prompt, earlier.mask, earlier.logits) for prompt in request.prompts]
    finding = Finding(_asked(run, photo.rgb, asks, digest).predictions)
    if len(request.prompts) > 1:
        return finding
    return _closer(run, photo, digest, finding.predictions[0]) or finding


def _asked(run: Run, rgb: UInt8Array, asks: list[Ask], digest: str) -> CallResult:
    """Ask the device about an (H, W, 3) uint8 photo; `digest` is the key of its embedding."""
    engine = run.runtime.engine
    with run.work("encode"):
        call = engine.prepare(
            rgb,
            asks,
            digest=digest,
            urgent=run.urgent,
            departed=lambda: run.lease.lost,
            tenant=run.claim.job.tenant,
        )
    before = run.timings_ms.get("segment", 0.0)
    # Not bounded: a long queue at the device is no fault, and the heartbeat bounds the device
    # call itself.
    with run.stage("segment", bounded=False):
        answer = engine.segment(call)
    run.timings_ms["encode"] += answer.encode_ms
    run.timings_ms["segment"] = max(before, run.timings_ms["segment"] - answer.encode_ms)
    return answer


def _closer(run: Run, photo: Photo, digest: str, first: Prediction) -> Finding | None:
    """A better mask of a small subject; None when it is not small, or the second look disagrees.

    Keeps the first look's logits, because a later correction starts from those of the whole photo,
    and its reasons for review, because it was the first look that chose the subject.
    """
    (prompt,) = run.claim.job.request.prompts
    below = run.runtime.settings.second_look
    closeup = Closeup.of(first.mask, prompt, (photo.width, photo.height), below)
    if closeup is None:
        return None
    asks = [Ask(closeup.prompt, closeup.prior)]
    part = crop(photo.rgb, closeup.box)
    (second,) = _asked(run, part, asks, closeup.key(digest)).predictions
    if not closeup.confirms(second.mask):
        return None
    return Finding((replace(second, logits=first.logits, reasons=first.reasons),), closeup)
