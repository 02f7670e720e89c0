"""`profile` tells where the memory, arithmetic and time of a network go."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fanlight.command import main
from models import checkpoint
from models.architectures import registry
from tests.networks import SPEC, publish_tiny


def profile(target: str, *arguments: str, repository: Path = Path("missing")) -> int:
    command = ["profile", target, "--device", "cpu", "--passes", "1"]
    return main([*command, "--repository", str(repository), *arguments])


def figures(tmp_path: Path, target: str, *arguments: str, **options: Any) -> dict[str, Any]:
    """What the command writes as JSON."""
    path = tmp_path / "profile.json"
    assert profile(target, "--json", str(path), *arguments, **options) == 0
    content: dict[str, Any] = json.loads(path.read_bytes())
    return content


def rows(printed: str) -> dict[str, list[str]]:
    """The table, by the first cell; columns are two spaces or more apart."""
    cells = [re.split(r" {2,}", line.strip()) for line in printed.splitlines()]
    return {each[0]: each[1:] for each in cells if len(each) > 1}


@pytest.mark.slow
def test_the_table_of_alexnet(capsys: pytest.CaptureFixture[str]) -> None:
    assert profile("alexnet") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("architecture alexnet: input 1×224×224, 10 classes; batch of 1 on ")
    table = rows(printed)
    conv2 = f"{256 * 96 * 5 * 5 * 26 * 26:,}"
    assert table["3"][:8] == [
        *("Conv2d", "256×26×26", "614,656", "1%", "2.5 MB", conv2, "44%", "692.2 kB")
    ]
    assert table["5"][:2] == ["MaxPool2d", "256×12×12"]
    assert table["14"][:4] == ["Linear", "4096", "26,218,496", "56%"]
    assert table["total"][:4] == ["46,764,746", "100%", "187.1 MB", "938,146,176"]


@pytest.mark.slow
def test_where_it_all_goes(capsys: pytest.CaptureFixture[str]) -> None:
    assert profile("alexnet", "--batch-size", "2") == 0
    printed = capsys.readouterr().out
    assert "parameters: 92% in Linear, 8% in Conv2d; layer 14 (Linear) alone has 56%\n" in printed
    assert (
        "multiply-adds: 95% in Conv2d, 5% in Linear; layer 3 (Conv2d) alone has 44%\n"
    ) in printed
    assert re.search(r"^activations: .*; layer 0 \(Conv2d\) alone has 21%$", printed, re.M)
    assert re.search(r"^time: \d+% in ", printed, re.M)
    assert "a training step with a batch of 2 takes, as an estimate: weights 187.1 MB" in printed
    assert "with momentum 569.2 MB, with Adam 756.2 MB\n" in printed


def test_a_network_without_parameters_and_arithmetic(capsys: pytest.CaptureFixture[str]) -> None:
    with registry.ARCHITECTURES.restored():
        registry.register("mean", SPEC)(
            lambda num_classes=3: nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
        )
        assert profile("mean") == 0
    printed = capsys.readouterr().out
    assert "parameters: none\nmultiply-adds: none\nactivations: 100% in AvgPool2d; " in printed


def test_json_has_every_figure(tmp_path: Path) -> None:
    content = figures(tmp_path, "lenet", "--batch-size", "3")
    layers = {layer.pop("name"): layer for layer in content["layers"]}
    assert list(layers)[:3] == ["conv1", "activation1", "pool1"]
    assert layers["conv2"].pop("milliseconds") > 0
    assert layers["conv2"] == {
        "type": "Conv2d",
        "output_shape": [16, 10, 10],
        "parameters": 2416,
        "weight_bytes": 2416 * 4,
        "multiply_adds": 10 * 10 * 16 * 6 * 5 * 5,
        "activation_bytes": 1600 * 4,
    }
    network = registry.architecture("lenet").build(10)
    assert content["total"]["parameters"] == sum(p.numel() for p in network.parameters())
    assert content["total"]["multiply_adds"] == 416_520
    assert content["training"]["gradients"] == content["total"]["weight_bytes"]
    assert (content["architecture"], content["num_classes"]) == ("lenet", 10)
    assert content["input"] == {
        "channels": 1,
        "height": 28,
        "width": 28,
        "resize": "crop",
        "mean": [0.5],
        "std": [0.5],
    }
    assert (content["batch_size"], content["passes"], content["device"]) == (3, 1, "cpu")
    assert content["torch"] == torch.__version__


def test_nothing_is_written_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert profile("lenet") == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "options", "parameters"),
    [
        ("birdplane-base", (), 18_090),
        ("birdplane-base", ("--num-classes", "10"), 18_090 + 8 * 33),
        ("mlp", ("--arguments", "hidden=[20,30]", "batchnorm=true"), 15_700 + 40 + 630 + 60 + 310),
        ("torchvision/squeezenet1_1", (), 1_235_496),
        ("torchvision/squeezenet1_1", ("--num-classes", "2"), 1_235_496 - 998 * 513),
    ],
)
def test_parameters_follow_classes_and_arguments(
    tmp_path: Path, target: str, options: tuple[str, ...], parameters: int
) -> None:
    assert figures(tmp_path, target, *options)["total"]["parameters"] == parameters


def test_arguments_are_told(tmp_path: Path) -> None:
    content = figures(tmp_path, "mlp", "--arguments", "hidden=[20,30]", "dropout=0.5")
    assert content["arguments"] == {"hidden": [20, 30], "dropout": 0.5}


def test_a_model_of_the_repository(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = figures(tmp_path, "colors", repository=repository)
    assert capsys.readouterr().out.startswith("model colors/2, architecture tiny: input 3×8×8, 3 ")
    assert (content["name"], content["architecture"]) == ("colors", "tiny")
    assert (content["version"], content["num_classes"]) == (2, 3)
    loaded = checkpoint.load(repository / "colors" / "2", torch.device("cpu"))
    assert [layer["multiply_adds"] for layer in content["layers"]] == [
        layer.multiply_adds for layer in loaded.layers
    ]


def test_a_version_of_it(repository: Path, tmp_path: Path) -> None:
    content = figures(tmp_path, "colors", "--version", "1", repository=repository)
    assert content["version"] == 1


@pytest.mark.parametrize(
    ("options", "version"), [((), None), (("--checkpoint",), 1), (("--version", "1"), 1)]
)
def test_an_architecture_comes_before_a_model_of_its_name(
    tmp_path: Path, options: tuple[str, ...], version: int | None
) -> None:
    publish_tiny(tmp_path / "repository", name="lenet")
    content = figures(tmp_path, "lenet", *options, repository=tmp_path / "repository")
    assert content["version"] == version
    assert content["architecture"] == ("tiny" if version else "lenet")


def test_a_batch_that_can_not_be_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert figures(tmp_path, "mlp", "--arguments", "batchnorm=true")["training"] is None
    assert (
        "a training step with a batch of 1 can't be estimated: Expected more than 1 value"
    ) in capsys.readouterr().out


def test_the_global_generator_is_left_alone() -> None:
    state = torch.random.get_rng_state()
    assert profile("lenet") == 0
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("nothing", (), "'nothing' is neither an architecture (alexnet, "),
        ("nothing", (), "nor a model in missing (which has none)"),
        ("torchvision/nothing", (), "torchvision has no classifier 'nothing'"),
        ("lenet", ("--version", "3"), "there is no folder missing, in which 'lenet'"),
        ("lenet", ("--checkpoint",), "there is no folder missing, in which 'lenet'"),
        ("lenet", ("--num-classes", "0"), "num_classes must be at least 1, not 0"),
        ("lenet", ("--batch-size", "0"), "batch_size must be at least 1, not 0"),
        ("lenet", ("--passes", "0"), "passes must be at least 1, not 0"),
        ("lenet", ("--arguments", "depth=3"), "'lenet' can't be built with {'depth': 3}"),
        ("lenet", ("--json", "missing/profile.json"), "No such file or directory"),
    ],
)
def test_mistakes_are_told(
    target: str, options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    of_usage = "must be at least 1" in message
    assert profile(target, *options) == (2 if of_usage else 1)
    assert re.fullmatch(f"error: .*{re.escape(message)}.*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    "options", [("--num-classes", "2"), ("--arguments", "n_channel=2"), ("--size", "9")]
)
def test_a_checkpoint_is_not_built_anew(
    repository: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert profile("colors", *options, repository=repository) == 2
    assert "--arguments, --num-classes and --size are told by" in capsys.readouterr().err
