"""One job, read top to bottom: fetch, decode, segment, cut, frame, store, finish."""

from __future__ import annotations

import logging

from shared.job import Outcome, Status
from worker.framing.publication import Trimmings, draw
from worker.job.admission import admit
from worker.job.cut import Cut, cut_out
from worker.job.earlier import Earlier
from worker.job.inputs import FetchedPhoto, fetch_backdrop, fetch_parent, fetch_photo
from worker.job.outcome import finish, settling
from worker.job.results import result_files, store
from worker.job.room import require_room
from worker.job.run import Run
from worker.job.segmentation import segment
from worker.review.doubts import doubts
from worker.review.subject import measure
from worker.runtime import Runtime

log = logging.getLogger("nukki.worker")


def process(runtime: Runtime, job_id: str) -> None:
    """Run the job that a doorbell names to its end, if it can be claimed and once there is room."""
    admit(runtime, job_id, _run)


def _run(run: Run, photo: FetchedPhoto | None) -> None:
    """Do the job under its lease, and settle whatever goes wrong."""
    with settling(run):
        outcome = _work(run, photo)
        finish(run, Status.SUCCEEDED, outcome)


def _work(run: Run, fetched: FetchedPhoto | None) -> Outcome:
    """Do everything up to writing the record."""
    request, settings, engine = run.claim.job.request, run.runtime.settings, run.runtime.engine
    decoders = run.runtime.decoders
    with run.stage("fetch"):
        data, digest = fetch_photo(run, fetched)
        parent, backdrop = fetch_parent(run), fetch_backdrop(run)
        require_room(run, data, backdrop)
    with run.work("decode"):
        photo = decoders.photo(data, max_pixels=settings.max_pixels)
        run.warnings += photo.warnings
    with run.work("decode"):  # a file at a time, since each may take its deadline
        earlier = Earlier.read(parent, engine.model, decoders)
        trimmings = Trimmings.read(
            request.output, data, backdrop, decoders, max_pixels=settings.max_pixels
        )
        del data, parent, backdrop
    finding = segment(run, photo, digest, earlier) if request.render is None else None
    model = None if finding is None else engine.model
    with run.work("compose"):
        cut = Cut(earlier.alpha_of(photo)) if finding is None else cut_out(request, photo, finding)
        reasons = (*cut.reasons, *doubts(cut.alpha, cut.judged, settings.review))
        subject = measure(cut.alpha, cut.scores, tuple(dict.fromkeys(reasons)), cut.stability)
        picture = draw(
            photo.rgb,
            cut.alpha,
            request.output,
            subject.box,
            trimmings,
            max_pixels=settings.max_pixels,
        )
        del photo, trimmings, earlier, finding  # encoding needs memory of its own
        made = picture.written(request.output)
        del picture
        run.warnings += made.warnings
        files = result_files(made.file, cut, model)
    with run.stage("store"):
        result, kept = store(run, files, made.size)
    return run.outcome(
        model=model, result=result, files=kept, subject=subject, compliance=made.compliance
    )
