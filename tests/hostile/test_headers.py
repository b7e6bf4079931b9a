"""Files made to be slow to probe: what the header parsers read and hold is bounded."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from shared.errors import ImageInvalid
from shared.images import headers
from shared.images.headers import ByteSource, CutShort
from shared.images.headers.source import MAX_READS, Pieces
from tests.unit.test_images_samples import file, scene

MB = 1_000_000
#: What a probe may hold, and read of a file whose blocks need not all be passed over.
MEMORY, READ = 10 * MB, 10 * MB


#: A GIF frame of one pixel, up to its flags.
FRAME = b"," + bytes(4) + b"\1\0\1\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"


class Counted(io.BytesIO):
    """A file that counts the bytes read from it."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.taken += len(found)
        return found


def png_chunk(name: bytes, body: bytes) -> bytes:
    checksum = struct.pack(">L", zlib.crc32(name + body))
    return struct.pack(">L", len(body)) + name + body + checksum


def exif(size: int) -> bytes:
    """An EXIF block of as many entries as it can claim."""
    return b"II*\0\x08\0\0\0\xff\xff" + bytes(size)


def png(extra: bytes) -> bytes:
    head = png_chunk(b"IHDR", struct.pack(">LLBBBBB", 16, 16, 8, 0, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(bytes(17 * 16))) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + extra + body


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg(extra: bytes) -> bytes:
    data = file(scene(), "jpeg")
    return data[:2] + extra + data[2:]


def gif(*, comments: bytes = b"", frames: bytes = b"") -> bytes:
    head = b"GIF89a" + struct.pack("<HHB", 16, 16, 0) + b"\0\0"
    frame = b"," + struct.pack("<4HB", 0, 0, 16, 16, 0) + b"\2\1\0\0"
    return head + comments + frame + frames + b";"


def webp(extra: bytes, flags: int = 0x0A) -> bytes:
    body = b"VP8X" + struct.pack("<L", 10) + bytes([flags, 0, 0, 0]) + b"\x0f\0\0" * 2 + extra
    return b"RIFF" + struct.pack("<L", len(body) + 4) + b"WEBP" + body


def tiff(directory: bytes, tail: bytes = b"") -> bytes:
    return b"II*\0" + struct.pack("<L", 8) + directory + tail


def tags(entries: list[tuple[int, int, int, int]], following: int = 0) -> bytes:
    packed = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + packed + struct.pack("<L", following)


SOUND = [(256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1)]


def tiff_chain() -> bytes:
    """Many directories that overlap, each as long as possible."""
    count, length = 60_000, 65_535
    start = 8 + len(tags(SOUND))
    data = bytearray(tiff(tags(SOUND, start), bytes(12 * count + 12 * length + 64)))
    for index in range(count):
        at = start + 12 * index
        struct.pack_into("<H", data, at, length)
        struct.pack_into("<L", data, at + 2 + 12 * length, at + 12)
    return bytes(data)


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">L4s", len(body) + 8, name) + body


def avif(meta: bytes, rest: bytes = b"") -> bytes:
    return box(b"ftyp", b"avif\0\0\0\0avifmif1") + box(b"meta", bytes(4) + meta) + rest


def avif_meta(**parts: bytes) -> bytes:
    """The parts of a header whose picture is item 1, some of them replaced."""
    ispe = box(b"ispe", struct.pack(">LLL", 0, 16, 16))
    sound = {
        "pitm": struct.pack(">LH", 0, 1),
        "iinf": struct.pack(">LH", 0, 1)
        + box(b"infe", struct.pack(">LHH4s", 2 << 24, 1, 0, b"av01")),
        "iloc": struct.pack(">LBBHHHHLL", 0, 0x44, 0, 1, 1, 0, 1, 0, 1),
        "iprp": box(b"ipco", ispe) + box(b"ipma", struct.pack(">LLHBB", 0, 1, 1, 1, 1)),
    }
    return b"".join(box(name.encode(), body) for name, body in (sound | parts).items())


