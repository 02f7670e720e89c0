"""One network at work: uint8 pictures → forward pass on its device → probabilities.

A single thread owns the network, so that the event loop never waits for arithmetic and no two
forward passes meet.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from models.checkpoint import Checkpoint

_PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Engine:
    """Runs a checkpoint's network; `threads` are torch's intra-op threads on the CPU.

    `precision` other than float32 runs the forward pass under autocast.
    """

    def __init__(self, checkpoint: Checkpoint, *, threads: int, precision: str = "float32") -> None:
        self._checkpoint = checkpoint
        self._autocast = _PRECISIONS[precision]
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

    async def run(self, pictures: Sequence[Tensor]) -> list[list[float] | Exception]:
        """Probabilities by class for each uint8 picture (C, H, W), in order.

        For a picture whose logits are not finite, as half precision may make them, it is an
        `ArithmeticError`.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._forward, pictures)

    def close(self) -> None:
        """Let the thread finish what it does, and end it."""
        self._executor.shutdown(wait=True)

    @torch.inference_mode()
    def _forward(self, pictures: Sequence[Tensor]) -> list[list[float] | Exception]:
        device = self._checkpoint.device
        on_gpu = device.type == "cuda"
        shape = (len(pictures), *pictures[0].shape)
        batch = torch.empty(shape, dtype=torch.uint8, pin_memory=on_gpu)  # a quarter of float32
        torch.stack(list(pictures), out=batch)  # (N, C, H, W)
        batch = batch.to(device, non_blocking=on_gpu)
        normalized = self._checkpoint.card.input.normalize(batch)
        with torch.autocast(device.type, self._autocast, enabled=self._autocast is not None):
            logits = self._checkpoint.network(normalized)
        probabilities = logits.float().softmax(1).cpu()  # (N, num_classes)
        finite = probabilities.isfinite().all(1).tolist()
        return [
            row if fine else ArithmeticError("the network's answer is not finite")
            for row, fine in zip(probabilities.tolist(), finite, strict=True)
        ]
