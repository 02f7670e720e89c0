"""Chooses the fastest correct runtime of a network: uint8 batch → columns.

Tries the registered runtimes that support the device and the precision. A runtime is used only if
its output matches eager torch; otherwise eager torch is used, and the reason is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from service.inference.runtimes import eager, onnx_runtime
from service.inference.runtimes.eager import Torch
from service.inference.runtimes.registry import (
    AUTO,
    RUNTIMES,
    Attempt,
    Runtime,
    RuntimeEntry,
    Setup,
)

if TYPE_CHECKING:
    from models.checkpoint import Checkpoint
    from service.inference.runtimes.onnx_cache import Graphs

# that columns may differ by from those of eager torch; half precision rounds that much
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 5e-3}
_MAX_REASON = 500  # characters of a library's message


@dataclass(frozen=True)
class Chosen:
    """The runtime of a version; `fallback` is why the requested one is not used, or None.

    `eager` is the network in torch: it computes activations, and predictions if `quick` is None.
    """

    eager: Torch
    quick: Runtime | None = None
    fallback: str | None = None

    @property
    def runtime(self) -> Runtime:
        return self.quick or self.eager


def choose(
    checkpoint: Checkpoint,
    wanted: str,
    precision: str,
    threads: int,
    *,
    max_batch_size: int,
    graphs: Graphs,
) -> Chosen:
    """Choose the runtime named `wanted`; for `auto`, the supported one with the highest rank.

    Falls back to eager torch if the runtime is not supported, fails, or gives other outputs; for
    `auto`, the next supported runtimes are tried before that. Raises `UnknownNameError` for a name
    that is not registered.
    """
    setup = Setup(
        checkpoint, Torch(checkpoint, precision), precision, threads, max_batch_size, graphs
    )
    device = checkpoint.device.type
    if not checkpoint.has_gradients:
        return _of_graph(setup, wanted)
    if wanted == eager.NAME:
        return Chosen(setup.eager)
    if wanted != AUTO:
        entry = RUNTIMES.get(wanted)
        if not entry.fits(device, precision):
            return Chosen(setup.eager, fallback=f"{entry.title} is for {entry.scope}")
        return _built(entry, setup)
    fitting = [each for each in RUNTIMES if each.rank and each.fits(device, precision)]
    failed: list[str] = []
    for entry in sorted(fitting, key=lambda each: -each.rank):
        chosen = _built(entry, setup)
        if chosen.fallback is None:
            return chosen
        failed.append(chosen.fallback)
    return Chosen(setup.eager, fallback="; ".join(failed) or None)


def _of_graph(setup: Setup, wanted: str) -> Chosen:
    """Choose ONNX Runtime in float32, whatever is wanted: nothing else runs an imported graph."""
    setup = replace(setup, precision="float32")
    chosen = _built(RUNTIMES.get(onnx_runtime.NAME), setup)
    if chosen.fallback is None and wanted not in (AUTO, onnx_runtime.NAME):
        return replace(chosen, fallback="an imported graph is run by ONNX Runtime only")
    return chosen


def _built(entry: RuntimeEntry, setup: Setup) -> Chosen:
    """Return the runtime of the first correct attempt, or eager torch with the reason."""
    reason = entry.unavailable()
    if reason is not None:
        return Chosen(setup.eager, fallback=f"no {entry.product}: {reason}")
    chosen = Chosen(setup.eager, fallback=f"no {entry.product}")
    for attempt in entry.attempts(setup):
        chosen = _tried(attempt, entry, setup)
        if chosen.fallback is None:
            attempt.accepted()
            break
    return chosen


def _tried(attempt: Attempt, entry: RuntimeEntry, setup: Setup) -> Chosen:
    try:
        quick = attempt.make()
        difference = _difference(setup, quick, attempt.batch_sizes)
    except Exception as error:  # runtimes and exporters raise whatever they meet
        reason = " ".join(str(error).split())[:_MAX_REASON]
        return Chosen(setup.eager, fallback=f"no {entry.product}: {reason}")
    if not difference <= TOLERANCE[setup.precision]:  # nor if it is not a number
        return Chosen(
            setup.eager, fallback=f"the {entry.product} answers otherwise, by {difference:.2g}"
        )
    return Chosen(setup.eager, quick)


def _difference(setup: Setup, other: Runtime, batch_sizes: Sequence[int]) -> float:
    """Return the largest difference of any column from eager torch, over all batch sizes.

    The images are noise, one black and one white. Logits and strangeness have no fixed range: their
    difference is in parts of the image's largest value, or of 1 if that is larger. That of the
    strangeness counts a hundredth, since p-values don't tell strangers apart more finely.
    """
    import numpy as np

    from service.inference.outputs import split

    noise, one = np.random.default_rng(0), setup.eager
    num_classes = len(setup.checkpoint.card.labels)
    pictures = noise.integers(0, 256, (max(batch_sizes), *one.input.shape), dtype=np.uint8)
    pictures[-1], pictures[-2] = 0, 255
    found = []
    for size in batch_sizes:
        expected, columns = one(pictures[-size:]), other(pictures[-size:])
        values = split(np.abs(expected), num_classes)
        off = split(np.abs(expected - columns), num_classes)
        found.append(off.probabilities.max())
        found.append((off.logits / np.maximum(1, values.logits.max(1, keepdims=True))).max())
        if off.strangeness is not None and values.strangeness is not None:
            found.append((off.strangeness / (100 * np.maximum(1, values.strangeness))).max())
    return float(np.max(found))
