"""Answers of the service → typed values; problem documents → `ClientError`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeVar

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.errors import FanlightError

Result = TypeVar("Result")


class ClientError(FanlightError):
    """The service refused a request, or gave no answer.

    `status` is that of HTTP, None where there was no answer. `problem` is the problem document
    (RFC 9457), empty where there is none: its `errors` tell what is wrong with which image.
    """

    def __init__(
        self, message: str, status: int | None = None, problem: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.problem = dict(problem or {})


@dataclass(frozen=True)
class LabelScore:
    label: str
    score: float


@dataclass(frozen=True)
class Prediction:
    """The class of one image; see the API's description for each field.

    A field is None if the model can't give it, or if it was not asked for.
    """

    label: str
    score: float
    top: tuple[LabelScore, ...]
    familiarity: float | None = None
    unsure: bool | None = None
    why: str | None = None
    set: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()
    logits: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Features(Mapping[str, NDArray[np.float32]]):
    """Activations (N, …) by layer, float32, and the probabilities (N, classes) of the same pass."""

    layers: Mapping[str, NDArray[np.float32]]
    probabilities: NDArray[np.float32]
    labels: tuple[str, ...]

    def __getitem__(self, layer: str) -> NDArray[np.float32]:
        return self.layers[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)


def check(answer: httpx.Response) -> None:
    """Raise `ClientError` unless the request succeeded."""
    if answer.is_success:
        return
    try:
        told = answer.json()
    except (ValueError, RecursionError):
        told = {}
    problem = told if isinstance(told, dict) else {}
    detail = problem.get("detail")
    if not isinstance(detail, str):
        detail = f"{answer.status_code} {answer.reason_phrase}"
    errors = problem.get("errors")
    faults = [
        f"image {each.get('index')}: {each.get('reason')}"
        for each in (errors if isinstance(errors, list) else ())
        if isinstance(each, dict)
    ]
    text = "; ".join([detail, *(each for each in faults if each not in detail)])
    raise ClientError(text, answer.status_code, problem)


def read(answer: httpx.Response, reading: Callable[[httpx.Response], Result]) -> Result:
    """Check the answer, and return what `reading` makes of it.

    Raises `ClientError` if the service refused, or if another server than Fanlight answered.
    """
    check(answer)
    try:
        return reading(answer)
    except Exception as error:  # whatever the readers of JSON, zip and PNG meet in a stranger's
        kind = answer.headers.get("Content-Type", "no type")
        raise ClientError(
            f"{answer.url} gave {kind}, which is no answer of this service: is the address right?",
            answer.status_code,
        ) from error


def predictions(answer: httpx.Response) -> list[Prediction]:
    return [_prediction(each) for each in answer.json()["predictions"]]


def _prediction(told: Mapping[str, Any]) -> Prediction:
    def some(name: str) -> tuple[Any, ...] | None:
        return tuple(told[name]) if name in told else None

    return Prediction(
        told["label"],
        told["score"],
        tuple(LabelScore(each["label"], each["score"]) for each in told["top"]),
        told.get("familiarity"),
        told.get("unsure"),
        told.get("why"),
        some("set"),
        some("warnings") or (),
        some("logits"),
    )


def features(answer: httpx.Response) -> Features:
    arrays = _arrays(answer)
    probabilities = arrays.pop("predictions/probabilities")
    labels = arrays.pop("predictions/labels")
    return Features(arrays, probabilities, tuple(labels.tolist()))


def heat_maps(answer: httpx.Response) -> list[NDArray[np.float32]]:
    """Return a heat map (H, W) for each image. Class maps have different sizes."""
    arrays = _arrays(answer)
    if "attributions" in arrays:
        return list(arrays["attributions"])
    count = len(arrays["predictions/probabilities"])
    return [arrays[f"attributions/{number}"] for number in range(count)]


def picture(answer: httpx.Response) -> Image.Image:
    image = Image.open(BytesIO(answer.content), formats=["PNG"])
    image.load()
    return image


def _arrays(answer: httpx.Response) -> dict[str, NDArray[Any]]:
    with np.load(BytesIO(answer.content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
