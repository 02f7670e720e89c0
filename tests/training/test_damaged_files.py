"""A file that is damaged is named in one line, whatever it is and however it is damaged."""

import gzip
import json
import math
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fanlight.command import main
from tests.networks import encode, picture, publish_tiny
from tests.training import test_results
from tests.training.pictures import write_colors
from training.fitting.records.run_folder import Run
from training.recipes.catalogue import recipe
from training.results import Record

pytestmark = pytest.mark.slow


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def not_utf_8(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00\xd8" + path.read_bytes())


def of_another_type(path: Path) -> None:
    path.write_bytes(b'["a", "list"]\n')


def of_another_structure(path: Path) -> None:
    """Of the right type, and yet nothing of what is looked for is in it."""
    if path.suffix == ".json":
        path.write_text('{"metrics": [], "epochs": "many", "trainings": {}, "rows": 1}')
    elif path.suffix == ".pt":
        torch.save({"training": {"history": 1}, "seconds": "x"}, path)
    else:
        path.write_text("epoch,train_loss,train_accuracy\n1,oops,0.5\n")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [empty, truncated, not_utf_8, of_another_type, of_another_structure, a_folder]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_plots: None) -> Path:
    """A working folder with a file of each kind, all of them whole."""
    monkeypatch.chdir(tmp_path)
    write_colors(tmp_path / "colors", 2)
    publish_tiny(tmp_path / "checkpoints")
    shutil.copy("checkpoints/colors/1/weights.pt", "own.pt")
    Path("picture.png").write_bytes(encode(picture(0)))
    test_results.finished(tmp_path / "runs", recipe("mnist-cnn")).folder.rename(
        "runs/mnist-cnn/run"
    )
    test_results.TestStudies().write(tmp_path / "runs", "dropout")
    Path("docs").mkdir()
    Path("docs/results.json").write_text(json.dumps(Record([], []).as_json()))
    return tmp_path


FIT = [
    *("fit", "own-pictures", "--name", "mine", "--dataset", "colors", "--architecture", "tiny"),
    *("--epochs", "1", "--device", "cpu"),
]
RUN = "runs/mnist-cnn/run"
READERS = [
    (f"{RUN}/history.csv", ["results"]),
    (f"{RUN}/history.csv", ["visualize", "curves", RUN]),
    (f"{RUN}/recipe.json", ["results"]),
    (f"{RUN}/result.json", ["results"]),
    ("runs/studies/dropout/study.json", ["results"]),
    ("docs/results.json", ["results"]),
    ("checkpoints/colors/1/card.json", ["evaluate", "colors", "--dataset", "colors"]),
    ("checkpoints/colors/1/weights.pt", ["visualize", "weights", "colors"]),
    ("checkpoints/colors/1/weights.pt", ["profile", "colors"]),
    ("own.pt", ["import", "own.pt", "--architecture", "tiny", "--labels", "a", "b", "c"]),
    ("own.pt", [*FIT, "--pretrained", "own.pt"]),
    ("picture.png", ["visualize", "picture", "picture.png"]),
    ("picture.png", ["visualize", "features", "colors", "picture.png"]),
]


