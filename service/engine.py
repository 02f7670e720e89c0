"""One network at work: uint8 pictures → forward pass on its device → probabilities, activations.

A single thread owns the network, so that the event loop never waits for arithmetic and no two
forward passes meet. Predictions and feature maps take turns on it, a forward pass each. Predictions
go through the runtime that was chosen for the network; activations always through torch.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from models import features
from models.checkpoint import Checkpoint
from service.runtimes import Runtime, Torch

MAX_VALUES = 2**24  # of activations that one forward pass keeps, four bytes each


class Answer(NamedTuple):
    """Softmax probabilities by class, and how many pictures ran in the same forward pass."""

    probabilities: list[float]
    batch_size: int


@dataclass(frozen=True)
class Look:
    """A uint8 picture (C, H, W), and the layers whose activations are wanted."""

    picture: Tensor
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """The answer, and the activations of the same pass by layer, float32 on the CPU."""

    answer: Answer
    activations: Mapping[str, Tensor]


class Engine:
    """Runs a checkpoint's network; `threads` are torch's intra-op threads on the CPU.

    `precision` other than float32 runs torch's forward pass under autocast. Without a `runtime`
    torch gives the predictions too.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        threads: int,
        precision: str = "float32",
        runtime: Runtime | None = None,
    ) -> None:
        self._checkpoint = checkpoint
        self._torch = Torch(checkpoint, precision)
        self._runtime = runtime or self._torch
        self._embedding_of = features.embedding_layer(checkpoint.layers)
        self._executor = ThreadPoolExecutor(
            max_workers=1,
            thread_name_prefix=f"{checkpoint.card.name}-{checkpoint.card.version}",
            initializer=torch.set_num_threads,
            initargs=(threads,),
        )

    async def warm(self, max_batch_size: int) -> None:
        """Run black pictures, so that the first request doesn't pay for allocation and tuning."""
        picture = torch.zeros(self._checkpoint.card.input.shape, dtype=torch.uint8)
        for count in (1, max_batch_size):
            await self.run([picture] * count)

    async def run(self, pictures: Sequence[Tensor]) -> list[Answer | Exception]:
        """The answer for each uint8 picture (C, H, W), in order.

        For a picture whose logits are not finite, as half precision may make them, it is an
        `ArithmeticError`.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._predict, pictures)

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

    def _predict(self, pictures: Sequence[Tensor]) -> list[Answer | Exception]:
        return _answers(self._runtime(self._batch(pictures)))

    @torch.inference_mode()
    def _capture(
        self, pictures: Sequence[Tensor], layers: Sequence[str]
    ) -> tuple[list[Answer | Exception], dict[str, Tensor]]:
        network = self._checkpoint.network
        with features.capture(network, layers, self._embedding_of) as activations:
            answers = _answers(self._torch(self._batch(pictures)))
        return answers, {name: activations[name].float().cpu() for name in layers}

    def _batch(self, pictures: Sequence[Tensor]) -> Tensor:
        """uint8 (N, C, H, W), a quarter of float32; on its way to a GPU in pinned memory."""
        if self._checkpoint.device.type != "cuda":
            return torch.stack(list(pictures))
        shape = (len(pictures), *pictures[0].shape)
        batch = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        return torch.stack(list(pictures), out=batch)


def _answers(probabilities: Tensor) -> list[Answer | Exception]:
    """By row of float32 (N, num_classes) on the CPU."""
    rows, size = probabilities.tolist(), len(probabilities)
    if bool(probabilities.isfinite().all()):
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
