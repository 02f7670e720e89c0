"""`Client` and `AsyncClient`: the same requests, sent with and without blocking."""

import asyncio
from asyncio import sleep as asyncio_sleep
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import sleep
from typing import Any, ClassVar, Generic, Self, TypeVar, overload
from urllib.parse import quote

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fanlight.client import answers
from fanlight.client.answers import ClientError, Features, Prediction
from fanlight.client.images import File, Picture, Pictures, file, several

TRY_AGAIN = (429, 503)  # statuses with which the service says when to try again
_HOPELESS = (  # to ask again would take as long, or fail as before
    *(httpx.ReadTimeout, httpx.WriteTimeout, httpx.DecodingError, httpx.TooManyRedirects),
    *(httpx.UnsupportedProtocol, httpx.LocalProtocolError),
)
LONGEST_WAIT = 30.0  # seconds between two tries
FIRST_WAIT = 0.2  # seconds, doubled with each try, where the service says nothing
_ROOT = "/v1/models"
Result = TypeVar("Result")
Http = TypeVar("Http", httpx.Client, httpx.AsyncClient)
Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class _Call(Generic[Result]):
    """A request, and the function `read` that converts its answer to a value."""

    method: str
    path: str
    read: Callable[[httpx.Response], Result]
    parameters: Parameters = field(default_factory=dict)
    files: Sequence[File] = ()

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of httpx's `request`, with a new body for each try."""
        given = {name: value for name, value in self.parameters.items() if value is not None}
        parameters = {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in given.items()
        }
        parts = [("images", (name or "image", content)) for name, content in self.files]
        return {"params": parameters, **({"files": parts} if parts else {})}


def _predict(
    model: str, pictures: list[Picture], parameters: Parameters
) -> _Call[list[Prediction]]:
    files = [file(each) for each in pictures]
    return _Call("POST", _path(model, "predict"), answers.predictions, parameters, files)


def _features(
    model: str, pictures: list[Picture], layers: str | Sequence[str], parameters: Parameters
) -> _Call[Features]:
    files = [file(each) for each in pictures]
    names = [layers] if isinstance(layers, str) else list(layers)
    asked = {**parameters, "layer": names, "format": "npz"}
    return _Call("POST", _path(model, "features"), answers.features, asked, files)


def _heat_maps(
    model: str, pictures: list[Picture], parameters: Parameters
) -> _Call[list[NDArray[np.float32]]]:
    files = [file(each) for each in pictures]
    asked = {**parameters, "format": "npz"}
    return _Call("POST", _path(model, "explain"), answers.heat_maps, asked, files)


def _explain(model: str, picture: Picture, parameters: Parameters) -> _Call[Image.Image]:
    asked = {**parameters, "format": "png"}
    return _Call("POST", _path(model, "explain"), answers.picture, asked, [file(picture)])


def _models() -> _Call[list[dict[str, Any]]]:
    return _Call("GET", _ROOT, lambda answer: list(answer.json()["models"]))


def _model(model: str, version: int | None) -> _Call[dict[str, Any]]:
    asked = {"version": version}
    return _Call("GET", _path(model), lambda answer: dict(answer.json()), asked)


def _path(model: str, *resource: str) -> str:
    return "/".join([_ROOT, quote(model, safe=""), *resource])


class _Base(Generic[Http]):
    """The common part of both clients: the address, the headers and the rules for retries."""

    _new_http: ClassVar[Callable[[], Any]]  # the HTTP client, where none is given

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        http: Http | None = None,
    ) -> None:
        self._url, self._retries = url.rstrip("/"), retries
        try:
            parsed = httpx.URL(self._url)
        except httpx.InvalidURL as error:
            raise ClientError(f"{url!r} is no address: {error}") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ClientError(f"{url!r} is no address: write http://127.0.0.1:8000")
        if api_key and not api_key.isascii():
            raise ClientError("the API key has other characters than ASCII")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._options: dict[str, Any] = {"timeout": timeout, "headers": headers}
        self._is_own = http is None
        self._http: Http = type(self)._new_http() if http is None else http

    def _wait(self, tries: int, found: httpx.Response | httpx.RequestError) -> float | None:
        """Return the seconds until the next try; None if there is no other try."""
        if tries > self._retries or isinstance(found, _HOPELESS):
            return None
        if isinstance(found, httpx.Response):
            if found.status_code not in TRY_AGAIN:
                return None
            told = found.headers.get("Retry-After", "")
            if told.isdecimal():
                return min(LONGEST_WAIT, float(told))
        return float(min(LONGEST_WAIT, FIRST_WAIT * 2 ** (tries - 1)))

    def _unanswered(self, error: httpx.RequestError) -> ClientError:
        kind = type(error).__name__
        return ClientError(f"no answer from {self._url}: {kind}: {error}".rstrip(": "))


