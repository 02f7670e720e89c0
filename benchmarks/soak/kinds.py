"""The mix of requests: each kind is a function, registered with its share of the mix.

The function gets a `Visit`, sends its requests, and returns the outcome in a word. It raises
`BrokenPromiseError` for a wrong answer, and `LostError` if the connection ends too early, which the
caller judges.
"""

import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import orjson

from benchmarks.soak.connection import Answer, Connection, form, get, post
from benchmarks.soak.hostile import mutated
from benchmarks.soak.oracle import LAYER, SWAPPED, Oracle, Picture, WrongAnswerError
from benchmarks.soak.record import BrokenPromiseError

OVERLOADED = (429, 503, 504)  # what a good request may get besides its answer
_MODELS = ("steady", "steady", "colours", SWAPPED)
_TOP = "top_k=99"  # all classes


@dataclass
class Visit:
    """A connection that is kept for several requests, and the data to make requests from."""

    connection: Connection
    service_port: int
    oracle: Oracle
    chance: random.Random
    seen: dict[int, int]  # this client's port → the version of `swapped` that answered last

    async def fresh(self) -> Connection:
        """Open another connection, for a request that ends its connection."""
        return await Connection.open(self.service_port)

    def choose(self, most: int = 1) -> tuple[str, list[Picture]]:
        """A model and one picture or more for it."""
        model = self.chance.choice(_MODELS)
        known = self.oracle.pictures["odd" if model == SWAPPED else model]
        return model, self.chance.choices(known, k=self.chance.randint(1, most))


@dataclass(frozen=True)
class Kind:
    name: str
    share: int
    ask: Callable[[Visit], Awaitable[str]]


KINDS: list[Kind] = []
Ask = Callable[[Visit], Awaitable[str]]


def kind(name: str, *, share: int) -> Callable[[Ask], Ask]:
    def register(ask: Ask) -> Ask:
        KINDS.append(Kind(name, share, ask))
        return ask

    return register


def choose(chance: random.Random) -> Kind:
    return chance.choices(KINDS, [each.share for each in KINDS])[0]


# what is right


@kind("predict, one image", share=300)
async def _one(visit: Visit) -> str:
    model, [picture] = visit.choose()
    answer = await visit.connection.ask(post(_predict(model), picture.encoded, picture.media_type))
    return _checked(visit, model, [picture], answer)


@kind("predict, a form of several", share=120)
async def _several(visit: Visit) -> str:
    model, pictures = visit.choose(8)
    body, type = form(*(picture.encoded for picture in pictures))
    return _checked(
        visit, model, pictures, await visit.connection.ask(post(_predict(model), body, type))
    )


