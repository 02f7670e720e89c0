"""The body of `infer` of the Open Inference Protocol v2: bytes → tensors, and what is asked.

The body is JSON, followed by the binary tensors in the order listed. The header
`Inference-Header-Content-Length` gives the length of the JSON. Without the header the whole body is
JSON; if it is 0 the whole body is one encoded image.

(KServe, "Open Inference Protocol"; Triton Inference Server's extensions for binary data.)
"""

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from service.errors import (
    InvalidInputError,
    MalformedBodyError,
    TooLargeError,
    UnsupportedTypeError,
)
from service.images.encoded import EncodedImage
from service.requests import base64_text, tensors
from service.requests.base64_text import NotBase64Error
from service.requests.json_body import where
from service.requests.tensors import BYTES, Tensor

HEADER = "Inference-Header-Content-Length"
IMAGE = "image"  # the input of encoded images; that of a raw request, too
MAX_JSON_VALUES = 2**18  # numbers, strings and lists in the JSON: parsed in 60 ms of a thread
MAX_NAME = 256  # characters of a tensor's name
MAX_ID = 1024  # characters, which are sent back
_MAX_INDEX = 4096  # bytes of a request for the index
_PIECE = 2**20  # bytes that are decompressed before others get their turn
_SHARED = "shared_memory_"


@dataclass(frozen=True)
class AskedOutput:
    """An output that a request asks for.

    If `binary`, its values follow the JSON of the answer as bytes. `classes` asks for that many of
    the most probable classes in place of the values.
    """

    name: str
    binary: bool
    classes: int | None = None


@dataclass(frozen=True)
class InferenceRequest:
    """The parsed body of a request: its input tensors, and which outputs it asks for.

    A request may name its `outputs`. If it names none, it gets those that the model has by default,
    and `binary` says whether as bytes or as JSON numbers. `timeout` is the client's own limit in
    seconds, None if it sets none: the time from when the body is parsed until the answer is ready.
    """

    inputs: Mapping[str, Tensor]
    outputs: tuple[AskedOutput, ...] = ()
    id: str | None = None
    binary: bool = False
    timeout: float | None = None


class InferenceBody:
    """Collects the body while it arrives, decompressed if its header says so; see `bodies.Body`."""

    def __init__(self, headers: Mapping[bytes, bytes], _max_images: int) -> None:
        self._content = bytearray()
        encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").lower()
        if encoding not in ("identity", "gzip", "deflate"):
            raise UnsupportedTypeError(
                f"Content-Encoding is {encoding[:40]!r}; taken are gzip, deflate and identity"
            )
        self._inflater = None if encoding == "identity" else zlib.decompressobj(wbits=47)

    def feed(self, chunk: bytes, more: bool) -> Iterator[int | None]:
        if self._inflater is None:
            self._content += chunk
            return
        piece = b""
        while chunk or len(piece) == _PIECE:  # there may be more, of input that is used up
            try:
                piece = self._inflater.decompress(chunk, _PIECE)
            except zlib.error as error:
                raise MalformedBodyError(
                    f"the body is not what its Content-Encoding says: {error}"
                ) from None
            self._content += piece
            chunk = self._inflater.unconsumed_tail
            yield len(piece)
        if self._inflater.unused_data or not (more or self._inflater.eof):
            raise MalformedBodyError("the body ends before its compressed data, or goes on behind")

    def images(self) -> list[EncodedImage]:
        """Return the whole body as one `EncodedImage`, for `parse`."""
        content, self._content = bytes(self._content), bytearray()
        return [EncodedImage(content, "", "")]


def parse(content: bytes, headers: Mapping[bytes, bytes], max_images: int) -> InferenceRequest:
    """Parse a whole body: JSON, and the binary tensors after it.

    `HEADER` among the `headers` gives the length of the JSON. Raises a `ServiceError`.
    """
    length = headers.get(HEADER.lower().encode())
    if length is None:
        end = len(content)
    elif not length.isdigit() or len(length) > 12 or (end := int(length)) > len(content):
        raise MalformedBodyError(
            f"{HEADER} must be a number from 0 to the {len(content):,} bytes of the body"
        )
    if not end:
        if not content:
            raise InvalidInputError("the body is empty; send the JSON of an inference request")
        return InferenceRequest({IMAGE: Tensor(IMAGE, BYTES, (1,), [_raw(content)])}, binary=True)
    told = _json(content[:end])
    inputs = told.get("inputs")
    if not isinstance(inputs, list) or not inputs or not all(isinstance(e, dict) for e in inputs):
        raise MalformedBodyError('the JSON must have "inputs", a list of one tensor or more')
    found, left = dict[str, Tensor](), memoryview(content)[end:]
    for each in inputs:
        tensor, left = _tensor(each, left, max_images)
        if tensor.name in found:
            raise MalformedBodyError(f"the input {tensor.name!r} comes twice")
        found[tensor.name] = tensor
    if len(left):
        raise MalformedBodyError(f"{len(left):,} bytes stand behind the last tensor")
    parameters = _parameters(told, "the request")
    binary = parameters.get("binary_data_output") is True
    name = told.get("id")
    if isinstance(name, str) and len(name) > MAX_ID:
        raise MalformedBodyError(f'"id" has more than {MAX_ID:,} characters')
    return InferenceRequest(
        found,
        _outputs(told, binary),
        name if isinstance(name, str) else None,
        binary,
        _timeout(parameters),
    )


