"""`fit FOLDER` trains on one's own pictures, and chooses by them what isn't said."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fanlight.command import main
from models import checkpoint
from models.architectures.registry import ARCHITECTURES, register
from models.errors import OptionError
from models.preprocessing import InputSpec
from tests.networks import LABELS
from tests.training.commands.fitting import Fit
from tests.training.pictures import write_colors
from training.commands.target import model_name, notes, recipe_for
from training.fitting import experiment
from training.fitting.start import imagenet


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return write_colors(tmp_path / "My Pets!", pictures=12) / "train"


def fit(folder: Path, here: Path, *arguments: str) -> int:
    places = ["--repository", str(here / "repository"), "--runs", str(here / "runs")]
    length = ["--epochs", "1", "--arguments", "widths=[4]"]
    return main(["fit", str(folder), *length, *places, "--device", "cpu", *arguments])


@pytest.mark.usefixtures("quick_plots")
def test_what_is_open_is_chosen_by_the_pictures(
    pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(pets, tmp_path, "--name", "pets") == 0
    printed = capsys.readouterr().out
    assert (
        "chosen: learning_rate 0.05, arguments {'widths': [4], 'channels': 3}, size 32" in printed
    )
    assert "pets: 30 pictures on cpu" in printed  # a fifth of 36 is for testing, of each class 2
    card = checkpoint.read_card(tmp_path / "repository" / "pets" / "1")
    assert (card.architecture, card.input.shape) == ("convnet", (3, 32, 32))
    assert card.labels == LABELS


@pytest.mark.usefixtures("quick_plots")
def test_the_model_is_called_like_the_folder(pets: Path, tmp_path: Path) -> None:
    assert fit(pets.parent, tmp_path, "--size", "8") == 0
    assert checkpoint.names(tmp_path / "repository") == ["my-pets"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [("Vögel & Flugzeuge", "vogel-flugzeuge"), ("Ärzte", "arzte"), ("鳥 birds", "birds")],
)
def test_a_name_without_accents(folder: str, name: str) -> None:
    assert model_name(folder) == name


def test_a_name_is_asked_for_where_none_can_be_made(
    pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pets.parent.rename(tmp_path / "鳥と飛行機")
    assert main(["fit", str(folder), "--epochs", "1"]) == 2
    assert "of '鳥と飛行機': give one with --name" in capsys.readouterr().err
    assert recipe_for(str(folder), {"name": "birds"}).name == "birds"


@pytest.mark.usefixtures("quick_plots")
def test_other_classes_under_the_same_name_are_refused(
    pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(pets, tmp_path, "--size", "8", "--name", "pets") == 0
    (pets / "red").rename(pets / "violet")
    runs = list((tmp_path / "runs" / "pets").iterdir())
    assert fit(pets, tmp_path, "--size", "8", "--name", "pets") == 1
    said = capsys.readouterr().err
    assert "pets/1 has the labels blue, green, red, and the new version would have blue, gr" in said
    assert "--labels-changed if it is meant" in said
    assert list((tmp_path / "runs" / "pets").iterdir()) == runs
    assert fit(pets, tmp_path, "--size", "8", "--name", "pets", "--labels-changed") == 0
    assert checkpoint.versions(tmp_path / "repository" / "pets") == [1, 2]


@pytest.mark.usefixtures("quick_plots")
def test_a_folder_here_goes_before_one_under_the_data_root(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_colors(tmp_path / "root" / "train", pictures=4)
    monkeypatch.chdir(pets.parent)
    arguments = ["--data-root", str(tmp_path / "root"), "--size", "8", "--name", "pets"]
    assert fit(Path("train"), tmp_path, *arguments) == 0
    record = checkpoint.read_card(tmp_path / "repository" / "pets" / "1").training
    assert record is not None
    assert record.dataset == str(pets)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([b"dog"], "has one class, dog, and a classifier needs two"),
        ([b"dog", b" "], "label 0 is empty: name it"),
        ([b"dog", b"caf\xe9"], "is not UTF-8: rename it"),
    ],
    ids=["one", "blank", "not UTF-8"],
)
def test_classes_that_no_classifier_can_have(
    classes: list[bytes], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are refused before anything is trained."""
    pets = write_colors(tmp_path / "pets") / "train"
    folders = sorted(pets.iterdir())
    for folder, name in zip(folders, classes, strict=False):
        folder.rename(pets / os.fsdecode(name))
    for folder in folders[len(classes) :]:
        shutil.rmtree(folder)
    assert fit(pets, tmp_path) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("name", "meant"), [("nothing-there", ""), ("mnsit", "did you mean 'mnist'? ")]
)
def test_what_is_neither_a_folder_nor_a_recipe(
    name: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", name, "--epochs", "3"]) == 2
    assert capsys.readouterr().err == (
        f"error: '{name}' is neither a folder of pictures, a zip or tar of one, a CSV or shards of "
        f"them, nor a recipe; {meant}"
        "fanlight fit --list shows the recipes\nSee fanlight fit --help\n"
    )


def test_a_folder_without_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(tmp_path)]) == 1
    assert "is empty: make one folder for each class" in capsys.readouterr().err