def tracks(count: int, inner: int) -> bytes:
    """A movie of tracks whose boxes hold many boxes each."""
    stuffed = box(b"free", b"") * inner
    table = box(b"stbl", box(b"stsd", b"av01") + box(b"stco", bytes(16)) + stuffed)
    track = box(b"trak", box(b"mdia", box(b"minf", table + stuffed) + stuffed) + stuffed)
    return box(b"moov", track * count)


def infes(count: int) -> bytes:
    made = (
        box(b"infe", struct.pack(">LHH4s", 2 << 24, n, 0, b"av01")) for n in range(1, count + 1)
    )
    return struct.pack(">LH", 0, count & 0xFFFF) + b"".join(made)


def dimg(count: int) -> bytes:
    return struct.pack(">L", 0) + box(
        b"dimg", struct.pack(f">HH{count}H", 1, count, *range(2, count + 2))
    )


def pieces(count: int) -> bytes:
    """One item in many pieces that all are the same 40 MB."""
    return (
        struct.pack(">LBBHHHH", 0, 0x44, 0, 1, 1, 0, count) + struct.pack(">LL", 0, 10_000) * count
    )


HOSTILE: dict[str, Callable[[], bytes]] = {
    "png chunks": lambda: png(png_chunk(b"teXt", b"") * 4_000_000),
    "png exif chunks": lambda: png(png_chunk(b"eXIf", exif(990_000)) * 45),
    "png exif entries": lambda: png(png_chunk(b"eXIf", exif(40 * MB))),
    "png text": lambda: png(png_chunk(b"tEXt", bytes(45 * MB))),
    "jpeg segments": lambda: jpeg(segment(0xE5, b"") * 11_000_000),
    "jpeg markers": lambda: jpeg(b"\xff\x01" * 20_000_000),
    "jpeg junk": lambda: jpeg((segment(0xE5, b"") + bytes(4000)) * 11_000),
    "jpeg fill bytes": lambda: jpeg(b"\xff" * 45 * MB),
    "jpeg xmp": lambda: jpeg(
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + bytes(65_000)) * 700
    ),
    "jpeg extended xmp": lambda: jpeg(
        segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0") * 9_900
    ),
    "jpeg exif": lambda: jpeg(segment(0xE1, b"Exif\0\0" + exif(65_000)) * 700),
    "jpeg icc": lambda: jpeg(segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(65_000)) * 700),
    "gif blocks": lambda: gif(comments=b"!\xfe" + b"\1x" * 22_000_000 + b"\0"),
    "gif extensions": lambda: gif(comments=b"!\xfe\0" * 15_000_000),
    "gif frames": lambda: gif(frames=(b"," + bytes(4) + b"\1\0\1\0\0\2\0") * 3_500_000),
    "gif palettes": lambda: gif(
        frames=(b"," + bytes(4) + b"\1\0\1\0\x87" + bytes(768) + b"\2\0") * 60_000
    ),
    "webp chunks": lambda: webp(b"none\0\0\0\0" * 5_000_000),
    "webp frames": lambda: webp((b"ANMF" + struct.pack("<L", 16) + bytes(16)) * 1_800_000),
    "webp exif": lambda: webp((b"EXIF" + struct.pack("<L", MB) + bytes(MB)) * 45),
    "tiff chain": tiff_chain,
    "tiff loop": lambda: tiff(tags(SOUND, 8)),
    "tiff tags": lambda: tiff(tags([(20_000, 4, 1, 0)] * 65_535)),
    "tiff distinct tags": lambda: tiff(tags([(tag, 4, 1, 0) for tag in range(65_535)])),
    "tiff strips": lambda: tiff(tags([*SOUND, (273, 4, 12_000_000, 200)]), bytes(48 * MB)),
    "tiff bits": lambda: tiff(tags([*SOUND[:2], (258, 3, 24_000_000, 200)]), b"\1" * 48 * MB),
    "tiff sub-directories": lambda: tiff(tags([*SOUND, (330, 4, 9_000_000, 9)]), bytes(48 * MB)),
    "bmp": lambda: b"BM" + struct.pack("<LLLLllL", 0, 0, 54, 40, 16, 16, 1572865) + bytes(45 * MB),
    "avif boxes": lambda: avif(avif_meta(), box(b"free", b"") * 5_000_000),
    "avif boxes before": lambda: box(b"ftyp", b"avif" + bytes(4)) + box(b"free", b"") * 5_000_000,
    "avif brands": lambda: box(b"ftyp", b"avif\0\0\0\0" + b"mif1" * 11_000_000),
    "avif meta": lambda: avif(avif_meta() + box(b"free", bytes(45 * MB))),
    "avif meta boxes": lambda: avif(avif_meta() + box(b"free", b"") * 200_000),
    "avif properties": lambda: avif(avif_meta(iprp=box(b"ipco", box(b"ispe", bytes(12)) * 90_000))),
    "avif property": lambda: avif(avif_meta(iprp=box(b"ipco", box(b"ispe", bytes(2_000_000))))),
    "avif associations": lambda: avif(
        avif_meta(iprp=box(b"ipma", struct.pack(">LL", 0, 600_000) + b"\0\1\0" * 600_000))
    ),
    "avif items": lambda: avif(avif_meta(iinf=infes(60_000))),
    "avif references": lambda: avif(avif_meta(iref=dimg(60_000))),
    "avif parts": lambda: avif(avif_meta(iinf=infes(4_000), iref=dimg(4_000))),
    "avif many references": lambda: avif(
        avif_meta(iref=bytes(4) + box(b"dimg", struct.pack(">HHH", 1, 1, 2)) * 100_000)
    ),
    "avif pieces": lambda: avif(avif_meta(iloc=pieces(4_000)), box(b"mdat", bytes(45 * MB))),
    "avif places": lambda: avif(
        avif_meta(iloc=struct.pack(">LBBH", 0, 0x44, 0, 0xFFFF) + bytes(1_900_000))
    ),
    "avif tracks": lambda: file(scene(), "avif") + tracks(2_000, 25),
    "avif crowded tracks": lambda: file(scene(), "avif") + tracks(12, 4_000),
    "avif nested boxes": lambda: avif(avif_meta(iprp=_nested(100_000))),
}


