"""How long sound work on a job may take beyond the deadline that suffices for a small photo."""

from __future__ import annotations

from shared.schema.output import Output, OutputFormat
from shared.schema.weight import Sizes

# Seconds per megapixel: four to five times what noise takes on one core of a slow machine, because
# stages share their cores with other work. A hang is still noticed, only later for a large photo.
#: To decode, to find the subject's edges and to draw.
_WORKED_ON = 2.0
#: To encode.
_ENCODED = {OutputFormat.WEBP: 2.0, OutputFormat.AVIF: 8.0}
_ENCODED_OTHERWISE = 0.5


def allowance(output: Output, sizes: Sizes) -> float:
    """Seconds by which each computing stage of a job may exceed `NUKKI_STAGE_DEADLINE`."""
    canvas = _WORKED_ON + _ENCODED.get(output.format, _ENCODED_OTHERWISE)
    worked_on = _WORKED_ON * (sizes.photo + sizes.backdrop)
    return (worked_on + canvas * sizes.canvas) / 1e6