class TestStart:
    """Which options leave the start to the pictures, and which decide it."""

    @pytest.mark.parametrize(
        ("changes", "architecture", "source", "tune"),
        [
            ({}, "convnet", "auto", "all"),
            ({"epochs": 3, "size": 96, "seed": 1}, "convnet", "auto", "all"),
            ({"pretrained": None}, "convnet", None, "all"),
            ({"architecture": "lenet"}, "lenet", None, "all"),
            ({"arguments": {"widths": [4]}}, "convnet", None, "all"),
            ({"initialisation": "default"}, "convnet", None, "all"),
            ({"architecture": "efficientnet-lite0"}, "efficientnet-lite0", "auto", "all"),
            ({"pretrained": "imagenet"}, "efficientnet-lite0", "imagenet", "head-first"),
            ({"pretrained": "imagenet", "tune": "all"}, "efficientnet-lite0", "imagenet", "all"),
            (
                {"architecture": "torchvision/resnet18", "pretrained": "download"},
                *("torchvision/resnet18", "download", "all"),
            ),
            ({"pretrained": "weights.pt"}, "convnet", "weights.pt", "all"),
        ],
    )
    def test_options(
        self,
        pets: Path,
        changes: dict[str, Any],
        architecture: str,
        source: str | None,
        tune: str,
    ) -> None:
        for target, own in ((str(pets), changes), ("own-pictures", {"dataset": "x"} | changes)):
            recipe = recipe_for(target, own)
            assert (recipe.architecture, recipe.pretrained) == (architecture, source)
            assert recipe.tune == tune


def photographs(folder: Path, side: int = 70) -> Path:
    """Two classes of six pictures of one colour, with noise."""
    for number, label in enumerate(("green", "red")):
        (folder / label).mkdir(parents=True)
        for seed in range(6):
            noise = np.random.default_rng(seed).integers(0, 60, (side, side, 3), dtype=np.uint8)
            noise[..., number] += 150
            Image.fromarray(noise).save(folder / label / f"{seed}.png")
    return folder


