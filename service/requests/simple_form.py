"""A quick parser for small plain forms, as browsers, curl and Python's clients send files.

A general parser, for any form in any pieces, takes half as long as decoding a small image. A form
that is not quite plain is left to that parser, which can read it or say what is wrong with it.
"""

import re
from typing import NamedTuple

_HEAD = re.compile(
    rb'\r\nContent-Disposition: form-data; name="([\w\[\]-]{1,64})"; '
    rb'filename="([\w .,()+=@~-]{0,255})"'
    rb"\r\nContent-Type: ([\w.+-]{1,64}/[\w.+-]{1,64})\r\n\r\n"
)


class Part(NamedTuple):
    """A part of a form; `filename` is None if the part is not a file."""

    name: str
    filename: str | None
    content_type: str
    content: bytes


def parts(body: bytes, boundary: bytes, most: int) -> list[Part] | None:
    """Split a whole form (RFC 7578) into its parts; None if it is not plain or not complete.

    Stops after `most` + 1 parts, so that the caller can see that there were too many.
    """
    delimiter = b"\r\n--" + boundary
    if not body.startswith(delimiter[2:]):
        return None
    found = []
    position = len(delimiter) - 2
    while not body.startswith(b"--", position):
        head = _HEAD.match(body, position)
        if head is None:
            return None
        end = body.find(delimiter, head.end())
        if end < 0:
            return None
        name, filename, content_type = map(bytes.decode, head.groups())
        found.append(Part(name, filename, content_type, body[head.end() : end]))
        if len(found) > most:
            return found
        position = end + len(delimiter)
    return found if body[position + 2 :] in (b"", b"\r\n") else None
