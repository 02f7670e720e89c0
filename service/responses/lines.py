"""A long answer as a stream of lines, each a JSON object (NDJSON, `application/x-ndjson`).

While the work goes on, each line tells how many passes of an image through the network are done:

    {"done": 0, "of": 454}
    {"done": 192, "of": 454}

The last line is the answer that a request without lines would get:

    {"model": …}

An error before the first line is answered as usual, with its own status. A later error becomes the
last line, as a problem document (RFC 9457); the log and the metrics record its status. If the last
line is neither the answer nor a problem, the connection was broken off.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable

import orjson
from fastapi import Response
from starlette.types import Receive, Scope, Send

from service.errors import InvalidInputError, ServiceError, UnavailableError
from service.inference.progress import Told, unheard
from service.responses import problems

MEDIA_TYPE = "application/x-ndjson"
_QUALITY = re.compile(r"q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.ASCII)
LINE_SECONDS = 0.1  # between two lines of progress, at least
CONTENT = {  # of an OpenAPI response
    MEDIA_TYPE: {
        "schema": {
            "type": "string",
            "description": "With `Accept: application/x-ndjson`, unless it names JSON with the "
            "same quality or a higher one: lines that tell how many of the passes through the "
            "network are done, then the answer as one line of JSON. An error behind the first line "
            "is the last line, a Problem. Without either as its last line the answer was broken "
            "off.",
        },
        "example": '{"done": 0, "of": 454}\n{"done": 192, "of": 454}\n{"model": "mnist", …}\n',
    }
}

Work = Callable[[Told], Awaitable[Response]]


async def answer(work: Work, accept: str | None, format: str) -> Response:
    """Run the work and return its answer, as lines if the header Accept prefers them to JSON.

    Raises `InvalidInputError` for lines in another format than JSON.
    """
    if accept is None or not _prefers_lines(accept):
        return await work(unheard)
    if format != "json":
        raise InvalidInputError(
            f"Accept: {MEDIA_TYPE} and format={format}: the last line is JSON; leave one of the "
            "two out"
        )
    return Lines(work)


def _prefers_lines(accept: str) -> bool:
    """Return whether the header names lines, with a higher quality than JSON (RFC 9110, 12.5.1).

    Generated clients name all media types of an answer, and read JSON.
    """
    qualities = {"application/json": 0.0, MEDIA_TYPE: 0.0}
    for each in accept.split(","):
        name, *parameters = (part.strip().lower() for part in each.split(";"))
        if name in qualities:
            qualities[name] = _quality(parameters)
    return qualities[MEDIA_TYPE] > qualities["application/json"]


def _quality(parameters: list[str]) -> float:
    """Return the value of `q`, 0 to 1; 1 if there is none, or none that is such a number."""
    for part in parameters:
        if found := _QUALITY.fullmatch(part):
            return float(found[1])
    return 1.0


class Lines(Response):
    """A response that sends the progress of its work as lines, then the answer.

    The work runs in a task of its own. The stream begins with the first report of progress.
    """

    def __init__(self, work: Work) -> None:
        # proxies are not to wait for the end
        super().__init__(media_type=MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})
        del self.headers["Content-Length"]
        self._work = work
        self._changed = asyncio.Event()
        self._told = b""  # the newest line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = asyncio.ensure_future(self._work(self._tell))
        work.add_done_callback(lambda _: self._changed.set())
        try:
            await self._changed.wait()
            if not self._told:
                work.result()  # raises: it is over, and nothing was told
            head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(head)
            last: asyncio.Future[Response] = work
            try:
                await self._tell_progress(work, send)
            except asyncio.CancelledError:  # the server ends, and waits no longer for this answer
                last = asyncio.get_running_loop().create_future()
                last.set_exception(UnavailableError("the server ends first; ask another one"))
            await _send_last(last, scope, send)
        finally:
            work.cancel()

    async def _tell_progress(self, work: "asyncio.Future[Response]", send: Send) -> None:
        """Send lines with the progress until the work is done."""
        while not work.done():
            self._changed.clear()
            await send({"type": "http.response.body", "body": self._told, "more_body": True})
            await asyncio.wait([work], timeout=LINE_SECONDS)
            await self._changed.wait()

    def _tell(self, done: int, total: int) -> None:
        self._told = orjson.dumps({"done": done, "of": total}, option=orjson.OPT_APPEND_NEWLINE)
        self._changed.set()


async def _send_last(work: "asyncio.Future[Response]", scope: Scope, send: Send) -> None:
    """Send the answer or the problem as the last line; then raise an unexpected exception."""
    unexpected: BaseException | None = None
    try:
        last = work.result()
    except ServiceError as error:
        last = problems.response(error, scope)
        scope[problems.LATE] = error.status
    except Exception as error:
        last, unexpected = problems.unexpected(scope), error
        scope[problems.LATE] = last.status_code
    await send({"type": "http.response.body", "body": bytes(last.body) + b"\n"})
    if unexpected is not None:
        raise unexpected
