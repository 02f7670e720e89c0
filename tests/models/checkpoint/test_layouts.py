"""Repository folders that hold one model, or one version, beside the usual ones."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from models import checkpoint, repositories
from models.checkpoint import CheckpointError, layouts
from tests.networks import publish_tiny

CPU = torch.device("cpu")


@pytest.fixture
def model(repository: Path, tmp_path: Path) -> Path:
    """A folder with the versions 1 and 2 of `colors`, whatever its own name."""
    return Path(shutil.copytree(repository / "colors", tmp_path / "My models"))


@pytest.fixture
def version(repository: Path, tmp_path: Path) -> Path:
    """A folder that is version 2 of `colors`, whatever its own name."""
    return Path(shutil.copytree(repository / "colors" / "2", tmp_path / "mnt models"))


def loaded(repository: Path, number: int | None = None) -> str:
    card = checkpoint.load_named(repository, "colors", number, CPU).card
    return f"{card.name}/{card.version}"


class TestOneModel:
    def test_its_name_is_that_of_the_cards(self, model: Path) -> None:
        layout = layouts.of(model)
        assert (layout.names(), layout.versions("colors")) == (["colors"], [1, 2])
        assert (loaded(model), loaded(model, 1)) == ("colors/2", "colors/1")

    def test_others_are_not_there(self, model: Path) -> None:
        assert layouts.of(model).versions("My models") == []
        with pytest.raises(CheckpointError, match=r"no model 'shades' .*there are: colors"):
            checkpoint.find(model, "shades")
        with pytest.raises(CheckpointError, match="no version 3 of 'colors'; there are: 1, 2"):
            checkpoint.find(model, "colors", 3)

    def test_a_further_version_is_published_beside(self, model: Path) -> None:
        publish_tiny(model, seed=3)
        assert loaded(model) == "colors/3"
        assert (model / "3" / "card.json").exists()

    def test_another_model_is_refused(self, model: Path) -> None:
        before = sorted(model.rglob("*"))
        with pytest.raises(CheckpointError, match="holds colors alone, and 'shades' can't be"):
            publish_tiny(model, "shades")
        assert sorted(model.rglob("*")) == before

    def test_a_version_of_another_model_is_refused_by_itself(self, model: Path) -> None:
        card = json.loads((model / "1" / "card.json").read_text())
        (model / "1" / "card.json").write_text(json.dumps(card | {"name": "shades"}))
        assert loaded(model) == "colors/2"
        with pytest.raises(CheckpointError, match="is of shades/1, but lies in the folder 1"):
            loaded(model, 1)

    def test_beside_other_models_it_is_an_error(self, model: Path) -> None:
        shutil.copytree(model / "2", model / "colors" / "2")
        with pytest.raises(CheckpointError, match=r"holds versions \(2\) beside models \(colors\)"):
            layouts.of(model)

    def test_a_damaged_card_is_named(self, model: Path) -> None:
        (model / "2" / "card.json").write_text("{")
        with pytest.raises(CheckpointError, match=r"My models/2: card\.json: "):
            checkpoint.find(model, "colors")

    def test_a_number_can_name_a_model(self, model: Path, tmp_path: Path) -> None:
        publish_tiny(tmp_path / "numbers", "2024")
        assert checkpoint.names(tmp_path / "numbers") == ["2024"]


class TestOneVersion:
    def test_its_name_and_number_are_those_of_the_card(self, version: Path) -> None:
        layout = layouts.of(version)
        assert (layout.names(), layout.versions("colors")) == (["colors"], [2])
        assert (loaded(version), loaded(version, 2)) == ("colors/2", "colors/2")
        with pytest.raises(CheckpointError, match="no version 1 of 'colors'; there are: 2"):
            loaded(version, 1)

    def test_nothing_is_published_into_it(self, version: Path) -> None:
        before = sorted(version.rglob("*"))
        with pytest.raises(CheckpointError, match="holds colors/2 alone, and 'colors' can't be"):
            publish_tiny(version)
        assert sorted(version.rglob("*")) == before

    @pytest.mark.parametrize("inside", ["3", "colors/3"])
    def test_beside_other_versions_it_is_an_error(self, version: Path, inside: str) -> None:
        shutil.copytree(version, version / inside)
        with pytest.raises(CheckpointError, match=r"holds a card\.json and other versions: keep"):
            layouts.of(version)

    def test_links_of_a_volume_are_followed(self, version: Path, tmp_path: Path) -> None:
        """As Kubernetes mounts one: each file is a link, through a link to a dated folder."""
        volume = tmp_path / "volume"
        shutil.copytree(version, volume / "..2026_12_01")
        (volume / "..data").symlink_to("..2026_12_01")
        for file in version.iterdir():
            (volume / file.name).symlink_to(f"..data/{file.name}")
        assert loaded(volume) == "colors/2"

    def test_links_out_of_it_are_not(self, version: Path, tmp_path: Path) -> None:
        (version / "weights.pt").rename(tmp_path / "weights.pt")
        (version / "weights.pt").symlink_to(tmp_path / "weights.pt")
        with pytest.raises(CheckpointError, match=r"weights\.pt is a link to .*, outside of"):
            loaded(version)

    def test_a_relative_path_of_one_part(
        self, version: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(version)
        assert loaded(Path()) == "colors/2"
        monkeypatch.chdir(version.parent)
        assert loaded(Path(version.name)) == "colors/2"


def test_several_repositories_of_all_kinds(model: Path, version: Path, tmp_path: Path) -> None:
    publish_tiny(tmp_path / "usual", "shades")
    every = [version, model, tmp_path / "usual"]
    assert repositories.names(every) == ["colors", "shades"]
    assert repositories.find(every, "colors").folder == version
    assert repositories.find(every[1:], "colors").folder == model / "2"
    assert repositories.find(every, "shades").folder == tmp_path / "usual" / "shades" / "1"
