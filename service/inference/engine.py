"""Runs one network: uint8 images → forward pass on its device → probabilities, activations.

One thread per network runs the forward passes one at a time; batches that finish faster than a
thread switch run on the event loop. Predictions and feature maps alternate on the thread.
Predictions use the runtime chosen for the network; activations always use eager torch.
"""

import asyncio
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import checkpoint as checkpoints
from models import features
from models.checkpoint import Checkpoint, CheckpointError
from models.preprocessing import Pixels
from service.inference.doubt import Judge, Set
from service.inference.outputs import Columns, Outputs, looked_again, split, without_blank
from service.inference.runtimes.cuda_graphs import sizes
from service.inference.runtimes.eager import Torch
from service.inference.runtimes.registry import Runtime
from service.process.event_loop import (
    MAX_SLOWDOWN_ON_LOOP,
    MIN_BATCH_ON_LOOP,
    PASS_SECONDS,
    PASS_SECONDS_ON_ONE_PROCESSOR,
)

MIN_FULL_BATCH = 32  # images in a batch that shares them well
WORTHWHILE_RATIO = 0.9  # of time an image: what makes a batch of twice the size worth its memory
TIMED_RUNS = 4  # of a batch, to learn its time
LONG_RUN_SECONDS = 0.05  # after a run that long no other is timed
MAX_BATCH_VALUES = 2**28  # that a layer takes and gives for a batch: a gibibyte as float32
NOT_FINITE = "the network gives no finite number for this image"
MAX_VALUES = 2**24  # of activations that one forward pass keeps, four bytes each


class NotFiniteError(ArithmeticError):
    """Stands in place of the result for an image whose probabilities are not finite numbers."""


class PredictionResult(NamedTuple):
    """The prediction for one image.

    `probabilities` are by class, calibrated if the card has a calibration; `logits` are by class,
    float32. `batch_size` is the number of images that ran together. `familiarity` and `set` are
    those of `service.inference.doubt`; they are None and empty if the card lacks what they need.
    """

    probabilities: list[float]
    batch_size: int
    logits: NDArray[np.float32]
    familiarity: float | None = None
    set: Set = ()


@dataclass(frozen=True)
class FeatureRequest:
    """An image (C, H, W), and the layers whose activations to return.

    The image is uint8, or float32 that is already normalised.
    """

    picture: NDArray[Any]
    layers: tuple[str, ...]


@dataclass(frozen=True)
class FeatureResult:
    """The prediction, and the activations of the same pass by layer, float32 on the CPU."""

    answer: PredictionResult
    activations: Mapping[str, Tensor]


