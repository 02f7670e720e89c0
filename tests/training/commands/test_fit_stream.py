"""`fit --stream` reads batches from a file, and trains the same network as from memory."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from models import checkpoint
from tests.training.commands.fitting import Fit
from training.data import storage

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_plots")]

VIEWS = ("--flip", "--crop-padding", "1", "--erasing", "0.5", "--compression", "0.5")


def outcome(fit: Fit, version: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The weights of a version, and what its card tells besides times and checksums."""
    folder = fit.version(version)
    card = json.loads((folder / "card.json").read_text())
    for name in ("version", "files", "training"):
        card.pop(name, None)
    return checkpoint.read_state_dict(folder / "weights.pt", torch.device("cpu")), card


def assert_same(fit: Fit) -> None:
    (weights, card), (others, other) = outcome(fit, 1), outcome(fit, 2)
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert card == other


@pytest.mark.parametrize(
    "options",
    [
        (),
        VIEWS,
        ("--validation-fraction", "0", "--calibration-fraction", "0.3"),
        ("--initialisation", "whitening"),
    ],
)
def test_the_weights_and_the_card_are_the_same(fit: Fit, options: tuple[str, ...]) -> None:
    assert fit(*options) == 0
    assert fit(*options, "--stream") == 0
    assert_same(fit)


def test_strangers_and_joined_sets_are_streamed_too(
    fit: Fit, tmp_path: Path, colors_folder: Path
) -> None:
    options = ("--strangers", str(colors_folder / "train" / "red"))
    joined = Path(f"{colors_folder} + {colors_folder}")
    assert fit(*options, dataset=joined) == 0
    assert fit(*options, "--stream", dataset=joined) == 0
    assert_same(fit)


def test_the_review_finds_the_same(fit: Fit) -> None:
    assert fit() == 0
    first = fit.run_folder()
    assert fit("--stream") == 0
    (second,) = {*first.parent.iterdir()} - {first}
    assert (first / "data.csv").read_bytes() == (second / "data.csv").read_bytes()
    assert {p.name for p in first.iterdir()} == {p.name for p in second.iterdir()}
    assert {p.name for p in fit.runs.iterdir()} == {"colors"}


def test_too_many_pixels_are_streamed_by_themselves(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit() == 0
    assert "from a file" not in capsys.readouterr().out
    monkeypatch.setattr(storage, "available", lambda: 4 * 8 * 3 * 8 * 8)  # bytes; a class is kept
    assert fit() == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "(train): 24 pictures take 4.61 kB decoded, and are read from a file in" in printed
    assert "(at most 1.54 kB of pixels are kept in memory; --no-stream keeps them" in printed
    assert "not for near copies, nor for wrong labels in train" in printed
    weights, others = outcome(fit, 1)[0], outcome(fit, 2)[0]
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_pixels_are_kept_in_memory_if_the_user_says_so(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(storage, "available", lambda: 1)
    assert fit("--no-stream") == 0
    assert "from a file" not in capsys.readouterr().out


def test_an_interrupted_run_goes_on_in_either_way(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fit("--epochs", "3") == 0
    folder = fit.run_folder()
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "publish", _interrupted)
        assert fit("--epochs", "3", "--stream") != 0
    assert fit("--epochs", "3", "--resume") == 0
    assert folder.exists()
    assert_same(fit)


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
