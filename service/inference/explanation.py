"""Explains predictions: images and a question → a method → attributions of their pixels.

All explanations share one low-priority thread. Gradients are computed with a twin of each network,
so that hooks never affect predictions. Passes without gradients use the version's own runtime if
that may run in any thread.
"""

import asyncio
import copy
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from models import features
from models.architectures import own_code
from models.checkpoint import Checkpoint
from models.convolutional.class_map import ClassMap
from models.convolutional.form import Form
from models.convolutional.windows import Windows
from models.features import Layer
from models.preprocessing import Pixels
from service.errors import InvalidInputError, QueueFullError
from service.inference.engine import NOT_FINITE, NotFiniteError
from service.inference.explain_methods.method import (
    BASELINE_LEVELS,
    METHODS,
    Baseline,
    ExplainMethod,
    Original,
    Parameters,
    Subject,
    WholeImage,
)
from service.inference.explainer import Explainer

NICENESS = 10  # of 19: predictions go first
TELL_SECONDS = 0.1  # a turn of the event loop takes the interpreter from the thread
_NO_GRADIENTS = (  # what torch says of forward passes that it can't differentiate
    *("does not require grad", "requires grad", "in-place", "inplace", "derivative", "not diff"),
)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Question:
    """What to explain, and how.

    `target` is the index of a class, or None for the predicted one. `parameters` come from
    `ExplainMethod.resolve`. `layers` are those of the network, and its blocks, by name. `form`
    makes class maps, if the network has one. `notes` are sentences to add to every answer.
    """

    method: ExplainMethod[Any]
    parameters: Parameters
    layers: Mapping[str, Layer]
    target: int | None = None
    form: Form | Windows | None = None
    notes: tuple[str, ...] = ()


def question(
    checkpoint: Checkpoint, method: str, given: Mapping[str, Any], target: str | None
) -> Question:
    """Make the question for this network; choose the parameters that `given` leaves open.

    `given` may have more than the method's own parameters. `target` is a label, or the index of a
    class in digits. Raises a `ServiceError` for a method or a target that does not fit the network.
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
    resolved = found.resolve(parameters, checkpoint)
    notes = tuple(found.notes(resolved, checkpoint.structure))
    return Question(found, resolved, layers, index, form, notes)


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
    """The prediction for one image, and its explanation.

    `values` (H, W) tell how much each pixel of the input speaks for the target's logit; the
    method's description says which values there can be. `reason` says why all are 0, if the method
    knows.
    """

    probabilities: list[float]
    target: int
    values: NDArray[np.float32]
    convergence_delta: float | None = None
    class_map: ClassMap | None = None
    reason: str | None = None


class AbandonedError(Exception):
    """Nobody waits for the explanation any more."""


class UnanswerableGroupError(NotFiniteError):
    """The network gives no finite answer for the images with these `indices` of a group."""

    def __init__(self, indices: Sequence[int]) -> None:
        super().__init__(NOT_FINITE)
        self.indices = tuple(indices)


class Step(Protocol):
    """A callback for each pass: counts how many passes of one image have run.

    Raises `AbandonedError` once nobody waits for the explanation any more.
    """

    def __call__(self, passes: int = 0, /) -> None: ...


def nothing(_passes: int = 0, /) -> None:
    """Do nothing: the `Step` of explanations that nobody follows or cancels."""


class ExplanationWorker:
    """One thread that explanations share; at most `max_waiting` requests wait for it."""

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting, self._waiting = max_waiting, 0
        self._executor = ThreadPoolExecutor(1, "explain", initializer=_step_back)

    def close(self) -> None:
        """Cancel waiting work, and wait for the thread to finish."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Reserve a place for a request until the block ends, or raise `QueueFullError`."""
        if self._waiting >= self._max_waiting:
            raise QueueFullError(
                f"{self._waiting} explanations wait already (setting max_explain_queue_size); "
                "try again in a second"
            )
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def run(
        self, work: Callable[[Step], Result], ran: Callable[[int], None] | None = None
    ) -> Result:
        """Run `work(step)` on the thread; `step` raises `AbandonedError` once nobody waits.

        `ran` is called on the event loop with the number of new passes, at most every
        `TELL_SECONDS`.
        """
        left, loop = threading.Event(), asyncio.get_running_loop()
        untold, last = 0, 0.0

        def step(passes: int = 0, /) -> None:
            nonlocal untold, last
            if left.is_set():
                raise AbandonedError
            untold += passes
            if ran is not None and untold and time.monotonic() - last >= TELL_SECONDS:
                loop.call_soon_threadsafe(ran, untold)
                untold, last = 0, time.monotonic()

        try:
            return await loop.run_in_executor(self._executor, work, step)
        finally:
            left.set()


def twin(network: nn.Module) -> nn.Module:
    """Copy a network: the twin shares its weights, but has its own hooks and modes.

    The twin's layers don't work in place: captum reads activations after the next layer has run.
    Afterwards the shared weights require no gradients.
    """
    for parameter in network.parameters():
        parameter.requires_grad_(False)  # gradients of pictures and maps are wanted, not of weights
    tensors = (*network.parameters(), *network.buffers())
    other = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    for module in other.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    return other


