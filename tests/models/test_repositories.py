"""A model's name → the first of several repositories that has a version of it."""

from pathlib import Path

import pytest
import torch

from models import repositories
from models.checkpoint import CheckpointError
from models.repository_paths import VARIABLE, join
from tests.networks import publish_tiny


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    """`colors/1` in the first; `colors/1`, `colors/2` and `shapes/1` in the second."""
    first, second = tmp_path / "first", tmp_path / "second"
    publish_tiny(first, seed=1)
    for seed in (2, 3):
        publish_tiny(second, seed=seed)
    publish_tiny(second, "shapes")
    return first, second


def test_the_first_hides_the_model_whole(both: tuple[Path, Path]) -> None:
    assert repositories.names(both) == ["colors", "shapes"]
    assert repositories.find(both, "colors").folder == both[0] / "colors" / "1"
    assert repositories.find(both, "shapes").folder == both[1] / "shapes" / "1"
    with pytest.raises(CheckpointError, match="no version 2"):
        repositories.find(both, "colors", 2)
    loaded = repositories.load_named(both[::-1], "colors", None, torch.device("cpu"))
    assert loaded.card.version == 2


def test_a_model_without_versions_hides_nothing(both: tuple[Path, Path]) -> None:
    (both[0] / "shapes" / ".draft").mkdir(parents=True)
    assert repositories.having(both, "shapes") == both[1]


@pytest.mark.parametrize("name", ["color", "../first/colors", "", "/", "no such"])
def test_an_unknown_name_is_told_with_all_that_there_are(
    name: str, both: tuple[Path, Path], tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(CheckpointError) as caught:
        repositories.find([*both, missing], name)
    assert f"{missing} (no folder)" in str(caught.value)
    assert "there are: colors, shapes" in str(caught.value)


def test_labels_are_compared_with_what_will_be_hidden(
    both: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients would get other classes under the same name as soon as it is published."""
    monkeypatch.setenv(VARIABLE, join(both))
    with pytest.raises(CheckpointError, match="other classes under the same name"):
        repositories.check_same_labels(both[0], "shapes", ("a", "b"))
    repositories.check_same_labels(both[0].parent, "shapes", ("a", "b"))


@pytest.mark.parametrize("written", ["first", "./second/../first", "link"])
def test_labels_are_compared_however_the_folder_is_written(
    written: str, both: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(both[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, join(both))
    with pytest.raises(CheckpointError, match="other classes under the same name"):
        repositories.check_same_labels(Path(written), "shapes", ("a", "b"))