@kind("predict, in chunks and pieces", share=40)
async def _chunked(visit: Visit) -> str:
    model, [picture] = visit.choose()
    head = (
        f"POST {_predict(model)} HTTP/1.1\r\nHost: soak\r\nContent-Type: {picture.media_type}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    ).encode()
    pieces = [head]
    left = picture.encoded
    while left:
        size = visit.chance.randint(1, len(left))
        pieces.append(b"%x\r\n%b\r\n" % (size, left[:size]))
        left = left[size:]
    for piece in (*pieces, b"0\r\n\r\n"):
        visit.connection.send(piece)
        if visit.chance.random() < 0.3:
            await visit.connection.writer.drain()
    return _checked(visit, model, [picture], await visit.connection.answer())


@kind("predict, pipelined", share=30)
async def _pipelined(visit: Visit) -> str:
    """Up to eight requests before the first answer; the answers come in their order."""
    asked = [visit.choose() for _ in range(visit.chance.randint(2, 8))]
    for model, [picture] in asked:
        visit.connection.send(post(_predict(model), picture.encoded, picture.media_type))
    outcomes = [
        _checked(visit, model, pictures, await visit.connection.answer())
        for model, pictures in asked
    ]
    return min(outcomes, key=lambda each: each == "right")


@kind("predict, with an offer to upgrade", share=20)
async def _upgrade(visit: Visit) -> str:
    model, [picture] = visit.choose()
    offer = visit.chance.choice(("h2c", "websocket", "foo/1"))
    lines = (f"Upgrade: {offer}", "Connection: Upgrade")
    request = post(_predict(model), picture.encoded, picture.media_type, *lines)
    return _checked(visit, model, [picture], await visit.connection.ask(request))


@kind("features", share=10)
async def _features(visit: Visit) -> str:
    pictures = visit.chance.choices(visit.oracle.pictures["steady"], k=visit.chance.randint(1, 4))
    body, type = form(*(picture.encoded for picture in pictures))
    path = f"/v1/models/steady/features?layer={LAYER}&format=npz"
    answer = await visit.connection.ask(post(path, body, type))
    if refused := _refusal(answer, 200):
        return refused
    with np.load(BytesIO(answer.body)) as arrays, _compared():
        visit.oracle.check_activations(pictures, arrays)
    return "right"


@kind("kernels", share=10)
async def _kernels(visit: Visit) -> str:
    answer = await visit.connection.ask(get(f"/v1/models/steady/kernels/{LAYER}?format=npz"))
    if refused := _refusal(answer, 200):
        return refused
    with np.load(BytesIO(answer.body)) as arrays, _compared():
        visit.oracle.check_kernels(arrays)
    return "right"


@kind("explain", share=2)
async def _explain(visit: Visit) -> str:
    [picture] = visit.chance.choices(visit.oracle.pictures["steady"])
    path = "/v1/models/steady/explain?method=saliency"
    answer = await visit.connection.ask(post(path, picture.encoded, picture.media_type))
    return _refusal(answer, 200) or "answered"


@kind("models, health, metrics", share=20)
async def _look(visit: Visit) -> str:
    paths = ("/v1/models", "/v1/models/steady", "/health/live", "/metrics", "/openapi.json", "/")
    answer = await visit.connection.ask(get(visit.chance.choice(paths)))
    return _refusal(answer, 200) or "answered"


# what is wrong, and is told so


@kind("an image that is cut off", share=60)
async def _cut(visit: Visit) -> str:
    model, [picture] = visit.choose()
    whole = len(picture.encoded)
    body = picture.encoded[: visit.chance.randrange(12, 40)] if whole > 40 else b"BM"
    return _told(await visit.connection.ask(post(_predict(model), body)), 415, 422)


@kind("a form with one bad image", share=30)
async def _one_bad(visit: Visit) -> str:
    """Check that the answer names the bad image, and predicts nothing of the request."""
    model, pictures = visit.choose(6)
    images = [picture.encoded for picture in pictures]
    place = visit.chance.randint(0, len(images))
    images.insert(place, visit.chance.choice((b"", b"no image", b"\x89PNG\r\n\x1a\n")))
    answer = await visit.connection.ask(post(_predict(model), *form(*images)))
    told = _told(answer, 415, 422)
    if told == "told":
        named = [each["index"] for each in orjson.loads(answer.body)["errors"]]
        if named != [place]:
            raise BrokenPromiseError("truth", f"image {place} is bad; {named} were named")
    return told


@kind("a request that is wrong", share=60)
async def _wrong(visit: Visit) -> str:
    model, [picture] = visit.choose()
    image, type = picture.encoded, picture.media_type
    body, form_type = form(*[image] * 129)
    status, request = visit.chance.choice(
        (
            (404, post("/v1/models/none/predict", image, type)),
            (404, post(f"/v1/models/{model}/predict?version=4711000", image, type)),
            (404, get("/v1/models/steady/kernels/none")),
            (404, get("/none")),
            (405, get(f"/v1/models/{model}/predict")),
            (413, post(_predict(model), body, form_type)),
            (400, post(_predict(model), b"no JSON", "application/json")),
            (422, post(_predict(model), b'{"images": ["no base64!"]}', "application/json")),
            (415, post(_predict(model), b"GIF99", "text/plain")),
            (422, post(f"/v1/models/{model}/predict?top_k=0", image, type)),
            (422, post(f"/v1/models/{model}/predict?topk=1", image, type)),
            (422, post(_predict(model), b"", type)),
            (400, post(_predict(model), image, "multipart/form-data; boundary=soak")),
        )
    )
    return _told(await visit.connection.ask(request), status)


@kind("hostile bytes", share=40)
async def _hostile(visit: Visit) -> str:
    """Send mutated bytes. The answers must not be 500, and the connection must end."""
    model, [picture] = visit.choose()
    good = post(_predict(model), picture.encoded, picture.media_type)
    return await _to_the_end(visit, mutated(good, visit.chance), "hostile bytes")


async def _to_the_end(visit: Visit, sent: bytes, what: str) -> str:
    """Send the bytes and end the sending; the connection has to end without a 500."""
    connection = await visit.fresh()
    try:
        connection.send(sent)
        found, ended = await connection.rest()
    finally:
        connection.abort()
    if not ended:
        raise BrokenPromiseError("ends", f"a connection with {what} stayed open")
    if any(status >= 500 and status not in OVERLOADED for status in found):
        raise BrokenPromiseError("no 500", f"{what} got {found}")
    return "answered" if found else "closed"


@kind("a client that leaves", share=30)
async def _leaves(visit: Visit) -> str:
    model, [picture] = visit.choose()
    request = post(_predict(model), picture.encoded, picture.media_type)
    connection = await visit.fresh()
    connection.send(request[: visit.chance.randrange(1, len(request) + 1)])
    if visit.chance.random() < 0.5:
        await connection.writer.drain()
    connection.abort()
    return "left"


@kind("a client that sends no more", share=20)
async def _half_closed(visit: Visit) -> str:
    """A whole request, then the end of what it sends; the connection ends, answered or not."""
    model, [picture] = visit.choose()
    request = post(_predict(model), picture.encoded, picture.media_type)
    return await _to_the_end(visit, request, "a half-closed client")


@contextmanager
def _compared() -> Iterator[None]:
    """Convert an error of a comparison in the block to a `BrokenPromiseError`."""
    try:
        yield
    except (WrongAnswerError, KeyError) as error:
        raise BrokenPromiseError("right answers", str(error)) from error


def _predict(model: str) -> str:
    return f"/v1/models/{model}/predict?{_TOP}"


def _checked(visit: Visit, model: str, pictures: list[Picture], answer: Answer) -> str:
    if refused := _refusal(answer, 200):
        return refused
    content = orjson.loads(answer.body)
    with _compared():
        visit.oracle.check(model, pictures, content)
    if model == SWAPPED:
        visit.seen[visit.connection.port] = content["version"]
    return "right"


def _told(answer: Answer, *statuses: int) -> str:
    """Check that a wrong request got one of these statuses, and its problem document agrees."""
    if refused := _refusal(answer, *statuses):
        return refused
    if answer.body and orjson.loads(answer.body)["status"] != answer.status:
        raise BrokenPromiseError("truth", f"{answer.status} says {answer.body[:200]!r}")
    return "told"


def _refusal(answer: Answer, *expected: int) -> str:
    """Return how the server refused because of overload, or "" for an expected status.

    Raises `BrokenPromiseError` for any other status.
    """
    if answer.status in expected:
        return ""
    if answer.status in OVERLOADED:
        if answer.status != 504 and not answer.says_when_to_retry:
            raise BrokenPromiseError("truth", f"{answer.status} without Retry-After")
        return f"refused, {answer.status}"
    promise = "no 500" if answer.status >= 500 else "truth"
    raise BrokenPromiseError(
        promise, f"{answer.status} for what gets {expected}: {answer.body[:300]!r}"
    )