class Client(_Base[httpx.Client]):
    """Asks a service at `url`; connections are kept, so use it as a context manager, or `close` it.

    `timeout` is in seconds, for each try. A request is tried again up to `retries` times where the
    service says that it is busy or not ready, after the time that it says, and where the connection
    broke: all requests can be repeated. `http` takes the place of the HTTP client, for proxies or
    certificates of one's own; whoever gives it closes it. `ClientError` is raised for an address
    that is none, and by every method for what the service refuses or does not answer. Methods that
    take images raise `OSError` for a file that can't be read, `ValueError` for a path that no file
    can have, and `TypeError` for what is no image. Whatever else the API knows as a query parameter
    can be given by its name.

        with Client("http://127.0.0.1:8000") as client:
            print(client.predict("mnist", "seven.png").label)
    """

    _new_http = httpx.Client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._is_own:
            self._http.close()

    @overload
    def predict(self, model: str, images: Picture, **parameters: Any) -> Prediction: ...
    @overload
    def predict(
        self, model: str, images: Sequence[Picture], **parameters: Any
    ) -> list[Prediction]: ...
    def predict(
        self, model: str, images: Pictures, **parameters: Any
    ) -> Prediction | list[Prediction]:
        """The class of an image, or of each of a list of images, in its order."""
        pictures, many = several(images)
        found = self._send(_predict(model, pictures, parameters))
        return found if many else found[0]

    def features(
        self, model: str, images: Pictures, layers: str | Sequence[str], **parameters: Any
    ) -> Features:
        """The activations (N, …) of layers for an image or a list of images."""
        pictures, _ = several(images)
        return self._send(_features(model, pictures, layers, parameters))

    def explain(
        self, model: str, image: Picture, *, method: str = "grad-cam", **parameters: Any
    ) -> Image.Image:
        """An image with a heat map over it: which pixels speak for a class."""
        return self._send(_explain(model, image, {"method": method, **parameters}))

    def heat_maps(
        self, model: str, images: Pictures, *, method: str = "grad-cam", **parameters: Any
    ) -> list[NDArray[np.float32]]:
        """The values of such a map for each image, (H, W), of the network's input.

        Class maps are of the image's own size.
        """
        pictures, _ = several(images)
        return self._send(_heat_maps(model, pictures, {"method": method, **parameters}))

    def models(self) -> list[dict[str, Any]]:
        """The models with their versions and states."""
        return self._send(_models())

    def model(self, model: str, version: int | None = None) -> dict[str, Any]:
        """The card of a model, its layers, and what it can be asked."""
        return self._send(_model(model, version))

    def _send(self, call: _Call[Result]) -> Result:
        tries = 0
        while True:
            tries += 1
            try:
                answer = self._http.request(
                    call.method, self._url + call.path, **call.arguments(), **self._options
                )
            except httpx.RequestError as error:
                if (wait := self._wait(tries, error)) is None:
                    raise self._unanswered(error) from error
            else:
                if (wait := self._wait(tries, answer)) is None:
                    return answers.read(answer, call.read)
            sleep(wait)


class AsyncClient(_Base[httpx.AsyncClient]):
    """`Client` for asyncio: the same methods, to be awaited, as an async context manager."""

    _new_http = httpx.AsyncClient

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._is_own:
            await self._http.aclose()

    @overload
    async def predict(self, model: str, images: Picture, **parameters: Any) -> Prediction: ...
    @overload
    async def predict(
        self, model: str, images: Sequence[Picture], **parameters: Any
    ) -> list[Prediction]: ...
    async def predict(
        self, model: str, images: Pictures, **parameters: Any
    ) -> Prediction | list[Prediction]:
        """See `Client.predict`."""
        pictures, many = several(images)
        call = await asyncio.to_thread(_predict, model, pictures, parameters)
        found = await self._send(call)
        return found if many else found[0]

    async def features(
        self, model: str, images: Pictures, layers: str | Sequence[str], **parameters: Any
    ) -> Features:
        """See `Client.features`."""
        pictures, _ = several(images)
        return await self._send(
            await asyncio.to_thread(_features, model, pictures, layers, parameters)
        )

    async def explain(
        self, model: str, image: Picture, *, method: str = "grad-cam", **parameters: Any
    ) -> Image.Image:
        """See `Client.explain`."""
        asked = {"method": method, **parameters}
        return await self._send(await asyncio.to_thread(_explain, model, image, asked))

    async def heat_maps(
        self, model: str, images: Pictures, *, method: str = "grad-cam", **parameters: Any
    ) -> list[NDArray[np.float32]]:
        """See `Client.heat_maps`."""
        pictures, _ = several(images)
        asked = {"method": method, **parameters}
        return await self._send(await asyncio.to_thread(_heat_maps, model, pictures, asked))

    async def models(self) -> list[dict[str, Any]]:
        """See `Client.models`."""
        return await self._send(_models())

    async def model(self, model: str, version: int | None = None) -> dict[str, Any]:
        """See `Client.model`."""
        return await self._send(_model(model, version))

    async def _send(self, call: _Call[Result]) -> Result:
        tries = 0
        while True:
            tries += 1
            try:
                answer = await self._http.request(
                    call.method, self._url + call.path, **call.arguments(), **self._options
                )
            except httpx.RequestError as error:
                if (wait := self._wait(tries, error)) is None:
                    raise self._unanswered(error) from error
            else:
                if (wait := self._wait(tries, answer)) is None:
                    return answers.read(answer, call.read)
            await asyncio_sleep(wait)
