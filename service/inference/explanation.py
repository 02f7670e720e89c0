"""Explains a prediction: an image and a question → captum → attributions of its pixels.

All explanations share one low-priority thread. They run on a twin of each network, so that
gradients and captum's hooks never affect predictions.
"""

import asyncio
import copy
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from models import features
from models.checkpoint import Checkpoint
from models.convolutional.class_map import ClassMap
from models.convolutional.form import Form
from models.features import Layer
from models.preprocessing import InputSpec, Pixels
from models.trust import SecondLook, Trust
from service.errors import InvalidInputError, QueueFullError
from service.inference.engine import NOT_FINITE, NotFiniteError
from service.inference.explain_methods.method import (
    BASELINE_LEVELS,
    METHODS,
    Baseline,
    ExplainMethod,
    Parameters,
    Subject,
    WholeImage,
)

NICENESS = 10  # of 19: predictions go first
Result = TypeVar("Result")


@dataclass(frozen=True)
class Question:
    """What is to be explained, and how: `target` is the index of a class, None the predicted one.

    `parameters` are resolved: nothing in them is open. `layers` are those of the network, and its
    blocks, by name. `form` is the network's fully convolutional form, if it has one.
    """

    method: ExplainMethod[Any]
    parameters: Parameters
    layers: Mapping[str, Layer]
    target: int | None = None
    form: Form | None = None


def question(
    checkpoint: Checkpoint, method: str, given: Mapping[str, Any], target: str | None
) -> Question:
    """The question for this network; what `given` leaves open is chosen.

    `given` may have more than the method's own parameters. `target` is a label, or the index of a
    class in digits. Raises a `ServiceError` for a method that does not fit the network.
    """
    found = METHODS.get(method)
    fitting = ", ".join(each.name for each in fitting_methods(checkpoint))
    if found.needs_gradients and not checkpoint.has_gradients:
        raise InvalidInputError(
            f"{method} needs gradients, and {checkpoint.card.name} is an ONNX graph, which has "
            "none; "
            f"methods that work: {fitting}"
        )
    if missing := found.missing(checkpoint.structure):
        raise InvalidInputError(
            f"{method} needs {missing}, and {checkpoint.card.name} has none; "
            f"methods that work: {fitting}"
        )
    parameters = found.model.model_validate(given)
    index = None if target is None else _target(target, checkpoint.card.labels)
    layers, form = checkpoint.structure.outputs(), checkpoint.structure.form
    return Question(found, found.resolve(parameters, checkpoint), layers, index, form)


def fitting_methods(checkpoint: Checkpoint) -> list[ExplainMethod[Any]]:
    """The methods that can explain this network."""
    return [
        each
        for each in METHODS
        if not each.missing(checkpoint.structure)
        and (checkpoint.has_gradients or not each.needs_gradients)
    ]


def _target(target: str, labels: Sequence[str]) -> int:
    if target in labels:
        return labels.index(target)
    if target.isdecimal() and len(target) < 10 and int(target) < len(labels):
        return int(target)
    known = ", ".join(labels[:100]) + (", …" if len(labels) > 100 else "")
    raise InvalidInputError(
        f"target {target!r} is neither a label nor an index from 0 to {len(labels) - 1}; "
        f"the labels are: {known}"
    )


@dataclass(frozen=True)
class Explanation:
    """The answer, and how much each pixel of the input (H, W) speaks for the target's logit.

    What values a method gives stands in its description.
    """

    probabilities: list[float]
    target: int
    values: NDArray[np.float32]
    convergence_delta: float | None = None
    class_map: ClassMap | None = None


class AbandonedError(Exception):
    """Nobody waits for the explanation any more."""


class ExplanationWorker:
    """One thread that explanations share; at most `max_waiting` wait for it."""

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting, self._waiting = max_waiting, 0
        self._executor = ThreadPoolExecutor(1, "explain", initializer=_step_back)

    def close(self) -> None:
        """Cancel waiting work, and wait for the thread to finish."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def run(self, work: Callable[[Callable[[], None]], Result]) -> Result:
        """Run `work(check)` on the thread; `check()` raises `AbandonedError` once the caller is
        cancelled. Raises `QueueFullError`."""
        if self._waiting >= self._max_waiting:
            raise QueueFullError(
                f"{self._waiting} explanations wait already (setting max_explain_queue_size); "
                "try again in a second"
            )
        left = threading.Event()

        def check() -> None:
            if left.is_set():
                raise AbandonedError

        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, work, check)
        finally:
            left.set()
            self._waiting -= 1


def twin(network: nn.Module) -> nn.Module:
    """A second network that shares the weights, but has its own hooks and modes.

    Its layers don't work in place: captum reads activations after the next layer has run.
    """
    for parameter in network.parameters():
        parameter.requires_grad_(False)  # gradients of pictures and maps are wanted, not of weights
    tensors = (*network.parameters(), *network.buffers())
    other = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    for module in other.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    return other


def explain(
    network: nn.Module,
    spec: InputSpec,
    pixels: Pixels,
    device: torch.device,
    question: Question,
    check: Callable[[], None] = lambda: None,
    trust: Trust | None = None,
    original: Image.Image | None = None,
    sent: tuple[int, int] | None = None,
) -> Explanation:
    """Explain the network's answer for a uint8 image (C, H, W).

    `original` is the image that the input was made of, upright, and `sent` the width and height
    that it was sent with; by default the input itself.

    `check` is called before each forward pass, and may raise `AbandonedError`. Probabilities are
    calibrated with the `trust` of the checkpoint, if it has one, after a second look, if one is
    due; what is explained is the first look. Raises `NotFiniteError` if the network's answer is
    not finite.
    """
    image = torch.tensor(pixels)
    batch = spec.normalize(image.to(device).unsqueeze(0))  # (1, C, H, W)

    def baseline(name: Baseline) -> Tensor:
        level = torch.full_like(image, BASELINE_LEVELS[name]).to(device)
        return spec.normalize(level.unsqueeze(0))

    def forward(x: Tensor) -> Tensor:
        check()
        logits: Tensor = features.first(network(x))
        return logits

    def scores(logits: Tensor) -> Tensor:
        return trust.probabilities(logits) if trust else logits.softmax(1)

    with torch.inference_mode():
        logits = forward(batch)
        if trust is not None and trust.second_look is not None:
            logits = _looked_again(logits, lambda: forward(batch.flip(-1)), trust.second_look)
        probabilities = scores(logits)[0]
    if not probabilities.isfinite().all():
        raise NotFiniteError(NOT_FINITE)
    target = int(probabilities.argmax()) if question.target is None else question.target
    image_sent = (
        Image.fromarray(pixels.transpose(1, 2, 0).squeeze()) if original is None else original
    )
    whole = WholeImage(image_sent, sent, spec, question.form, device, scores, check)
    batch.requires_grad_()
    subject = Subject(network, forward, batch, target, baseline, question.layers, whole)
    values, delta, found = question.method.attribute(subject, question.parameters)
    heat = values.float().cpu().numpy()
    return Explanation(probabilities.tolist(), target, heat, delta, found)


def _looked_again(first: Tensor, mirrored: Callable[[], Tensor], look: SecondLook) -> Tensor:
    """The logits (1, K) after a second look, if one is due, as the engine gives them."""
    return torch.from_numpy(
        look.answer(first.float().cpu().numpy(), lambda _due: mirrored().float().cpu().numpy())
    )


def _step_back() -> None:
    """Prefer predictions: one torch thread, and on Linux a low priority."""
    torch.set_num_threads(1)
    with suppress(AttributeError, OSError):  # of a thread on Linux
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
