"""JSON bodies: `{"images": ["…", …]}` or `{"image": "…"}`, each image as base64 → encoded images.

Structure is counted before anything is parsed, since a list of empty lists becomes twenty times its
size in memory. Base64 and data URLs hold none of the characters that JSON's structure is made of,
except for one comma and one colon in each data URL.
"""

import json
from collections.abc import Generator
from typing import Any

from models.registry import unknown
from service.errors import InvalidInputError, MalformedBodyError, TooLargeError
from service.images.encoded import EncodedImage
from service.requests import base64_text

JSON = "application/json"
SHAPE = '{"images": ["…", …]} or {"image": "…"}, each image as base64 or as a data URL'
_KEYS = ("images", "image")
_MAX_BRACKETS = 8  # of lists and objects; one of each is needed
MAX_ESCAPES = 2**20  # such as PHP's \/, one of 64 characters; reading them takes 30 ms
_SPARE = 16  # commas and colons beside those of the images


class Structure:
    """Counters of brackets, commas, colons and escapes in a JSON body while it arrives."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._brackets = self._commas = self._colons = self._escapes = 0

    def check(self, chunk: bytes) -> None:
        """Count a chunk; raise a `ServiceError` once there is more than `most` images need."""
        self._brackets += chunk.count(b"[") + chunk.count(b"{")
        self._commas += chunk.count(b",")
        self._colons += chunk.count(b":")
        self._escapes += chunk.count(b"\\")
        if self._escapes > MAX_ESCAPES:
            raise too_many_escapes(SHAPE)
        if self._brackets > _MAX_BRACKETS:
            raise _wrong("it is nested, or has more than one list")
        if self._commas > 2 * self._most + _SPARE or self._colons > self._most + _SPARE:
            raise _too_many(self._most)


def images(body: bytes | bytearray, most: int) -> Generator[None, None, list[EncodedImage]]:
    """Decode the images in a whole body that `Structure` has accepted, at most `most`.

    A generator that returns the images; between its steps other requests can get their turn. A text
    that is not base64 becomes an image with a `fault`, which the decoder reports with all other
    invalid images. Raises a `ServiceError` for a body of another form.
    """
    texts = _texts(_parsed(body), most)
    del body
    return (yield from encoded(texts))


def encoded(texts: list[Any]) -> Generator[None, None, list[EncodedImage]]:
    """Decode the texts, which should be base64; remove each from the list to free its memory."""
    found = []
    for index, text in enumerate(texts):
        texts[index] = None  # gives its memory back
        try:
            if not isinstance(text, str):
                raise base64_text.NotBase64Error(f"is {_named(text)}, and no string of base64")
            encoded, media_type = yield from base64_text.image(text)
        except base64_text.NotBase64Error as error:
            found.append(EncodedImage(b"", "", "", str(error)))
            continue
        found.append(EncodedImage(encoded, media_type, ""))
        yield
    return found


def _parsed(body: bytes | bytearray) -> Any:
    try:
        encoding = json.detect_encoding(body)
        return json.loads(body.decode(encoding, "surrogatepass"), object_pairs_hook=_object)
    except json.JSONDecodeError as error:  # which holds the whole body
        reason = where(error.pos, len(error.doc))
    except UnicodeDecodeError:
        reason = f"its text is not {encoding.upper().removesuffix('-SIG')}"
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError:
        reason = "a number in it is too long"
    raise MalformedBodyError(f"the body is not {JSON}: {reason}; send {SHAPE}")


def where(position: int, length: int) -> str:
    """Return where a text of `length` characters ceases to be JSON, in words."""
    if not length:
        return "it is empty"
    if position >= length:
        return f"it ends too early, after character {length:,}"
    return f"it is no JSON from character {position + 1:,} of {length:,} on"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _wrong(f"{twice[:100]!r} comes twice")
    return found


def _texts(parsed: Any, most: int) -> list[Any]:
    """Return the values that should be base64; raise a `ServiceError` for another form."""
    if not isinstance(parsed, dict):
        raise _wrong(f"it is {_named(parsed)}")
    for name in parsed:
        if name not in _KEYS:
            hint = "; parameters such as top_k stand in the URL"
            raise InvalidInputError(f"{unknown('key', name[:100], _KEYS)}{hint}: send {SHAPE}")
    if len(parsed) != 1:
        raise _wrong("it has both" if parsed else "it is empty")
    [(name, value)] = parsed.items()
    texts = [value] if name == "image" else value
    if not isinstance(texts, list):
        raise _wrong(f"'images' is {_named(texts)}; it is a list")
    if name == "image" and isinstance(value, list):
        raise _wrong("'image' is a list; it is one string")
    if not texts:
        raise _wrong("the list is empty")
    if len(texts) > most:
        raise _too_many(most)
    return texts


def _named(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}
    return kinds.get(type(value), "null" if value is None else "a number")


def _wrong(reason: str) -> InvalidInputError:
    return InvalidInputError(f"the body is JSON, but {reason}; send {SHAPE}")


def too_many_escapes(shape: str) -> TooLargeError:
    """Return the error for a body with too many escapes; `shape` says how it should look."""
    return TooLargeError(
        f"the body has more than {MAX_ESCAPES:,} escapes (\\), which base64 does not need; send "
        f"{shape}"
    )


def _too_many(most: int) -> TooLargeError:
    return TooLargeError(
        f"more than {most} images in a request (setting max_images), or values that are no images; "
        f"the body is {SHAPE}"
    )
