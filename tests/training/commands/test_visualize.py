"""`visualize` writes pictures of data sets, trainings and networks, and tells where."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from fanlight.command import main
from models import checkpoint
from models.architectures import registry
from models.checkpoint import TrainingRecord
from models.preprocessing import decode
from models.repository_paths import SHIPPED
from tests.networks import DATA, LABELS, encode, picture, publish_tiny
from tests.training.pictures import write_colors
from tests.training.plots.conftest import drawn as drawn
from tests.training.plots.drawn import Drawn, values
from training.data.files import folders
from training.data.files.folders import Files
from training.data.files.splits import Split
from training.fitting.evaluation import Metrics
from training.fitting.records.run_folder import Run
from training.fitting.state import Epoch
from training.recipes.recipe import Recipe

pytestmark = pytest.mark.slow


def visualize(*arguments: str | Path) -> int:
    return main(["visualize", *map(str, arguments)])


def of_model(what: str, repository: Path, *arguments: str | Path, name: str = "colors") -> int:
    return visualize(what, name, *arguments, "--repository", repository, "--device", "cpu")


def publish(repository: Path, name: str, **arguments: object) -> None:
    """A network of the architecture of that name, with three classes."""
    built = registry.architecture(name)
    checkpoint.publish(
        repository,
        built.build(3, **arguments).eval(),
        name=name.rpartition("/")[2],
        architecture=name,
        arguments=arguments,  # type: ignore[arg-type]
        labels=LABELS,
        input=built.input_for(arguments),
    )


def written(folder: Path) -> list[str]:
    """The names of the pictures in the folder, each of which can be opened."""
    for path in folder.iterdir():
        with Image.open(path) as image:
            assert image.format == "PNG"
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.thorough
def test_files_are_told_and_a_corner_in_numbers(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert visualize("picture", DATA / "digits" / "3.png") == 0
    names = ["picture-3-representation.png", "picture-3-features.png"]
    told = capsys.readouterr().out
    assert told.startswith("".join(f"pictures/{name}\n" for name in names))
    assert "3×3 pixels at row 0, column 0 of the picture, 28 × 28" in told
    assert written(here / "pictures") == sorted(names)


@pytest.mark.thorough
def test_a_corner_of_what_a_model_takes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = DATA / "birds-vs-planes" / "bird-owl.png"
    options = ("--model", "birds-vs-planes", "--repository", SHIPPED, "--row", 5, "--column", 7)
    assert visualize("picture", file, *map(str, options)) == 0
    told = capsys.readouterr().out
    assert "3×3 pixels at row 5, column 7 of the input of birds-vs-planes/1, 32 × 32" in told
    spec = checkpoint.read_card(SHIPPED / "birds-vs-planes" / "1").input
    pixels = spec.pixels(decode(file.read_bytes()))
    values = spec.normalize(pixels[None])[0, :, 5:8, 7:10]
    lines = [line for line in told.splitlines() if "│" in line]
    for line, levels, inputs in zip(
        lines, pixels[:, 5:8, 7:10].flatten(0, 1), values.flatten(0, 1), strict=True
    ):
        cells = [cell.strip() for cell in line.strip("│").split("│")][1:]
        assert cells[:3] == [str(level) for level in levels.tolist()]
        assert cells[3:] == [f"{value:.4f}" for value in inputs.tolist()]


@pytest.mark.parametrize("before", [True, False])
def test_the_folder_is_chosen(
    before: bool, here: Path, colors_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, what = ["--output", "some/where"], ["dataset", str(colors_folder)]
    assert visualize(*(output + what if before else what + output)) == 0
    assert written(here / "some" / "where") == ["dataset-colors-train.png"]
    assert capsys.readouterr().out == "some/where/dataset-colors-train.png\n"
    assert not (here / "pictures").exists()


def test_a_picture_of_any_name(here: Path, drawn: Drawn) -> None:
    Path("a [1] $x$.jpg").write_bytes(encode(picture(0, (9, 7)), "JPEG"))
    assert visualize("picture", "a [1] $x$.jpg") == 0
    assert all(re.fullmatch(r"picture-a-1-x-[a-z-]+\.png", n) for n in written(here / "pictures"))
    assert drawn.title == "a [1] $x$.jpg"


def test_a_data_set_by_its_folder(here: Path, colors_folder: Path, drawn: Drawn) -> None:
    assert visualize("dataset", colors_folder) == 0
    assert written(here / "pictures") == ["dataset-colors-train.png"]
    assert drawn.title == f"{colors_folder} (train, 24 pictures)"
    rows = [label.get_text() for label in drawn.figure.axes[0].get_yticklabels()]
    assert rows == ["blue (8)", "green (8)", "red (8)"]


def test_a_data_set_by_its_name_under_the_data_root(
    here: Path, colors_folder: Path, drawn: Drawn
) -> None:
    root = colors_folder.parent
    assert visualize("dataset", "colors", "--split", "test", "--data-root", root) == 0
    assert written(here / "pictures") == ["dataset-colors-test.png"]
    assert drawn.title == "colors (test, 24 pictures)"


def test_the_seed_decides_which_pictures(here: Path, tmp_path: Path) -> None:
    folder = write_colors(tmp_path / "many", pictures=12)
    files = []
    for seed in ("0", "0", "1"):
        assert visualize("dataset", folder, "--seed", seed) == 0
        files.append(Path("pictures/dataset-many-train.png").read_bytes())
    assert files[0] == files[1] != files[2]


def test_a_data_set_is_looked_at_in_the_size_of_its_recipe(here: Path, drawn: Drawn) -> None:
    for label in ("circles", "crosses"):
        Path("xo", "train", label).mkdir(parents=True)
        shutil.copy(DATA / "digits" / "0.png", Path("xo", "train", label))
    assert visualize("dataset", "xo", "--data-root", ".") == 0
    height = values(drawn.figure.axes[0]).shape[0]
    assert height == 2 * 64 + 5


@pytest.mark.thorough
def test_a_data_set_of_no_recipe_is_looked_at_as_it_is(here: Path, drawn: Drawn) -> None:
    assert visualize("dataset", "patterns", "--data-root", here / "empty") == 0
    assert drawn.title == "patterns (train, 6,000 pictures)"
    assert values(drawn.figure.axes[0]).shape[0] == 6 * 64 + 5 * 5


def test_broken_files_of_a_data_set_are_counted(
    here: Path, tmp_path: Path, drawn: Drawn, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_colors(tmp_path / "damaged", pictures=2)
    (folder / "train" / "red" / "1.png").write_bytes(b"nothing")
    assert visualize("dataset", folder) == 0
    assert drawn.title.endswith("(train, 5 pictures); 1 files are left out")
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The folder of a training of three epochs that goes on."""
    run = Run.start(tmp_path / "runs", Recipe("colors", "colors", "tiny", epochs=4, seed=5))
    run.write_history([Epoch(n, Metrics(1 / n, 0.5), Metrics(2 / n, 0.5)) for n in (1, 2, 3)])
    return run


