"""JSON bodies: images in their order; everything else is refused, before it needs much memory."""

import json
import tracemalloc
from base64 import b64encode
from typing import Any

import pytest

from service.errors import InvalidInputError, MalformedBodyError, ServiceError, TooLargeError
from service.images.encoded import EncodedImage
from service.requests import json_body
from tests.networks import encode, picture
from tests.service.requests.test_base64_text import result

ONE, OTHER = encode(picture(1)), encode(picture(2), "JPEG")
FIRST, SECOND = b64encode(ONE).decode(), b64encode(OTHER).decode()


def images(body: object, most: int = 3) -> list[EncodedImage]:
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    json_body.Structure(most).check(encoded)
    return result(json_body.images(encoded, most))


def test_images_come_in_their_order() -> None:
    url = f"data:image/jpeg;base64,{SECOND}"
    assert images({"images": [FIRST, url, FIRST]}) == [
        EncodedImage(ONE, "", ""),
        EncodedImage(OTHER, "image/jpeg", ""),
        EncodedImage(ONE, "", ""),
    ]


def test_one_image() -> None:
    assert images({"image": FIRST}) == images({"images": [FIRST]}) == [EncodedImage(ONE, "", "")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
def test_json_in_the_encodings_that_it_may_have(encoding: str) -> None:
    assert images(json.dumps({"images": [FIRST]}).encode(encoding)) == [EncodedImage(ONE, "", "")]


def test_slashes_may_be_escaped() -> None:
    """As PHP writes them."""
    body = json.dumps({"images": [FIRST, SECOND]}).replace("/", "\\/").encode()
    assert [each.encoded for each in images(body)] == [ONE, OTHER]


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (b"", MalformedBodyError, "is not application/json: it is empty"),
        (b"\xff\xfe", MalformedBodyError, "is not application/json: it is empty"),
        (b"{", MalformedBodyError, "it ends too early, after character 1;"),
        (b'{"images":', MalformedBodyError, "it ends too early, after character 10;"),
        (b'{"images": [],}', MalformedBodyError, "it is no JSON from character 15 of 15 on"),
        (b"nul", MalformedBodyError, "it is no JSON from character 1 of 3 on"),
        (b'{"images": ["AAAA"', MalformedBodyError, "is not application/json"),
        (b"{'images': []}", MalformedBodyError, "is not application/json"),
        (b'{"images": ["\xff"]}', MalformedBodyError, "its text is not UTF-8;"),
        (b'\xef\xbb\xbf{"images": ["\xff"]}', MalformedBodyError, "its text is not UTF-8;"),
        (b'{"images": ' + b"9" * 9999 + b"}", MalformedBodyError, "a number in it is too long"),
        ([FIRST], InvalidInputError, "it is a list"),
        (FIRST, InvalidInputError, "it is a string"),
        (b"null", InvalidInputError, "it is null"),
        ({}, InvalidInputError, "it is empty"),
        ({"imgs": [FIRST]}, InvalidInputError, "'images'?"),
        ({"images": [FIRST], "top_k": 1}, InvalidInputError, "parameters such as top_k stand in"),
        ({"images": [FIRST], "image": FIRST}, InvalidInputError, "it has both"),
        ({"images": FIRST}, InvalidInputError, "'images' is a string; it is a list"),
        ({"images": {"a": FIRST}}, InvalidInputError, "'images' is an object"),
        ({"image": [FIRST]}, InvalidInputError, "'image' is a list; it is one string"),
        ({"images": []}, InvalidInputError, "the list is empty"),
        ({"images": [FIRST] * 4}, TooLargeError, "more than 3 images"),
        (
            b'{"images": ["AAAA"], "images": ["AAAA"]}',
            InvalidInputError,
            "'images' comes twice",
        ),
        ({"images": [[0, 1], [2]] * 4}, InvalidInputError, "it is nested"),
        ({"images": [0] * 99}, TooLargeError, "or values that are no images"),
        (b"[" * 100_000, InvalidInputError, "it is nested"),
        (b"[[[[[[[[" + b"]" * 8, InvalidInputError, "it is a list"),
        (b'{"a":' * 100_000, InvalidInputError, "it is nested"),
    ],
)
def test_what_is_wrong_is_said(body: Any, kind: type[ServiceError], text: str) -> None:
    with pytest.raises(kind) as error:
        images(body)
    assert text in error.value.detail
    assert json_body.SHAPE in error.value.detail
    assert len(error.value.detail) < 500


def test_strings_that_are_no_image_have_a_fault() -> None:
    """The decoder names them with the images that are invalid for other reasons."""
    bad: list[Any] = [None, 7, True, {}, "http://x/a.png", "no base64!", FIRST]
    found = images({"images": bad}, most=7)
    assert [bool(each.fault) for each in found] == [True] * 6 + [False]
    assert found[0].fault == "is null, and no string of base64"
    assert "fetches no URL" in (found[4].fault or "")


@pytest.mark.parametrize(
    "body", [b"[" + b"[]," * 2**20, b"[" + b"1," * 2**20, b'{"":{},' * 2**20, b'"",' * 2**20]
)
def test_structure_is_refused_before_it_is_built(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ServiceError):
            images(body, most=128)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20
