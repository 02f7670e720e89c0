"""What a client declares is a hint: each way to send an image gives the same image."""

import base64

import pytest

from service.errors import InvalidInputError, MalformedBodyError, ServiceError, UnsupportedTypeError
from service.requests.bodies import FORM, BodyLimits
from service.settings import Settings
from tests.networks import encode, picture

IMAGE, OTHER = encode(picture(1)), encode(picture(2), "JPEG")
LIMITS = BodyLimits(Settings())


def received(body: bytes, content_type: str | None, size: int = 10**9) -> list[bytes]:
    """The images of a body that arrives in chunks of that size."""
    headers = {} if content_type is None else {b"content-type": content_type.encode()}
    parsed = LIMITS.body(headers)
    chunks = [body[i : i + size] for i in range(0, len(body), size)] or [b""]
    for index, chunk in enumerate(chunks):
        for _ in parsed.feed(chunk, index < len(chunks) - 1):
            pass
    return [each.encoded for each in parsed.images()]


def part(content: bytes, head: str = 'name="images"; filename="a"', *more: str) -> bytes:
    lines = "".join(f"{each}\r\n" for each in more)
    return f"--x\r\nContent-Disposition: form-data; {head}\r\n{lines}\r\n".encode() + content


def form(*parts: bytes) -> bytes:
    return b"\r\n".join((*parts, b"--x--\r\n"))


@pytest.mark.parametrize("size", [1, 100, 10**9])
@pytest.mark.parametrize(
    "content_type",
    [
        *("image/png", "image/jpg", "image/jpeg", "image/x-png", "image/*", "image/svg+xml", "*/*"),
        *("IMAGE/PNG", "image/png; charset=binary", "application/octet-stream"),
        *("binary/octet-stream", "application/x-www-form-urlencoded", "application/json", None),
        *("text/plain;charset=UTF-8", "nonsense", ""),
    ],
)
def test_a_body_is_an_image_whatever_its_type(content_type: str | None, size: int) -> None:
    for image in (IMAGE, OTHER):
        assert received(image, content_type, size) == [image]


@pytest.mark.parametrize("size", [1, 100, 10**9])
@pytest.mark.parametrize(
    "body",
    [
        form(part(IMAGE), part(OTHER)),
        form(part(IMAGE, 'name="image"; filename="a.jpg"'), part(OTHER, "name=images; filename=a")),
        form(part(IMAGE, 'name="images[]"; filename=""'), part(OTHER, 'name="images[]"')),
        form(part(IMAGE, 'name="file"; filename="a"'), part(OTHER, 'name="files[7]"; filename=b')),
        form(part(IMAGE, 'name="upload"'), part(OTHER, 'name="image"', "Content-Type: text/plain")),
        form(
            part(base64.encodebytes(IMAGE), 'name="files"', "Content-Transfer-Encoding: BASE64"),
            part(OTHER, 'name="file"; filename="a"', "Content-Transfer-Encoding: binary"),
        ),
        form(
            part(IMAGE, 'name="images"; filename="a.png"', "Content-Type: image/*"),
            part(OTHER, "name=\"images\"; filename*=UTF-8''%e2%82%ac.png", "Content-Type: x"),
        ),
    ],
    ids=["usual", "image", "brackets", "indices", "text", "base64", "types"],
)
def test_parts_are_images_whatever_their_names_and_types(body: bytes, size: int) -> None:
    for content_type in (f"{FORM}; boundary=x", 'Multipart/Form-Data; charset=utf-8; Boundary="x"'):
        assert received(body, content_type, size) == [IMAGE, OTHER]


@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        (form(part(IMAGE, 'name="picture"; filename="a"')), InvalidInputError, "has 'picture'"),
        (form(part(IMAGE, 'name="images[a]"')), InvalidInputError, "the form has 'images[a]'"),
        (form(part(IMAGE, 'name="my-images"')), InvalidInputError, "the form has 'my-images'"),
        (
            form(part(IMAGE), part(b"1", 'name="csrf"')),
            InvalidInputError,
            "'upload', 'data'); the form has 'csrf'; parameters such as top_k stand in the URL",
        ),
        (b"", InvalidInputError, "the body is empty; send one image"),
        (
            form(part(b"no base64!", 'name="image"', "Content-Transfer-Encoding: base64")),
            MalformedBodyError,
            "the part 'image' is not base64",
        ),
        (
            form(part(IMAGE, 'name="image"', "Content-Transfer-Encoding: quoted-printable")),
            MalformedBodyError,
            "'quoted-printable'; send the bytes as they are",
        ),
    ],
)
def test_other_parts_are_refused(body: bytes, error: type[ServiceError], text: str) -> None:
    with pytest.raises(error) as found:
        received(body, f"{FORM}; boundary=x")
    assert text in found.value.detail


def test_a_file_input_that_was_left_empty() -> None:
    """As browsers send it; the decoder will say that it is empty."""
    assert received(form(part(b"", 'name="image"; filename=""')), f"{FORM}; boundary=x") == [b""]


def test_what_is_no_image_is_refused_before_the_rest_arrives() -> None:
    body = LIMITS.body({b"content-type": b"video/mp4"})
    with pytest.raises(UnsupportedTypeError, match="Content-Type is video/mp4"):
        list(body.feed(b"\0\0\0\x18ftypisom" + bytes(200), True))
