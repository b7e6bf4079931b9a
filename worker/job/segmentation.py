"""A job's photo before the device: what is asked of it, and the cut that the answer makes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from shared.arrays import UInt8Array
from shared.errors import PromptInvalid
from shared.images.photo import Photo
from shared.schema import JobRequest
from worker.engine import Ask, CallResult
from worker.framing.cutout import within
from worker.job.closeup import Closeup
from worker.job.cut import Cut, Earlier, finished, obeyed
from worker.job.run import Run
from worker.matting.edges import refine
from worker.segmenters.protocol import Prediction


@dataclass(frozen=True, slots=True)
class Finding:
    """What the device found.

    Attributes:
        predictions: one for each of the job's prompts.
        closeup: the part of the photo that the only prediction is of, where it is not the whole.
    """

    predictions: tuple[Prediction, ...]
    closeup: Closeup | None = None


def segment(run: Run, photo: Photo, digest: str, earlier: Earlier) -> Finding:
    """Find what the job asks for; a small subject is looked at again from close.

    Raises:
        PromptInvalid: the prompt does not fit the photo.
        SegmentationError, LeaseLost: as `Engine.segment`.
    """
    request = run.claim.job.request
    misfit = request.misfit(photo.width, photo.height)
    if misfit is not None:
        raise PromptInvalid("{}: {}".format(*misfit))
    asks = [Ask(prompt, earlier.mask, earlier.logits) for prompt in request.prompts]
    finding = Finding(_asked(run, photo.rgb, asks, digest).predictions)
    if len(request.prompts) > 1:
        return finding
    return _closer(run, photo, digest, finding.predictions[0]) or finding


def cut_out(request: JobRequest, photo: Photo, finding: Finding) -> Cut:
    """The subject's alpha at the photo's size: of several objects their union."""
    closeup, prompts, seen = finding.closeup, request.prompts, photo
    if closeup is not None:
        prompts, seen = (closeup.prompt,), closeup.part_of(photo)
    masks = [
        finished(prediction.mask, prompt, seen, clean=request.output.clean)
        for prediction, prompt in zip(finding.predictions, prompts, strict=True)
    ]
    mask = np.maximum.reduce(masks)
    alpha = refine(mask, seen.rgb, request.output.edge)
    for prompt in prompts:
        alpha = obeyed(alpha, mask, prompt)
    if closeup is not None:
        alpha = closeup.pasted(alpha, (photo.width, photo.height))
    return Cut.of(within(alpha, photo.alpha), finding.predictions)


def _asked(run: Run, rgb: UInt8Array, asks: list[Ask], digest: str) -> CallResult:
    """The device's answer on an (H, W, 3) uint8 photo whose embedding's key is `digest`."""
    engine = run.runtime.engine
    with run.work("encode"):
        call = engine.prepare(
            rgb,
            asks,
            digest=digest,
            urgent=run.urgent,
            departed=lambda: run.lease.lost,
        )
    before = run.timings_ms.get("segment", 0.0)
    # A long queue at the device is no fault; the heartbeat bounds what the device is at itself.
    with run.stage("segment", bounded=False):
        answer = engine.segment(call)
    run.timings_ms["encode"] += answer.encode_ms
    run.timings_ms["segment"] = max(before, run.timings_ms["segment"] - answer.encode_ms)
    return answer


def _closer(run: Run, photo: Photo, digest: str, first: Prediction) -> Finding | None:
    """A small subject's better mask; None where it is not small, or looks like another from close.

    The photo's own logits stay, for a later correction begins from them, and so do the doubts of
    whoever found the subject.
    """
    (prompt,) = run.claim.job.request.prompts
    below = run.runtime.settings.second_look
    closeup = Closeup.of(first.mask, prompt, (photo.width, photo.height), below)
    if closeup is None:
        return None
    asks = [Ask(closeup.prompt, closeup.prior)]
    part = closeup.part_of(photo)
    (second,) = _asked(run, part.rgb, asks, closeup.key(digest)).predictions
    if not closeup.confirms(second.mask):
        return None
    return Finding((replace(second, logits=first.logits, reasons=first.reasons),), closeup)
