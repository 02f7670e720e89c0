"""WebP: chunks in a RIFF file (Google, WebP Container Specification; RFC 9649)."""

import struct

from models.errors import ImageError
from models.images.containers.essence import MAX_EXIF, Claim, Essence, orientation

MAX_CHUNKS = 10_000  # an animation has one for each frame
MAX_RATIO = 50_000  # pixels a byte; 25 million of one colour are 1,000 bytes
_CHUNK = struct.Struct("<4sI")
_EXTENDED, _LOSSY, _LOSSLESS = b"VP8X", b"VP8 ", b"VP8L"
_ALPHA, _ANIMATION, _FRAME = b"ALPH", b"ANIM", b"ANMF"
_ALPHA_FLAG, _ANIMATION_FLAG = 0x10, 0x02


def claim(encoded: bytes) -> Claim | None:
    """Read the size from the first chunk; return None if it is not there."""
    size = _size(encoded)
    return None if size is None else Claim(*size, size[0] * size[1] * 2)


def essence(encoded: bytes) -> Essence:
    """Return the file without metadata, an animation with its first frame only.

    Raises `ImageError` for too many chunks, for a file that is cut off, and for far more pixels
    than bytes.
    """
    found = claim(encoded)
    if found is None:
        raise ImageError("corrupt or truncated: a WebP without its size")
    if found.pixels > len(encoded) * MAX_RATIO:
        raise ImageError(
            f"{found.width} × {found.height} pixels in {len(encoded):,} bytes; a WebP may have "
            f"{MAX_RATIO:,} pixels a byte: make it smaller"
        )
    first: dict[bytes, bytes] = {}
    position = 12
    for _ in range(MAX_CHUNKS):
        if position + _CHUNK.size > len(encoded):
            return _without_metadata(found, first)
        kind, length = _CHUNK.unpack_from(encoded, position)
        stop = position + _CHUNK.size + length
        if stop > len(encoded):
            if not first.keys() & {_LOSSY, _LOSSLESS, _FRAME}:
                raise ImageError(f"corrupt or truncated: cut off in the chunk {kind!r} of a WebP")
            return _without_metadata(found, first)
        if kind in (b"EXIF", b"XMP "):
            stop_at = min(stop, position + _CHUNK.size + MAX_EXIF)
            first.setdefault(kind, encoded[position + _CHUNK.size : stop_at])
        elif kind in (_EXTENDED, _ANIMATION, _ALPHA, _FRAME, _LOSSY, _LOSSLESS):
            first.setdefault(kind, encoded[position : stop + length % 2])
        position = stop + length % 2
    raise ImageError(f"a WebP of more than {MAX_CHUNKS:,} chunks; save it anew")


def _without_metadata(found: Claim, first: dict[bytes, bytes]) -> Essence:
    """Build a WebP from the first chunk of each kind that decides pixels."""
    chunks = []
    if extended := first.get(_EXTENDED):
        flags = extended[8] & (_ALPHA_FLAG | _ANIMATION_FLAG)
        chunks.append(extended[:8] + bytes([flags]) + extended[9:])
        animated = flags & _ANIMATION_FLAG
        kinds = (_ANIMATION, _FRAME) if animated else (_ALPHA, _LOSSY, _LOSSLESS)
    else:
        kinds = (_LOSSY, _LOSSLESS)
    chunks += [first[kind] for kind in kinds if kind in first]
    content = b"WEBP" + b"".join(chunks)
    turned = orientation(first.get(b"EXIF", b""), first.get(b"XMP ", b""))
    return Essence(b"RIFF" + len(content).to_bytes(4, "little") + content, found, turned)


def _size(encoded: bytes) -> tuple[int, int] | None:
    if len(encoded) < 30:
        encoded += bytes(30 - len(encoded))  # a lossless picture of one colour is shorter
    kind, content = encoded[12:16], encoded[20:30]
    if kind == _EXTENDED:
        return 1 + int.from_bytes(content[4:7], "little"), 1 + int.from_bytes(content[7:], "little")
    if kind == _LOSSY and content[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<2H", content, 6)
        return width & 0x3FFF, height & 0x3FFF
    if kind == _LOSSLESS and content[0] == 0x2F:
        bits = int.from_bytes(content[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None