def images(tensor: Tensor) -> list[EncodedImage]:
    """Return the encoded images of a tensor of BYTES, whose elements are files or base64.

    An element that is not base64 becomes an image with a `fault`, which the decoder reports with
    all other invalid images.
    """
    return [_image(each) for each in tensor.elements]


def _image(element: bytes | str) -> EncodedImage:
    if isinstance(element, bytes):
        return EncodedImage(element, "", "")
    steps = base64_text.image(element)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        encoded, media_type = end.value
        return EncodedImage(encoded, media_type, "")
    except NotBase64Error as error:
        return EncodedImage(b"", "", "", str(error))


def only_ready(content: bytes) -> bool:
    """Return whether a request for the index of the repository asks for ready versions only.

    Raises a `ServiceError` for a body of another form.
    """
    if len(content) > _MAX_INDEX:
        raise TooLargeError('the body is empty, or {"ready": true} or {"ready": false}')
    told = _json(content) if content.strip() else {}
    ready = told.get("ready", False)
    if not isinstance(ready, bool):
        raise MalformedBodyError('"ready" must be true or false')
    return ready


def _raw(content: bytes) -> bytes:
    """Return the image of a raw request, without the four bytes of its length if it has them."""
    length = int.from_bytes(content[:4], "little")
    return content[4:] if length == len(content) - 4 else content


def _json(text: bytes) -> dict[str, Any]:
    if text.count(b",") + text.count(b"[") + text.count(b"{") > MAX_JSON_VALUES:
        raise TooLargeError(
            f"the JSON has more than {MAX_JSON_VALUES:,} values; send tensors as binary data"
        )
    try:
        told = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        is_text = error.doc or not text
        reason = where(error.pos, len(error.doc)) if is_text else "its text is not UTF-8"
        raise MalformedBodyError(
            f"the body is not JSON: {reason}; with tensors behind the JSON, the header {HEADER} "
            "tells the length of the JSON"
        ) from None
    if not isinstance(told, dict):
        raise MalformedBodyError("the body must be a JSON object")
    return told


def _tensor(told: dict[str, Any], left: memoryview, max_images: int) -> tuple[Tensor, memoryview]:
    """Parse an input; return its tensor, and the bytes after its own."""
    name, datatype = _name(told, "input"), told.get("datatype")
    if not isinstance(datatype, str):
        raise MalformedBodyError('each input must have a "datatype", which is a string')
    shape = tensors.checked_shape(name, told.get("shape"))
    if datatype == BYTES and math.prod(shape) > max_images:
        raise TooLargeError(f"more than {max_images} images in a request (setting max_images)")
    parameters = _parameters(told, f"the input {name!r}")
    size = parameters.get("binary_data_size")
    if size is None:
        return tensors.from_json(name, datatype, shape, told.get("data")), left
    if type(size) is not int or not 0 <= size <= len(left) or "data" in told:
        raise MalformedBodyError(
            f'"binary_data_size" of the input {name!r} must be the number of its bytes behind the '
            f'JSON, of which there are {len(left):,}, and it has no "data" then'
        )
    return tensors.from_bytes(name, datatype, shape, left[:size]), left[size:]


def _outputs(told: dict[str, Any], binary: bool) -> tuple[AskedOutput, ...]:
    given = told.get("outputs") or []
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise MalformedBodyError('"outputs" must be a list of objects with a "name"')
    found: dict[str, AskedOutput] = {}
    for each in given:
        name = _name(each, "output")
        if name in found:
            raise MalformedBodyError(f"the output {name!r} comes twice")
        parameters = _parameters(each, f"the output {name!r}")
        classes = parameters.get("classification")
        if classes is not None and (type(classes) is not int or classes < 0):
            raise MalformedBodyError('"classification" must be a whole number from 0')
        own = parameters.get("binary_data", binary)
        found[name] = AskedOutput(name, own is True, classes or None)
    return tuple(found.values())


def _name(told: dict[str, Any], what: str) -> str:
    name = told.get("name")
    if not isinstance(name, str) or not name or len(name) > MAX_NAME:
        raise MalformedBodyError(
            f'each {what} must have a "name", a string of 1 to {MAX_NAME} characters'
        )
    return name


def _parameters(told: dict[str, Any], whose: str) -> dict[str, Any]:
    parameters = told.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise MalformedBodyError(f'"parameters" of {whose} must be an object')
    if any(name.startswith(_SHARED) for name in parameters):
        raise MalformedBodyError(
            f"{whose} lies in shared memory, which is not offered: send it in the body"
        )
    return parameters


def _timeout(parameters: dict[str, Any]) -> float | None:
    """Return the request's timeout, from microseconds to seconds; None if it has none."""
    given = parameters.get("timeout")
    if given is None or given == 0:
        return None
    if type(given) is not int or given < 0:
        raise MalformedBodyError('"timeout" must be a whole number of microseconds')
    return given / 1e6
