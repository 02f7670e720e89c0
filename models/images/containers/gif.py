"""GIF: blocks of sub-blocks (CompuServe, GIF89a)."""

import struct

from models.errors import ImageError
from models.images.containers.essence import Claim, Essence

MAX_EXTENSIONS = 1000  # before the first picture
MAX_EXTENSION_BYTES = 2**20  # the same in bytes
MAX_SUB_BLOCKS = 20_000  # the same in the pieces of at most 255 bytes that they have
BLOCKS_OF_A_CLAIM = 64  # sub-blocks that `claim` looks at
MAX_RATIO = 2600  # pixels a byte of LZW: a code of 12 bits stands for at most 3,838
MAX_SCREEN_RATIO = 10_000  # pixels a byte; a picture may fill a part of the screen
_SCREEN = struct.Struct("<2HB")
_PICTURE = struct.Struct("<4HB")
_GRAPHIC_CONTROL = b"!\xf9"  # says which color is transparent


def claim(encoded: bytes) -> Claim | None:
    """Read the size of the screen, enlarged to hold the first picture.

    None for a broken file, and if more than `BLOCKS_OF_A_CLAIM` sub-blocks come before that
    picture.
    """
    try:
        return _parts(encoded, BLOCKS_OF_A_CLAIM)[0]
    except ImageError:
        return None


def essence(encoded: bytes) -> Essence:
    """Return screen, global palette, transparency and all bytes from the first picture on.

    Raises `ImageError` for too many bytes or blocks before the first picture, and for pixels that
    can't be in so few bytes.
    """
    found, palette_end, control, position = _parts(encoded, MAX_SUB_BLOCKS)
    _, _, across, down, _ = _PICTURE.unpack_from(encoded, position + 1)
    packed = len(encoded) - position
    if across * down > packed * MAX_RATIO:
        raise ImageError(
            f"corrupt or truncated: {across} × {down} pixels can't be in {packed:,} bytes"
        )
    if found.pixels > len(encoded) * MAX_SCREEN_RATIO:
        raise ImageError(
            f"{found.width} × {found.height} pixels in {len(encoded):,} bytes; a GIF may have "
            f"{MAX_SCREEN_RATIO:,} pixels a byte: make it smaller"
        )
    kept = encoded[:palette_end], control, memoryview(encoded)[position:]
    return Essence(b"".join(kept), found)


def _parts(encoded: bytes, max_sub_blocks: int) -> tuple[Claim, int, bytes, int]:
    """Find the size, the end of the global palette, the last graphic control block before the first
    picture, and the position of that picture."""
    if len(encoded) < 13:
        raise ImageError("corrupt or truncated: a GIF without its header")
    width, height, flags = _SCREEN.unpack_from(encoded, 6)
    start = position = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    control, found, sub_blocks = b"", 0, 0
    while (kind := encoded[position : position + 1]) not in (b",", b"", b";"):
        if kind != b"!":  # junk, of which Pillow skips a byte at a time
            position, found = position + 1, found + 1
        else:
            begun, position, found = position, position + 2, found + 1
            while position < len(encoded) and encoded[position] and sub_blocks <= max_sub_blocks:
                position, sub_blocks = position + 1 + encoded[position], sub_blocks + 1
            position += 1
            if encoded.startswith(_GRAPHIC_CONTROL, begun):
                control = encoded[begun:position]
        if found > MAX_EXTENSIONS or sub_blocks > max_sub_blocks:
            raise ImageError(
                f"a GIF of more than {MAX_EXTENSIONS:,} blocks before its first picture; "
                "save it anew"
            )
        if position - start > MAX_EXTENSION_BYTES:
            raise ImageError(
                f"a GIF of more than {MAX_EXTENSION_BYTES:,} bytes before its first picture; "
                "save it anew"
            )
    if len(encoded) < position + 10:
        raise ImageError("corrupt or truncated: a GIF without a picture")
    left, top, across, down, _ = _PICTURE.unpack_from(encoded, position + 1)
    width, height = max(width, left + across), max(height, top + down)
    return Claim(width, height, width * height), start, control, position
