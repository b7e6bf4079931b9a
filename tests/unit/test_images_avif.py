from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.errors import ImageInvalid
from shared.images.decode import decode
from shared.images.headers import ByteSource, CutShort, av1, memory_bound
from shared.images.probe import probe
from tests.unit.test_images_damage import peak_of
from tests.unit.test_images_samples import HEIGHT, WIDTH, exif, file, ramp, scene

MODES = {"RGB": scene, "L": ramp, "RGBA": lambda w, h: np.dstack([scene(w, h), ramp(w, h)])}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4", "4:0:0"])
@pytest.mark.parametrize(
    "size", [(2, 2), (2, 3), (17, 15), (64, 64), (129, 65), (3, 257), (513, 9)]
)
def test_a_valid_avif_is_read(size: tuple[int, int], subsampling: str, mode: str) -> None:
    data = file(MODES[mode](*size), "avif", subsampling=subsampling, speed=8)
    assert decode(data).rgb.shape[1::-1] == size


@pytest.mark.parametrize("speed", [1, 4, 6, 10])
@pytest.mark.parametrize("quality", [0, 50, 100])
def test_a_valid_avif_is_read_at_any_speed_and_quality(speed: int, quality: int) -> None:
    picture = MODES["RGBA"](97, 61)
    data = file(picture, "avif", speed=speed, quality=quality, exif=exif(6), xmp=b"<x/>")
    assert decode(data).rgb.shape == (97, 61, 3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_valid_sequence_is_read(mode: str) -> None:
    assert decode(sequence(mode)).rgb.shape == (HEIGHT, WIDTH, 3)


def sequence(mode: str = "RGB") -> bytes:
    frames = [Image.fromarray(MODES[mode](WIDTH, HEIGHT)[::turn]) for turn in (1, -1, 1)]
    return file(frames[0], "avif", save_all=True, append_images=frames[1:])


# Files built box by box around bitstreams from Pillow.


@dataclass
class Item:
    """An item of an AVIF; `pieces` is the number of extents of its data."""

    data: bytes
    size: tuple[int, int]
    kind: bytes = b"av01"
    parts: Sequence[int] = ()
    alpha_of: int = 0
    pieces: int = 1
    inside: bool = False
    boxes: list[bytes] = field(default_factory=list)


def box(name: bytes, *body: bytes) -> bytes:
    inner = b"".join(body)
    return struct.pack(">L4s", 8 + len(inner), name) + inner


def stream(width: int, height: int, *, gray: bool = False) -> bytes:
    """An AV1 bitstream."""
    picture = ramp(width, height) if gray else scene(width, height)
    data = file(picture, "avif", subsampling="4:0:0" if gray else "4:4:4", speed=9)
    return data[data.index(b"mdat") + 4 :]


def grid(columns: int, rows: int, size: tuple[int, int], *, wide: bool = False) -> bytes:
    return struct.pack(">4B", 0, wide, rows - 1, columns - 1) + struct.pack(
        ">LL" if wide else ">HH", *size
    )


def avif(*items: Item, more: bytes = b"") -> bytes:
    """An AVIF of these items, numbered from 1; the first is the primary item."""
    properties: list[bytes] = []
    associations, infos, references = [], [], []
    for number, item in enumerate(items, 1):
        gray = bool(item.alpha_of)
        boxes = [
            box(b"ispe", struct.pack(">LLL", 0, *item.size)),
            box(b"pixi", bytes([0, 0, 0, 0, 1, 8] if gray else [0, 0, 0, 0, 3, 8, 8, 8])),
            *item.boxes,
        ]
        if item.kind == b"av01":
            boxes.append(
                box(b"av1C", bytes([0x81, 0x00 if gray else 0x20, 0x1C if gray else 0, 0]))
            )
        if item.alpha_of:
            urn = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"
            boxes.append(box(b"auxC", bytes(4), urn))
            references.append(box(b"auxl", struct.pack(">HHH", number, 1, item.alpha_of)))
        if item.parts:
            targets = struct.pack(f">{len(item.parts)}H", *item.parts)
            references.append(box(b"dimg", struct.pack(">HH", number, len(item.parts)), targets))
        first = len(properties) + 1
        properties += boxes
        places = bytes(range(first, first + len(boxes)))
        associations.append(struct.pack(">HB", number, len(boxes)) + places)
        infos.append(box(b"infe", struct.pack(">LHH4sB", 2 << 24, number, 0, item.kind, 0)))

    ftyp = box(b"ftyp", b"avif\0\0\0\0avifmif1miaf")
    inside = b"".join(item.data for item in items if item.inside)

    def meta(start: int) -> bytes:
        locations, within = [], 0
        for number, item in enumerate(items, 1):
            at = within if item.inside else start
            step = max(1, -(-len(item.data) // item.pieces))
            extents = [
                struct.pack(">LL", at + low, min(step, len(item.data) - low))
                for low in range(0, len(item.data), step)
            ]
            head = struct.pack(">HHHH", number, item.inside, 0, len(extents))
            locations.append(head + b"".join(extents))
            if item.inside:
                within += len(item.data)
            else:
                start += len(item.data)
        return box(
            b"meta",
            bytes(4),
            box(b"hdlr", bytes(8), b"pict", bytes(13)),
            box(b"pitm", struct.pack(">LH", 0, 1)),
            box(b"iloc", struct.pack(">LHH", 1 << 24, 0x4400, len(items)), *locations),
            box(b"iinf", struct.pack(">LH", 0, len(items)), *infos),
            box(b"iref", bytes(4), *references) if references else b"",
            box(
                b"iprp",
                box(b"ipco", *properties),
                box(b"ipma", struct.pack(">LL", 0, len(items)), *associations),
            ),
            box(b"idat", inside) if inside else b"",
            more,
        )

    start = len(ftyp) + len(meta(0)) + 8
    return ftyp + meta(start) + box(b"mdat", *(item.data for item in items if not item.inside))


TILE = stream(64, 64)
GRAY = stream(64, 64, gray=True)


def tiled(
    size: tuple[int, int] = (120, 100),
    told: tuple[int, int] = (120, 100),
    tile: Item | None = None,
    **options: bool,
) -> bytes:
    """A grid of 2 × 2 tiles; `alpha` adds an alpha grid."""
    tile = tile or Item(TILE, (64, 64))
    inside, wide = options.get("inside", True), options.get("wide", False)
    alpha = options.get("alpha", False)
    items = [Item(grid(2, 2, told, wide=wide), size, b"grid", (2, 3, 4, 5), inside=inside)]
    items += [Item(TILE, (64, 64))] * 3 + [tile]
    if alpha:
        items += [Item(GRAY, (64, 64), alpha_of=place) for place in (2, 3, 4, 5)]
    return avif(*items)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_a_valid_grid_is_read(alpha: bool, inside: bool, wide: bool) -> None:
    photo = decode(tiled(alpha=alpha, inside=inside, wide=wide))
    assert photo.rgb.shape == (100, 120, 3)
    assert (photo.alpha is not None) == alpha
    assert np.array_equal(photo.rgb[:64, :64], decode(avif(Item(TILE, (64, 64)))).rgb)


@pytest.mark.parametrize("pieces", [1, 2, 7])
@pytest.mark.parametrize("inside", [False, True])
def test_a_picture_in_several_extents_is_read(pieces: int, inside: bool) -> None:
    main = Item(TILE, (64, 64), pieces=pieces, inside=inside)
    alpha = Item(GRAY, (64, 64), alpha_of=1, pieces=pieces, inside=inside)
    assert decode(avif(main, alpha)).alpha is not None


LARGE = stream(300, 200)
LARGE_GRAY = stream(300, 200, gray=True)
LIES = {
    "main": avif(Item(LARGE, (24, 16))),
    "main smaller": avif(Item(TILE, (300, 200))),
    "main in the header": avif(Item(LARGE, (24, 16), inside=True)),
    "main in pieces": avif(Item(LARGE, (24, 16), pieces=9)),
    "main on its side": avif(Item(LARGE, (200, 300))),
    "one of two sizes": avif(
        Item(LARGE, (300, 200), boxes=[box(b"ispe", struct.pack(">LLL", 0, 24, 16))])
    ),
    "alpha": avif(Item(TILE, (64, 64)), Item(LARGE_GRAY, (64, 64), alpha_of=1)),
    "last tile": tiled(tile=Item(LARGE, (64, 64))),
    "grid": tiled(told=(128, 128)),
    "grid, wide": tiled(told=(30_000, 8_000), wide=True),
    "alpha of a tile": avif(
        Item(grid(1, 1, (64, 64)), (64, 64), b"grid", (2,), inside=True),
        Item(TILE, (64, 64)),
        Item(LARGE_GRAY, (64, 64), alpha_of=2),
    ),
    "input of a sum": avif(
        Item(TILE, (64, 64)),
        Item(b"\0", (64, 64), b"sato", (1, 3)),
        Item(LARGE, (64, 64)),
    ),
}


@pytest.mark.parametrize("which", LIES)
def test_a_bitstream_with_a_size_unlike_the_headers_is_invalid(which: str) -> None:
    with pytest.raises(ImageInvalid, match="another size"):
        decode(LIES[which])


def test_parts_far_larger_than_the_picture_are_invalid() -> None:
    huge = Item(stream(1600, 1200), (1600, 1200))
    with pytest.raises(ImageInvalid, match="another size"):
        decode(avif(Item(grid(1, 1, (64, 64)), (64, 64), b"grid", (2,), inside=True), huge))
    gray = Item(stream(1600, 1200, gray=True), (1600, 1200), alpha_of=1)
    with pytest.raises(ImageInvalid, match="another size"):
        decode(avif(Item(TILE, (64, 64)), gray))


def test_items_outside_the_picture_may_have_any_size() -> None:
    assert decode(avif(Item(TILE, (64, 64)), Item(LARGE, (24, 16)))).rgb.shape == (64, 64, 3)


@pytest.mark.parametrize(
    "data", [b"", b"\x12\x00", TILE[2 + TILE[3] + 2 :], TILE[:-1], b"\xff" * 99]
)
def test_a_bitstream_without_a_whole_picture_is_invalid(data: bytes) -> None:
    with pytest.raises(ImageInvalid):
        decode(avif(Item(data, (64, 64))))
    with pytest.raises(ImageInvalid):
        probe(avif(Item(data, (64, 64))))


def test_a_second_sequence_header_of_another_size_is_invalid() -> None:
    with pytest.raises(ImageInvalid, match="several sizes"):
        decode(avif(Item(TILE + LARGE, (64, 64))))


def test_a_picture_of_many_frames_or_parts_is_invalid() -> None:
    with pytest.raises(ImageInvalid, match="too many frames"):
        decode(avif(Item(TILE * 5, (64, 64))))
    with pytest.raises(ImageInvalid, match="too many parts"):
        decode(avif(Item(TILE + b"\x12\x00" * 200, (64, 64))))


@pytest.mark.parametrize("name", [b"pitm", b"iloc", b"iinf", b"iprp", b"iref", b"idat"])
def test_a_duplicate_box_is_invalid(name: bytes) -> None:
    data = tiled()
    at = data.index(name) - 4
    again = data[at : at + int.from_bytes(data[at : at + 4])]
    grid_item = Item(grid(2, 2, (120, 100)), (120, 100), b"grid", (2, 3, 4, 5), inside=True)
    with pytest.raises(ImageInvalid, match="twice"):
        decode(avif(grid_item, *[Item(TILE, (64, 64))] * 4, more=again))


def test_a_second_header_in_the_file_is_invalid() -> None:
    data = avif(Item(TILE, (64, 64)))
    at = data.index(b"meta") - 4
    with pytest.raises(ImageInvalid, match="twice"):
        decode(data + data[at : at + int.from_bytes(data[at : at + 4])])


def test_items_that_overlap_are_invalid() -> None:
    long = Item(bytes(1 << 20), (64, 64))
    data = bytearray(avif(Item(TILE, (64, 64)), *[Item(b"?", (64, 64))] * 20, long))
    first, start = data.index(b"iloc") + 12, data.index(b"mdat") + 4
    for place in range(1, 21):
        at = first + 16 * place + 8
        data[at : at + 8] = struct.pack(">LL", start, len(data) - start)
    with pytest.raises(ImageInvalid, match="overlap"):
        decode(bytes(data))


def test_an_item_with_two_locations_is_invalid() -> None:
    data = bytearray(avif(Item(TILE, (64, 64)), Item(LARGE, (64, 64))))
    struct.pack_into(">H", data, data.index(b"iloc") + 12 + 16, 1)
    with pytest.raises(ImageInvalid, match="twice"):
        decode(bytes(data))


@pytest.mark.parametrize("honest", [False, True])
def test_an_item_located_by_a_base_offset_is_found(honest: bool) -> None:
    data = bytearray(avif(Item(TILE, (64, 64)) if honest else Item(LARGE, (64, 64))))
    at = data.index(b"iloc") + 12
    start, length = struct.unpack_from(">LL", data, at + 8)
    struct.pack_into(">H", data, at - 4, 0x0440)
    struct.pack_into(">LHL", data, at + 6, start, 1, length)
    if honest:
        assert decode(bytes(data)).rgb.shape == (64, 64, 3)
    else:
        with pytest.raises(ImageInvalid, match="another size"):
            decode(bytes(data))


def test_an_iloc_with_very_many_empty_extents_is_invalid() -> None:
    items = b"".join(struct.pack(">HHHH", 1 + place, 0, 0, 65_535) for place in range(200))
    data = avif(Item(TILE, (64, 64)))
    at = data.index(b"iloc") - 4
    old = data[at : at + int.from_bytes(data[at : at + 4])]
    new = box(b"iloc", struct.pack(">LHH", 1 << 24, 0, 200), items)
    meta = data.index(b"meta") - 4
    length = int.from_bytes(data[meta : meta + 4]) + len(new) - len(old)
    data = data[:meta] + struct.pack(">L", length) + data[meta + 4 :].replace(old, new)
    with pytest.raises(ImageInvalid, match="too many parts"):
        decode(data)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("name", [b"ispe", b"tkhd"])
@pytest.mark.parametrize("last", [False, True])
def test_a_sequence_of_another_size_is_invalid(mode: str, name: bytes, last: bool) -> None:
    data = bytearray(sequence(mode))
    at = (data.rindex(name) if last else data.index(name)) + 4
    if name == b"ispe":
        data[at + 4 : at + 12] = struct.pack(">LL", 24, 16)
    else:
        at += 88 if data[at] else 76
        data[at : at + 8] = struct.pack(">LL", 9000 << 16, 8000 << 16)
    with pytest.raises(ImageInvalid, match=r"another size|contradict"):
        decode(bytes(data))


@pytest.mark.parametrize("which", [0, -1])
def test_a_track_with_another_first_frame_than_the_item_is_invalid(which: int) -> None:
    data = bytearray(sequence("RGBA"))
    chunks = [at + 4 for at in range(len(data)) if data[at : at + 4] == b"stco"]
    sizes = [at + 4 for at in range(len(data)) if data[at : at + 4] == b"stsz"]
    struct.pack_into(">L", data, chunks[which] + 8, len(data) + 8)
    struct.pack_into(">L", data, sizes[which] + 12, len(LARGE))
    with pytest.raises(ImageInvalid, match="another size"):
        decode(bytes(data) + box(b"free", LARGE))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("lie", ["main", "alpha", "sequence", "grid"])
def test_a_huge_bitstream_in_a_small_header_takes_little_memory(lie: str, tmp_path: Path) -> None:
    target = io.BytesIO()
    huge = Image.new("L" if lie == "alpha" else "RGB", (9000, 8000), 90)
    if lie == "sequence":
        huge.save(target, "avif", speed=10, save_all=True, append_images=[huge])
    else:
        huge.save(target, "avif", speed=10, subsampling="4:0:0" if lie == "alpha" else "4:2:0")
    data = target.getvalue()
    inner = data[data.index(b"mdat") + 4 :]
    if lie == "alpha":
        data = avif(Item(TILE, (64, 64)), Item(inner, (9000, 8000), alpha_of=1))
    elif lie == "grid":
        tile = Item(inner, (9000, 8000))
        data = avif(Item(grid(1, 1, (64, 64)), (64, 64), b"grid", (2,), inside=True), tile)
    else:
        data = data.replace(struct.pack(">LL", 9000, 8000), struct.pack(">LL", 24, 16))
        data = data.replace(
            struct.pack(">LL", 9000 << 16, 8000 << 16), struct.pack(">LL", 24 << 16, 16 << 16)
        )
    assert peak_of(data, file(scene(), "avif"), tmp_path) < 8 << 20
    assert len(data) < 100_000


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_a_valid_avif_stays_within_its_memory_bound(tmp_path: Path) -> None:
    data = file(Image.new("RGBA", (4000, 3000), (9, 9, 9, 9)), "avif", speed=10)
    assert peak_of(data, file(scene(), "avif"), tmp_path) < memory_bound(probe(data))


# Headers built bit by bit, as other encoders may write them.


def packed(*fields: tuple[int, int]) -> bytes:
    """Pack values of the given bit widths, then a one and zeros up to a whole byte."""
    text = "".join(f"{value:0{bits}b}" for value, bits in fields if bits) + "1"
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8))


def unit(kind: int, body: bytes, *, layer: int | None = None, sized: bool = True) -> bytes:
    head = kind << 3 | (4 if layer is not None else 0) | (2 if sized else 0)
    length = b"" if not sized else bytes([len(body) & 127 | 128, len(body) >> 7])
    return bytes([head]) + (b"" if layer is None else bytes([layer << 3])) + length + body


def header(
    size: tuple[int, int], *, timed: bool = False, regular: bool = False, ids: bool = False
) -> bytes:
    """A video's sequence header with every optional field."""
    timing = [(1, 1), (1, 32), (25, 32), (regular, 1), *([(0b00101, 5)] if regular else [])]
    model = [(1, 1), (9, 5), (1, 32), (3, 5), (6, 5)]
    point = [(0, 12), (9, 5), (1, 1)]
    point += [(1, 1), (0, 21)] if timed else []
    point += [(1, 1), (5, 4)]
    return packed(
        *[(0, 3), (0, 1), (0, 1)],
        *(timing + model if timed else [(0, 1)]),
        *[(1, 1), (1, 5)],
        *point,
        *point,
        *[(15, 4), (15, 4), (size[0] - 1, 16), (size[1] - 1, 16)],
        *([(1, 1), (3, 4), (2, 3)] if ids else [(0, 1)]),
        *[(0, 7), (1, 1), (0, 2), (1, 1), (1, 1), (6, 3)],
    )


def frame(*, own: bool, time_bits: int = 0, id_bits: int = 0, shown: bool = True) -> bytes:
    """The head of a key frame."""
    return packed(
        *[(0, 1), (0, 2), (shown, 1), (0, time_bits if shown else 1)],
        *([] if shown else [(1, 1)]),
        *[(0, 1), (1, 1), (1, 1), (0, id_bits), (own, 1), (0, 7)],
        *[(8999, 16), (7999, 16)],
    )


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("regular", [False, True])
@pytest.mark.parametrize("ids", [False, True])
@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("layer", [None, 1])
def test_a_frame_with_its_own_size_is_invalid(
    timed: bool, regular: bool, ids: bool, shown: bool, layer: int | None
) -> None:
    start = unit(1, header((24, 16), timed=timed, regular=regular, ids=ids))
    bits = {"time_bits": 7 if timed and not regular else 0, "id_bits": 8 if ids else 0}
    for kind in (3, 6, 7):
        honest, lying = (
            start + unit(kind, frame(own=own, shown=shown, **bits), layer=layer)
            for own in (False, True)
        )
        assert av1.picture_size(ByteSource(honest), 0, len(honest)) == (24, 16)
        with pytest.raises(ImageInvalid, match="another size"):
            av1.picture_size(ByteSource(lying), 0, len(lying))


def test_the_last_unit_may_omit_its_length() -> None:
    data = b"??" + unit(1, header((24, 16))) + unit(6, frame(own=False), sized=False)
    assert av1.picture_size(ByteSource(data), 2, len(data)) == (24, 16)


def test_a_header_cut_short_within_its_unit_is_not_read() -> None:
    data = unit(1, header((24, 16))[:9]) + unit(6, frame(own=False))
    with pytest.raises(CutShort):
        av1.picture_size(ByteSource(data), 0, len(data))
