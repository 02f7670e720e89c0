"""`visualize` writes pictures of data sets, trainings and networks, and tells where."""

import re
import shutil
from importlib import import_module
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from fanlight.command import main
from models import checkpoint
from models.architectures import registry
from models.checkpoint import TrainingRecord
from models.preprocessing import InputSpec, decode
from models.registry import proposal
from models.repository_paths import SHIPPED
from tests.models.convolutional.test_class_map import collage, opened
from tests.networks import DATA, LABELS, encode, picture, publish_tiny
from tests.training.pictures import write_colors
from tests.training.plots.conftest import drawn as drawn
from tests.training.plots.drawn import Drawn, values
from training.data.files import folders
from training.data.files.folders import Files
from training.data.files.splits import Split
from training.fitting.evaluation import Metrics
from training.fitting.loop import Epoch
from training.fitting.records.run_folder import Run
from training.recipes.recipe import Recipe

pytestmark = pytest.mark.slow


LAYERS = ["conv", "relu", "pool", "fc", "penultimate"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def visualize(*arguments: str | Path) -> int:
    return main(["visualize", *map(str, arguments)])


def of_model(what: str, repository: Path, *arguments: str | Path, name: str = "colors") -> int:
    return visualize(what, name, *arguments, "--repository", repository, "--device", "cpu")


class Functional(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 2, 3), nn.Linear(72, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv(x).tanh().flatten(1))
        return logits


def publish(repository: Path, name: str, **arguments: object) -> None:
    """A network of the architecture of that name, with three classes."""
    built = registry.architecture(name)
    checkpoint.publish(
        repository,
        built.build(3, **arguments).eval(),
        name=name,
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
@pytest.mark.thorough
def test_the_folder_is_chosen(before: bool, here: Path) -> None:
    output, what = ["--output", "some/where"], ["picture", str(DATA / "digits" / "3.png")]
    assert visualize(*(output + what if before else what + output)) == 0
    assert len(written(here / "some" / "where")) == 2


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


def test_histograms_of_all_parameters(here: Path, repository: Path, drawn: Drawn) -> None:
    assert of_model("weights", repository) == 0
    assert written(here / "pictures") == ["weights-colors-2.png"]
    names = ["conv.weight (108)", "conv.bias (4)", "fc.weight (12)", "fc.bias (3)"]
    assert list(drawn.panels) == names


def test_a_version_by_its_number(here: Path, repository: Path, drawn: Drawn) -> None:
    assert of_model("weights", repository, "--version", "1") == 0
    assert drawn.title == "colors/1, 127 parameters"


def test_kernels_of_every_convolution(here: Path) -> None:
    assert of_model("kernels", SHIPPED, name="birds-vs-planes-batchnorm") == 0
    names = [
        "kernels-birds-vs-planes-batchnorm-1-conv1.png",
        "kernels-birds-vs-planes-batchnorm-1-conv2.png",
    ]
    assert written(here / "pictures") == names


def test_a_layer_by_its_name(here: Path, drawn: Drawn) -> None:
    assert of_model("kernels", SHIPPED, "--layer", "conv2", name="birds-vs-planes-batchnorm") == 0
    assert len(drawn) == 1
    assert drawn.title.startswith(
        "birds-vs-planes-batchnorm/1, layer conv2: 16 × 32 kernels of 3 × 3"
    )
    assert of_model("kernels", SHIPPED, "--layer", "fc1", name="birds-vs-planes-batchnorm") == 0
    assert drawn.title.startswith(
        "birds-vs-planes-batchnorm/1, layer fc1: 32 × 16 kernels of 8 × 8"  # as the service has it
    )


def test_the_first_layer_of_a_perceptron_as_templates(
    here: Path, tmp_path: Path, drawn: Drawn
) -> None:
    publish(tmp_path, "mlp", hidden=[784])
    assert of_model("kernels", tmp_path, name="mlp") == 0
    assert drawn.title == "mlp/1, layer 0: 784 × 1 kernels of 28 × 28"
    assert of_model("kernels", tmp_path, "--layer", "2", name="mlp") == 0
    assert drawn.title == "mlp/1, layer 2: 3 outputs × 784 inputs"  # of hidden values, no picture
    rows = [label.get_text() for label in drawn.figure.axes[0].get_yticklabels()]
    assert rows == list(LABELS)


def test_kernels_of_many_channels_get_several_files(
    here: Path, monkeypatch: pytest.MonkeyPatch, drawn: Drawn
) -> None:
    monkeypatch.setattr(import_module("training.plots.networks.kernels"), "MAX_PIXELS", 250)
    assert of_model("kernels", SHIPPED, "--layer", "conv2", name="birds-vs-planes-batchnorm") == 0
    name = "kernels-birds-vs-planes-batchnorm-1-conv2"
    assert written(here / "pictures") == [f"{name}-2.png", f"{name}.png"]
    assert "page 2 of 2: input channels 16 to 31" in drawn.title


def test_features_of_every_layer(here: Path, drawn: Drawn) -> None:
    file = DATA / "birds-vs-planes" / "bird-owl.png"
    assert of_model("features", SHIPPED, file, name="birds-vs-planes-batchnorm") == 0
    assert written(here / "pictures") == ["features-birds-vs-planes-batchnorm-1-bird-owl.png"]
    loaded = checkpoint.load(SHIPPED / "birds-vs-planes-batchnorm" / "1", torch.device("cpu"))
    strips = list(drawn.panels)[2:]
    assert len(strips) == len(loaded.layers)
    for layer, strip in zip(loaded.layers, strips, strict=True):
        assert strip.startswith(f"{layer.name} ({layer.type}): ")
        assert re.search(r": \d+×\d+ pixels of 32×32, (low|middle|high) level, ", strip)
    assert "conv2 (Conv2d): 8×8 pixels of 32×32, middle level, 16×16×16" in "\n".join(strips)
    labels = [[label.get_text() for label in axes.get_yticklabels()] for axes in drawn.figure.axes]
    assert labels[-1] == ["airplane", "bird"]  # of the last layer's bars
    assert re.fullmatch(
        r"birds-vs-planes-batchnorm/1 on bird-owl\.png: bird 0\.\d{3}",
        drawn.figure.texts[0].get_text(),
    )


def test_features_are_what_the_network_computes(here: Path, repository: Path, drawn: Drawn) -> None:
    Path("noise.png").write_bytes(encode(picture(3, (20, 30))))
    assert of_model("features", repository, "noise.png", "--layers", "conv") == 0
    loaded = checkpoint.load(repository / "colors" / "2", torch.device("cpu"))
    spec: InputSpec = loaded.card.input
    pixels = spec.pixels(picture(3, (20, 30)))
    shown, _, strip = drawn.panels.values()
    assert torch.equal(torch.from_numpy(values(shown)).permute(2, 0, 1), pixels.double())
    with torch.inference_mode():
        expected = loaded.network.conv(spec.normalize(pixels[None]))[0]  # type: ignore[operator]
    assert torch.equal(torch.from_numpy(values(strip))[:, 9:17], expected[1].double())


def test_levels_do_not_depend_on_which_layers_are_asked_for(here: Path, drawn: Drawn) -> None:
    file = DATA / "birds-vs-planes" / "bird-owl.png"
    name = "birds-vs-planes-batchnorm"
    assert of_model("features", SHIPPED, file, "--layers", "conv1", name=name) == 0
    assert list(drawn.panels)[2].startswith("conv1 (Conv2d): 3×3 pixels of 32×32, low level, ")
    assert of_model("features", SHIPPED, file, "--layers", "tanh2", name=name) == 0
    assert list(drawn.panels)[2].startswith("tanh2 (Tanh): 10×10 pixels of 32×32, middle level, ")


def test_the_embedding_is_what_the_last_layer_takes(
    here: Path, repository: Path, drawn: Drawn
) -> None:
    file = DATA / "digits" / "3.png"
    assert of_model("features", repository, file, "--layers", "penultimate") == 0
    (strip,) = list(drawn.panels)[2:]
    # 4 values, and not the 3×8×8 of the input
    assert strip.startswith("penultimate: 8×8 pixels of 8×8, high level, 4, ")


@pytest.mark.parametrize("name", ["", "conv9"])
def test_a_layer_that_is_not_there(
    name: str, here: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = DATA / "digits" / "3.png"
    assert of_model("features", repository, file, "--layers", name) == 1
    assert f"no layer '{name}'; {proposal(name, LAYERS)}there are {', '.join(LAYERS)}" in (
        capsys.readouterr().err
    )


def test_of_very_many_layers_some_are_drawn(
    here: Path, repository: Path, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.commands.visualize.MAX_LAYERS", 2)
    file = DATA / "digits" / "3.png"
    assert of_model("features", repository, file) == 0
    assert [name.split(" ")[0] for name in list(drawn.panels)[2:]] == ["conv", "fc"]
    assert "(2 of 4 layers)" in drawn.figure.texts[0].get_text()


def test_a_class_map_of_a_picture_of_another_size(here: Path, drawn: Drawn) -> None:
    """The picture, the labels in colours with a legend, and a heat map a class."""
    tiles = [
        opened(DATA / "birds-vs-planes" / f"{name}.png") for name in ("bird-owl", "airplane-747")
    ]
    collage(tiles, 2).save("both.png")
    name = "birds-vs-planes"
    assert of_model("class-map", SHIPPED, "both.png", "--step", "8", name=name) == 0
    assert written(here / "pictures") == ["class-map-birds-vs-planes-1-both.png"]
    assert drawn.title == "birds-vs-planes/1 on both.png"
    image, labels, *heats = [axes for axes in drawn.figure.axes if axes.images]
    assert image.get_title() == "picture, 64 × 32"
    assert values(image).shape == (32, 64, 3)
    shown = labels.images[1].get_array()
    assert shown is not None
    assert shown[16, 16] != shown[16, 48]
    assert {axes.get_title().split(" ≤ ")[0] for axes in heats[:2]} == {"airplane", "bird"}
    [legend] = drawn.figure.legends
    texts = sorted(text.get_text() for text in legend.get_texts())
    assert [text.split(":")[0] for text in texts] == ["airplane", "bird"]
    assert not drawn.words_outside()


def test_a_class_map_tells_what_was_done_to_the_picture(here: Path, drawn: Drawn) -> None:
    Path("small.png").write_bytes(encode(picture(0, (10, 8))))
    assert of_model("class-map", SHIPPED, "small.png", name="birds-vs-planes") == 0
    assert "The image is enlarged from 10 × 8 to 40 × 32 pixels" in drawn.title


def test_a_class_map_of_a_perceptron(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path, "mlp", hidden=[4])
    assert of_model("class-map", tmp_path, DATA / "digits" / "3.png", name="mlp") == 1
    said = capsys.readouterr().err
    assert "a class map needs a convolution over parts of the image, and mlp/1 has none" in said


def test_saturation_of_pictures_and_of_a_data_set(
    here: Path, capsys: pytest.CaptureFixture[str], colors_folder: Path, drawn: Drawn
) -> None:
    name = "birds-vs-planes-batchnorm"
    file = DATA / "birds-vs-planes" / "bird-owl.png"
    assert of_model("saturation", SHIPPED, "--files", file, name=name) == 0
    assert written(here / "pictures") == [f"saturation-{name}-1.png"]
    told = capsys.readouterr().out
    rows = [line.split()[1] for line in told.splitlines() if " Tanh " in line and "tanh" in line]
    assert rows == ["tanh1", "tanh2", "tanh3"]
    assert "(8.24e-09)" in told  # the derivative at -10
    assert drawn.title == f"{name}/1 on bird-owl.png"
    assert list(drawn.panels) == [
        *(f"tanh{number} (Tanh)" for number in (1, 2, 3)),
        "product of the mean derivatives",
    ]
    folder = ("--dataset", colors_folder, "--count", "5")
    assert of_model("saturation", SHIPPED, *folder, name=name) == 0
    assert drawn.title == f"{name}/1 on 5 pictures of {colors_folder} (test)"


def test_saturation_of_a_network_that_calls_functions(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with registry.ARCHITECTURES.restored():

        @registry.register("functional", InputSpec(channels=3, height=8, width=8))
        def functional(num_classes: int) -> nn.Module:
            """Calls tanh as a function."""
            return Functional(num_classes)

        publish(tmp_path, "functional")
        file = DATA / "digits" / "3.png"
        assert of_model("saturation", tmp_path, "--files", file, name="functional") == 1
    told = capsys.readouterr().err
    assert "functional/1 has no activation function that is a layer; not seen: tanh" in told


def test_dropout_in_training_and_in_evaluation(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], drawn: Drawn
) -> None:
    publish(tmp_path, "birdplane-dropout")
    file = DATA / "birds-vs-planes" / "bird-owl.png"
    assert of_model("dropout", tmp_path, file, "--draws", "7", name="birdplane-dropout") == 0
    assert written(here / "pictures") == ["dropout-birdplane-dropout-1-bird-owl.png"]
    told = capsys.readouterr().out
    assert "conv2_dropout (Dropout2d): drops with probability 0.4, the others times 1.667" in told
    assert "probabilities of 7 draws of all dropout layers" in told
    assert len(drawn.figure.axes) == 3
    again = of_model("dropout", tmp_path, file, "--draws", "7", name="birdplane-dropout")
    assert (again, capsys.readouterr().out) == (0, told)


def test_a_network_without_dropout_names_others(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path, "birdplane-dropout")
    publish(tmp_path, "mnist-cnn")
    assert of_model("dropout", tmp_path, DATA / "digits" / "3.png", name="mnist-cnn") == 1
    told = capsys.readouterr().err
    assert "mnist-cnn/1 has no dropout layer; models that have one: birdplane-dropout;" in told
    assert "recipes that train one: birds-vs-planes-dropout, fashion-mnist-lenet-dropout" in told


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
    assert visualize(*arguments) == (2 if "--step" in arguments else 1)
    printed = capsys.readouterr()
    assert re.fullmatch(f"error: .*{re.escape(message)}.*\n", printed.err)
    assert printed.out == ""
    assert not Path("pictures").exists()


def test_a_network_without_parameters(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with registry.ARCHITECTURES.restored():
        spec = InputSpec(channels=3, height=1, width=1)
        registry.register("pixel", spec)(lambda num_classes=3: torch.nn.Flatten())
        publish(tmp_path, "pixel")
        assert of_model("weights", tmp_path, name="pixel") == 1
        assert "pixel/1 has no parameters" in capsys.readouterr().err
        assert of_model("kernels", tmp_path, name="pixel") == 1
    assert "has no convolution or linear layer; there are: none" in capsys.readouterr().err


@pytest.mark.gpu
def test_features_on_the_gpu(here: Path, repository: Path) -> None:
    file = DATA / "digits" / "3.png"
    options = ("--repository", repository, "--device", "cuda")
    assert visualize("features", "colors", file, *options) == 0
    assert written(here / "pictures") == ["features-colors-2-3.png"]
