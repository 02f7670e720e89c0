"""Small plain forms: files as browsers, curl and clients in Python send them, split at once.

A parser that takes any form in any pieces costs half of what decoding a small image does. Whatever
is not quite plain is left to that one, which knows what it means or what is wrong with it.
"""

import re
from typing import NamedTuple

_HEAD = re.compile(
    rb'\r\nContent-Disposition: form-data; name="([\w\[\]-]{1,64})"; '
    rb'filename="([\w .,()+=@~-]{0,255})"'
    rb"\r\nContent-Type: ([\w.+-]{1,64}/[\w.+-]{1,64})\r\n\r\n"
)


class Part(NamedTuple):
    """A part of a form; a file has a name of its own."""

    name: str
    filename: str | None
    content_type: str
    content: bytes


def parts(body: bytes, boundary: bytes, most: int) -> list[Part] | None:
    """The parts of a whole form (RFC 7578), or None for one that is not plain or not whole.

    Where there are more than `most`, these are one more, and the rest is not looked at.
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
