"""`fit --strangers`: pictures of no class, which the network learns to tell from its own."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from models import checkpoint
from tests.networks import LABELS, SPEC
from tests.training.commands.fitting import Fit
from tests.training.pictures import write_colors
from training.data import patterns


def test_strangers_are_told_and_get_no_class(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for color in ("black", "white"):
        for number in range(8):
            path = tmp_path / "others" / color / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), color).save(path)
    assert fit("--strangers", str(tmp_path / "others")) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"strangers: 12 pictures from {tmp_path / 'others'} (80% of each class)" in told
    assert "black: 6" in told
    assert "the published network has no class for strangers" in told
    loaded = checkpoint.load(fit.version(1), torch.device("cpu"))
    assert loaded.card.labels == LABELS
    assert loaded.network(torch.zeros(1, *SPEC.shape)).shape == (1, 3)


@pytest.mark.parametrize("inside", [".", "one"])
def test_strangers_of_one_kind_need_no_folders(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str], inside: str
) -> None:
    folder = tmp_path / "others" / inside
    folder.mkdir(parents=True)
    for number in range(8):
        Image.new("RGB", (8, 8), "white").save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    assert fit("--strangers", str(tmp_path / "others")) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "strangers: 8 pictures" in told
    assert "left out, 1 files: broken (1)" in told
    assert "broken.png" in (fit.run_folder() / "left-out.csv").read_text()


def test_strangers_are_of_no_class(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit("--strangers", str(fit.dataset)) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "has pictures of blue, green, red, which the network has a class for" in told
    assert not fit.repository.exists() or list(fit.repository.iterdir()) == []


@pytest.mark.parametrize("tune", ["head", "head-first"])
def test_where_a_head_is_fitted_familiarity_alone_learns_strangers(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str], tune: str
) -> None:
    (tmp_path / "others").mkdir()
    for number in range(8):
        Image.new("RGB", (8, 8), "white").save(tmp_path / "others" / f"{number}.png")
    data = write_colors(tmp_path / "colors", pictures=60)
    assert fit("--epochs", "1", dataset=data) == 0
    start = ("--pretrained", str(fit.version(1) / "weights.pt"), "--tune", tune)
    capsys.readouterr()
    assert fit("--strangers", str(tmp_path / "others"), *start, dataset=data) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "familiarity learns the strangers, and the network is trained without them" in told
    familiarity = checkpoint.read_card(fit.version(2)).familiarity
    assert familiarity is not None
    assert familiarity.strangers == "others (stranger)"


@pytest.mark.thorough
def test_several_sets_of_strangers_may_have_different_classes(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "others").mkdir()
    for number in range(8):
        Image.new("RGB", (8, 8), "white").save(tmp_path / "others" / f"{number}.png")
    assert fit("--strangers", f"{tmp_path / 'others'} + patterns") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"strangers: 6,008 pictures from {tmp_path / 'others'}" in told
    assert all(f"{label}: " in told for label in ("stranger", *patterns.LABELS))
