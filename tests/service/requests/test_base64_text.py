"""Base64 in its forms: what is meant is decoded, and nothing else is guessed."""

import base64
from collections.abc import Generator
from typing import TypeVar
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.requests import base64_text
from service.requests.base64_text import NotBase64Error

Result = TypeVar("Result")
BYTES = bytes(range(256)) + b"\xfb\xff"  # with + and / in it
STANDARD, URL_SAFE = base64.b64encode(BYTES).decode(), base64.urlsafe_b64encode(BYTES).decode()
LINES = base64.encodebytes(BYTES).decode()


def result(steps: Generator[None, None, Result]) -> Result:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Result = end.value
            return found


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (STANDARD, ""),
        (URL_SAFE, ""),
        (STANDARD.rstrip("="), ""),
        (LINES, ""),
        (LINES.replace("\n", "\r\n"), ""),
        (f"  {STANDARD}\t\n", ""),
        (f"data:image/png;base64,{STANDARD}", "image/png"),
        (f"DATA:image/svg+xml;charset=utf-8;BASE64,{STANDARD}", "image/svg+xml;charset=utf-8"),
        (f"data:;base64,{STANDARD}", ""),
        (f"data:image/png;base64,{quote(STANDARD, safe='')}", "image/png"),
        (f"data:image/png;base64,{STANDARD.replace('+', '%2b')}", "image/png"),
        (f" data:image/jpeg;name=a.jpg;base64,{LINES}", "image/jpeg;name=a.jpg"),
    ],
)
def test_base64_in_its_forms(text: str, kind: str) -> None:
    assert result(base64_text.image(text)) == (BYTES, kind)


@given(st.binary(max_size=300), st.integers(1, 40))
def test_pieces_are_joined(content: bytes, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base64_text, "PIECE", size)
        for text in (base64.b64encode(content), base64.encodebytes(content)):
            assert result(base64_text.decoded(text)) == content
            assert result(base64_text.decoded(text.decode().rstrip("=\n"))) == content


@pytest.mark.parametrize("size", [1, 3, 4, 1000])
@pytest.mark.parametrize(
    "text",
    ["A", "AAAAA", "AA=A", "AA==AAAA", "AA==AA==", "A===", "=", "!!!!", "AAA\0", "ÄAAA", "A.AA"],
)
def test_anything_else_is_refused(text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base64_text, "PIECE", size)
    with pytest.raises(NotBase64Error, match="is not base64"):
        result(base64_text.image(text))


@pytest.mark.parametrize(
    "text",
    [
        "http://example.org/cat.png",
        "HTTPS://example.org/cat.png",
        "file:///etc/passwd",
        "s3://bucket/cat.png",
        "ftp:cat.png",
        "blob:http://example.org/1",
        " http://169.254.169.254/latest",
        "http://example.org/" + "a" * 5000,
    ],
)
def test_no_url_is_fetched(text: str) -> None:
    with pytest.raises(NotBase64Error, match="this service fetches no URL") as error:
        result(base64_text.image(text))
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("text", ["data:image/png,%89PNG", "data:,hello", "data:base64,AAAA"])
def test_a_data_url_without_base64(text: str) -> None:
    with pytest.raises(NotBase64Error, match="data URL without base64"):
        result(base64_text.image(text))
