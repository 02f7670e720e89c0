"""One network at work: uint8 pictures → forward pass on its device → probabilities, activations.

A single thread owns the network, so that the event loop never waits for arithmetic and no two
forward passes meet. Predictions and feature maps take turns on it, a forward pass each. Predictions
go through the runtime that was chosen for the network; activations always through torch.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import features
from models.checkpoint import Checkpoint
from models.preprocessing import Pixels
from service.captured import sizes
from service.runtimes import Runtime, Torch

_ON_LOOP = 0.0002  # seconds of a forward pass that is over before a thread has woken up
_ON_LOOP_ALONE = 0.001  # the same where a thread would only take turns with the loop
_AS_GOOD = 1.1  # times the least time for a picture, less than turns between threads cost
_FEW, _ENOUGH = 8, 32  # pictures in a batch that shares the costs of a call, and shares them well
_QUICKER = 0.9  # times as long for a picture: what makes a batch of twice the size worth its room
_RUNS, _LONG = 4, 0.05  # of a batch to learn its time; seconds after which one is enough
MAX_VALUES = 2**24  # of activations that one forward pass keeps, four bytes each


class Answer(NamedTuple):
    """Softmax probabilities by class, and how many pictures ran in the same forward pass."""

    probabilities: list[float]
    batch_size: int


@dataclass(frozen=True)
class Look:
    """A uint8 picture (C, H, W), and the layers whose activations are wanted."""

    picture: Pixels
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """The answer, and the activations of the same pass by layer, float32 on the CPU."""

    answer: Answer
    activations: Mapping[str, Tensor]


class Engine:
    """Runs a checkpoint's network; `threads` are torch's intra-op threads on the CPU.

    `eager` is the network in torch, by default in float32. Without a `runtime` it gives the
    predictions too. Where another runtime does, batches that are over sooner than a
    thread has woken up run at once, on the loop; if the engine is `alone`, without a processor that
    could run them meanwhile, larger ones do so too. `observe` hears of each forward pass for
    predictions: its images and its seconds.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        threads: int,
        max_batch_size: int = 64,
        eager: Torch | None = None,
        runtime: Runtime | None = None,
        alone: bool = False,
        observe: Callable[[int, float], None] = lambda _images, _seconds: None,
    ) -> None:
        self._checkpoint = checkpoint
        self._torch = eager or Torch(checkpoint, "float32")
        self._runtime = runtime or self._torch
        self._alone = alone
        self.batch_size = max_batch_size  # pictures that are best run together
        self._at_once = 0  # pictures in the largest batch that runs on the loop
        self._observe = observe
        self._embedding_of = features.embedding_layer(checkpoint.layers)
        self._executor = ThreadPoolExecutor(
            max_workers=1,
            thread_name_prefix=f"{checkpoint.card.name}-{checkpoint.card.version}",
            initializer=torch.set_num_threads,
            initargs=(threads,),
        )

    async def warm(self) -> None:
        """Run black pictures, so that the first request doesn't pay for allocation and tuning.

        Of an independent runtime it learns how large a batch may be that runs on the loop, and
        `batch_size` becomes what larger ones would not be quicker than for a picture: they would
        only take room. Where the engine is alone it may become what runs on the loop.
        """
        loop = asyncio.get_running_loop()
        if not self._runtime.independent:
            await loop.run_in_executor(self._executor, self._time, self.batch_size)
            return
        limit = _ON_LOOP_ALONE if self._alone else _ON_LOOP
        each: dict[int, float] = {}  # seconds for a picture
        before = math.inf
        for size in sizes(self.batch_size):
            taken = await loop.run_in_executor(self._executor, self._time, size)
            each[size] = taken / size
            if size >= _ENOUGH and each[size] > _QUICKER * before:
                self.batch_size = size
                break
            before = each[size]
        self._at_once = max((size for size in each if size * each[size] <= limit), default=0)
        quick = self._at_once
        if self._alone and quick >= _FEW and each[quick] < _AS_GOOD * min(each.values()):
            self.batch_size = quick

    def _time(self, size: int) -> float:
        """Seconds that a batch of this size takes, after a first one."""
        pictures = [np.zeros(self._checkpoint.card.input.shape, np.uint8)] * size
        taken = []
        for _ in range(_RUNS):
            started = time.perf_counter()
            self._predict(pictures)
            taken.append(time.perf_counter() - started)
            if taken[-1] > _LONG:
                break
        return min(taken)

    async def run(self, pictures: Sequence[Pixels]) -> list[Answer | Exception]:
        """The answer for each uint8 picture (C, H, W), in order.

        For a picture whose logits are not finite, as half precision may make them, it is an
        `ArithmeticError`.
        """
        started = time.perf_counter()
        if self._runs_here(pictures):
            answers = self._predict(pictures)
        else:
            loop = asyncio.get_running_loop()
            answers = await loop.run_in_executor(self._executor, self._predict, pictures)
        self._observe(len(pictures), time.perf_counter() - started)
        return answers

    async def activations(self, looks: Sequence[Look]) -> list[Seen | Exception]:
        """What each picture makes the layers give, in order.

        Those that want the same layers share forward passes of at most `MAX_VALUES` activations.
        Between two passes others get their turn.
        """
        loop = asyncio.get_running_loop()
        groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for index, look in enumerate(looks):
            groups[look.layers].append(index)
        seen: dict[int, Seen | Exception] = {}
        for layers, members in groups.items():
            room = max(1, MAX_VALUES // self._values(layers))
            for part in (members[i : i + room] for i in range(0, len(members), room)):
                pictures = [looks[index].picture for index in part]
                answers, maps = await loop.run_in_executor(
                    self._executor, self._capture, pictures, layers
                )
                for row, (index, answer) in enumerate(zip(part, answers, strict=True)):
                    own = {name: batch[row] for name, batch in maps.items()}
                    seen[index] = answer if isinstance(answer, Exception) else Seen(answer, own)
        return [seen[index] for index in range(len(looks))]

    def _values(self, layers: Sequence[str]) -> int:
        """How many activations of a picture these layers have."""
        shapes = feature_shapes(self._checkpoint)
        return sum(math.prod(shapes[name]) for name in layers)

    def close(self) -> None:
        """Let the thread finish what it does, and end it."""
        self._executor.shutdown(wait=True)

    def _runs_here(self, pictures: Sequence[Pixels]) -> bool:
        return len(pictures) <= self._at_once

    def _predict(self, pictures: Sequence[Pixels]) -> list[Answer | Exception]:
        return _answers(self._runtime(np.array(pictures)))

    @torch.inference_mode()
    def _capture(
        self, pictures: Sequence[Pixels], layers: Sequence[str]
    ) -> tuple[list[Answer | Exception], dict[str, Tensor]]:
        network = self._checkpoint.network
        with features.capture(network, layers, self._embedding_of) as activations:
            answers = _answers(self._torch(np.array(pictures)))
        return answers, {name: activations[name].float().cpu() for name in layers}


def _answers(probabilities: NDArray[np.float32]) -> list[Answer | Exception]:
    """By row of (N, num_classes)."""
    rows, size = probabilities.tolist(), len(probabilities)
    if np.isfinite(probabilities).all():
        return [Answer(row, size) for row in rows]
    return [
        Answer(row, size) if all(map(math.isfinite, row)) else ArithmeticError("not finite")
        for row in rows
    ]


def feature_shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """What activations can be asked for: layer → shape for one picture.

    The embedding, which the last layer takes, is flat.
    """
    shapes = {layer.name: layer.output_shape for layer in checkpoint.layers}
    embedding_of = features.embedding_layer(checkpoint.layers)
    for layer in checkpoint.layers:
        if layer.name == embedding_of:
            shapes.setdefault(features.PENULTIMATE, (math.prod(layer.input_shape),))
    return shapes
