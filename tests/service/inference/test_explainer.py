"""How large the batches of explanations are: bounded in memory and in time."""

from pathlib import Path

import pytest
import torch

from models import checkpoint
from models.checkpoint import Checkpoint
from service.inference import explainer, explanation
from service.inference.engine import Engine
from service.inference.explainer import Explainer
from service.inference.explanation import Question
from service.inference.runtimes import choice
from service.inference.runtimes.onnx_cache import Graphs


@pytest.fixture
def plain(shared_repository: Path) -> Checkpoint:
    return checkpoint.load(shared_repository / "colors" / "2", torch.device("cpu"))


def engine(loaded: Checkpoint, seconds_per_image: float = 1e-6) -> Engine:
    made = Engine(loaded, threads=1, max_batch_size=64)
    made.seconds_per_image = seconds_per_image
    made.close()
    return made


@pytest.mark.parametrize(
    ("seconds", "images"),
    [(1e-6, 64), (0.01, 25), (0.1, 2), (10, 1)],  # no more than for predictions
)
def test_a_forward_pass_takes_at_most_a_quarter_of_a_second(
    plain: Checkpoint, seconds: float, images: int
) -> None:
    assert explainer.batch_sizes(plain, engine(plain, seconds))[0] == images


@pytest.mark.parametrize(("operations", "images"), [(10**9, 16), (70_000, 10), (10, 1)])
def test_a_pass_forwards_and_back_has_so_many_operations(
    plain: Checkpoint, monkeypatch: pytest.MonkeyPatch, operations: int, images: int
) -> None:
    """However busy the machine was at the start."""
    monkeypatch.setattr(explainer, "MAX_MULTIPLY_ADDS", operations)
    assert sum(layer.multiply_adds for layer in plain.layers) == 4 * 27 * 64 + 12
    for seconds in (1e-6, 10):
        assert explainer.batch_sizes(plain, engine(plain, seconds))[1] == images


def test_activations_fit_into_memory(plain: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explainer, "MAX_BATCH_VALUES", 5000)
    values = 2 * 4 * 8 * 8 + 4 + 3  # of all layers: convolution, ReLU, pooling, linear
    _, both = explainer.batch_sizes(plain, engine(plain))
    assert both == 5000 // values


@pytest.mark.anyio
@pytest.mark.parametrize(("wanted", "shared"), [("auto", True), ("torch", False)])
async def test_only_a_runtime_that_runs_in_any_thread_is_shared(
    plain: Checkpoint, wanted: str, shared: bool
) -> None:
    chosen = choice.choose(plain, wanted, "float32", 1, max_batch_size=8, graphs=Graphs(None))
    made = Engine(plain, threads=1, max_batch_size=8, eager=chosen.eager, runtime=chosen.runtime)
    await made.warm()
    found = Explainer.of(plain, explanation.twin(plain.network), made)
    made.close()
    assert made.seconds_per_image > 0
    assert found.runtime is (chosen.runtime if shared else None)
    assert 1 <= found.batch_size <= 8


@pytest.mark.parametrize(
    ("method", "given", "count"),
    [
        ("saliency", {}, 50),  # that a forward pass takes
        ("integrated-gradients", {"steps": 18}, 5),
        ("integrated-gradients", {"steps": 256}, 1),
        ("occlusion", {"window": 4, "stride": 4}, 10),
        ("occlusion", {"window": 1, "stride": 1}, 1),
    ],
)
def test_images_are_grouped_where_that_fills_a_batch(
    plain: Checkpoint, method: str, given: dict[str, int], count: int
) -> None:
    twin = explanation.twin(plain.network)
    made = Explainer(twin, plain.card.input, plain.device, batch_size=50, gradient_batch_size=100)
    question: Question = explanation.question(plain, method, given, None)
    assert explanation.together(made, question) == count
