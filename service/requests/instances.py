"""The body of TensorFlow Serving's `predict`: `{"instances": [{"b64": "…"}, …]}` → encoded images.

An instance may also be `{"NAME": {"b64": "…"}}`, as a signature with a named input has it, or the
base64 itself. (TensorFlow Serving, "RESTful API".)
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from service.errors import InvalidInputError, MalformedBodyError, TooLargeError
from service.images.encoded import EncodedImage
from service.requests import json_body

SHAPE = '{"instances": [{"b64": "…"}, …]}, each image as base64'
_KEYS = ("instances", "signature_name")
_SPARE = 16  # brackets, commas and colons beside those of the images
_DEEPEST = 2  # objects around the base64 of an image


class InstancesBody:
    """Collects the body while it arrives; see `bodies.Body`."""

    def __init__(self, _headers: Mapping[bytes, bytes], max_images: int) -> None:
        self._content, self._most = bytearray(), max_images
        self._counts = dict.fromkeys((b"{", b"[", b",", b":", b"\\"), 0)
        self._found: list[EncodedImage] = []

    def feed(self, chunk: bytes, more: bool) -> Iterator[None]:
        self._content += chunk
        self._count(chunk)
        if not more:
            content, self._content = bytes(self._content), bytearray()
            self._found = yield from json_body.encoded(_texts(content, self._most))

    def images(self) -> list[EncodedImage]:
        return self._found

    def _count(self, chunk: bytes) -> None:
        """Count the JSON's structure; raise `TooLargeError` for more than the images need."""
        for sign in self._counts:
            self._counts[sign] += chunk.count(sign)
        *signs, escapes = self._counts.values()
        if escapes > json_body.MAX_ESCAPES:
            raise json_body.too_many_escapes(SHAPE)
        if max(signs) > _DEEPEST * self._most + _SPARE:
            raise TooLargeError(
                f"more than {self._most} images in a request (setting max_images), or values that "
                f"are no images; send {SHAPE}"
            )


def _texts(content: bytes, most: int) -> list[Any]:
    """Return the values that should be base64; raise a `ServiceError` for another form."""
    try:
        told = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise MalformedBodyError(f"the body is not JSON; send {SHAPE}") from None
    if isinstance(told, dict) and (others := [name for name in told if name not in _KEYS]):
        raise InvalidInputError(f"the body has {others[0][:100]!r}; send {SHAPE}")
    instances = told.get("instances") if isinstance(told, dict) else None
    if not isinstance(instances, list) or not instances:
        raise InvalidInputError(f"the body has no list of instances, or an empty one; send {SHAPE}")
    if len(instances) > most:
        raise TooLargeError(f"more than {most} images in a request (setting max_images)")
    return [_text(each) for each in instances]


def _text(instance: Any) -> Any:
    for _ in range(_DEEPEST):
        if isinstance(instance, dict) and len(instance) == 1:
            [instance] = instance.values()
    return instance
