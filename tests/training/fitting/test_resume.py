"""A training that was broken off and goes on ends as if nothing had happened."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fanlight.command import main
from models import checkpoint
from models.preprocessing import InputSpec
from tests.training.pictures import colors, write_colors
from tests.waiting import until
from training.data.datasets import ImageSet
from training.fitting import loop
from training.fitting.loop import Hooks
from training.fitting.records.run_folder import Run
from training.fitting.state import Epoch
from training.recipes.recipe import Recipe

CPU = torch.device("cpu")
RECIPES: Mapping[str, Recipe] = {
    "sgd, one-cycle, momentum, augmentation, dropout": Recipe(
        *("colors", "colors", "birdplane-dropout", 5, 8, "sgd", 0.05),
        schedule="one-cycle",
        momentum=0.9,
        weight_decay=1e-3,
        label_smoothing=0.1,
        flip=True,
        crop_padding=2,
    ),
    "adam, plateau": Recipe(
        *("colors", "colors", "tiny", 5, 8, "adam", 0.3), schedule="plateau", l2_norm=0.01
    ),
    "averaging, cosine, whitening": Recipe(
        *("colors", "colors", "convnet", 5, 8, "sgd", 0.05, {"widths": [4, 8]}),
        schedule="cosine",
        averaging=0.8,
        initialisation="whitening",
    ),
    "nothing held out": Recipe(
        *("colors", "colors", "tiny", 5, 8, "adam", 0.01), validation_fraction=0
    ),
}


class BrokenOffError(Exception):
    """Stands for whatever ends a training too early."""


class TestLoop:
    @pytest.mark.parametrize("epochs", [1, 3, 5])
    @pytest.mark.parametrize("name", RECIPES)
    def test_weights_and_history_are_those_of_an_unbroken_one(self, name: str, epochs: int) -> None:
        recipe, spec = RECIPES[name], InputSpec(channels=3, height=32, width=32)
        train = replace(colors(10), images=F.interpolate(colors(10).in_memory, size=32))
        unbroken = loop.fit(recipe, train, spec, CPU)
        state = broken_off(recipe, train, spec, epochs)
        torch.rand(5)  # whatever else a process does
        told: list[Epoch] = []
        resumed = loop.fit(recipe, train, spec, CPU, Hooks(on_epoch=told.append), state)
        assert same_weights(resumed.network, unbroken.network)
        assert resumed.history == unbroken.history
        assert resumed.selected == unbroken.selected
        assert told == unbroken.history[epochs:]


def broken_off(recipe: Recipe, train: ImageSet, spec: InputSpec, epochs: int) -> dict[str, Any]:
    """The state after so many epochs, by way of a file."""
    files: list[BytesIO] = []

    def on_state(state: dict[str, Any]) -> None:
        files.append(BytesIO())
        torch.save(state, files[-1])

    def on_epoch(epoch: Epoch) -> None:
        if epoch.number == epochs:
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        loop.fit(recipe, train, spec, CPU, Hooks(on_epoch=on_epoch, on_state=on_state))
    assert len(files) == epochs
    files[-1].seek(0)
    state: dict[str, Any] = torch.load(files[-1], weights_only=True)
    return state


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    state, others = one.state_dict(), other.state_dict()
    return all(torch.equal(state[name], others[name]) for name in state)


class Place:
    """`fit` on a folder of colours in a place of its own."""

    def __init__(self, folder: Path, dataset: Path) -> None:
        self.repository, self.runs = folder / "repository", folder / "runs"
        self.command = [
            *("fit", "mnist-cnn", "--name", "colors", "--dataset", str(dataset)),
            *("--architecture", "convnet", "--arguments", "widths=[4]", "--size", "8"),
            *("--epochs", "3", "--batch-size", "8", "--flip"),
            *("--repository", str(self.repository), "--runs", str(self.runs), "--device", "cpu"),
        ]

    def fit(self, *arguments: str) -> int:
        return main([*self.command, *arguments])

    def run_folders(self) -> list[Path]:
        return sorted((self.runs / "colors").iterdir())

    def versions(self) -> list[int]:
        return checkpoint.versions(self.repository / "colors")

    def sha256(self, version: int = 1) -> str:
        return checkpoint.read_card(self.repository / "colors" / str(version)).weights_sha256


@pytest.fixture
def place(tmp_path: Path, colors_folder: Path, quick_plots: None) -> Place:
    return Place(tmp_path / "broken", colors_folder)


class TestCommand:
    @pytest.mark.parametrize("epoch", [1, 3])
    def test_it_goes_on_to_the_same_end(
        self, place: Place, tmp_path: Path, colors_folder: Path, epoch: int
    ) -> None:
        interrupt(place, epoch)
        assert place.versions() == []
        assert place.fit("--resume") == 0
        unbroken = Place(tmp_path / "unbroken", colors_folder)
        assert unbroken.fit() == 0
        assert place.sha256() == unbroken.sha256()
        (folder,), (expected,) = place.run_folders(), unbroken.run_folders()
        assert (folder / "history.csv").read_bytes() == (expected / "history.csv").read_bytes()
        assert not (folder / "state.pt").exists()
        results = [json.loads((f / "result.json").read_bytes()) for f in (folder, expected)]
        assert results[0]["metrics"] == results[1]["metrics"]
        assert results[0]["epochs"] == results[1]["epochs"] == 3

    def test_without_a_broken_off_run_it_says_so(
        self, place: Place, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert place.fit("--resume") == 2
        assert "there is nothing to resume: no broken-off run of colors" in capsys.readouterr().err
        assert not place.runs.exists()
        assert place.fit() == 0
        assert place.fit("--resume") == 2  # that one has ended
        assert place.versions() == [1]

    def test_a_run_by_another_recipe_is_not_taken(self, place: Place) -> None:
        interrupt(place, 2)
        assert place.fit("--resume", "--seed", "1") == 2
        (broken,) = place.run_folders()
        assert (broken / "state.pt").exists()

    def test_a_run_is_not_taken_unless_asked_for(self, place: Place) -> None:
        interrupt(place, 2)
        assert place.fit() == 0
        assert len(place.run_folders()) == 2

    def test_a_damaged_state(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        interrupt(place, 2)
        (folder,) = place.run_folders()
        (folder / "state.pt").write_bytes(b"half")
        assert place.fit("--resume") == 1
        assert re.search(r"error: .*state.pt can't be read: remove it", capsys.readouterr().err)

    def test_other_pictures_than_before(
        self, tmp_path: Path, quick_plots: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = write_colors(tmp_path / "own")
        place = Place(tmp_path, folder)
        interrupt(place, 2)
        (folder / "train" / "blue" / "0.png").unlink()
        assert place.fit("--resume") == 1
        told = capsys.readouterr().err
        assert "on other pictures than are there now, 24 of blue, green, red: start anew" in told
        assert place.versions() == []


def interrupt(place: Place, epoch: int) -> None:
    with interrupt_with(epoch):
        assert place.fit() == 130


@contextmanager
def interrupt_with(epoch: int) -> Iterator[None]:
    """Break a training off once the state of that epoch is written, and before anything else is."""
    original = Run.write_history

    def write_history(run: Run, history: list[Epoch]) -> None:
        if len(history) == epoch:
            raise KeyboardInterrupt
        original(run, history)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "write_history", write_history)
        yield


class TestKilled:
    """SIGKILL leaves no time to tidy up."""

    EPOCHS = ("--epochs", "16", "--batch-size", "4")

    @pytest.mark.thorough
    @pytest.mark.usefixtures("quick_plots")
    def test_nothing_half_written_is_seen_and_the_end_is_the_same(self, tmp_path: Path) -> None:
        dataset = write_colors(tmp_path / "colors", pictures=40)
        unbroken, place = (Place(tmp_path / name, dataset) for name in ("unbroken", "killed"))
        assert unbroken.fit(*self.EPOCHS) == 0
        begin = [*place.command, *self.EPOCHS]
        command = [*begin, "--resume"]

        mortal = [sys.executable, "-m", "tests.training.fitting.mortal"]
        # recipe.json, data.html, data.csv, then state.pt and history.csv of each epoch: the sixth
        # is a state's
        died = subprocess.run([*mortal, "replace", "6", *begin], env=self.environment())
        assert died.returncode == -signal.SIGKILL
        assert self.epochs_done(place) == 1

        self.kill_while_it_trains([sys.executable, "-m", "training", *command], place)
        assert 1 < self.epochs_done(place) < 16

        died = subprocess.run([*mortal, "rename", "1", *command], env=self.environment())
        assert died.returncode == -signal.SIGKILL  # just before the version gets its number
        assert self.epochs_done(place) == 16
        assert list((place.repository / "colors").iterdir())

        assert place.fit(*self.EPOCHS, "--resume") == 0
        assert place.versions() == [1]
        assert len(place.run_folders()) == 1
        checkpoint.load(place.repository / "colors" / "1", CPU)
        assert place.sha256() == unbroken.sha256()
        history, expected = (
            (each.run_folders()[0] / "history.csv").read_bytes() for each in (place, unbroken)
        )
        assert history == expected

    @staticmethod
    def environment() -> dict[str, str]:
        """One thread, as in this process: other numbers of threads add up in another order."""
        return {**os.environ, "OMP_NUM_THREADS": "1"}

    @classmethod
    def kill_while_it_trains(cls, command: list[str], place: Place) -> None:
        (folder,) = place.run_folders()
        written = (folder / "state.pt").stat().st_mtime_ns
        with subprocess.Popen(command, env=cls.environment()) as process:
            state = folder / "state.pt"
            until(lambda: process.poll() is not None or state.stat().st_mtime_ns != written, 60)
            assert process.poll() is None
            process.kill()

    @staticmethod
    def epochs_done(place: Place) -> int:
        """What there is now is whole: nothing published, a run that can go on."""
        assert place.versions() == []
        (folder,) = place.run_folders()
        run = Run(folder)
        assert run.recipe() is not None
        assert run.result() is None
        state = run.state()
        assert state is not None
        done = len(state["training"]["history"])
        assert len(run.history()) in (done, done - 1)
        return done
