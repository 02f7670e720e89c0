"""`fanlight visualize` of a model: its parameters, kernels, activations and class maps."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models import checkpoint
from models.architectures import registry
from models.preprocessing import InputSpec
from models.registry import proposal
from models.repository_paths import SHIPPED
from tests.models.convolutional.test_class_map import collage, opened
from tests.networks import DATA, LABELS, encode, picture
from tests.training.commands.test_visualize import (
    of_model,
    publish,
    visualize,
    written,
)
from tests.training.plots.conftest import drawn as drawn
from tests.training.plots.drawn import Drawn, values

LAYERS = ["conv", "relu", "pool", "fc", "penultimate"]


class Functional(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 2, 3), nn.Linear(72, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv(x).tanh().flatten(1))
        return logits


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


def test_a_layer_that_is_called_twice_says_which_call_is_drawn(
    here: Path, tmp_path: Path, drawn: Drawn
) -> None:
    publish(tmp_path, "torchvision/resnet18")
    file, names = DATA / "digits" / "3.png", ["layer1.0.relu", "layer1.0.conv1"]
    assert of_model("features", tmp_path, file, "--layers", *names, name="resnet18") == 0
    once, twice = list(drawn.panels)[2:]
    assert twice.startswith("layer1.0.relu (ReLU, last of 2 calls): ")
    assert once.startswith("layer1.0.conv1 (Conv2d): ")


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


def test_a_class_map_tells_what_was_done_to_the_picture(
    here: Path, drawn: Drawn, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("small.png").write_bytes(encode(picture(0, (10, 8))))
    assert of_model("class-map", SHIPPED, "small.png", name="birds-vs-planes") == 0
    told = "The image is enlarged from 10 × 8 to 40 × 32 pixels"
    assert told in drawn.title
    assert told in capsys.readouterr().out


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
        assert of_model("features", tmp_path, file, name="functional") == 0
    shown, told = capsys.readouterr()
    assert "Called outside of layers, so that no layer shows it: " in shown
    assert "tanh" in shown
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
