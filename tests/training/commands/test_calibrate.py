"""`calibrate` adds to a published model how sure it may be, as its next version."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from fanlight.command import main
from models import checkpoint, repository_paths
from models.checkpoint import Card
from tests.networks import LABELS, SPEC, picture, publish_tiny
from tests.training.commands.test_evaluate import record
from tests.training.pictures import write_colors
from training.fitting import trust

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pictures to train on and 60 to test; not to be changed."""
    return write_colors(tmp_path_factory.mktemp("data") / "holiday", pictures=20)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    publish_tiny(tmp_path / "repository")
    return tmp_path / "repository"


def calibrate(repository: Path, *arguments: str) -> int:
    command = ["calibrate", "colors", "--repository", str(repository), "--device", "cpu"]
    return main([*command, *arguments])


def card(repository: Path, version: int = 2) -> Card:
    return checkpoint.read_card(repository / "colors" / str(version))


def source(repository: Path, version: int = 2) -> str:
    calibration = card(repository, version).calibration
    assert calibration is not None
    return calibration.source


def test_the_next_version_has_both_and_the_same_weights(
    repository: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate(repository, "--data", str(data)) == 0
    printed = capsys.readouterr().out
    assert "calibrated on 60 images" in printed
    assert "hardest to tell apart" in printed
    assert "published colors/2" in printed
    loaded = checkpoint.load(repository / "colors" / "2", torch.device("cpu"))
    assert loaded.trust is not None
    assert loaded.trust.familiarity is not None
    files = [repository / "colors" / version / "weights.pt" for version in "12"]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert source(repository) == ("the test part of holiday, which the user gave as not trained on")


def write_walls(folder: Path) -> Path:
    """Pictures of no class."""
    folder.mkdir()
    for number in range(9):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize(
    ("strangers", "told"),
    [
        ("walls", "walls (stranger)"),
        pytest.param(
            "patterns",
            "patterns (colours, gradients, noise, stripes, shapes, strokes)",
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_familiarity_learns_strangers_and_the_card_names_them(
    strangers: str,
    told: str,
    repository: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_walls(tmp_path / "walls")
    monkeypatch.chdir(tmp_path)
    assert calibrate(repository, "--data", str(data), "--strangers", strangers) == 0
    familiarity = card(repository).familiarity
    assert familiarity is not None
    assert familiarity.method == "outlier-exposure"
    assert familiarity.strangers == told
    checkpoint.load(repository / "colors" / "2", torch.device("cpu"))


def test_what_images_look_like_is_told_unless_the_card_tells_it(
    repository: Path, data: Path
) -> None:
    assert card(repository, 1).expects is None
    assert calibrate(repository, "--data", str(data)) == 0
    found = card(repository).expects
    assert found is not None
    dark = write_dark(data.parent / "dark")
    assert calibrate(repository, "--data", str(dark)) == 0
    assert card(repository, 3).expects == found


def write_dark(folder: Path) -> Path:
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        for number in range(20):
            image = Image.new("RGB", (8, 8), (number, 0, 0))
            image.putpixel((4, 4), (255, 255, 255))
            image.save(folder / label / f"{number}.png")
    return folder


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.thorough
def test_strangers_are_those_of_the_training(
    tmp_path: Path, data: Path, is_there: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    walls = tmp_path / "walls"
    if is_there:
        write_walls(walls)
    recipe = {"recipe": {"strangers": f"{walls} + patterns"}}
    trained = record(tmp_path / "elsewhere", 0).model_copy(update=recipe)
    publish_tiny(tmp_path / "trained", training=trained)
    assert calibrate(tmp_path / "trained", "--data", str(data)) == 0
    familiarity = card(tmp_path / "trained").familiarity
    assert familiarity is not None
    assert familiarity.strangers is not None
    assert familiarity.strangers.startswith("walls + patterns (" if is_there else "patterns (")
    told = " ".join(capsys.readouterr().out.split())
    assert ("those of the training can't be had" in told) != is_there


def test_strangers_are_of_no_class(
    repository: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate(repository, "--data", str(data), "--strangers", str(data)) == 1
    assert "which the network has a class for" in " ".join(capsys.readouterr().err.split())
    assert not (repository / "colors" / "2").exists()


def test_a_folder_of_classes_is_taken_whole(repository: Path, data: Path) -> None:
    assert calibrate(repository, "--data", str(data / "train")) == 0
    assert source(repository).startswith("all images of train")
    calibration = card(repository).calibration
    assert calibration is not None
    assert calibration.images == 60


def test_twice_it_starts_from_the_version_before(repository: Path, data: Path) -> None:
    for _ in range(2):
        assert calibrate(repository, "--data", str(data)) == 0
    one, other = card(repository), card(repository, 3)
    assert one.calibration == other.calibration
    assert one.trust_sha256 == other.trust_sha256


def test_of_what_it_was_trained_on_only_the_rest_is_taken(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tmp_path / "trained"
    publish_tiny(repository, training=record(data, seed=0))
    assert calibrate(repository, "--data", str(data), "--split", "train") == 2
    assert "give --split test" in " ".join(capsys.readouterr().err.split())
    assert calibrate(repository, "--data", str(data)) == 0
    assert source(repository) == "the test part of holiday, which was not trained on"


def test_of_a_folder_without_parts_the_fifth_that_was_held_out_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = write_colors(tmp_path / "flat", pictures=80) / "train"
    repository = tmp_path / "trained"
    publish_tiny(repository, training=record(flat, seed=3))
    assert calibrate(repository, "--data", str(flat)) == 0
    assert "calibrated on 48 images" in capsys.readouterr().out


def change(folder: Path, what: str) -> None:
    if what == "another class":
        (folder / "train" / "red").rename(folder / "train" / "cyan")
        (folder / "test" / "red").rename(folder / "test" / "cyan")
    elif what == "a class less":
        shutil.rmtree(folder / "test" / "red")
    elif what == "too few":
        for path in folder.glob("test/*/1?.png"):
            path.unlink()


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("another class", "has the labels cyan, which the model doesn't"),
        ("a class less", "has no images of red"),
        ("too few", "30 images that were not trained on are too few, 40 are needed"),
    ],
)
def test_data_that_does_not_fit_publishes_nothing(
    repository: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    what: str,
    told: str,
) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(data, folder)
    change(folder, what)
    assert calibrate(repository, "--data", str(folder)) == 1
    assert told in " ".join(capsys.readouterr().err.split())
    assert checkpoint.versions(repository / "colors") == [1]


def test_labels_that_are_exchanged_publish_nothing(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = checkpoint.load(repository / "colors" / "1", torch.device("cpu"))
    for seed in range(60):
        image = picture(seed)
        found = int(loaded.network(SPEC.normalize(SPEC.pixels(image)[None])).argmax())
        wrong = tmp_path / "exchanged" / LABELS[(found + 1) % len(LABELS)]
        wrong.mkdir(parents=True, exist_ok=True)
        image.save(wrong / f"{seed}.png")
    for label in LABELS:
        (tmp_path / "exchanged" / label).mkdir(exist_ok=True)
        picture(99).save(tmp_path / "exchanged" / label / "99.png")
    assert calibrate(repository, "--data", str(tmp_path / "exchanged")) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "of these images, less than by chance: are their labels exchanged?" in told
    assert checkpoint.versions(repository / "colors") == [1]


def test_a_class_of_which_it_is_mostly_unsure_is_told() -> None:
    is_unsure = torch.tensor([True, True, False, True, False, False, True])
    targets = torch.tensor([0, 0, 0, 1, 1, 1, 2])
    told = trust.doubted(is_unsure, targets, LABELS)
    assert f"{LABELS[0]} (2 of 3), {LABELS[2]} (1 of 1)" in told
    assert LABELS[1] not in told
    assert trust.doubted(is_unsure & (targets == 1), targets, LABELS) == ""


def test_too_few_images_are_told_without_sending_anybody_round(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = write_colors(tmp_path / "few", pictures=5)
    assert calibrate(repository, "--data", str(few)) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "15 images that were not trained on are too few, 40 are needed; give more" in told
    assert "fanlight calibrate" not in told


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        ((), 2, "calibrate needs --data"),
        (("--data", ""), 2, "calibrate needs --data"),
        (("--data", "nowhere"), 1, "no data set 'nowhere'"),
        (("--data", "nowhere", "--version", "9"), 1, "no version 9"),
    ],
)
def test_what_is_missing_is_said(
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    status: int,
    told: str,
) -> None:
    assert calibrate(repository, *arguments) == status
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_model_that_is_shipped_is_published_where_fit_publishes(
    repository: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository_paths, "SHIPPED", repository)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FANLIGHT_REPOSITORY", raising=False)
    assert calibrate(repository, "--data", str(data)) == 0
    assert checkpoint.versions(repository / "colors") == [1]
    assert card(tmp_path / "checkpoints", 1).calibration is not None


def test_another_repository_can_be_named(repository: Path, data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert calibrate(repository, "--data", str(data), "--publish-to", str(other)) == 0
    assert card(other, 1).calibration is not None
    assert checkpoint.versions(repository / "colors") == [1]