class Engine:
    """Runs a checkpoint's network; `threads` are torch's intra-op threads on the CPU.

    `eager` is the network in torch, by default in float32; it also computes predictions if there is
    no `runtime`. `judge` adds familiarity and set to each result; without it they stay empty.
    Batches of an independent runtime run on the event loop if they take less time than a thread
    switch. `alone` means a single CPU core: then larger batches run on the loop too.
    `observe(outputs, seconds)` is called after each forward pass for predictions, and
    `observe_not_finite(images)` for images that got no finite answer; both on the event loop.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        threads: int,
        max_batch_size: int = 64,
        eager: Torch | None = None,
        runtime: Runtime | None = None,
        judge: Judge | None = None,
        alone: bool = False,
        observe: Callable[[Outputs, float], None] = lambda _outputs, _seconds: None,
        observe_not_finite: Callable[[int], None] = lambda _images: None,
    ) -> None:
        self._checkpoint = checkpoint
        self._torch = eager or Torch(checkpoint, "float32")
        self.runtime = runtime or self._torch
        self._judge, self._num_classes = judge, len(checkpoint.card.labels)
        self._alone = alone
        self.seconds_per_image = 0.0  # in the best batch, measured by `warm`
        room = max(1, MAX_BATCH_VALUES // _largest_step(checkpoint))
        self.batch_size = min(max_batch_size, room)  # pictures that are best run together
        self._at_once = 0  # pictures in the largest batch that runs on the loop
        self._observe, self._observe_not_finite = observe, observe_not_finite
        self._not_finite, self._lock = 0, threading.Lock()  # images that are not reported yet
        self._executor = ThreadPoolExecutor(
            max_workers=1,
            thread_name_prefix=f"{checkpoint.card.name}-{checkpoint.card.version}",
            initializer=torch.set_num_threads,
            initargs=(threads,),
        )

    async def warm(self) -> None:
        """Run flat images and noise: the first request must not pay for allocation and tuning.

        Sets `seconds_per_image`. For an independent runtime, measures the forward pass at several
        batch sizes. Sets the largest batch size that runs on the event loop. Lowers `batch_size` to
        the size beyond which the time per image hardly improves; if `alone`, possibly to the size
        that runs on the loop.

        Raises `CheckpointError` if the runtime does not answer flat images and noise with finite
        numbers.
        """
        loop = asyncio.get_running_loop()
        if not self.runtime.independent:
            seconds = await loop.run_in_executor(self._executor, self._time, self.batch_size)
            self.seconds_per_image = seconds / self.batch_size
            return
        limit = PASS_SECONDS_ON_ONE_PROCESSOR if self._alone else PASS_SECONDS
        each: dict[int, float] = {}  # seconds for a picture
        before = math.inf
        for size in sizes(self.batch_size):
            seconds = await loop.run_in_executor(self._executor, self._time, size)
            each[size] = seconds / size
            if size >= MIN_FULL_BATCH and each[size] > WORTHWHILE_RATIO * before:
                self.batch_size = size
                break
            before = each[size]
        await loop.run_in_executor(self._executor, self.runtime.settle)
        self.seconds_per_image = min(each.values())
        self._at_once = max((size for size in each if size * each[size] <= limit), default=0)
        quick = self._at_once
        if (
            self._alone
            and quick >= MIN_BATCH_ON_LOOP
            and each[quick] < MAX_SLOWDOWN_ON_LOOP * min(each.values())
        ):
            self.batch_size = quick

    def _time(self, size: int) -> float:
        """Seconds of a forward pass at this batch size: the fastest of several.

        Raises `CheckpointError` if an image has no finite answer, as the runtime computes it.
        """
        probes = list(checkpoints.probes(self._checkpoint.card.input))
        seconds = []
        for start in range(0, len(probes), size):  # all of them, a batch at a time
            some = list(islice(cycle(probes), start, start + size))
            for _ in range(TIMED_RUNS):
                started = time.perf_counter()
                answers, _ = self._predict([pixels for _name, pixels in some], again=False)
                seconds.append(time.perf_counter() - started)
                if seconds[-1] > LONG_RUN_SECONDS:
                    break
            for (name, _pixels), answer in zip(some, answers, strict=True):
                if isinstance(answer, Exception):
                    raise CheckpointError(
                        f"the network answers {name} with what is not a finite number, as "
                        f"{self.runtime.name} computes it; try another precision or runtime "
                        "(settings precision and runtime), or train it again"
                    )
        return min(seconds)

    async def run(self, pictures: Sequence[Pixels]) -> list[PredictionResult | Exception]:
        """Predict uint8 images (C, H, W), and return the results in order.

        A result is a `NotFiniteError` if its probabilities are not finite, for example in half
        precision.
        """
        started = time.perf_counter()
        if self._runs_here(pictures):
            answers, outputs = self._predict(pictures)
        else:
            loop = asyncio.get_running_loop()
            predicted = loop.run_in_executor(self._executor, self._predict, pictures)
            answers, outputs = await predicted
        if self._not_finite:
            self._report_not_finite()
        self._observe(outputs, time.perf_counter() - started)
        return answers

    async def activations(
        self, requests: Sequence[FeatureRequest]
    ) -> list[FeatureResult | Exception]:
        """The prediction and the activations for each request, in order.

        Requests for the same layers, of the same dtype, share forward passes of at most
        `MAX_VALUES` activations. Other work can run between two passes.
        """
        loop = asyncio.get_running_loop()
        groups: dict[tuple[Any, tuple[str, ...]], list[int]] = defaultdict(list)
        for index, look in enumerate(requests):
            groups[look.picture.dtype, look.layers].append(index)
        results: dict[int, FeatureResult | Exception] = {}
        for (_, layers), members in groups.items():
            room = max(1, MAX_VALUES // max(1, self._values(layers)))
            for part in (members[i : i + room] for i in range(0, len(members), room)):
                pictures = [requests[index].picture for index in part]
                answers, maps = await loop.run_in_executor(
                    self._executor, self._capture, pictures, layers
                )
                if self._not_finite:
                    self._report_not_finite()
                for row, (index, answer) in enumerate(zip(part, answers, strict=True)):
                    own = {name: batch[row] for name, batch in maps.items()}
                    results[index] = (
                        answer if isinstance(answer, Exception) else FeatureResult(answer, own)
                    )
        return [results[index] for index in range(len(requests))]

    def _values(self, layers: Sequence[str]) -> int:
        """The number of activations of these layers per image."""
        outputs = self._checkpoint.structure.outputs()
        return sum(math.prod(outputs[name].output_shape) for name in layers)

    def close(self) -> None:
        """Wait for the thread to finish its work, and stop it."""
        self._executor.shutdown(wait=True)

    def _runs_here(self, pictures: Sequence[Pixels]) -> bool:
        return len(pictures) <= self._at_once

    def _predict(
        self, pictures: Sequence[Pixels], *, again: bool = True
    ) -> tuple[list[PredictionResult | Exception], Outputs]:
        """Run a batch; return the results and the outputs they were made from.

        `again` allows a second look at some of the images.
        """
        batch = np.array(pictures)
        outputs = self._outputs(self.runtime(batch), batch, self.runtime if again else None)
        return self._answers(outputs), outputs

    @torch.inference_mode()
    def _capture(
        self, pictures: Sequence[NDArray[Any]], layers: Sequence[str]
    ) -> tuple[list[PredictionResult | Exception], dict[str, Tensor]]:
        network = self._checkpoint.network
        known = self._checkpoint.structure
        with features.capture(network, layers, known.layers, known.blocks) as activations:
            batch = np.array(pictures)
            columns = self._torch(batch)
        outputs = self._outputs(columns, batch, self._torch)
        answers = self._answers(outputs, is_image=batch.dtype == np.uint8)
        return answers, {name: activations[name].float().cpu() for name in layers}

    def _outputs(
        self, columns: Columns, batch: Pixels, run: Callable[[Pixels], Columns] | None
    ) -> Outputs:
        """Split the columns of a batch; apply the second look and the rule for blank images.

        `run` computes the columns of the second look; None leaves it out. Blank images get an
        infinite strangeness.
        """
        found = split(columns, self._num_classes)
        if run is not None:
            found = looked_again(found, batch, self._checkpoint.trust, run)
        return without_blank(found, batch, self._checkpoint.trust)

    def _answers(
        self, outputs: Outputs, *, is_image: bool = True
    ) -> list[PredictionResult | Exception]:
        """Return the result of each image of a batch.

        Images without a finite result are counted, as a fault of the network, only if the batch has
        images (`is_image`): a client can send normalised values to which no network has a finite
        answer.
        """
        size = len(outputs.probabilities)
        rows = zip(outputs.probabilities.tolist(), outputs.logits, strict=True)
        answers: list[PredictionResult | Exception]
        if self._judge is None:
            answers = [PredictionResult(row, size, logits) for row, logits in rows]
        else:
            measured = self._judge.measure(outputs)
            answers = [
                PredictionResult(row, size, logits, *each)
                for (row, logits), each in zip(rows, measured, strict=True)
            ]
        finite = np.isfinite(outputs.probabilities)
        if finite.all():
            return answers
        failed = np.flatnonzero(~finite.all(1)).tolist()
        for index in failed:
            answers[index] = NotFiniteError(NOT_FINITE)
        if is_image:
            with self._lock:
                self._not_finite += len(failed)
        return answers

    def _report_not_finite(self) -> None:
        with self._lock:
            images, self._not_finite = self._not_finite, 0
        self._observe_not_finite(images)


def _largest_step(checkpoint: Checkpoint) -> int:
    """Return the largest number of input and output values that any layer has for one image."""
    steps = [
        math.prod(each.input_shape) + math.prod(each.output_shape) for each in checkpoint.layers
    ]
    return max([math.prod(checkpoint.card.input.shape), *steps])