@pytest.mark.usefixtures("quick_plots")
class TestPhotographs:
    @pytest.mark.skipif(imagenet.file() is None, reason="the extra pretrained is missing")
    def test_the_published_network_stands_alone(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = photographs(tmp_path / "pets")
        places = ["--repository", str(tmp_path / "r"), "--runs", str(tmp_path / "runs")]
        assert main(["fit", str(folder), *places]) == 0
        printed = capsys.readouterr().out
        assert "\npretrained: photographs of 70 pixels" in printed
        assert ", epochs 9 at most, " in printed
        assert "\nepoch 1, the head alone  loss " in printed
        assert printed.count("only the head was trained") == 1
        assert "could be chance; the other 8 epochs are left out\n" in printed
        assert "cross-validation: accuracy 1.0000 (95 %: 0.7225 to 1.0000; 10 pictures)" in printed
        assert "test accuracy 1.0000 (95 %: 0.3424 to 1.0000)" in printed
        monkeypatch.setattr(imagenet, "file", lambda: None)  # the package is gone
        loaded = checkpoint.load(tmp_path / "r" / "pets" / "1", torch.device("cpu"))
        assert loaded.card.architecture == "efficientnet-lite0"
        assert loaded.card.training is not None
        told = loaded.card.training.recipe
        assert (told["pretrained"], told["tune"]) == ("imagenet", "head-first")
        assert str(told["start_because"]).startswith("pretrained: photographs")
        assert str(told["tuned_because"]).startswith("only the head was trained")

    def test_without_the_extra_it_is_trained_from_scratch_and_told(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(imagenet, "file", lambda: None)
        folder = photographs(tmp_path / "pets")
        places = ["--repository", str(tmp_path / "r"), "--runs", str(tmp_path / "runs")]
        assert main(["fit", str(folder), "--epochs", "1", *places]) == 0
        printed = capsys.readouterr().out
        assert "pip install 'fanlight[pretrained]'" in printed
        few = "2 pictures validate it and choose its epoch: the figure means little; add pictures"
        assert f"\n{few}, or raise --validation-fraction\n" in printed
        assert re.search(r"\nvalidation: accuracy .*; 2 pictures\): of so few it means ", printed)
        card = checkpoint.read_card(tmp_path / "r" / "pets" / "1")
        assert card.architecture == "convnet"
        assert card.training is not None
        assert "no pretrained network is installed" in str(card.training.recipe["start_because"])

    def test_from_scratch_where_that_is_asked_for(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(imagenet, "file", lambda: tmp_path / "weights.pth")
        folder = photographs(tmp_path / "pets")
        places = ["--repository", str(tmp_path / "r"), "--runs", str(tmp_path / "runs")]
        assert main(["fit", str(folder), "--pretrained", "none", "--epochs", "1", *places]) == 0
        card = checkpoint.read_card(tmp_path / "r" / "pets" / "1")
        assert card.architecture == "convnet"
        assert card.training is not None
        assert card.training.recipe["pretrained"] is None
        assert "pretrained:" not in capsys.readouterr().out

    def test_weights_that_are_asked_for_and_absent_are_an_error(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(imagenet, "file", lambda: None)
        folder = photographs(tmp_path / "pets")
        assert main(["fit", str(folder), "--pretrained", "imagenet"]) == 1
        assert "pip install 'fanlight[pretrained]'" in capsys.readouterr().err

    def test_a_class_that_is_never_found_is_told(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Two reds among the greens, which look like them."""
        folder = photographs(tmp_path / "pets", side=8)
        for path in [*(folder / "red").iterdir()][2:]:
            path.unlink()
        for path in (folder / "red").iterdir():
            shutil.copy(folder / "green" / path.name, path)
        assert fit(folder, tmp_path) == 0
        assert "no picture of " in capsys.readouterr().out


@pytest.mark.parametrize("target", ["", "  "])
def test_an_empty_name_is_not_the_working_folder(target: str) -> None:
    with pytest.raises(OptionError, match="FOLDER\\|RECIPE: the path is empty"):
        recipe_for(target, {})


def test_a_misspelt_folder(pets: Path) -> None:
    with pytest.raises(OptionError, match=r"nor a recipe; did you mean '.*My Pets!'\?"):
        recipe_for(str(pets.parent.with_name("My Pet")), {})


def test_a_file_that_is_no_data_set(pets: Path) -> None:
    picture = next(pets.rglob("*.png"))
    with pytest.raises(OptionError, match="is one picture, and one picture is no data set"):
        recipe_for(str(picture), {})


def test_a_folder_called_like_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert notes("mnist", {}) == []
    (tmp_path / "mnist").mkdir()
    [said] = notes("mnist", {})
    assert said.startswith("mnist is taken for the recipe of that name; to choose one for")
    assert notes("./mnist", {}) == []


def test_arguments_of_a_recipe_are_those_of_its_architecture() -> None:
    own = recipe_for("mnist", {}).arguments
    assert own
    assert recipe_for("mnist", {"architecture": "lenet"}).arguments == {}
    [said] = notes("mnist", {"architecture": "lenet"})
    assert said.endswith("has none of that name: channels=1 widths=[16, 32, 64]")
    assert recipe_for("mnist", {"architecture": "convnet"}).arguments == own
    changed = {"architecture": "lenet", "arguments": {"dropout": 0.1}}
    assert recipe_for("mnist", changed).arguments == {"dropout": 0.1}
    assert notes("mnist", changed) == []


@pytest.mark.parametrize(("recipe", "channels"), [("mnist", 1), ("birds-vs-planes", 3)])
def test_arguments_that_another_architecture_has_too_stay(recipe: str, channels: int) -> None:
    with ARCHITECTURES.restored():

        @register("toy-of-channels", InputSpec(channels=1, height=32, width=32))
        def toy(num_classes: int, channels: int = 1) -> nn.Module:
            """A toy."""
            return nn.Sequential(nn.Flatten(), nn.Linear(1024 * channels, num_classes))

        changes = {"architecture": "toy-of-channels"}
        assert recipe_for(recipe, changes).arguments == {"channels": channels}
        [said] = notes(recipe, changes)
    assert "toy-of-channels has none of that name: widths=" in said


def test_another_number_of_channels_is_told() -> None:
    *_, said = notes("birds-vs-planes", {"architecture": "lenet"})
    assert said == "the input has 1 channel, as lenet takes it; the recipe's own has 3"
    [said] = notes("fashion-mnist-lenet", {"architecture": "birdplane-base"})
    assert said == "the input has 3 channels, as birdplane-base takes it; the recipe's own has 1"


def test_nothing_to_resume_is_said_before_pictures_are_read(
    pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "load", None)
    assert fit(pets, tmp_path, "--resume") == 2
    assert "there is nothing to resume" in capsys.readouterr().err


def test_a_calibration_by_further_trainings_is_told_before(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_colors(tmp_path / "colors", pictures=20)
    assert fit(dataset=data) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "calibration needs, 6 are held out: after this training 5 more follow" in told
    assert "5 more trainings calibrate it, each of about" in told
    calibration = checkpoint.read_card(fit.version(1)).calibration
    assert calibration is not None
    assert calibration.images == 54