def test_curves_of_a_run(here: Path, run: Run, drawn: Drawn) -> None:
    run.finish({"selected_epoch": 2})
    assert visualize("curves", run.folder) == 0
    assert written(here / "pictures") == [f"curves-colors-{run.folder.name}.png"]
    assert drawn.title == "colors, seed 5"
    *_, selected = drawn.figure.axes[0].lines
    assert selected.get_label() == "selected"
    assert list(selected.get_xdata()) == [2, 2]  # type: ignore[arg-type]


def test_curves_of_a_run_that_goes_on(here: Path, run: Run, drawn: Drawn) -> None:
    assert visualize("curves", run.folder) == 0
    assert [line.get_label() for line in drawn.figure.axes[0].lines] == ["train", "validation"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_confusion_of_the_set_that_the_card_names(
    split: str, here: Path, tmp_path: Path, colors_folder: Path, drawn: Drawn
) -> None:
    publish_tiny(tmp_path / "repository", training=record(colors_folder, 0))
    assert of_model("confusion", tmp_path / "repository", "--split", split) == 0
    assert written(here / "pictures") == ["confusion-colors-1.png"]
    assert re.fullmatch(
        rf"colors/1 on .*colors \({split}, 24 pictures\): accuracy 0\.\d{{4}}", drawn.title
    )
    counts = [int(text.get_text()) for text in drawn.figure.axes[0].texts]
    assert [sum(counts[row : row + 3]) for row in (0, 3, 6)] == [8, 8, 8]


def test_the_confusion_of_another_set(
    here: Path, repository: Path, colors_folder: Path, drawn: Drawn
) -> None:
    assert of_model("confusion", repository, "--dataset", colors_folder) == 0
    assert drawn.title.startswith("colors/2 on ")


def test_the_split_of_a_folder_is_that_of_the_training(
    here: Path, tmp_path: Path, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = write_colors(tmp_path / "data", pictures=15) / "train"
    publish_tiny(tmp_path / "repository", training=record(dataset, seed=7))
    seeds = []

    def files(folder: Path, split: Split, seed: int) -> Files:
        seeds.append(seed)
        return listed(folder, split, seed)

    listed = folders.files
    monkeypatch.setattr(folders, "files", files)
    assert of_model("confusion", tmp_path / "repository") == 0
    assert seeds == [7]
    assert "(test, 9 pictures)" in drawn.title


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["picture", "fine.png", "--row", "99"], "row 99 is not in the picture, whose rows are"),
        (["saturation", "colors", "--count", "0"], "--count must be 1 or more, not 0"),
        (["dropout", "colors", "fine.png", "--draws", "0"], "--draws must be 1 or more, not 0"),
    ],
)
def test_options_that_cannot_be(
    arguments: list[str],
    message: str,
    here: Path,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FANLIGHT_REPOSITORY", str(repository))
    Path("fine.png").write_bytes(encode(picture(0)))
    assert visualize(*arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["saturation", "colors"], "colors/2 names no data set; give one as --dataset"),
        (["class-map", "colors", "broken.png"], "broken.png: not a picture of a known format"),
        (["class-map", "colors", "fine.png", "--step", "0"], "--step must be 1 or more, not 0"),
        (["picture", "missing.png"], "No such file or directory"),
        (["picture", "broken.png"], "broken.png: not a picture of a known format"),
        (["features", "colors", "broken.png"], "broken.png: not a picture of a known format"),
        (["features", "shades", "fine.png"], "no model 'shades' in the repository"),
        (
            ["features", "colors", "fine.png", "--layers", "conv9"],
            "no layer 'conv9'; did you mean 'conv'? there are ",
        ),
        (["kernels", "colors", "--layer", "relu"], "linear layer 'relu'; there are: conv, fc"),
        (["kernels", "colors", "--version", "7"], "no version 7 of 'colors'; there are: 1, 2"),
        (["weights", "colors", "--device", "cuda:99"], "'cuda:99' is not there"),
        (["confusion", "colors"], "colors/2 names no data set; give one as --dataset"),
        (["dataset", "nothing"], "no data set 'nothing'"),
        (["curves", "missing"], "missing holds no history.csv: give a run folder"),
        (["curves", "broken.png"], "broken.png holds no history.csv"),
        (["curves", "odd"], "odd/history.csv is not a history of epochs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_told(
    arguments: list[str],
    message: str,
    here: Path,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FANLIGHT_REPOSITORY", str(repository))
    Path("broken.png").write_bytes(b"nothing")
    Path("fine.png").write_bytes(encode(picture(0)))
    Path("odd").mkdir()
    Path("odd/history.csv").write_text("a,b,c\n1,2,3,4\n")
    is_usage = "--step" in arguments or "--device" in arguments
    assert visualize(*arguments) == (2 if is_usage else 1)
    printed = capsys.readouterr()
    see = f"See fanlight visualize {arguments[0]} --help\n" if is_usage else ""
    assert re.fullmatch(f"error: .*{re.escape(message)}.*\n{see}", printed.err)
    assert printed.out == ""
    assert not Path("pictures").exists()
