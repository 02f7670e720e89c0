"""`fit` trains by a recipe, keeps a run folder and publishes the next version of a model."""

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from fanlight.command import main
from models import checkpoint
from tests.networks import LABELS, SPEC
from tests.training.commands.fitting import Fit
from tests.training.pictures import colors, write_colors
from training.fitting import predicting
from training.fitting.evaluation import Metrics
from training.recipes.catalogue import CATALOGUE

pytestmark = pytest.mark.slow


def weights(folder: Path) -> dict[str, Any]:
    return checkpoint.read_state_dict(folder / "weights.pt", torch.device("cpu"))


def same_weights(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return all(torch.equal(first[name], second[name]) for name in first)


def test_each_training_publishes_the_next_version(fit: Fit) -> None:
    assert fit() == 0
    assert fit() == 0
    assert checkpoint.versions(fit.repository / "colors") == [1, 2]
    assert len(list((fit.runs / "colors").iterdir())) == 2


def test_the_published_network_has_learned(fit: Fit) -> None:
    assert fit("--epochs", "12", "--learning-rate", "0.05") == 0
    loaded = checkpoint.load(fit.version(1), torch.device("cpu"))
    assert loaded.card.labels == LABELS
    assert loaded.card.input == SPEC
    test = colors(seed=1)  # as in the folder
    figures = predicting.evaluate(loaded.network, test, SPEC)
    assert figures.accuracy > 0.9
    assert loaded.card.metrics["test_accuracy"] == pytest.approx(figures.accuracy, abs=1e-5)
    assert loaded.card.metrics["test_loss"] == pytest.approx(figures.loss, abs=1e-5)
    generator = torch.Generator().manual_seed(0)
    trained_on, _ = colors(seed=0).hold_out(0.1, generator)  # of the training set
    figures = predicting.evaluate(loaded.network, trained_on, SPEC)
    assert loaded.card.metrics["train_accuracy"] == pytest.approx(figures.accuracy, abs=1e-5)
    assert loaded.card.metrics["train_loss"] == pytest.approx(figures.loss, abs=1e-5)
    assert "validation_accuracy" in loaded.card.metrics
    assert "validation_loss" in loaded.card.metrics


def test_the_card_tells_how_it_was_trained(fit: Fit) -> None:
    changes = ["--seed", "7", "--learning-rate", "0.02", "--flip", "--mean", "0.5"]
    assert fit(*changes, "--arguments", "n_channel=6") == 0
    card = checkpoint.read_card(fit.version(1))
    assert card.architecture == "tiny"
    assert card.training is not None
    assert card.training.recipe == {
        "name": "colors",
        "dataset": str(fit.dataset),
        "architecture": "tiny",
        "epochs": 2,
        "batch_size": 8,
        "optimizer": "adam",
        "learning_rate": 0.02,
        "arguments": {"n_channel": 6},
        "schedule": "constant",
        "momentum": 0.0,
        "weight_decay": 0.0,
        "l1": 0.0,
        "l2": 0.0,
        "l2_norm": 0.0,
        "label_smoothing": 0.0,
        "class_weights": "none",
        "averaging": 0.0,
        "initialisation": "default",
        "pretrained": None,
        "tune": "all",
        "size": None,
        "mean": [0.5],
        "std": [],
        "resize": "crop",
        "flip": True,
        "crop_padding": 0,
        "rotation": 0.0,
        "scaling": 0.0,
        "erasing": 0.0,
        "ground": 0.0,
        "compression": 0.0,
        "framing": None,
        "precision": "float32",
        "validation_fraction": 0.1,
        "calibration_fraction": 0.04,
        "selection": "best",
        "strangers": None,
        "seed": 7,
    }
    assert card.arguments == {"n_channel": 6}
    assert card.input.mean == (0.5, 0.5, 0.5)
    assert (card.training.dataset, card.training.seed) == (str(fit.dataset), 7)
    assert card.training.epochs == 2
    assert card.training.selected_epoch in (1, 2)
    assert (card.training.device, card.training.torch) == ("cpu", torch.__version__)
    assert re.fullmatch("unknown|[0-9a-f]{40}(-dirty)?", card.training.commit)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", card.training.finished)


def test_the_run_folder(tmp_path: Path, colors_folder: Path) -> None:
    fit = Fit(tmp_path, colors_folder)
    assert fit() == 0
    folder = fit.run_folder()
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lock",
        "confusion.png",
        "curves.png",
        "data.csv",
        "data.html",
        "first.png",
        "history.csv",
        "mistakes.png",
        "recipe.json",
        "result.json",
        "weights.pt",
    ]
    card = checkpoint.read_card(fit.version(1))
    assert card.training is not None
    assert json.loads((folder / "recipe.json").read_bytes()) == card.training.recipe
    result = json.loads((folder / "result.json").read_bytes())
    assert checkpoint.Card.model_validate(result["card"]) == card
    assert result["metrics"] == pytest.approx(card.metrics, abs=1e-6)
    assert same_weights(folder, fit.version(1))
    for name in ("curves.png", "confusion.png", "mistakes.png"):
        with Image.open(folder / name) as image:
            image.verify()
            assert image.format == "PNG"


