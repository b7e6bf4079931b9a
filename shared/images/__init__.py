"""Photos in and out: what a file is, its pixels as displayed, and files of pixels."""

from shared.images.decode import decode
from shared.images.encode import encode
from shared.images.headers.info import MAX_PIXELS, ImageInfo, memory_bound
from shared.images.photo import Photo
from shared.images.probe import probe

__all__ = [
    "MAX_PIXELS",
    "ImageInfo",
    "Photo",
    "decode",
    "encode",
    "memory_bound",
    "probe",
]