def _nested(depth: int) -> bytes:
    return b"".join(struct.pack(">L4s", 8 * (depth - level), b"ipco") for level in range(depth))


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_probe_reads_and_holds_little(kind: str) -> None:
    data = HOSTILE[kind]()
    assert len(data) < 50 * MB
    stream = Counted(data)
    del data
    tracemalloc.start()
    began = time.process_time()
    source = ByteSource(stream)
    with contextlib.suppress(ImageInvalid, CutShort):
        headers.read(source)
    spent = time.process_time() - began
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"{kind}: {source.reads} reads, {stream.taken} bytes, {held} held, {spent:.3f} s")
    assert source.reads <= MAX_READS + 1
    assert held < MEMORY
    assert stream.taken < READ
    assert spent < 2  # 0.05 where nothing else runs and nothing is traced


def test_the_largest_ordinary_files_are_read() -> None:
    blocks = b"\xff" + bytes(255)
    assert (
        headers.read(
            ByteSource(gif(frames=b"," + bytes(4) + b"\1\0\1\0\0\2" + blocks * 190_000 + b"\0"))
        ).info.frames
        == 2
    )
    assert headers.read(ByteSource(png(png_chunk(b"IDAT", bytes(4096)) * 12_000))).info.width == 16
    turned = webp((b"ANMF" + struct.pack("<L", 5_000) + bytes(5_000)) * 9_000)
    assert headers.read(ByteSource(turned)).info.frames == 9_000


def test_an_item_in_pieces_is_read_as_one() -> None:
    source = ByteSource(b"0123456789")
    joined = Pieces(source, [(8, 2), (0, 0), (1, 3), (5, 1)])
    assert (joined.size, joined.read(0, 6), joined.read(1, 2)) == (6, b"891235", b"91")
    assert joined.read(6, 0) == b""
    with pytest.raises(CutShort):
        joined.read(5, 2)