def test_the_history_has_every_epoch(fit: Fit) -> None:
    assert fit("--epochs", "3") == 0
    with (fit.run_folder() / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    training = checkpoint.read_card(fit.version(1)).training
    assert training is not None
    ranks = [(float(row["validation_accuracy"]), -float(row["validation_loss"])) for row in rows]
    assert ranks[training.selected_epoch - 1] == max(ranks)


def test_it_says_what_it_did(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit() == 0
    printed = capsys.readouterr().out
    assert f"colors: 24 pictures on cpu, run folder {fit.run_folder()}" in printed
    figure = r"0\.\d{4}"
    accuracy = rf"test accuracy {figure} \(95 %: {figure} to {figure}\)"
    assert re.search(rf"epoch [12] of 2 selected: {accuracy}, loss \d", printed)
    assert f"published colors/1 in {fit.repository}" in printed
    assert f"fanlight serve --repository {fit.repository}" in printed


def test_the_same_command_gives_the_same_weights(fit: Fit) -> None:
    assert fit("--flip", "--crop-padding", "1") == 0
    assert fit("--flip", "--crop-padding", "1") == 0
    assert fit("--flip", "--crop-padding", "1", "--seed", "1") == 0
    assert same_weights(fit.version(1), fit.version(2))
    assert not same_weights(fit.version(1), fit.version(3))


def test_the_test_set_plays_no_part(fit: Fit, tmp_path: Path) -> None:
    dataset = write_colors(tmp_path / "other")
    (dataset / "test" / "red").rename(tmp_path / "red")
    (dataset / "test" / "blue").rename(dataset / "test" / "red")  # nonsense
    assert fit() == 0
    assert fit(dataset=dataset) == 0
    assert same_weights(fit.version(1), fit.version(2))
    cards = [checkpoint.read_card(fit.version(version)) for version in (1, 2)]
    assert cards[0].metrics["validation_loss"] == cards[1].metrics["validation_loss"]
    assert cards[0].metrics["test_loss"] != cards[1].metrics["test_loss"]
    assert cards[1].labels == LABELS


def test_without_validation(fit: Fit) -> None:
    assert fit("--validation-fraction", "0") == 0
    card = checkpoint.read_card(fit.version(1))
    assert card.training is not None
    assert card.training.selected_epoch == 2
    assert not [name for name in card.metrics if name.startswith("validation")]


def test_folders_come_from_the_environment(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FANLIGHT_DATA", str(fit.dataset.parent))
    monkeypatch.setenv("FANLIGHT_REPOSITORY", "elsewhere")
    arguments = ["--name", "c", "--dataset", "colors", "--architecture", "tiny", "--device", "cpu"]
    assert main(["fit", "mnist-cnn", *arguments]) == 0
    assert checkpoint.names(tmp_path / "elsewhere") == ["c"]
    assert (tmp_path / "runs" / "c").is_dir()


def test_labels_and_folders_of_any_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_colors(tmp_path / "[/x]", pictures=2)
    for split in ("train", "test"):
        for label, odd in zip(LABELS, ("$a_b$", "[bold]", ":smile:"), strict=True):
            (dataset / split / label).rename(dataset / split / odd)
    fit = Fit(tmp_path / "[/y]", dataset)
    assert fit("--validation-fraction", "0") == 0
    assert f"published colors/1 in {fit.repository}" in capsys.readouterr().out
    assert checkpoint.read_card(fit.version(1)).labels == ("$a_b$", ":smile:", "[bold]")


def test_networks_with_auxiliary_heads(fit: Fit) -> None:
    assert fit("--architecture", "torchvision/googlenet", "--size", "32", "--epochs", "1") == 0


def test_a_folder_for_validation_selects_the_epoch(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_colors(tmp_path / "other")
    (dataset / "test").rename(dataset / "Valid")
    own = predicting.evaluate
    seen: list[int] = []

    def evaluate(network: Any, images: Any, *others: Any) -> Metrics:
        seen.append(len(images))
        return own(network, images, *others)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(predicting, "evaluate", evaluate)
        assert fit("--class-weights", "none", dataset=dataset) == 0
    assert seen[0] == 24  # all of Valid, in each epoch
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        f"train: 18 pictures from {dataset}/train (80% of each class)",
        f"validation: 24 pictures from {dataset}/Valid",
        f"test: 6 pictures from {dataset}/train (20% of each class)",
    ]
    assert lines[3:6] == ["  blue: 6 + 8 + 2", "  green: 6 + 8 + 2", "  red: 6 + 8 + 2"]


def test_classes_that_differ_much_in_size_are_told(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_colors(tmp_path / "other")
    for number in range(5):
        (dataset / "train" / "red" / f"{number}.png").unlink()
    assert fit(dataset=dataset) == 0
    told = "the classes differ in size: blue 8, green 8, red 3. "
    printed = capsys.readouterr().out
    assert told in printed
    assert "with --class-weights balanced\n" in printed
    assert fit("--class-weights", "balanced", dataset=dataset) == 0
    assert told not in capsys.readouterr().out
    assert not same_weights(fit.version(1), fit.version(2))


def test_classes_alike_are_not_talked_about(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit() == 0
    printed = capsys.readouterr().out
    assert "differ in size" not in printed
    assert "can't be read" not in printed
    assert "chosen" not in printed


def test_the_accuracy_without_copies_has_an_interval(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_colors(tmp_path / "other")
    shutil.copy(dataset / "train" / "red" / "0.png", dataset / "test" / "red" / "0.png")
    assert fit(dataset=dataset) == 0
    accuracy = r"0\.\d{4} \(95 %: 0\.\d{4} to [01]\.\d{4}"
    assert re.search(
        r"\ntest accuracy without the (\d+) pictures? that train has too, or nearly: "
        rf"{accuracy}; \d+ pictures\); with them {accuracy}\)\n",
        capsys.readouterr().out,
    )


def test_joined_sets_are_measured_together_and_each(fit: Fit, tmp_path: Path) -> None:
    more = write_colors(tmp_path / "more", pictures=2)
    assert fit("--dataset", f"{fit.dataset} + {more}") == 0
    metrics = checkpoint.read_card(fit.version(1)).metrics
    both = [metrics[f"test_accuracy_{name}"] for name in ("colors", "more")]
    assert metrics["test_accuracy"] == pytest.approx((24 * both[0] + 6 * both[1]) / 30, abs=1e-5)


def test_the_list_of_recipes_fits_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["fit", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    rows = [line.split()[:4] for line in lines if line.strip()]
    for name, entry in CATALOGUE.items():
        recipe = entry.recipe
        expected = [name, str(recipe.epochs), recipe.optimizer, f"{recipe.learning_rate:g}"]
        assert expected in rows


@pytest.mark.gpu
def test_training_on_the_gpu(fit: Fit) -> None:
    assert fit("--device", "cuda", "--epochs", "12", "--learning-rate", "0.05") == 0
    loaded = checkpoint.load(fit.version(1), torch.device("cpu"))
    assert loaded.card.training is not None
    assert loaded.card.training.device == "cuda:0"
    assert predicting.evaluate(loaded.network, colors(seed=1), SPEC).accuracy > 0.9


@pytest.mark.parametrize(("capability", "is_told"), [("AVX2", True), ("AVX512", False)])
def test_a_precision_that_is_slow_here_is_told(
    fit: Fit,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    capability: str,
    is_told: bool,
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert fit("--precision", "bfloat16") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert ("then --precision float32 is quicker" in told) == is_told


def test_a_precision_for_gpus_is_refused_before_anything_is_read(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit("--precision", "float16", "--dataset", "nothing") == 2
    assert "precision float16 is for GPUs, and this training runs on a CPU" in (
        capsys.readouterr().err
    )
    assert not fit.runs.exists()
