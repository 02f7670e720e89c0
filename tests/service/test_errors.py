"""Every status of the API: what was wrong, what is allowed, which setting changes it."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from models.errors import ImageError
from models.images import formats as image_formats
from models.images.formats import FORMATS
from tests.networks import encode, picture, png_of_size
from tests.service.conftest import Serve
from tests.service.connections import PREDICT
from tests.service.test_predict import parts

GOOD = encode(picture(0))
MULTIPART = "multipart/form-data; boundary=x"


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document, after checking what holds for all of them."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["request_id"] == response.headers["x-request-id"]
    assert document["type"].startswith("urn:fanlight:")
    assert document["instance"] == response.request.url.raw_path.decode().partition("?")[0]
    assert "Traceback" not in response.text
    return document


def huge_png() -> bytes:
    return png_of_size(20_000, 20_000)


@pytest.mark.parametrize(
    ("body", "type"),
    [
        (b"nothing", MULTIPART),
        (b"--x\r\nno header\r\n\r\n--x--", MULTIPART),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\n\r\n--x--", MULTIPART),
        (GOOD, "multipart/form-data"),
        (
            b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\nab',
            MULTIPART,
        ),
    ],
)
def test_400_for_a_body_that_is_not_what_it_says(
    client: TestClient, body: bytes, type: str
) -> None:
    answer = client.post(PREDICT, content=body, headers={"Content-Type": type})
    assert "multipart/form-data" in problem(answer, 400)["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        b'Content-Disposition: form-data; name="images"; filename="\xff\xfe"',
        b'Content-Disposition: form-data; name="images"\r\nContent-Length: -5',
        b'Content-Disposition: form-data; name="images"\r\nContent-Length: ' + b"9" * 3000,
        b'Content-Disposition: form-data; name="images"\r\nX\x00: 1',
        b'Content-Disposition: form-data; name="images"\r\n' + b"X: 1\r\n" * 50,
        b'Content-Disposition: form-data; name="images"; filename="' + b"a" * 10_000,
        b"Content-Disposition: attachment",
        b"no header",
        b"",
    ],
)
def test_400_says_nothing_of_python(client: TestClient, headers: bytes) -> None:
    body = b"--x\r\n" + headers + b"\r\n\r\nab\r\n--x--\r\n"
    answer = client.post(PREDICT, content=body, headers={"Content-Type": MULTIPART})
    detail = problem(answer, 400)["detail"]
    assert "part 0 " in detail
    assert not re.search(r"Error|Exception|\(\'|b\'|0x|<", detail)


@pytest.mark.parametrize(
    ("image", "type"),
    [
        (b"\xff\xd8\xff\xe0" + b"a" * 40, "image/jpeg"),
        (b"RIFF\x10\0\0\0WEBPVP8 abcdefghijk", "image/webp"),
        (GOOD[:40], "image/png"),
        (b"GIF89a" + b"\1" * 30, "image/gif"),
        (b"BM" + b"\1" * 60, "image/bmp"),
    ],
)
def test_422_says_nothing_of_a_decoder(client: TestClient, image: bytes, type: str) -> None:
    answer = client.post(PREDICT, content=image, headers={"Content-Type": type})
    if answer.status_code != 415:
        assert answer.status_code in (413, 422)
        [fault] = problem(answer, answer.status_code)["errors"]
        ours = "corrupt or truncated|not a picture of a known format|far too many pixels"
        assert re.match(ours, fault["reason"])
        assert not re.search("Error|0x|cannot|object", fault["reason"])


@pytest.mark.parametrize("charset", ["undefined", "idna", "unicode_escape", "utf-7", "\xff" * 9])
def test_a_charset_chooses_no_codec(client: TestClient, charset: str) -> None:
    name = b"\\ud800+2AA-"  # surrogates, to some codecs
    head = b'--x\r\nContent-Disposition: form-data; name="images"; filename="' + name + b'"\r\n\r\n'
    type = f"{MULTIPART}; charset={charset}".encode("latin-1")
    for image, status in ((GOOD, 200), (GOOD[:60], 422)):
        body = head + image + b"\r\n--x--\r\n"
        answer = client.post(PREDICT, content=body, headers={b"Content-Type": type})
        assert answer.status_code == status, answer.text


def test_a_quoted_boundary(client: TestClient) -> None:
    body = b'--a "b\\\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    body += GOOD + b'\r\n--a "b\\--\r\n'
    type = 'multipart/form-data; boundary="a \\"b\\\\"'
    answer = client.post(PREDICT, content=body, headers={"Content-Type": type})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("length", "status"), [("0" * 5000 + "1", 200), ("9" * 5000, 413), ("1" * 25, 413)]
)
def test_a_length_of_very_many_digits(client: TestClient, length: str, status: int) -> None:
    headers = {"Content-Type": "image/png", "Content-Length": length}
    assert client.post(PREDICT, content=GOOD, headers=headers).status_code == status


class Test401:
    @pytest.fixture
    def locked(self, serve: Serve) -> TestClient:
        return serve(api_key="sesame")

    @pytest.mark.parametrize(
        "header", [None, b"Bearer wrong", b"Basic sesame", b"Bearer s\xe9same"]
    )
    def test_without_the_key(self, locked: TestClient, header: bytes | None) -> None:
        sent: Any = {"Authorization": header} if header else {}
        for answer in (
            locked.post(PREDICT, files=parts(GOOD), headers=sent),
            locked.get("/v1/models", headers=sent),
            locked.get("/v1/models/colors", headers=sent),
        ):
            assert "api_key" in problem(answer, 401)["detail"]
            assert answer.headers["www-authenticate"] == "Bearer"

    def test_not_with_the_key(self, locked: TestClient) -> None:
        key = {"Authorization": "Bearer sesame"}
        assert locked.post(PREDICT, files=parts(GOOD), headers=key).status_code == 200
        assert locked.get("/v1/models", headers=key).status_code == 200

    @pytest.mark.slow
    def test_not_with_the_key_beyond_ascii(self, serve: Serve) -> None:
        client = serve(api_key="sésame")
        headers = {b"Authorization": "Bearer sésame".encode()}
        assert client.get("/v1/models", headers=headers).status_code == 200

    def test_not_for_health(self, locked: TestClient) -> None:
        assert locked.get("/health/ready").status_code == 200


class Test404:
    def test_model(self, client: TestClient) -> None:
        for answer in (
            client.get("/v1/models/cats"),
            client.post("/v1/models/cats/predict", files=parts(GOOD)),
        ):
            assert problem(answer, 404)["detail"] == "no model 'cats'; there are: colors"

    def test_version(self, client: TestClient) -> None:
        answer = client.post(PREDICT, files=parts(GOOD), params={"version": 9})
        assert problem(answer, 404)["detail"] == "no version 9 of 'colors'; there are: 1, 2"

    @pytest.mark.parametrize(
        "path",
        [
            "/v1/models/..%2f..%2fetc",
            "/v1/models/%2e%2e",
            "/static/%2e%2e/app.py",
            "/docs/swagger-ui/..%2f__init__.py",
        ],
    )
    def test_no_path_reaches_the_file_system(self, client: TestClient, path: str) -> None:
        assert client.get(path).status_code == 404

    def test_route(self, client: TestClient) -> None:
        assert "/docs" in problem(client.get("/v3"), 404)["detail"]


class Test413:
    @pytest.mark.slow
    def test_declared_body(self, serve: Serve) -> None:
        answer = serve(max_body_bytes=1024).post(PREDICT, files=parts(GOOD * 20))
        assert "1,024 bytes (setting max_body_bytes)" in problem(answer, 413)["detail"]

    @pytest.mark.slow
    @pytest.mark.parametrize("type", ["image/png", MULTIPART])
    def test_streamed_body(self, serve: Serve, type: str) -> None:
        def endless() -> Iterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
            for _ in range(100):
                yield b"0" * 1000

        answer = serve(max_body_bytes=10_000).post(
            PREDICT, content=endless(), headers={"Content-Type": type}
        )
        assert "10,000 bytes (setting max_body_bytes)" in problem(answer, 413)["detail"]

    @pytest.mark.slow
    def test_number_of_images(self, serve: Serve) -> None:
        client = serve(max_images=3)
        assert client.post(PREDICT, files=parts(*[GOOD] * 3)).status_code == 200
        answer = client.post(PREDICT, files=parts(*[GOOD] * 4))
        assert (
            "more than 3 images in a request (setting max_images)" in problem(answer, 413)["detail"]
        )

    @pytest.mark.slow
    def test_not_for_as_many_as_are_allowed(self, serve: Serve) -> None:
        client = serve(max_images=1200, max_queue_size=1200)
        assert client.post(PREDICT, files=parts(*[GOOD] * 1100)).status_code == 200

    @pytest.mark.slow
    def test_pixels_before_decoding(self, serve: Serve) -> None:
        document = problem(serve(max_image_pixels=63).post(PREDICT, files=parts(GOOD)), 413)
        assert "8 × 8 pixels; the limit is 63 in all" in document["detail"]

    def test_pixels_of_a_bomb(self, client: TestClient) -> None:
        document = problem(client.post(PREDICT, files=parts(GOOD, huge_png())), 413)
        [image] = document["errors"]
        assert (image["index"], image["filename"]) == (1, "1.png")
        assert "far too many pixels; the limit is 25,000,000" in image["reason"]
        assert "max_image_pixels" in image["reason"]


def missing() -> None:
    raise ImageError("a HEIC; pip install 'fanlight[heif]'")


class Test415:
    @pytest.mark.parametrize("type", ["image/svg+xml", "text/plain", "application/pdf", ""])
    @pytest.mark.parametrize("body", [b"hello", b"%PDF-1.7" + b"\n" * 500])
    def test_body(self, client: TestClient, type: str, body: bytes) -> None:
        answer = client.post(PREDICT, content=body, headers={"Content-Type": type})
        detail = problem(answer, 415)["detail"]
        assert f"Content-Type is {type or 'absent'}" in detail
        assert "multipart/form-data" in detail
        assert "image/webp" in detail

    @pytest.mark.parametrize("type", ["text/plain", "application/json", MULTIPART, ""])
    def test_an_empty_body(self, client: TestClient, type: str) -> None:
        answer = client.post(PREDICT, content=b"", headers={"Content-Type": type})
        detail = problem(answer, 422)["detail"]
        assert detail.startswith("the body is empty; send one image as the body, multipart/form-da")

    def test_json_of_another_type(self, client: TestClient) -> None:
        """As curl sends it without a header."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = client.post(PREDICT, content=b'{"images": []}', headers=headers)
        assert "for JSON, set Content-Type: application/json" in problem(answer, 415)["detail"]

    def test_part(self, client: TestClient) -> None:
        answer = client.post(PREDICT, files=parts(b"<svg>", type="image/svg+xml"))
        [image] = problem(answer, 415)["errors"]
        assert "image/svg+xml" in image["reason"]
        assert "image/png" in image["reason"]

    def test_a_format_whose_package_is_missing(self, client: TestClient) -> None:
        encoded = encode(picture(1), "HEIF")
        with FORMATS.restored():
            heic = FORMATS.get("heic")
            FORMATS.discard("heic")
            FORMATS.register(replace(heic, prepare=missing))
            answer = client.post(PREDICT, files=parts(encoded))
            assert "image/heif" not in image_formats.taken()
        [image] = problem(answer, 415)["errors"]
        assert image["reason"] == "a HEIC; pip install 'fanlight[heif]'"

    def test_part_of_no_known_type(self, client: TestClient) -> None:
        answer = client.post(PREDICT, files=parts(b"hello", type="application/octet-stream"))
        problem(answer, 415)


