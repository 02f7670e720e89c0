"""The engine: one thread, the same answers as plain torch."""

import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import checkpoint
from models.checkpoint import Checkpoint
from models.preprocessing import Pixels
from service.inference import engine as engine_module
from service.inference.engine import Engine, FeatureRequest, FeatureResult, PredictionResult
from service.inference.runtimes.eager import Torch
from tests.hooks import hooks
from tests.networks import SPEC, picture
from tests.waiting import spend

pytestmark = pytest.mark.anyio


@pytest.fixture
def loaded(repository: Path) -> Checkpoint:
    return checkpoint.load(repository / "colors" / "1", torch.device("cpu"))


@pytest.fixture
async def engine(loaded: Checkpoint) -> AsyncIterator[Engine]:
    engine = Engine(loaded, threads=1)
    yield engine
    engine.close()


PICTURES = [SPEC.array(picture(seed)) for seed in range(5)]
BATCH = torch.tensor(np.array(PICTURES))


def probabilities(answers: Sequence[PredictionResult | Exception]) -> Tensor:
    """(N, num_classes)."""
    return torch.tensor(
        [each.probabilities for each in answers if isinstance(each, PredictionResult)]
    )


async def test_answers_are_those_of_plain_torch(engine: Engine, loaded: Checkpoint) -> None:
    with torch.inference_mode():
        logits = loaded.network(SPEC.normalize(BATCH))
    torch.testing.assert_close(probabilities(await engine.run(PICTURES)), logits.softmax(1))


async def test_an_answer_tells_the_size_of_its_batch(engine: Engine) -> None:
    answers = await engine.run(PICTURES)
    assert [each.batch_size for each in answers if isinstance(each, PredictionResult)] == [5] * 5


async def test_a_picture_without_a_finite_answer_fails_alone(
    engine: Engine, loaded: Checkpoint
) -> None:
    def overflow(_module: object, _inputs: object, logits: torch.Tensor) -> torch.Tensor:
        logits[2] = torch.inf
        return logits

    loaded.network.register_forward_hook(overflow)
    answers = await engine.run(PICTURES)
    assert isinstance(answers[2], ArithmeticError)
    assert [isinstance(each, PredictionResult) for each in answers] == [
        True,
        True,
        False,
        True,
        True,
    ]


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


async def test_warming_runs_the_largest_batch(loaded: Checkpoint) -> None:
    sizes: list[int] = []
    engine = Engine(loaded, threads=1, max_batch_size=16)
    loaded.network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    await engine.warm()
    engine.close()
    assert set(sizes) == {16}


class Recorded:
    """A runtime that takes so long for a picture, and remembers where it ran."""

    name = "recorded"
    independent = True

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds
        self.threads: list[int] = []
        self.settled: list[int] = []  # after how many runs

    def __call__(self, batch: Pixels) -> NDArray[np.float32]:
        self.threads.append(threading.get_ident())
        spend(self._seconds * len(batch))
        return np.ones((len(batch), 1), np.float32)

    def settle(self) -> None:
        self.settled.append(len(self.threads))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "alone", "pictures", "here", "batch_size"),
    [
        (0.0, True, 5, True, 16),  # in no time: all on the loop
        (0.0, False, 5, True, 16),
        (0.005, True, 8, True, 8),  # larger batches wouldn't be quicker
        (0.005, True, 9, False, 8),
        (0.01, True, 4, True, 16),  # so small ones have other costs
        (0.01, True, 5, False, 16),
        (0.01, False, 1, True, 16),  # and yet they may run beside the loop
        (0.01, False, 2, False, 16),
        (0.1, True, 1, False, 16),
    ],
)
async def test_what_is_quick_runs_on_the_loop(
    loaded: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    alone: bool,
    pictures: int,
    here: bool,
    batch_size: int,
) -> None:
    monkeypatch.setattr(engine_module, "PASS_SECONDS", 0.015)
    monkeypatch.setattr(engine_module, "PASS_SECONDS_ON_ONE_PROCESSOR", 0.05)
    runtime = Recorded(seconds)
    engine = Engine(loaded, threads=1, max_batch_size=16, runtime=runtime, alone=alone)
    await engine.warm()
    assert runtime.settled == [len(runtime.threads)]  # once, behind all trials
    await engine.run((PICTURES * 2)[:pictures])
    engine.close()
    assert (runtime.threads[-1] == threading.get_ident()) == here
    assert engine.batch_size == batch_size


class Counted(Recorded):
    """So many seconds for a call, and as many for a picture."""

    def __init__(self, call: float, picture: float) -> None:
        super().__init__()
        self._call, self._picture = call, picture
        self.sizes: list[int] = []

    def __call__(self, batch: Pixels) -> NDArray[np.float32]:
        self.sizes.append(len(batch))
        spend(self._call + self._picture * len(batch))
        return np.ones((len(batch), 1), np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "picture", "batch_size"),
    [
        (0.0, 0.0005, 32),  # no batch is quicker than another: no room for larger ones
        (0.08, 0.0001, 128),  # each is
        (0.002, 0.0, 128),
    ],
)
async def test_batches_are_as_large_as_pays(
    loaded: Checkpoint, call: float, picture: float, batch_size: int
) -> None:
    runtime = Counted(call, picture)
    engine = Engine(loaded, threads=1, max_batch_size=128, runtime=runtime)
    await engine.warm()
    engine.close()
    assert engine.batch_size == max(runtime.sizes) == batch_size


