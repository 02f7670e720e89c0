"""The engine: one thread, the same answers as plain torch."""

import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import torch

from models import checkpoint
from models.checkpoint import Checkpoint
from service.engine import Engine
from tests.networks import SPEC, picture

pytestmark = pytest.mark.anyio


@pytest.fixture
def loaded(repository: Path) -> Checkpoint:
    return checkpoint.load(repository / "colors" / "1", torch.device("cpu"))


@pytest.fixture
async def engine(loaded: Checkpoint) -> AsyncIterator[Engine]:
    engine = Engine(loaded, threads=1)
    yield engine
    engine.close()


PICTURES = [SPEC.pixels(picture(seed)) for seed in range(5)]


async def test_answers_are_those_of_plain_torch(engine: Engine, loaded: Checkpoint) -> None:
    with torch.inference_mode():
        logits = loaded.network(SPEC.normalize(torch.stack(PICTURES)))
    answers = torch.tensor(await engine.run(PICTURES))
    torch.testing.assert_close(answers, logits.softmax(1))


async def test_a_picture_without_a_finite_answer_fails_alone(
    engine: Engine, loaded: Checkpoint
) -> None:
    def overflow(_module: object, _inputs: object, logits: torch.Tensor) -> torch.Tensor:
        logits[2] = torch.inf
        return logits

    loaded.network.register_forward_hook(overflow)
    answers = await engine.run(PICTURES)
    assert isinstance(answers[2], ArithmeticError)
    assert [isinstance(each, list) for each in answers] == [True, True, False, True, True]


async def test_one_thread_that_is_not_the_loops_runs_all(
    engine: Engine, loaded: Checkpoint
) -> None:
    threads: set[int] = set()
    loaded.network.register_forward_hook(lambda *_: threads.add(threading.get_ident()))
    for _ in range(3):
        await engine.run(PICTURES)
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_threads_of_torch_are_set_in_the_engines_thread(loaded: Checkpoint) -> None:
    found: list[int] = []
    engine = Engine(loaded, threads=1)
    loaded.network.register_forward_hook(lambda *_: found.append(torch.get_num_threads()))
    await engine.run(PICTURES)
    engine.close()
    assert found == [1]


async def test_warming_runs_the_smallest_and_the_largest_batch(
    engine: Engine, loaded: Checkpoint
) -> None:
    sizes: list[int] = []
    loaded.network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    await engine.warm(max_batch_size=16)
    assert sizes == [1, 16]


async def test_half_precision_answers_nearly_the_same(loaded: Checkpoint) -> None:
    exact, half = Engine(loaded, threads=1), Engine(loaded, threads=1, precision="bfloat16")
    expected, answers = await exact.run(PICTURES), await half.run(PICTURES)
    torch.testing.assert_close(torch.tensor(answers), torch.tensor(expected), atol=0.02, rtol=0)
    assert answers != expected
    exact.close()
    half.close()


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
async def test_a_gpu_answers_as_the_cpu(repository: Path, precision: str) -> None:
    folder = repository / "colors" / "1"
    answers = []
    for device in ("cpu", "cuda:0"):
        loaded = checkpoint.load(folder, torch.device(device))
        engine = Engine(loaded, threads=1, precision=precision if device != "cpu" else "float32")
        await engine.warm(4)
        answers.append(torch.tensor(await engine.run(PICTURES)))
        engine.close()
    tolerance = 1e-5 if precision == "float32" else 0.02
    torch.testing.assert_close(answers[1], answers[0], atol=tolerance, rtol=0)
