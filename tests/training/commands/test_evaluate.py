"""`evaluate` tells how good a published checkpoint is, in figures and pictures."""

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from fanlight.command import main
from models import checkpoint
from models.checkpoint import TrainingRecord
from tests.networks import LABELS, SPEC, picture, publish_tiny
from tests.training.pictures import colors, write_colors
from training.data import datasets
from training.fitting import evaluation, predicting
from training.fitting.evaluation import Evaluation


@pytest.fixture
def repository(tmp_path: Path, colors_folder: Path) -> Path:
    """Two versions of the model `colors`, trained on the folder of colours, as their cards say."""
    for seed in (0, 1):
        publish_tiny(tmp_path / "repository", seed=seed, training=record(colors_folder, seed))
    return tmp_path / "repository"


def record(dataset: Path, seed: int) -> TrainingRecord:
    return TrainingRecord(
        recipe={},
        dataset=str(dataset),
        seed=seed,
        epochs=1,
        selected_epoch=1,
        seconds=0,
        device="cpu",
        torch=torch.__version__,
        commit="unknown",
        finished="2026-01-31T12:00:00+00:00",
    )


def evaluate(repository: Path, *arguments: str) -> int:
    command = ["evaluate", "colors", "--repository", str(repository), "--device", "cpu"]
    return main([*command, *arguments])


def expected(repository: Path, version: int, seed: int = 1) -> Evaluation:
    """The figures of a version; the test set of the folder has the seed 1."""
    loaded = checkpoint.load(repository / "colors" / str(version), torch.device("cpu"))
    images = colors(seed=seed)
    logits = predicting.predict(loaded.network, images, SPEC)
    return evaluation.score(logits, images.targets, LABELS)


