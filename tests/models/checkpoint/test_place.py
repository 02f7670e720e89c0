"""The three forms of a repository folder: names from the folders, or from the cards."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from models import checkpoint, repositories
from models.checkpoint import CheckpointError, Form, Place
from models.trust import Fitted
from tests.networks import publish_tiny

CPU = torch.device("cpu")


@pytest.fixture
def model(repository: Path, tmp_path: Path) -> Path:
    """A folder of the versions of `colors`, which is not called so."""
    return repository.joinpath("colors").rename(tmp_path / "my models")


@pytest.fixture
def version(model: Path, tmp_path: Path) -> Path:
    """A folder that is itself `colors/2`, in another one with a number for a name."""
    (tmp_path / "7").mkdir()
    return model.joinpath("2").rename(tmp_path / "7" / "möunt")


def rewrite(version: Path, /, **fields: Any) -> None:
    card = json.loads((version / "card.json").read_text())
    (version / "card.json").write_text(json.dumps(card | fields))


class TestForms:
    def test_the_usual_one(self, repository: Path) -> None:
        inside = checkpoint.contents(repository)
        assert (inside.form, inside.names) == (Form.NESTED, ("colors",))
        assert inside.place("colors", 2) == Place(repository, "colors", 2)

    def test_the_versions_of_one_model(self, model: Path) -> None:
        assert checkpoint.names(model) == ["colors"]
        place = checkpoint.find(model, "colors")
        assert place == Place(model, "colors", 2, Form.MODEL)
        assert os.fspath(place) == str(model / "2")
        assert checkpoint.load(place, CPU).card.version == 2
        assert checkpoint.load_named(model, "colors", 1, CPU).card.version == 1

    def test_one_version(self, version: Path) -> None:
        assert checkpoint.names(version) == ["colors"]
        place = checkpoint.find(version, "colors", 2)
        assert place == Place(version, "colors", 2, Form.VERSION)
        loaded = checkpoint.load(place, CPU)
        assert checkpoint.changes(place, loaded.stamps) == (None, loaded.stamps)
        with pytest.raises(CheckpointError, match="no version 1 of 'colors'; there are: 2"):
            checkpoint.find(version, "colors", 1)
        with pytest.raises(CheckpointError, match="did you mean 'colors'"):
            checkpoint.find(version, "color")

    def test_models_with_numbers_for_names(self, tmp_path: Path) -> None:
        publish_tiny(tmp_path, "1")
        publish_tiny(tmp_path, "2")
        assert checkpoint.contents(tmp_path).form is Form.NESTED
        assert checkpoint.find(tmp_path, "1").folder == tmp_path / "1" / "1"

    def test_a_missing_or_empty_folder(self, tmp_path: Path) -> None:
        for folder in (tmp_path, tmp_path / "missing"):
            assert checkpoint.contents(folder).form is Form.NESTED
            assert checkpoint.names(folder) == []

    def test_are_found_among_others(self, model: Path, version: Path, tmp_path: Path) -> None:
        publish_tiny(tmp_path / "other", "shapes")
        both = (version, model, tmp_path / "other")
        assert repositories.names(both) == ["colors", "shapes"]
        assert repositories.having(both, "colors") == version
        assert repositories.find(both, "shapes").folder == tmp_path / "other" / "shapes" / "1"


class TestMistakes:
    def test_one_version_beside_others(self, version: Path, model: Path, tmp_path: Path) -> None:
        shutil.copytree(version, tmp_path / "both")
        shutil.copytree(model, tmp_path / "both", dirs_exist_ok=True)
        with pytest.raises(CheckpointError, match=r"both holds card.json, .* 1/card.json too"):
            checkpoint.contents(tmp_path / "both")

    def test_one_version_beside_models(self, version: Path, tmp_path: Path) -> None:
        publish_tiny(tmp_path / "other", "shapes")
        shutil.copytree(tmp_path / "other", version, dirs_exist_ok=True)
        with pytest.raises(CheckpointError, match=r"holds card.json, .* shapes/1/card.json too"):
            checkpoint.contents(version)

    @pytest.mark.parametrize("name", ["shapes", "9"])
    def test_versions_beside_models(self, model: Path, name: str) -> None:
        (model / name).mkdir()
        assert checkpoint.contents(model).form is Form.MODEL
        shutil.copytree(model / "1", model / name / "1")
        with pytest.raises(CheckpointError, match=f"holds 1/card.json, .* {name}/1/card.json too"):
            checkpoint.contents(model)

    def test_a_version_of_another_model(self, model: Path, tmp_path: Path) -> None:
        """The lowest names the model, so that one which is added later can't rename it."""
        publish_tiny(tmp_path / "other", "shapes")
        shutil.copytree(tmp_path / "other" / "shapes" / "1", model / "3")
        assert checkpoint.names(model) == ["colors"]
        with pytest.raises(CheckpointError, match=r"is of shapes/1, but .* folder 3 of .* colors"):
            checkpoint.read_card(checkpoint.find(model, "colors"))
        rewrite(model / "2", version=1)
        with pytest.raises(CheckpointError, match="is of colors/1, but lies in the folder 2 of"):
            checkpoint.read_card(checkpoint.find(model, "colors", 2))

    def test_a_version_that_is_exchanged(self, version: Path) -> None:
        place = checkpoint.find(version, "colors")
        rewrite(version, version=5)
        with pytest.raises(CheckpointError, match="is of colors/5, but was of colors/2 when"):
            checkpoint.read_card(place)

    @pytest.mark.parametrize(
        ("card", "told"),
        [
            ("", "is not JSON"),
            ("[" * 100_000, "is not JSON"),
            ("[]", "names no model"),
            ('{"name": "No Such", "version": 1}', "names no model"),
            ('{"name": "a", "version": true}', "has no version"),
            ('{"name": "a", "version": 0}', "has no version"),
            (None, "can't be read: No such file"),
            (" " * (4 * 2**20 + 1), "is larger than 4,194,304 bytes"),
        ],
    )
    def test_a_card_that_tells_no_name(self, version: Path, card: str | None, told: str) -> None:
        (version / "card.json").unlink()
        if card is None:
            (version / "card.json").symlink_to("nowhere")
        else:
            (version / "card.json").write_text(card)
        with pytest.raises(CheckpointError, match=told):
            checkpoint.names(version)

    def test_the_first_card_is_broken(self, model: Path) -> None:
        (model / "1" / "card.json").write_text("{")
        assert checkpoint.names(model) == ["colors"]
        (model / "2" / "card.json").write_text("{")
        with pytest.raises(CheckpointError, match=r"1/card.json is not JSON"):
            checkpoint.names(model)

    def test_a_path_without_a_number(self, version: Path) -> None:
        with pytest.raises(CheckpointError, match="its name must be a number"):
            checkpoint.load(version, CPU)


