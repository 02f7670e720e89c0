"""The shipped checkpoints, ready to explain images of noise, in part black."""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from models import checkpoint
from models.checkpoint import Checkpoint
from models.preprocessing import InputSpec, Pixels
from service.inference import explanation
from service.inference.explainer import Explainer
from service.inference.explanation import Explanation
from service.inference.runtimes import choice
from service.inference.runtimes.onnx_cache import Graphs
from service.settings import SHIPPED

NAMES = checkpoint.names(SHIPPED)
CPU = torch.device("cpu")


@cache
def load(name: str) -> tuple[Checkpoint, Explainer]:
    """The checkpoint, and what explains it with its own runtime, in batches that are soon full."""
    loaded = checkpoint.load(checkpoint.find(SHIPPED, name), CPU)
    limits: Any = {"max_batch_size": 8, "graphs": Graphs(None)}
    runtime = choice.choose(loaded, "auto", "float32", 1, **limits).runtime
    assert runtime.independent
    explainer = Explainer(
        explanation.twin(loaded.network),
        loaded.card.input,
        CPU,
        loaded.trust,
        runtime,
        len(loaded.card.labels),
        batch_size=50,
        gradient_batch_size=24,
    )
    return loaded, explainer


def in_torch(network: nn.Module, spec: InputSpec) -> Explainer:
    """What explains a network that has no runtime of its own."""
    return Explainer(explanation.twin(network), spec, CPU, batch_size=50, gradient_batch_size=24)


def images(spec: InputSpec, count: int) -> list[Pixels]:
    """Images (C, H, W) of noise whose left part is black: windows there hide nothing."""
    noise = np.random.default_rng(0)
    found = noise.integers(0, 256, (count, *spec.shape), dtype=np.uint8)
    found[..., : spec.width // 3] = 0
    return list(found)


def explained(
    name: str, pixels: list[Pixels], method: str, target: int | None = None, **parameters: Any
) -> list[Explanation]:
    """The explanations of images by a shipped checkpoint, as one group."""
    loaded, explainer = load(name)
    asked = None if target is None else str(target)
    question = explanation.question(loaded, method, parameters, asked)
    return explanation.explain(explainer, pixels, question)