def test_accuracy_and_loss_of_the_test_set(
    repository: Path, colors_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(repository) == 0
    figures = expected(repository, version=2)
    assert (
        f"colors/2 on {colors_folder} (test, 24 pictures): "
        f"accuracy {figures.accuracy:.4f} ({figures.interval}), loss {figures.loss:.4f}\n"
    ) in capsys.readouterr().out


def test_figures_and_confusion_of_every_class(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(repository) == 0
    rows = [re.findall(r"[\w.]+", line) for line in capsys.readouterr().out.splitlines()]
    for figures, counts in zip(
        expected(repository, 2).classes, expected(repository, 2).confusion, strict=True
    ):
        shares = (figures.precision, figures.recall, figures.f1)
        assert [figures.label, *map(str, counts)] in rows
        assert [figures.label, *(f"{share:.4f}" for share in shares), "8"] in rows


def test_a_version_by_its_number(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(repository, "--version", "1") == 0
    printed = capsys.readouterr().out
    assert "\ncolors/1 on " in printed
    assert f"loss {expected(repository, version=1).loss:.4f}" in printed


def test_the_training_set(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(repository, "--split", "train") == 0
    printed = capsys.readouterr().out
    assert "(train, 24 pictures)" in printed
    assert f"loss {expected(repository, version=2, seed=0).loss:.4f}" in printed


def test_another_data_set_with_fewer_labels(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_colors(tmp_path / "two", pictures=3)
    (dataset / "test" / "blue").rename(tmp_path / "blue")
    output = tmp_path / "output"
    assert evaluate(repository, "--dataset", str(dataset), "--output", str(output)) == 0
    assert f"on {dataset} (test, 6 pictures)" in capsys.readouterr().out
    result = json.loads((output / "evaluation.json").read_bytes())
    assert [figures["support"] for figures in result["classes"]] == [0, 3, 3]


def test_broken_files_are_named(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_colors(tmp_path / "damaged", pictures=3)
    broken = [dataset / "test" / label / "1.png" for label in ("blue", "red")]
    for path in broken:
        path.write_bytes(path.read_bytes()[:60])
    assert evaluate(repository, "--dataset", str(dataset)) == 0
    printed = capsys.readouterr().out
    assert "left out, 2 files: broken (2)\n" in printed
    assert all(f"  {path}: broken: " in printed for path in broken)
    assert f"\ncolors/2 on {dataset} (test, 7 pictures)" in printed


def test_the_split_of_a_folder_without_test_pictures_is_that_of_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_colors(tmp_path / "data", pictures=15) / "train"
    repository = tmp_path / "repository"
    for seed in (1, 2):
        publish_tiny(repository, training=record(dataset, seed))
    losses = []
    for seed in (1, 2):
        assert evaluate(repository, "--version", str(seed)) == 0
        [line] = [line for line in capsys.readouterr().out.splitlines() if ", loss " in line]
        losses.append(line.partition("loss ")[2])
        network = checkpoint.load(repository / "colors" / str(seed), torch.device("cpu")).network
        images = datasets.load(str(dataset), "test", tmp_path, SPEC, seed=seed)
        assert losses[-1] == f"{predicting.evaluate(network, images, SPEC).loss:.4f}"
    assert losses[0] != losses[1]  # of the same weights


def test_output(repository: Path, tmp_path: Path) -> None:
    output = tmp_path / "some" / "output"
    assert evaluate(repository, "--output", str(output)) == 0
    assert sorted(path.name for path in output.iterdir()) == [
        *("confusion.png", "data.csv", "data.html", "evaluation.json", "reliability.png"),
    ]
    figures = expected(repository, version=2)
    result = json.loads((output / "evaluation.json").read_bytes())
    assert result["accuracy"] == pytest.approx(figures.accuracy)
    assert result["loss"] == pytest.approx(figures.loss)
    assert result["confusion"] == figures.confusion
    assert [by_class["label"] for by_class in result["classes"]] == list(LABELS)
    with Image.open(output / "confusion.png") as image:
        image.verify()


def test_nothing_is_written_unless_asked_for(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert evaluate(repository) == 0
    assert list(here.iterdir()) == []


def test_labels_that_the_model_does_not_know(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_colors(tmp_path / "others", pictures=1)
    (dataset / "test" / "red").rename(dataset / "test" / "cyan")
    assert evaluate(repository, "--dataset", str(dataset)) == 1
    assert "has the labels cyan, which the model doesn't" in capsys.readouterr().err


def test_a_damaged_checkpoint(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (repository / "colors" / "2" / "weights.pt").open("ab") as file:
        file.write(b"more")
    assert evaluate(repository) == 1
    assert "does not have the SHA-256" in capsys.readouterr().err


@pytest.mark.gpu
def test_evaluation_on_the_gpu(repository: Path, tmp_path: Path) -> None:
    assert evaluate(repository, "--output", str(tmp_path), "--device", "cuda") == 0
    result = json.loads((tmp_path / "evaluation.json").read_bytes())
    assert result["loss"] == pytest.approx(expected(repository, version=2).loss, abs=1e-2)


class TestTrust:
    @pytest.fixture
    def trusted(self, tmp_path: Path) -> Path:
        """Version 2 of the model `colors` has calibration and familiarity."""
        data = write_colors(tmp_path / "data", pictures=20)
        publish_tiny(tmp_path / "repository", training=record(data, 0))
        place = ["--repository", str(tmp_path / "repository")]
        assert main(["calibrate", "colors", *place, "--data", str(data), "--device", "cpu"]) == 0
        return tmp_path / "repository"

    def test_what_was_promised_is_measured(
        self, trusted: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert evaluate(trusted) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert "sets at coverage 0.95 hold the right label of" in printed
        assert "are unsure" in printed

    @pytest.mark.parametrize(("split", "is_told"), [("test", True), ("train", False)])
    def test_pictures_that_calibrated_are_told(
        self, trusted: Path, capsys: pytest.CaptureFixture[str], split: str, is_told: bool
    ) -> None:
        assert evaluate(trusted, "--split", split) == 0
        printed = capsys.readouterr().out
        assert ("fitted on pictures of a data set of this name" in printed) == is_told

    def test_strangers_are_measured_and_drawn(
        self, trusted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        strangers, output = tmp_path / "strangers", tmp_path / "output"
        strangers.mkdir()
        for number in range(5):
            picture(number).save(strangers / f"{number}.png")
        told = ("--strangers", str(strangers), "--output", str(output))
        assert evaluate(trusted, *told) == 0
        assert "strangers: AUROC" in capsys.readouterr().out
        found = json.loads((output / "evaluation.json").read_bytes())["strangers"]
        assert found["pictures"] == 5
        with Image.open(output / "strangers.png") as image:
            image.verify()

    @pytest.mark.parametrize(
        ("learned", "asked", "is_told"),
        [
            ("walls", "walls", True),
            ("walls", "other", False),
            (None, "walls", False),
            pytest.param("walls + patterns", "walls", True, marks=pytest.mark.thorough),
            pytest.param("walls + patterns", "other", False, marks=pytest.mark.thorough),
            # of which other pictures are asked about
            pytest.param("patterns", "patterns", False, marks=pytest.mark.thorough),
        ],
    )
    def test_strangers_that_it_has_seen_are_told(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
        learned: str | None, asked: str, is_told: bool,
    ) -> None:  # fmt: skip
        for name in ("walls", "other"):
            (tmp_path / name).mkdir()
            for number in range(5):
                picture(number).save(tmp_path / name / f"{number}.png")
        monkeypatch.chdir(tmp_path)
        data = write_colors(tmp_path / "data", pictures=20)
        trained = record(data, 0).model_copy(update={"recipe": {"strangers": learned}})
        publish_tiny(tmp_path / "repository", training=trained)
        place = ["--repository", str(tmp_path / "repository"), "--device", "cpu"]
        assert main(["calibrate", "colors", *place, "--data", str(data)]) == 0
        capsys.readouterr()
        assert main(["evaluate", "colors", *place, "--strangers", asked]) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert ("was trained with walls as strangers" in told) == is_told

    @pytest.mark.parametrize(
        ("version", "strangers", "told"),
        [("2", "nowhere", "no folder 'nowhere'"), ("1", ".", "fanlight calibrate")],
    )
    def test_strangers_that_can_not_be_told_apart(
        self, trusted: Path, capsys: pytest.CaptureFixture[str], version: str, strangers: str,
        told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    ) -> None:  # fmt: skip
        monkeypatch.chdir(tmp_path)
        assert evaluate(trusted, "--version", version, "--strangers", strangers) == 1
        assert told in " ".join(capsys.readouterr().err.split())


def test_a_web_page_of_the_result(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert evaluate(repository, "--html") == 0
    assert "drawn: evaluation.html" in capsys.readouterr().out
    text = Path("evaluation.html").read_text("utf-8")
    assert f"accuracy</dt><dd>{expected(repository, 2).accuracy:.4f}" in text
    assert evaluate(repository, "--html", "--output", "new/folder") == 0
    assert Path("new/folder/evaluation.html").read_text("utf-8") == text