async def test_torch_never_runs_on_the_loop(
    loaded: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its network may have hooks meanwhile, which look into what others asked for."""
    monkeypatch.setattr(engine_module, "PASS_SECONDS_ON_ONE_PROCESSOR", 60)
    threads: set[int] = set()
    engine = Engine(loaded, threads=1, alone=True)
    loaded.network.register_forward_hook(lambda *_: threads.add(threading.get_ident()))
    await engine.warm()
    await engine.run(PICTURES)
    engine.close()
    assert threading.get_ident() not in threads


async def test_half_precision_answers_nearly_the_same(loaded: Checkpoint) -> None:
    exact = Engine(loaded, threads=1)
    half = Engine(loaded, threads=1, eager=Torch(loaded, "bfloat16"))
    expected, answers = await exact.run(PICTURES), await half.run(PICTURES)
    torch.testing.assert_close(probabilities(answers), probabilities(expected), atol=0.02, rtol=0)
    assert answers != expected
    exact.close()
    half.close()


class TestActivations:
    async def test_they_equal_a_hook_in_plain_torch(
        self, engine: Engine, loaded: Checkpoint
    ) -> None:
        expected: dict[str, Tensor] = {}
        modules = [loaded.network.get_submodule(name) for name in ("conv", "fc")]
        handles = [
            module.register_forward_hook(lambda _, __, out, n=name: expected.update({n: out}))
            for name, module in zip(("conv", "fc"), modules, strict=True)
        ]
        with torch.inference_mode():
            logits = loaded.network(SPEC.normalize(BATCH))
        for handle in handles:
            handle.remove()
        seen = await engine.activations([FeatureRequest(each, ("conv", "fc")) for each in PICTURES])
        for row, each in enumerate(seen):
            assert isinstance(each, FeatureResult)
            assert list(each.activations) == ["conv", "fc"]
            for name, activation in each.activations.items():
                assert torch.equal(activation, expected[name][row])
            torch.testing.assert_close(
                torch.tensor(each.answer.probabilities), logits[row].softmax(0)
            )

    async def test_the_embedding_is_what_the_last_layer_takes(
        self, engine: Engine, loaded: Checkpoint
    ) -> None:
        [seen] = await engine.activations([FeatureRequest(PICTURES[0], ("penultimate",))])
        assert isinstance(seen, FeatureResult)
        with torch.inference_mode():
            logits = loaded.network.get_submodule("fc")(seen.activations["penultimate"])
        torch.testing.assert_close(
            logits.softmax(0), torch.tensor(seen.answer.probabilities), atol=1e-6, rtol=0
        )

    async def test_pictures_of_the_same_layers_share_a_pass(
        self, engine: Engine, loaded: Checkpoint
    ) -> None:
        sizes: list[int] = []
        loaded.network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
        wanted = [("conv",), ("fc",), ("conv",), ("conv",), ("fc",)]
        looks = [
            FeatureRequest(each, layers) for each, layers in zip(PICTURES, wanted, strict=True)
        ]
        seen = await engine.activations(looks)
        assert sizes == [3, 2]
        for each, layers, alone in zip(seen, wanted, looks, strict=True):
            assert isinstance(each, FeatureResult)
            [single] = await engine.activations([alone])
            assert isinstance(single, FeatureResult)
            torch.testing.assert_close(
                each.activations[layers[0]], single.activations[layers[0]], atol=1e-6, rtol=0
            )

    async def test_a_pass_keeps_no_more_than_it_may(
        self, engine: Engine, loaded: Checkpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine_module, "MAX_VALUES", 2 * 4 * 8 * 8)  # two pictures of conv
        sizes: list[int] = []
        loaded.network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
        await engine.activations([FeatureRequest(each, ("conv",)) for each in PICTURES])
        assert sizes == [2, 2, 1]

    async def test_no_hook_stays(self, engine: Engine, loaded: Checkpoint) -> None:
        await engine.activations(
            [FeatureRequest(each, ("conv", "penultimate")) for each in PICTURES]
        )
        assert not hooks(loaded.network)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
async def test_a_gpu_answers_as_the_cpu(repository: Path, precision: str) -> None:
    folder = repository / "colors" / "1"
    answers = []
    for device in ("cpu", "cuda:0"):
        loaded = checkpoint.load(folder, torch.device(device))
        eager = Torch(loaded, precision if device != "cpu" else "float32")
        engine = Engine(loaded, threads=1, eager=eager)
        await engine.warm()
        answers.append(probabilities(await engine.run(PICTURES)))
        engine.close()
    tolerance = 1e-5 if precision == "float32" else 0.02
    torch.testing.assert_close(answers[1], answers[0], atol=tolerance, rtol=0)
