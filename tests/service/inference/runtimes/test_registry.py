"""The runtimes by name: what settings and help read of them, without loading any."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models import checkpoint
from models.checkpoint import Checkpoint
from models.preprocessing import Pixels
from models.registry import UnknownNameError
from service.inference.runtimes import choice, registry
from service.inference.runtimes.eager import Torch
from service.inference.runtimes.onnx_cache import Graphs
from service.inference.runtimes.registry import RUNTIMES, Attempt, RuntimeEntry, Setup


class Shifted:
    """Answers as torch does, but for a constant."""

    name = "shifted"
    independent = False

    def __init__(self, eager: Torch, by: float) -> None:
        self._eager, self._by = eager, by

    def __call__(self, batch: Pixels) -> NDArray[np.float32]:
        return self._eager(batch) + np.float32(self._by)

    def settle(self) -> None:
        pass


def shifted(*shifts: float, accepted: list[float] | None = None) -> RuntimeEntry:
    """Tries these constants, one after the other."""

    def attempts(setup: Setup) -> list[Attempt]:
        def attempt(by: float) -> Attempt:
            return Attempt(lambda: Shifted(setup.eager, by), lambda: (accepted or []).append(by))

        return [attempt(by) for by in shifts]

    return RuntimeEntry(
        name="shifted",
        title="The shifted runtime",
        description="torch and a constant.",
        product="shifted network",
        devices=("cpu",),
        precisions=("float32",),
        rank=9,
        attempts=attempts,
    )


@pytest.fixture
def loaded(repository: Path) -> Checkpoint:
    return checkpoint.load(repository / "colors" / "1", torch.device("cpu"))


def choose(loaded: Checkpoint, wanted: str = "auto", precision: str = "float32") -> Any:
    return choice.choose(loaded, wanted, precision, 1, max_batch_size=8, graphs=Graphs(None))


def test_the_choices_are_those_that_are_registered() -> None:
    assert {"cuda-graphs", "onnx", "torch"} <= set(RUNTIMES.names())
    assert registry.choices() == ("auto", *RUNTIMES.names())


@pytest.mark.slow
def test_settings_know_the_names_without_loading_a_runtime() -> None:
    program = (
        "import sys; from service.settings import Settings; Settings(runtime='cuda-graphs'); "
        "print(*({'torch', 'onnxruntime', 'numpy'} & {*sys.modules}))"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


@pytest.mark.parametrize("entry", RUNTIMES, ids=lambda entry: entry.name)
def test_the_help_and_the_table_describe_each(entry: RuntimeEntry) -> None:
    assert f"{entry.name}: {entry.description[:-1]}" in registry.describe()
    assert f"| `{entry.name}` | {entry.description} | {entry.scope} |" in registry.table()


def test_auto_takes_the_highest_rank(loaded: Checkpoint) -> None:
    accepted = [0.5]
    with RUNTIMES.restored():
        registry.register(shifted(0, accepted=accepted))
        assert choose(loaded).runtime.name == "shifted"
        assert choose(loaded, "onnx").runtime.name == "onnx"
        assert choose(loaded, precision="bfloat16").runtime.name == "torch"
    assert accepted == [0.5, 0]


@pytest.mark.slow
def test_auto_goes_on_with_the_next_rank(loaded: Checkpoint) -> None:
    with RUNTIMES.restored():
        registry.register(shifted(0.5))
        found = choose(loaded)
        assert (found.runtime.name, found.fallback) == ("onnx", None)
        found = choose(loaded, "shifted")
        assert found.runtime.name == "torch"
        assert found.fallback == "the shifted network answers otherwise, by 0.5"


def test_a_later_attempt_counts(loaded: Checkpoint) -> None:
    accepted = [0.5]
    with RUNTIMES.restored():
        registry.register(shifted(0.25, 0, accepted=accepted))
        found = choose(loaded)
        assert (found.runtime.name, found.fallback) == ("shifted", None)
    assert accepted == [0.5, 0]


def test_one_that_is_not_available_tells_why(loaded: Checkpoint) -> None:
    with RUNTIMES.restored():
        registry.register(replace(shifted(0), unavailable=lambda: "install it"))
        found = choose(loaded, "shifted")
    assert (found.runtime.name, found.fallback) == ("torch", "no shifted network: install it")


def test_an_unknown_runtime(loaded: Checkpoint) -> None:
    with pytest.raises(UnknownNameError, match="no runtime 'onxx'; did you mean 'onnx'"):
        choose(loaded, "onxx")