class TestPublishing:
    def test_the_next_version_of_the_model(self, model: Path) -> None:
        card = publish_tiny(model, "colors", seed=3)
        assert (card.name, card.version) == ("colors", 3)
        assert checkpoint.load(checkpoint.find(model, "colors"), CPU).card == card

    def test_a_trust_beside_its_version(self, model: Path) -> None:
        place = checkpoint.find(model, "colors", 1)
        card = checkpoint.read_card(place)
        published = checkpoint.publish_trust(model, place, card, Fitted(None, ("too few",)))
        assert (published.version, published.trust_note) == (3, "too few")
        assert published.weights_sha256 == card.weights_sha256

    def test_another_model(self, model: Path) -> None:
        with pytest.raises(CheckpointError, match=r"holds the versions of colors, .*'shapes'"):
            publish_tiny(model, "shapes")
        assert sorted(each.name for each in model.iterdir()) == ["1", "2"]

    def test_beside_one_version(self, version: Path) -> None:
        for name in ("colors", "shapes"):
            with pytest.raises(CheckpointError, match=r"is a single version, of colors: .*publish"):
                publish_tiny(version, name)
            with pytest.raises(CheckpointError, match="is a single version"):
                checkpoint.check_target(version, name)
        assert sorted(each.name for each in version.iterdir()) == ["card.json", "weights.pt"]

    def test_other_labels_are_noticed(self, model: Path, version: Path) -> None:
        with pytest.raises(CheckpointError, match="colors/1 has the labels blue, green, red"):
            repositories.check_same_labels(model, "colors", ("a", "b"))


def as_volume(folder: Path, data: Path, name: str) -> None:
    """Fill a folder as Kubernetes fills a volume: links by `..data` to a folder with a date."""
    shutil.copytree(data, folder / f"..{name}")
    (folder / "..new").symlink_to(f"..{name}")
    (folder / "..new").rename(folder / "..data")  # in one step, also where one was
    for each in data.iterdir():
        if not os.path.lexists(folder / each.name):
            (folder / each.name).symlink_to(f"..data/{each.name}")


class TestLinks:
    def test_a_volume_of_one_version(self, version: Path, tmp_path: Path) -> None:
        as_volume(tmp_path / "volume", version, "2026_01_01")
        place = checkpoint.find(tmp_path / "volume", "colors")
        assert place.form is Form.VERSION
        assert checkpoint.load(place, CPU).card.version == 2

    def test_a_volume_of_a_model(self, model: Path, tmp_path: Path) -> None:
        as_volume(tmp_path / "volume", model, "2026_01_01")
        for number in (1, 2):
            loaded = checkpoint.load_named(tmp_path / "volume", "colors", number, CPU)
            assert loaded.card.version == number

    def test_a_folder_that_is_a_link(self, version: Path, tmp_path: Path) -> None:
        (tmp_path / "models").symlink_to(version)
        assert checkpoint.load_named(tmp_path / "models", "colors", 2, CPU).card.version == 2

    def test_a_link_that_leads_out(self, version: Path, tmp_path: Path) -> None:
        """As nobody's volume does: files elsewhere must not be read by a card's place."""
        (version / "card.json").rename(tmp_path / "card.json")
        (version / "card.json").symlink_to(tmp_path / "card.json")
        with pytest.raises(CheckpointError, match=r"card.json is a link to .* outside"):
            checkpoint.names(version)

    def test_the_files_of_another_container(self, version: Path, tmp_path: Path) -> None:
        """KServe links /mnt/models to the file system of the container that brings the model."""
        shutil.copytree(version, tmp_path / "image" / "models")
        wait = "import os, sys; os.chroot(sys.argv[1]); print(flush=True); sys.stdin.read()"
        other = subprocess.Popen(
            [sys.executable, "-c", wait, str(tmp_path / "image")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with other:
            assert other.stdout is not None
            if not other.stdout.readline():
                pytest.skip("this user can't change the root of a process")
            (tmp_path / "models").symlink_to(Path("/proc", str(other.pid), "root", "models"))
            place = checkpoint.find(tmp_path / "models", "colors")
            assert checkpoint.load(place, CPU).card.version == 2
            other.kill()
