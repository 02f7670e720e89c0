"""Images as text: base64, base64url or a data URL → bytes (RFC 4648, RFC 2397).

White space is left out, and padding may be missing. Nothing else is guessed.
"""

import binascii
import re
from collections.abc import Generator

from models.errors import FanlightError

PIECE = 2**20  # characters that are decoded before others get their turn: 3 ms
_MAX_SHOWN = 60  # characters of an address in an error
_SPACE = b" \t\r\n\f\v"
_STANDARD = bytes.maketrans(b"-_", b"+/")
_DATA_URL = re.compile(r"\s*data:([^,]{0,256}),", re.IGNORECASE)
_ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]{0,20}:", re.IGNORECASE)
_ESCAPES = {"%2B": "+", "%2F": "/", "%3D": "=", "%20": "", "%0A": "", "%0D": ""}
_NOT = "is not base64: it holds the bytes of an image file as A-Z, a-z, 0-9, + and /"


class NotBase64Error(FanlightError):
    """The text is no base64; the message says why, and follows the name of the image."""


def image(text: str) -> Generator[None, None, tuple[bytes, str]]:
    """Decode an image in a text: its bytes, and the media type if it is a data URL, else empty.

    A generator that returns the result; between its steps other requests can get their turn. Raises
    `NotBase64Error`, also for any other URL: none is ever fetched.
    """
    kind = ""
    if found := _DATA_URL.match(text):
        kind, mark, encoding = found[1].rpartition(";")
        if not mark or encoding.strip().lower() != "base64":
            raise NotBase64Error("is a data URL without base64; send data:image/png;base64,…")
        text = text[found.end() :]
        if "%" in text:
            for escape, meant in _ESCAPES.items():
                text = text.replace(escape, meant).replace(escape.lower(), meant)
    elif _ADDRESS.match(text):
        shown = text[:_MAX_SHOWN] + ("…" if len(text) > _MAX_SHOWN else "")
        raise NotBase64Error(
            f"is an address ({shown!r}), and this service fetches no URL; send the image itself as "
            "base64"
        )
    return (yield from decoded(text)), kind


def decoded(text: str | bytes) -> Generator[None, None, bytes]:
    """Decode base64, as a generator in steps as in `image`; raise `NotBase64Error`."""
    found, rest, has_ended = bytearray(), b"", False
    for start in range(0, len(text), PIECE):
        if start:
            yield
        piece = text[start : start + PIECE]
        try:
            plain = piece if isinstance(piece, bytes) else piece.encode("ascii")
            plain = rest + plain.translate(_STANDARD, _SPACE)
            whole = len(plain) // 4 * 4
            if has_ended and plain:
                raise NotBase64Error("is not base64: something follows its padding")
            rest = plain[whole:]
            found += binascii.a2b_base64(plain[:whole], strict_mode=True)
        except (UnicodeEncodeError, binascii.Error):
            raise NotBase64Error(_NOT) from None
        has_ended = plain[:whole].endswith(b"=")
    if rest:
        try:
            found += binascii.a2b_base64(rest + b"=" * (4 - len(rest)), strict_mode=True)
        except binascii.Error:
            raise NotBase64Error("is not base64, or it is cut off: a character is left") from None
    return bytes(found)
