"""Photos in and out: what a file is, its pixels as displayed, and files of pixels."""

from shared.images.decode import decode
from shared.images.encode import encode
from shared.images.info import MAX_PIXELS, ImageInfo, memory_bound
from shared.images.photo import FloatArray, Photo, UInt8Array
from shared.images.probe import probe

__all__ = [
    "MAX_PIXELS",
    "FloatArray",
    "ImageInfo",
    "Photo",
    "UInt8Array",
    "decode",
    "encode",
    "memory_bound",
    "probe",
]