def together(explainer: Explainer, question: Question) -> int:
    """Return how many images to explain as a group, before other requests get their turn.

    As many as fill a batch, so that others don't wait much longer than for one batch. One, for
    methods that look at whole images, whose cost depends on their size.
    """
    if question.method.longest(explainer.spec) is not None:
        return 1
    each = question.method.passes(question.parameters, explainer.spec)
    return max(1, min(explainer.batch_size, explainer.room(question.method) // each))


def passes(explainer: Explainer, question: Question) -> int:
    """Return the most forward passes to explain one image, one of them for its prediction."""
    return 1 + question.method.passes(question.parameters, explainer.spec)


def explain(
    explainer: Explainer,
    images: Sequence[Pixels],
    question: Question,
    step: Step = nothing,
    originals: Sequence[Original] | None = None,
) -> list[Explanation]:
    """Explain the network's answers for a group of uint8 images (C, H, W), in their order.

    `originals` are the images from which these were made; by default the images themselves.

    `step` is called before each forward pass, and after it with the number of its images.
    Probabilities are calibrated if the checkpoint has a calibration, after a second look if one is
    due; what is explained is the first look. Raises `UnanswerableGroupError` if an answer is not
    finite, and `InvalidInputError` if torch can't compute the gradients.
    """
    answers = _answers(explainer, images, step)  # (N, num_classes)
    finite = np.isfinite(answers).all(1)
    if not finite.all():
        raise UnanswerableGroupError(np.flatnonzero(~finite).tolist())
    targets = answers.argmax(1).tolist() if question.target is None else [question.target]
    sources = originals or [Original(_image(pixels)) for pixels in images]
    subjects = [
        _subject(explainer, pixels, original, target, question, step)
        for pixels, original, target in zip(images, sources, cycle(targets), strict=False)
    ]
    try:
        found = question.method.attribute_all(subjects, question.parameters)
    except NotFiniteError as error:
        raise UnanswerableGroupError(range(len(images))) from error
    except RuntimeError as error:
        if not question.method.needs_gradients or not _is_of_gradients(error):
            raise
        reason = own_code.reason(error).partition(": [torch")[0]  # what follows is for its author
        raise InvalidInputError(
            f"{question.method.name} needs gradients, and torch can't compute those of this "
            f"network ({reason}); occlusion needs none"
        ) from error
    return [
        Explanation(
            answer,
            subject.target,
            each.values.float().cpu().numpy(),
            each.convergence_delta,
            each.class_map,
            each.reason,
        )
        for answer, subject, each in zip(answers.tolist(), subjects, found, strict=True)
    ]


def _is_of_gradients(error: RuntimeError) -> bool:
    """Return whether torch's error says that a forward pass can't be differentiated."""
    return any(each in str(error) for each in _NO_GRADIENTS)


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels.transpose(1, 2, 0).squeeze())


def _answers(explainer: Explainer, images: Sequence[Pixels], step: Step) -> NDArray[np.float32]:
    """Compute the probabilities (N, num_classes) as the engine does, with a second look if due."""
    trust, batch = explainer.trust, np.stack(images)
    step()
    logits = explainer.logits(batch)
    if trust is not None and trust.second_look is not None:

        def again(due: NDArray[np.bool_]) -> NDArray[np.float32]:
            return explainer.logits(np.ascontiguousarray(batch[due][..., ::-1]))

        logits = trust.second_look.answer(logits, again)
    step(len(images))
    answers: NDArray[np.float32] = _probabilities(explainer, torch.from_numpy(logits)).numpy()
    return answers


def _probabilities(explainer: Explainer, logits: Tensor) -> Tensor:
    """Convert logits (N, num_classes) to probabilities, calibrated if the checkpoint can."""
    return explainer.trust.probabilities(logits) if explainer.trust else logits.softmax(1)


def _subject(
    explainer: Explainer,
    pixels: Pixels,
    original: Original,
    target: int,
    question: Question,
    step: Step,
) -> Subject:
    """Prepare one image for the explain methods."""
    spec, device, network = explainer.spec, explainer.device, explainer.network
    image = torch.tensor(pixels)
    batch = spec.normalize(image.to(device).unsqueeze(0))  # (1, C, H, W)

    def baseline(name: Baseline) -> Tensor:
        level = torch.full_like(image, BASELINE_LEVELS[name]).to(device)
        return spec.normalize(level.unsqueeze(0))

    def forward(x: Tensor) -> Tensor:
        step()
        logits: Tensor = features.first(network(x * 1))  # it may change its input in place
        step(len(x))
        return logits

    def logits(uint8: Pixels) -> NDArray[np.float32]:
        step()
        found = explainer.logits(uint8)
        step(len(uint8))
        return found

    room, scores = explainer.room(question.method), partial(_probabilities, explainer)
    look = explainer.trust.second_look if explainer.trust else None
    form = question.form
    if isinstance(form, Windows):
        form = replace(form, network=network)  # hooks of predictions see nothing of it
    whole = WholeImage(original, spec, form, device, scores, step, look)
    return Subject(
        network,
        forward,
        batch.requires_grad_(),
        target,
        baseline,
        question.layers,
        pixels,
        logits,
        room,
        step,
        whole,
    )


def _step_back() -> None:
    """Let predictions go first: use one torch thread and, on Linux, a low priority."""
    torch.set_num_threads(1)
    with suppress(AttributeError, OSError):  # of a thread on Linux
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
