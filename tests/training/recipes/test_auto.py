"""What a recipe leaves open is chosen by the pictures, and nothing else is touched."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from training.fitting.start import imagenet
from training.recipes import auto, catalogue
from training.recipes.auto import fill_input, fill_length, fill_start
from training.recipes.recipe import Recipe


def own(folder: Path, **fields: Any) -> Recipe:
    """The recipe for a folder of one's own pictures, from scratch unless a field says otherwise."""
    return replace(catalogue.OWN, **({"dataset": str(folder), "pretrained": None} | fields))


def write(folder: Path, sizes: list[tuple[int, int]], mode: str = "RGB") -> Path:
    """A folder of two classes; each has pictures of all those sizes."""
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number, size in enumerate(sizes):
            Image.new(mode, size).save(folder / label / f"{mode}-{number}.png")
    return folder


class TestStart:
    def start(self, folder: Path, **fields: Any) -> tuple[Recipe, str | None]:
        return fill_start(own(folder, **({"pretrained": "auto"} | fields)), folder)

    @pytest.fixture(autouse=True)
    def weights(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Stand for the weights of the extra `pretrained`."""
        monkeypatch.setattr(imagenet, "file", lambda: tmp_path / "weights.pth")
        return tmp_path

    @pytest.mark.parametrize("mode", ["RGB", "L"])
    @pytest.mark.parametrize("side", [64, 300])
    def test_photographs_start_from_a_pretrained_network(
        self, tmp_path: Path, mode: str, side: int
    ) -> None:
        recipe, why = self.start(write(tmp_path, [(side, side)] * 3, mode))
        assert (recipe.architecture, recipe.pretrained) == ("efficientnet-lite0", "imagenet")
        assert recipe.tune == "head-first"
        assert fill_input(recipe, tmp_path).input.shape == (3, 224, 224)
        assert why is not None
        assert why.startswith(f"pretrained: photographs of {side} pixels")

    @pytest.mark.parametrize("side", [28, 32, 63])
    def test_small_pictures_start_from_scratch(self, tmp_path: Path, side: int) -> None:
        recipe, why = self.start(write(tmp_path, [(side, 300)] * 3))
        assert recipe == own(tmp_path)
        assert why is not None
        assert f"small ({side} pixels" in why

    def test_without_the_extra_the_command_that_installs_it_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(imagenet, "file", lambda: None)
        recipe, why = self.start(write(tmp_path, [(100, 100)] * 3))
        assert recipe == own(tmp_path)
        assert why is not None
        assert "pip install 'fanlight[pretrained]'" in why

    def test_more_pictures_than_memory_takes_start_from_scratch(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(auto, "MAX_PHOTOGRAPHS", 3)
        recipe, why = self.start(write(tmp_path, [(100, 100)] * 3))
        assert recipe == own(tmp_path)
        assert why is not None
        assert "4 pictures are enough" in why

    def test_a_data_set_without_files_starts_from_scratch(self, tmp_path: Path) -> None:
        recipe, why = self.start(tmp_path, dataset="mnist")
        assert recipe.pretrained is None
        assert why is not None
        assert why.startswith("from scratch")

    @pytest.mark.parametrize("source", [None, "imagenet", "download", "weights.pt"])
    def test_a_start_that_is_given_stays(self, tmp_path: Path, source: str | None) -> None:
        write(tmp_path, [(100, 100)] * 3)
        recipe, why = self.start(tmp_path, pretrained=source)
        assert (recipe, why) == (own(tmp_path, pretrained=source), None)

    def test_the_network_that_has_weights_takes_them_for_small_pictures_too(
        self, tmp_path: Path
    ) -> None:
        write(tmp_path, [(28, 28)] * 3)
        recipe, _ = self.start(tmp_path, architecture="efficientnet-lite0")
        assert recipe.pretrained == "imagenet"

    @pytest.mark.parametrize(("asked", "tune"), [("head", "head"), ("all", "head-first")])
    def test_what_shall_be_tuned_stays(self, tmp_path: Path, asked: str, tune: str) -> None:
        write(tmp_path, [(100, 100)] * 3)
        assert self.start(tmp_path, tune=asked)[0].tune == tune

    def test_from_scratch_every_layer_is_trained(self, tmp_path: Path) -> None:
        write(tmp_path, [(28, 28)] * 3)
        assert self.start(tmp_path, tune="head")[0].tune == "all"


class TestInput:
    @pytest.mark.parametrize(
        ("sides", "size"),
        [
            ([20] * 5, 32),
            ([32] * 5, 32),
            ([63] * 5, 32),
            ([64] * 5, 64),
            ([95] * 5, 64),
            ([1000] * 5, 96),
            ([30, 30, 70, 70, 70, 70, 70], 64),
        ],
    )
    def test_the_size_follows_the_pictures(
        self, tmp_path: Path, sides: list[int], size: int
    ) -> None:
        folder = write(tmp_path, [(side, side) for side in sides])
        assert fill_input(own(folder), tmp_path).size == size

    def test_the_shorter_side_counts(self, tmp_path: Path) -> None:
        folder = write(tmp_path, [(200, 40), (40, 200), (200, 40), (90, 50), (40, 300)])
        assert fill_input(own(folder), tmp_path).size == 32

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
    def test_grey_pictures_stay_grey(self, tmp_path: Path, mode: str) -> None:
        recipe = fill_input(own(write(tmp_path, [(8, 8)] * 3, mode)), tmp_path)
        assert recipe.arguments == {"channels": 1}
        assert recipe.input.channels == 1

    def test_some_pictures_in_colour_make_three_channels(self, tmp_path: Path) -> None:
        write(tmp_path, [(8, 8)] * 10, "RGB")
        for path in (tmp_path / "dog").iterdir():
            Image.new("L", (8, 8)).save(path)
        assert fill_input(own(tmp_path), tmp_path).arguments == {"channels": 3}

    def test_a_folder_under_the_data_root(self, tmp_path: Path) -> None:
        write(tmp_path / "pets", [(70, 70)] * 3)
        assert fill_input(replace(own(tmp_path), dataset="pets"), tmp_path).size == 64

    def test_joined_folders_are_looked_at_together(self, tmp_path: Path) -> None:
        write(tmp_path / "near", [(70, 70)] * 4, "L")
        write(tmp_path / "far", [(40, 40)] * 3, "RGB")
        recipe = fill_input(replace(own(tmp_path), dataset="near + far"), tmp_path)
        assert (recipe.size, recipe.arguments) == (64, {"channels": 3})
        asked = replace(own(tmp_path), dataset="near + mnist")
        assert fill_input(asked, tmp_path) == asked

    def test_other_arguments_stay(self, tmp_path: Path) -> None:
        folder = write(tmp_path, [(70, 70)] * 3, "L")
        recipe = fill_input(own(folder, arguments={"widths": [8]}), tmp_path)
        assert recipe.arguments == {"widths": [8], "channels": 1}

    def test_what_was_asked_for_is_not_chosen(self, tmp_path: Path) -> None:
        folder = write(tmp_path, [(70, 70)] * 3, "L")
        asked = own(folder, size=48, arguments={"channels": 3})
        assert fill_input(asked, tmp_path) == asked

    @pytest.mark.parametrize(
        ("fields", "size"),
        [
            ({"architecture": "lenet"}, None),
            ({"architecture": "torchvision/resnet18"}, 64),
            ({"architecture": "torchvision/resnet18", "pretrained": "download"}, None),
            ({"architecture": "convnet", "pretrained": "weights.pt"}, 64),
        ],
    )
    def test_networks_of_one_size_keep_it(
        self, tmp_path: Path, fields: dict[str, Any], size: int | None
    ) -> None:
        recipe = fill_input(own(write(tmp_path, [(70, 70)] * 3), **fields), tmp_path)
        assert recipe.size == size
        assert recipe.arguments == ({"channels": 3} if "convnet" in fields.values() else {})

    @pytest.mark.parametrize(
        ("fields", "initialisation"),
        [
            ({}, "whitening"),
            ({"pretrained": "weights.pt"}, "default"),
            ({"architecture": "torchvision/resnet18", "pretrained": "download"}, "default"),
            ({"architecture": "lenet"}, "default"),
            ({"architecture": "lenet", "initialisation": "xavier"}, "xavier"),
        ],
    )
    def test_only_a_fresh_convnet_is_whitened(
        self, tmp_path: Path, fields: dict[str, Any], initialisation: str
    ) -> None:
        for dataset in (write(tmp_path / "own", [(70, 70)]), "mnist"):
            recipe = fill_input(replace(own(tmp_path, **fields), dataset=str(dataset)), tmp_path)
            assert recipe.initialisation == initialisation

    def test_files_that_can_not_be_read_are_passed_over(self, tmp_path: Path) -> None:
        folder = write(tmp_path, [(70, 70)] * 10, "L")
        for number in range(3):
            (folder / "cat" / f"broken-{number}.png").write_bytes(b"no picture")
        recipe = fill_input(own(folder), tmp_path)
        assert (recipe.size, recipe.arguments) == (64, {"channels": 1})

    @pytest.mark.parametrize("name", ["missing", "empty", "mnist"])
    def test_nothing_to_look_at(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "empty").mkdir()
        asked = replace(own(tmp_path), dataset=name)
        assert fill_input(asked, tmp_path) == asked


class TestLength:
    @pytest.mark.parametrize(
        ("pictures", "scratch", "pretrained"),
        [(1, 60, 15), (240, 60, 15), (4000, 50, 5), (10_000, 20, 4), (100_000, 10, 4), (0, 60, 15)],
    )
    def test_epochs_follow_the_number_of_pictures(
        self, pictures: int, scratch: int, pretrained: int
    ) -> None:
        assert fill_length(own(Path()), pictures).epochs == scratch
        recipe = own(Path(), pretrained="download")
        assert fill_length(recipe, pictures).epochs == pretrained

    @pytest.mark.parametrize(
        ("optimizer", "source", "rate"),
        [
            ("sgd", None, 0.05),
            ("sgd", "download", 0.01),
            ("adam", None, 0.001),
            ("adam", "download", 0.0001),
        ],
    )
    def test_the_rate_follows_optimizer_and_start(
        self, optimizer: Any, source: str | None, rate: float
    ) -> None:
        recipe = own(Path(), optimizer=optimizer, momentum=0, pretrained=source)
        assert fill_length(recipe, 100).learning_rate == rate

    def test_what_was_asked_for_is_not_chosen(self) -> None:
        asked = own(Path(), epochs=3, learning_rate=0.3)
        assert fill_length(asked, 100) == asked


@pytest.mark.parametrize(
    ("tune", "pictures", "epochs"),
    [("head", 245, 1), ("head-first", 20, 9), ("head-first", 800, 5), ("head-first", 9000, 4)],
)
def test_a_head_is_one_epoch_and_all_layers_few_more(tune: Any, pictures: int, epochs: int) -> None:
    recipe = own(Path(), pretrained="imagenet", architecture="efficientnet-lite0", tune=tune)
    assert fill_length(recipe, pictures).epochs == epochs


def test_behind_a_head_that_fits_the_steps_are_small() -> None:
    recipe = own(Path(), pretrained="imagenet", architecture="efficientnet-lite0")
    whole, behind = (
        fill_length(replace(recipe, tune=tune), 245).learning_rate for tune in ("all", "head-first")
    )
    assert (whole, behind) == (0.01, 0.002)
