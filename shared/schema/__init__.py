"""The schema of a job request: the API validates it, and the worker reads it."""

from shared.model import HttpUrl, InputId, JobId, Model
from shared.schema.canvas import Align, Backdrop, Shadow
from shared.schema.output import Edge, Output, OutputFormat, OutputType
from shared.schema.prompt import MAX_POINTS, Prompt
from shared.schema.request import (
    ENDS,
    MAX_METADATA_BYTES,
    MAX_OBJECTS,
    MAX_POINTS_OF_A_JOB,
    Event,
    JobRequest,
    Priority,
    Webhook,
)

__all__ = [
    "ENDS",
    "MAX_METADATA_BYTES",
    "MAX_OBJECTS",
    "MAX_POINTS",
    "MAX_POINTS_OF_A_JOB",
    "Align",
    "Backdrop",
    "Edge",
    "Event",
    "HttpUrl",
    "InputId",
    "JobId",
    "JobRequest",
    "Model",
    "Output",
    "OutputFormat",
    "OutputType",
    "Priority",
    "Prompt",
    "Shadow",
    "Webhook",
]
