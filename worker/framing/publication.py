"""From a photo's alpha to the file asked for: draw the picture, then write it."""

from __future__ import annotations

from dataclasses import dataclass

from shared.arrays import UInt8Array
from shared.images.encode import encode
from shared.images.headers import MAX_PIXELS
from shared.images.photo import Photo
from shared.job import Compliance
from shared.schema import Output, OutputType
from worker.decoding import Decoders
from worker.framing.backdrop import covering
from worker.framing.compliance import report
from worker.framing.cutout import compose
from worker.framing.frame import place
from worker.framing.haze import without_haze
from worker.framing.layout import Layout, plan
from worker.framing.shadow import cast
from worker.matting.foreground import estimate_foreground
from worker.matting.solid import Box


@dataclass(frozen=True, slots=True)
class Trimmings:
    """What a picture needs beside the cut.

    Attributes:
        backdrop: the image behind the subject.
        exif: the photo's metadata to carry over.
        warnings: what of it could not be read.
    """

    backdrop: Photo | None = None
    exif: bytes = b""
    warnings: tuple[str, ...] = ()

    @classmethod
    def read(
        cls,
        output: Output,
        data: bytes,
        backdrop: bytes | None,
        decoders: Decoders,
        *,
        max_pixels: int,
    ) -> Trimmings:
        """Read them from the photo's file, and from the backdrop's if `output` names one.

        Raises:
            ImageError: the backdrop cannot be read.
            OutOfMemory, DecoderUnavailable: as `Decoders`.
        """
        behind = None if backdrop is None else decoders.photo(backdrop, max_pixels=max_pixels)
        if not output.keep_metadata:
            return cls(behind)
        try:
            return cls(behind, decoders.exif(data, max_pixels=max_pixels))
        except ValueError as error:
            return cls(behind, warnings=(f"The metadata was left out: {error}.",))


@dataclass(frozen=True, slots=True)
class Publication:
    """A finished file.

    Attributes:
        file: the bytes.
        size: its picture's (width, height).
        compliance: the preset's checks; None without a preset.
        warnings: what could not be done as asked.
    """

    file: bytes
    size: tuple[int, int]
    compliance: Compliance | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn picture, before it is written to a file. It holds nothing of the photo's size.

    Attributes:
        pixels: (h, w), (h, w, 3) or (h, w, 4) uint8, as `compose` returns them.
        shown: (h, w) uint8, the subject's alpha on the canvas; None without a preset.
        limited: whether the subject is smaller than was asked for, because nothing is enlarged.
        exif: the photo's metadata to carry over.
        warnings: what could not be done as asked.
    """

    pixels: UInt8Array
    shown: UInt8Array | None
    limited: bool
    exif: bytes
    warnings: tuple[str, ...]

    def written(self, output: Output) -> Publication:
        """The file, measured against its preset.

        Raises:
            ImageTooLarge: as `encode`.
        """
        file = encode(self.pixels, output.format, self.exif)
        compliance = None
        if output.preset is not None and self.shown is not None:
            compliance = report(file, self.shown, output.preset, limited=self.limited)
        size = (self.pixels.shape[1], self.pixels.shape[0])
        return Publication(file, size, compliance, self.warnings)


def draw(
    rgb: UInt8Array,
    alpha: UInt8Array,
    output: Output,
    subject: Box,
    trimmings: Trimmings,
    *,
    max_pixels: int = MAX_PIXELS,
) -> Picture:
    """The picture that `output` asks for, in the subject's own colours.

    Args:
        rgb: (H, W, 3) uint8, the photo.
        alpha: (H, W) uint8.
        output: what to make.
        subject: its box in the photo.
        trimmings: what it needs beside the cut.
        max_pixels: the largest canvas.

    Raises:
        InvalidRequest: as `plan`.
    """
    layout = plan(output, (alpha.shape[1], alpha.shape[0]), subject, max_pixels=max_pixels)
    # Before scaling, because scaling mixes the half-background pixels with their neighbours.
    colours = rgb if output.type is OutputType.MASK else estimate_foreground(rgb, alpha)
    colours, shown = place(colours, alpha, layout)
    if output.preset is not None:
        shown = without_haze(shown)  # marketplaces reject a background that is not quite white
    shadow = None if output.shadow is None else cast(shown, layout.moved(subject), output.shadow)
    behind = None if trimmings.backdrop is None else covering(trimmings.backdrop, layout.canvas)
    return Picture(
        pixels=compose(colours, shown, output, backdrop=behind, shadow=shadow),
        shown=None if output.preset is None else shown,
        limited=layout.shortfall > 1,
        exif=trimmings.exif,
        warnings=(*trimmings.warnings, *_warnings(output, layout, shadow)),
    )


def _warnings(output: Output, layout: Layout, shadow: UInt8Array | None) -> list[str]:
    """What could not be done as asked, for the job's `warnings`."""
    warnings = []
    if layout.shortfall > 1:
        warnings.append(
            f"upscale_required: what was asked for is {layout.shortfall:.2f} times as large as the "
            "photo's own pixels; output.upscale allows enlarging them"
        )
    wanted = output.shadow is not None and output.shadow.opacity > 0
    if wanted and shadow is not None and not shadow.any():
        warnings.append("no_room_for_shadow: give a margin, or a larger size")
    return warnings