class Test422:
    def test_parameters_in_words(self, client: TestClient) -> None:
        answer = client.post(f"{PREDICT}?version=first", files=parts(GOOD))
        detail = problem(answer, 422)["detail"]
        assert detail == "invalid parameter: version: should be a whole number, not 'first'"

    def test_a_word_that_is_nearly_right(self, client: TestClient) -> None:
        answer = client.post("/v1/models/colors/explain?method=oclusion", files=parts(GOOD))
        detail = problem(answer, 422)["detail"]
        assert detail.startswith("invalid parameter: method: should be ")
        assert detail.endswith("not 'oclusion'; did you mean 'occlusion'?")

    @pytest.mark.parametrize(
        ("operation", "text"),
        [
            ("features", "layer is missing; it is the name of a layer"),
            ("explain", "method is missing; it is one of class-map, grad-cam, integrated-gr"),
        ],
    )
    def test_parameter_that_is_missing(self, client: TestClient, operation: str, text: str) -> None:
        answer = client.post(f"/v1/models/colors/{operation}", files=parts(GOOD))
        assert problem(answer, 422)["detail"].startswith(f"invalid parameter: {text}")

    @pytest.mark.parametrize("query", ["top_k=0", "top_k=x", "version=0", "version=1.5"])
    def test_parameter(self, client: TestClient, query: str) -> None:
        detail = problem(client.post(f"{PREDICT}?{query}", files=parts(GOOD)), 422)["detail"]
        assert query.partition("=")[0] in detail

    @pytest.mark.parametrize(
        ("url", "name"),
        [
            (f"{PREDICT}?version=1&version=2", "version"),
            (f"{PREDICT}?top_k=1&top_k=1", "top_k"),
            ("/v1/models/colors/features?layer=a&layer=b&format=png&format=json", "format"),
            ("/v1/models/colors/explain?method=occlusion&method=grad-cam", "method"),
            ("/v1/models/colors/kernels/a?channel=1&format=json&channel=2", "channel"),
        ],
    )
    def test_a_parameter_that_comes_twice(self, client: TestClient, url: str, name: str) -> None:
        method = "GET" if "kernels" in url else "POST"
        files = parts(GOOD) if method == "POST" else None
        detail = problem(client.request(method, url, files=files), 422)["detail"]
        assert detail == f"invalid parameter: {name} comes 2 times; give it once"

    def test_all_bad_images_are_named_and_nothing_is_predicted(self, client: TestClient) -> None:
        broken = {1: GOOD[:-60], 2: b"", 4: GOOD[:40], 5: b"no image"}
        images = [broken.get(index, GOOD) for index in range(7)]
        document = problem(client.post(PREDICT, files=parts(*images)), 422)
        assert [image["index"] for image in document["errors"]] == [1, 2, 4, 5]
        reasons = {image["index"]: image["reason"] for image in document["errors"]}
        assert "truncated" in reasons[1]
        assert reasons[2].startswith("empty")
        assert reasons[5].startswith("said to be image/png, but the bytes are not; taken are ")
        assert "predictions" not in document

    def test_mixed_faults(self, client: TestClient) -> None:
        document = problem(client.post(PREDICT, files=parts(huge_png(), b"", GOOD)), 422)
        assert len(document["errors"]) == 2

    def test_jpeg_of_very_many_scans(self, client: TestClient) -> None:
        """A few bytes a scan would keep the decoder busy for half a minute."""
        image = encode(picture(1, size=(64, 64)), "JPEG", progressive=True)
        last = image[image.rindex(b"\xff\xda") : -2]
        for scans, status in ((50, 200), (200, 422)):
            body = image[:-2] + last * scans + image[-2:]
            answer = client.post(PREDICT, content=body, headers={"Content-Type": "image/jpeg"})
            assert answer.status_code == status, answer.text
        assert "at most 100 are taken" in problem(answer, 422)["detail"]

    def test_side_of_very_many_pixels(self, client: TestClient) -> None:
        image = encode(Image.new("1", (65_536, 1)))
        answer = client.post(PREDICT, files=parts(image))
        assert "65536 × 1 pixels; a side may have 65,535" in problem(answer, 422)["detail"]

    def test_raw_body_that_is_no_image(self, client: TestClient) -> None:
        answer = client.post(PREDICT, content=b"hello", headers={"Content-Type": "image/gif"})
        assert "said to be image/gif, but the bytes are not" in problem(answer, 422)["detail"]

    def test_part_of_another_name(self, client: TestClient) -> None:
        answer = client.post(PREDICT, files={"picture": ("a.png", GOOD, "image/png")})
        detail = problem(answer, 422)["detail"]
        assert (
            "a part named 'images' (taken too: 'image', 'files', 'file', 'upload', 'data')"
            in detail
        )
        assert detail.endswith("the form has 'picture'")

    def test_part_that_is_text(self, client: TestClient) -> None:
        text: tuple[str, Any] = ("images", (None, "a.png"))
        files = [text, *parts(GOOD, b"no image")]
        document = problem(client.post(PREDICT, files=files), 422)
        assert [each["index"] for each in document["errors"]] == [0, 2]
        assert "has no filename" in document["errors"][0]["reason"]

    def test_parameters_beside_an_image(self, client: TestClient) -> None:
        answer = client.post(PREDICT, files=parts(GOOD), data={"top_k": "2"})
        assert problem(answer, 422)["detail"].endswith(
            "the form has 'top_k'; parameters such as top_k stand in the URL"
        )

    def test_no_part(self, client: TestClient) -> None:
        type = MULTIPART
        answer = client.post(PREDICT, content=b"--x--\r\n", headers={"Content-Type": type})
        assert "the form has no part" in problem(answer, 422)["detail"]
