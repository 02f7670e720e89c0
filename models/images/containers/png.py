"""PNG: chunks with checksums (W3C, PNG specification, 5)."""

import struct
import zlib
from collections.abc import Iterator

from models.errors import ImageError
from models.images.containers.essence import MAX_EXIF, Claim, Essence, orientation

MAX_CHUNKS = 10_000  # a file of 32 MiB has 4,096 where a writer uses chunks of 8 KiB
MAX_RATIO = 1032  # of deflate: two bits stand for at most 258 bytes
SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP = b"XML:com.adobe.xmp\0\0\0"  # of an iTXt chunk whose text is not compressed
_HEADER = struct.Struct(">2I5B")
_CHUNK = struct.Struct(">I4s")
_CHECKSUM = struct.Struct(">I")
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # color type → samples a pixel
_ADAM7 = (  # the passes of an interlaced image: first column and row, steps across and down
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_DECOMPRESSED_AT_ONCE = 2**16  # bytes
_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}


def claim(encoded: bytes) -> Claim | None:
    """Read the size from the header, and how much work decoding is; None without a header."""
    if len(encoded) < 33 or encoded[12:16] != b"IHDR":
        return None
    width, height, depth, color, _, _, interlaced = _HEADER.unpack_from(encoded, 16)
    pixels = width * height
    samples = _SAMPLES.get(color, 4) * (2 if depth == 16 else 1)  # bytes a pixel
    return Claim(width, height, pixels * samples // 2 * (2 if interlaced else 1) + pixels)


def essence(encoded: bytes) -> Essence:
    """Return the chunks that decide the pixels: header, palette, transparency and pixels.

    Raises `ImageError` for a wrong checksum of any chunk, for a file that is cut off, and for
    pixels that can't be in so few bytes.
    """
    found = claim(encoded)
    if found is None:
        raise ImageError("corrupt or truncated: a PNG without a header")
    kept, exif, xmp, packed, before = [SIGNATURE], b"", b"", 0, b""
    position, view = len(SIGNATURE), memoryview(encoded)
    for _ in range(MAX_CHUNKS):
        if position + _CHUNK.size > len(encoded):
            raise ImageError("corrupt or truncated: a PNG without its end")
        length, kind = _CHUNK.unpack_from(encoded, position)
        stop = position + _CHUNK.size + length
        if stop + _CHECKSUM.size > len(encoded):
            raise ImageError(f"corrupt or truncated: cut off in the chunk {_name(kind)} of a PNG")
        if zlib.crc32(view[position + 4 : stop]) != _CHECKSUM.unpack_from(encoded, stop)[0]:
            raise ImageError(
                f"corrupt or truncated: the checksum of the chunk {_name(kind)} is wrong"
            )
        content, position = position + _CHUNK.size, stop + _CHECKSUM.size
        if kind in _KEPT:
            if kind == b"IDAT" and packed and before != kind:
                raise ImageError(
                    "corrupt or truncated: a PNG whose pixels are not in consecutive chunks"
                )
            if kind != b"IDAT" or length:
                kept.append(view[content - _CHUNK.size : position])  # type: ignore[arg-type] # join takes it
            packed += length if kind == b"IDAT" else 0
        elif kind == b"eXIf":
            exif = encoded[content : min(stop, content + MAX_EXIF)]
        elif kind == b"iTXt" and encoded.startswith(XMP, content):
            xmp = encoded[content : min(stop, content + MAX_EXIF)]
        before = kind
        if kind == b"IEND":
            _check(encoded, found, packed)
            return Essence(b"".join(kept), found, orientation(exif, xmp))
    raise ImageError(f"a PNG of more than {MAX_CHUNKS:,} chunks; save it anew")


def check_rows(encoded: bytes) -> None:
    """Raise `ImageError` if the compressed pixels of a PNG end before its last row.

    Pillow does not notice that, and leaves the missing rows black. `encoded` is what `essence`
    returned. The pixels are decompressed, 64 KiB at a time and no more of them than the image has,
    only to count their bytes.
    """
    size = claim(encoded)
    left = 0 if size is None else _unpacked_bytes(size.width, size.height, encoded)
    unpacking = zlib.decompressobj()
    for kind, content in _chunks(encoded):
        if kind != b"IDAT":
            continue
        part: bytes | memoryview = content
        found = _DECOMPRESSED_AT_ONCE
        while left > 0 and not unpacking.eof and (part or found == _DECOMPRESSED_AT_ONCE):
            found = len(unpacking.decompress(part, _DECOMPRESSED_AT_ONCE))
            left -= found
            part = unpacking.unconsumed_tail
    if left > 0:
        raise ImageError("corrupt or truncated: a PNG whose pixels end before the last row")


def _chunks(encoded: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the kind and the content of each chunk of a file whose chunks are whole."""
    position, view = len(SIGNATURE), memoryview(encoded)
    while position + _CHUNK.size <= len(encoded):
        length, kind = _CHUNK.unpack_from(encoded, position)
        start = position + _CHUNK.size
        yield kind, view[start : start + length]
        position = start + length + _CHECKSUM.size


def _unpacked_bytes(width: int, height: int, encoded: bytes) -> int:
    """Return how many bytes the pixels have: each row has one more, its filter."""
    depth, color, interlaced = encoded[24], encoded[25], encoded[28]
    bits = _SAMPLES.get(color, 1) * depth
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = ((-(-(width - x) // across), -(-(height - y) // down)) for x, y, across, down in passes)
    return sum(
        rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0
    )


def _check(encoded: bytes, found: Claim, packed: int) -> None:
    """Raise `ImageError` if the pixels can't be in so many `packed` bytes."""
    depth, color = encoded[24], encoded[25]
    bits = found.pixels * _SAMPLES.get(color, 1) * depth
    if bits // 8 > packed * MAX_RATIO:
        raise ImageError(
            f"corrupt or truncated: {found.width} × {found.height} pixels can't be in "
            f"{packed:,} bytes"
        )


def _name(kind: bytes) -> str:
    return kind.decode("ascii", "backslashreplace")
