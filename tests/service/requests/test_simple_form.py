"""Plain forms are split to what the parser of any form finds in them; others are left to it."""

import random

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from service.requests.simple_form import Part, parts

BOUNDARY = b"-----b0undary"


def parsed(body: bytes, boundary: bytes = BOUNDARY) -> list[Part]:
    """What the library finds; raises `MultipartError` for what is not a form."""
    found: list[Part] = []
    with PushMultipartParser(boundary) as parser:
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                name, filename = event.name or "", event.filename
                found.append(Part(name, filename, event.content_type or "", b""))
            elif event is not None:
                found[-1] = found[-1]._replace(content=found[-1].content + event)
    return found


def form(*files: tuple[str, str, str, bytes], boundary: bytes = BOUNDARY) -> bytes:
    """As browsers write it."""
    body = b""
    for name, filename, content_type, content in files:
        head = (
            f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
            f"Content-Type: {content_type}\r\n\r\n"
        )
        body += b"--" + boundary + b"\r\n" + head.encode() + content + b"\r\n"
    return body + b"--" + boundary + b"--\r\n"


FILE = ("images", "a picture (1).png", "image/png", b"\x89PNG\r\n--\r\n")
TWO = form(FILE, ("images", "", "application/octet-stream", b""))


def test_plain_forms_are_split() -> None:
    assert parts(TWO, BOUNDARY, 9) == parsed(TWO)
    assert parts(TWO, BOUNDARY, 9) == [
        Part(*FILE),
        Part("images", "", "application/octet-stream", b""),
    ]
    assert parts(TWO[:-2], BOUNDARY, 9) == parsed(TWO)


def test_what_is_too_much_is_not_looked_at() -> None:
    assert parts(form(*[FILE] * 5)[:-9] + b"damaged", BOUNDARY, 3) == [Part(*FILE)] * 4


def test_forms_of_a_client_are_plain() -> None:
    files = [("images", (f"{i}.png", bytes([i] * i), "image/png")) for i in range(20)]
    request = httpx.Request("POST", "http://x", files=files)
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    expected = [Part("images", name, type, content) for _, (name, content, type) in files]
    assert parts(request.read(), boundary, 20) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--" + BOUNDARY + b"--",
        b"preamble\r\n" + TWO,
        TWO + b"epilogue",
        TWO[:-4],
        TWO.replace(b"\r\n", b"\n"),
        TWO.replace(b"Content-Type", b"content-type", 1),
        TWO.replace(b"Content-Type", b"X-More: 1\r\nContent-Type", 1),
        TWO.replace(b"picture", b"pi\\\\cture"),
        TWO.replace(b"picture", b"pi%22cture"),
        TWO.replace(b"picture", "Bücher".encode()),
        TWO.replace(b'filename="a picture (1).png"', b"filename=\"a\"; filename*=UTF-8''b"),
        TWO.replace(b"a picture", b"a" * 300),
        TWO.replace(b"image/png", b"image/png; charset=x"),
        TWO.replace(b"\r\n--" + BOUNDARY, b"\r\n--" + BOUNDARY + b"x", 1),
        form(FILE, boundary=BOUNDARY + b"2"),
    ],
)
def test_others_are_left_alone(body: bytes) -> None:
    assert not parts(body, BOUNDARY, 9)


@given(st.integers(0, 2**32))
def test_what_is_split_is_what_the_parser_finds(seed: int) -> None:
    """Forms of pieces that matter to it, in any order, most of them damaged."""
    choose = random.Random(seed)
    pieces = [
        b"--",
        BOUNDARY,
        b"\r\n",
        b"--" + BOUNDARY,
        b"--" + BOUNDARY + b"--",
        b"\r",
        b"\n",
        b"x",
    ]
    contents = (b"".join(choose.choices(pieces, k=choose.randrange(6))) for _ in range(3))
    names = ("images", "other", "")
    body = bytearray(
        form(
            *(
                (choose.choice(names), choose.choice(("a.png", "", "a b")), "image/png", content)
                for content in contents
            )
        )
    )
    for _ in range(choose.randrange(3)):
        place = choose.randrange(len(body))
        body[place : place + choose.randrange(3)] = choose.choice([*pieces, b"", b'"'])
    split = parts(bytes(body), BOUNDARY, 9)
    if split is not None:
        try:
            found = parsed(bytes(body))
        except MultipartError as error:
            pytest.fail(f"{bytes(body)!r} was split, but {error}")
        assert split == found