def told(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """The one line that the command prints when it fails."""
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.__name__)
@pytest.mark.parametrize(("file", "arguments"), READERS, ids=lambda each: str(each))
def test_a_damaged_file_is_named_in_one_line(
    damage: Callable[[Path], None],
    file: str,
    arguments: list[str],
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(here / file)
    error = told(capsys, arguments)
    folder, _, name = file.rpartition("/")
    assert name in error
    assert folder in error  # of a checkpoint's file, the folder of its version comes first


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [arguments for _, arguments in READERS], ids=str)
def test_the_same_command_takes_whole_files(here: Path, arguments: list[str]) -> None:
    assert main(arguments) == 0


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.__name__)
def test_the_state_of_a_broken_off_training(
    damage: Callable[[Path], None], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(FIT) == 0
    (folder,) = (here / "runs" / "mine").iterdir()
    (folder / "result.json").unlink()
    Run(folder).write_tensors("state.pt", {"training": None, "seconds": 0.0})
    damage(folder / "state.pt")
    assert f"runs/mine/{folder.name}/state.pt" in told(capsys, [*FIT, "--resume"])


@pytest.mark.parametrize(
    "change",
    [
        lambda training: training.clear(),
        lambda training: training.update(history=[]),
        lambda training: training.update(history=[{"number": 1}]),
        lambda training: training.update(network={"conv.weight": torch.zeros(2)}),
        lambda training: training.update(optimizer=[]),
        lambda training: training.update(generator="dice"),
    ],
)
def test_a_state_that_lacks_something(
    change: Callable[[dict[str, Any]], None], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = broken_off(here)
    state = run.state() or {}
    change(state["training"])
    run.write_tensors("state.pt", state)
    assert "state.pt is not the state of a training: remove it" in told(capsys, [*FIT, "--resume"])


def broken_off(here: Path) -> Run:
    """A run that was broken off after its last epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "finish", lambda run, result: None)
        assert main(FIT) == 0
    (folder,) = (here / "runs" / "mine").iterdir()
    return Run(folder)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [empty, truncated, not_utf_8], ids=lambda each: each.__name__)
def test_files_of_mnist(
    damage: Callable[[Path], None], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = here / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split, count in (("train", 2), ("t10k", 2)):
        pixels = struct.pack(">IIII", 2051, count, 28, 28) + bytes(count * 784)
        targets = struct.pack(">II", 2049, count) + bytes(count)
        for name, content in (("images-idx3", pixels), ("labels-idx1", targets)):
            (raw / f"{split}-{name}-ubyte").write_bytes(content)
            (raw / f"{split}-{name}-ubyte.gz").write_bytes(gzip.compress(content))
    arguments = ["visualize", "dataset", "mnist", "--data-root", "data"]
    assert main(arguments) == 0
    damage(raw / "train-images-idx3-ubyte")
    assert "data/MNIST/raw/train-images-idx3-ubyte: damaged; remove" in told(capsys, arguments)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("1,oops,0.5\n", "line 3 is no epoch (could not convert string to float: 'oops')"),
        ("2,0.5\n", "line 3 has no train_accuracy"),
        ("inf,1,1\n", "line 3 is no epoch"),
        ("2,0.5,0.5,0.5,0.5,0.5,0.5\n", "line 3 is no epoch"),
        ("2,0.5,\udcff\n", "line 3 is not UTF-8"),
        ("2,0.5,0.8", "line 3 is cut off"),
        ("2,nan,0.8\n", "line 3 has a train_loss of nan"),
        ("2,-inf,0.8\n", "line 3 has a train_loss of -inf"),
    ],
)
def test_a_bad_line_of_a_history_is_numbered(
    content: str, problem: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = here / RUN / "history.csv"
    head = "epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,learning_rate\n"
    text = head + "1,1.5,0.25,,,\n" + content
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert f"runs/mnist-cnn/run/history.csv {problem}" in told(capsys, ["results"])


@pytest.mark.parametrize("command", [["results"], ["visualize", "curves", RUN]])
def test_a_history_without_an_epoch(
    command: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = here / RUN / "history.csv"
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    assert "history.csv line 1 has no epoch: train again" in told(capsys, command)


def leaves(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values that hold no others."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        if isinstance(value, dict | list) and value:
            yield from leaves(value, (*place, key))
        else:
            yield (*place, key)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["12", True, None, [], {}, -1, float("nan")], ids=repr)
@pytest.mark.parametrize("file", ["docs/results.json", "runs/studies/dropout/study.json"])
def test_one_wrong_value(
    file: str, wrong: object, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each value of a file in turn: it is told in a line, or is one that can be."""
    assert main(["results"]) == 0
    whole = Path(file).read_bytes()
    places = list(leaves(json.loads(whole)))
    refused = 0
    for place in places:
        content = json.loads(whole)
        *parents, last = place
        inner = content
        for key in parents:
            inner = inner[key]
        inner[last] = wrong
        Path(file).write_text(json.dumps(content))
        capsys.readouterr()
        status = main(["results"])
        error = capsys.readouterr().err
        assert (status, error.count("\n")) in ((0, 0), (1, 1)), place
        if status == 1:
            refused += 1
            assert Path(file).name in error
        Path(file).write_bytes(whole)
    assert refused > len(places) / 3


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1,0.5,0.5,,,", "1,0.5,0.5,,,"], "line 3 is no epoch (epoch 1 in the place of 2)"),
        (["2,0.5,0.5,,,"], "line 2 is no epoch (epoch 2 in the place of 1)"),
        (["1.5,0.5,0.5,,,"], "line 2 is no epoch"),
        (["-1,0.5,0.5,,,"], "line 2 is no epoch"),
        (["x" * 200_000], "line 2 is no epoch"),
    ],
    ids=["twice", "missing", "half", "negative", "long"],
)
def test_a_history_whose_epochs_do_not_count(
    lines: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = (here / RUN / "history.csv").read_text().split("\n")[0]
    (here / RUN / "history.csv").write_text("\n".join([head, *lines, ""]))
    assert message in told(capsys, ["results"])


def test_a_head_of_a_history_that_is_too_long(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / RUN / "history.csv").write_text("x" * 200_000 + "\n")
    assert "history.csv" in told(capsys, ["results"])


@pytest.mark.parametrize(
    ("name", "value"),
    [("labels", 5), ("labels", None), ("pictures", "many"), ("seconds", math.nan), ("seconds", -1)],
)
def test_a_state_with_a_wrong_value(
    name: str, value: object, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = broken_off(here)
    run.write_tensors("state.pt", {**(run.state() or {}), name: value})
    assert "state.pt is not the state of a training: remove it" in told(capsys, [*FIT, "--resume"])
