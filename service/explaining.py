"""Why a network answered as it did: a picture and a question → captum → a map over the picture.

Explanations run in a lane of their own: one thread of low priority for all models, on a twin of
each network, so that neither gradients nor captum's hooks meet a prediction.
"""

import asyncio
import copy
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import features
from models.features import Layer
from models.preprocessing import InputSpec, Pixels
from service.errors import QueueFullError

Method = Literal["grad-cam", "saliency", "integrated-gradients", "occlusion"]
Baseline = Literal["black", "grey", "white"]
METHODS: tuple[Method, ...] = ("grad-cam", "saliency", "integrated-gradients", "occlusion")
MAX_STEPS = 256  # of integrated gradients, each a pass forwards and back
MAX_WINDOWS = 1024  # of occlusion, each a forward pass
_AT_ONCE = 16  # passes of one batch
_NICENESS = 10  # of 19
_LEVELS: dict[Baseline, int] = {"black": 0, "grey": 128, "white": 255}
Result = TypeVar("Result")


@dataclass(frozen=True)
class Question:
    """What is to be explained, and how.

    `target` is the index of a class, by default the predicted one; `layer` is Grad-CAM's. `window`
    and `stride` are pixels of occlusion; `baseline` fills its windows, and is where integrated
    gradients start from.
    """

    method: Method
    target: int | None
    layer: str
    steps: int
    window: int
    stride: int
    baseline: Baseline


@dataclass(frozen=True)
class Explanation:
    """The answer, and how much each pixel of the input (H, W) speaks for the target's logit.

    Grad-CAM and saliency are 0 or more; the others are negative where a pixel speaks against it.
    """

    probabilities: list[float]
    target: int
    values: NDArray[np.float32]
    convergence_delta: float | None = None


class AbandonedError(Exception):
    """Nobody waits for the explanation any more."""


class Lane:
    """One thread that explanations share; at most `max_waiting` wait for it."""

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting, self._waiting = max_waiting, 0
        self._executor = ThreadPoolExecutor(1, "explain", initializer=_step_back)

    def close(self) -> None:
        """Forget what waits, and let the thread finish what it does."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def run(self, work: Callable[[Callable[[], None]], Result]) -> Result:
        """Do the work in the lane. It gets a check, which raises `AbandonedError` once the caller
        is cancelled. Raises `QueueFullError`."""
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
    """A network of the same weights, not a copy of them, that has hooks and modes of its own.

    No layer of it works in place, since captum reads activations after the layer behind ran.
    """
    for parameter in network.parameters():
        parameter.requires_grad_(False)  # gradients of pictures and maps are wanted, not of weights
    tensors = (*network.parameters(), *network.buffers())
    other = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    for module in other.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    return other


def grad_cam_layers(layers: Sequence[Layer]) -> list[str]:
    """Those that Grad-CAM can look at: maps, from the first convolution on."""
    first = next((i for i, layer in enumerate(layers) if layer.is_convolution), len(layers))
    return [layer.name for layer in layers[first:] if layer.is_map]


def usual_layer(layers: Sequence[Layer]) -> str:
    """The last convolution that gives maps, as is usual with Grad-CAM; "" if there is none."""
    return next((x.name for x in reversed(layers) if x.is_convolution and x.is_map), "")


def windows(spec: InputSpec, window: int, stride: int) -> int:
    """How many windows occlusion slides over the input."""
    height, width = (max(0, -(-(side - window) // stride)) + 1 for side in spec.shape[1:])
    return height * width


def explain(
    network: nn.Module,
    spec: InputSpec,
    pixels: Pixels,
    device: torch.device,
    question: Question,
    check: Callable[[], None] = lambda: None,
) -> Explanation:
    """Explain the network's answer for a uint8 picture (C, H, W); captum does the arithmetic.

    Grad-CAM: Selvaraju et al. 2017; saliency: Simonyan et al. 2013; integrated gradients:
    Sundararajan et al. 2017; occlusion: Zeiler and Fergus 2013.
    """
    picture = torch.tensor(pixels)
    batch = spec.normalize(picture.to(device).unsqueeze(0))  # (1, C, H, W)
    level = torch.full_like(picture, _LEVELS[question.baseline]).to(device)
    baseline = spec.normalize(level.unsqueeze(0))

    def forward(x: Tensor) -> Tensor:
        check()
        logits: Tensor = features.first(network(x))
        return logits

    with torch.inference_mode():
        probabilities = forward(batch).softmax(1)[0]
    if not probabilities.isfinite().all():
        raise ArithmeticError("the network's answer is not finite")
    target = int(probabilities.argmax()) if question.target is None else question.target
    values, delta = _attribute(network, forward, batch.requires_grad_(), baseline, target, question)
    return Explanation(probabilities.tolist(), target, values.float().cpu().numpy(), delta)


def _attribute(
    network: nn.Module,
    forward: Callable[[Tensor], Tensor],
    batch: Tensor,
    baseline: Tensor,
    target: int,
    question: Question,
) -> tuple[Tensor, float | None]:
    """The map (H, W), and the convergence delta where there is one."""
    from captum import attr  # takes a second, and most servers never need it

    method: Any
    if question.method == "grad-cam":
        layer = dict(network.named_modules())[question.layer]
        method = attr.LayerGradCam(forward, layer)
        maps = method.attribute(batch, target=target, relu_attributions=True)  # (1, 1, h, w)
        whole = attr.LayerAttribution.interpolate(maps, tuple(batch.shape[2:]), "bilinear")
        return whole[0, 0].detach(), None
    if question.method == "saliency":
        method = attr.Saliency(forward)
        return method.attribute(batch, target=target)[0].amax(0), None  # (H, W)
    if question.method == "integrated-gradients":
        method = attr.IntegratedGradients(forward)
        values, delta = method.attribute(
            batch,
            baselines=baseline,
            target=target,
            n_steps=question.steps,
            internal_batch_size=_AT_ONCE,
            return_convergence_delta=True,
        )
        return values[0].sum(0).detach(), delta.item()
    method = attr.Occlusion(forward)
    channels = batch.shape[1]
    with torch.no_grad():
        values = method.attribute(
            batch,
            sliding_window_shapes=(channels, question.window, question.window),
            strides=(channels, question.stride, question.stride),
            baselines=baseline,
            target=target,
            perturbations_per_eval=_AT_ONCE,
        )
    return values[0, 0], None  # the same in each channel, since they are hidden together


def _step_back() -> None:
    """Predictions go first: one thread for arithmetic, and where it can be said, a low priority."""
    torch.set_num_threads(1)
    with suppress(AttributeError, OSError):  # of a thread on Linux
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
