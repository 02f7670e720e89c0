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
from training.profiling import machine


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


def test_a_network_without_layers(capsys: pytest.CaptureFixture[str]) -> None:
    class Means(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3))

    with registry.ARCHITECTURES.restored():
        registry.register("means", SPEC)(lambda num_classes=3: Means())
        assert profile("means") == 0
    assert "time: 100% elsewhere\n" in capsys.readouterr().out


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
        ("lenet", ("--num-classes", "0"), "--num-classes must be 1 or more, not 0"),
        ("lenet", ("--batch-size", "0"), "--batch-size must be 1 or more, not 0"),
        ("lenet", ("--passes", "0"), "--passes must be 1 or more, not 0"),
        ("lenet", ("--arguments", "depth=3"), "'lenet' can't be built with {'depth': 3}"),
        ("lenet", ("--json", "missing/profile.json"), "No such file or directory"),
    ],
)
def test_mistakes_are_told(
    target: str, options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    of_usage = not {"--version", "--checkpoint", "--json"} & set(options)
    assert profile(target, *options) == (2 if of_usage else 1)
    see = "See fanlight profile --help\n" if of_usage else ""
    assert re.fullmatch(f"error: .*{re.escape(message)}.*\n{see}", capsys.readouterr().err)


@pytest.mark.parametrize(
    "options", [("--num-classes", "2"), ("--arguments", "n_channel=2"), ("--size", "9")]
)
def test_a_checkpoint_is_not_built_anew(
    repository: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert profile("colors", *options, repository=repository) == 2
    assert "--arguments, --num-classes and --size are told by" in capsys.readouterr().err


def test_a_bandwidth_that_can_not_be_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "array_bytes", lambda device: 1 << 50)
    assert profile("lenet", "--peak", "400") == 2
    assert "give it as --bandwidth, in GB/s" in capsys.readouterr().err


MACHINE = ("--peak", "400", "--bandwidth", "10")  # a ridge of 40 operations a byte


def traffic_rows(printed: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The tables of the traffic by layer and by batch size."""
    _, _, traffic = printed.partition("memory traffic of a step")
    by_layer, _, by_batch_size = traffic.partition("an optimizer's step moves")
    return rows(by_layer), rows(by_batch_size)


def test_the_traffic_of_alexnet(capsys: pytest.CaptureFixture[str]) -> None:
    assert profile("alexnet", *MACHINE) == 0
    printed = capsys.readouterr().out
    by_layer, by_batch_size = traffic_rows(printed)
    assert by_layer["14"] == [
        *("Linear", "104.9 MB", "16.4 kB", "0.5", "memory", "10.492"),
        *("104.9 MB", "104.9 MB", "52,428,800", "0.5", "memory"),
    ]
    assert by_layer["3"][:5] == ["Conv2d", "2.7 MB", "692.2 kB", "244", "arithmetic"]
    assert by_layer["1"][:5] == ["ReLU", "1.1 MB", "1.1 MB", "0", "memory"]
    assert by_layer["13"] == ["Flatten"]
    assert by_batch_size["1"][:3] == ["198.7 MB", "94%", "9.44"]
    assert by_batch_size["512"][6] == "1 of 8"
    assert (
        "machine: 400 GFLOP/s (as given), 10 GB/s (as given); below 40 FLOP/B memory is the bound\n"
    ) in printed
    assert (
        "forward bounds: memory bounds 3 of 8 layers with multiply-adds (14, 17, 20), and 10 "
    ) in printed
    assert (
        "forward by batch size: 187.1 MB whatever the batch, and 11.7 MB an image; arithmetic is "
        "the bound from a batch of 6 on\n"
    ) in printed
    assert "whatever the batch: SGD 561.2 MB, momentum 935.3 MB, Adam 1.3 GB\n" in printed


def test_traffic_is_not_counted_unless_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert figures(tmp_path, "lenet")["traffic"] is None
    assert "memory traffic" not in capsys.readouterr().out


def test_this_machine_is_measured_and_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert profile("lenet", "--traffic") == 0
    printed = capsys.readouterr().out
    assert re.search(
        r"^machine: \S+ GFLOP/s \(measured by products of matrices in float32\), \S+ GB/s "
        r"\(measured by a triad over three arrays of .*\); below \S+ FLOP/B memory is the bound$",
        printed,
        re.M,
    )
    assert re.search(
        r"^measured: the layers that memory bounds take \S+ of the \S+ ms of the forward pass; "
        r"its least time is \S+ ms$",
        printed,
        re.M,
    )


def test_the_traffic_as_json(tmp_path: Path) -> None:
    content = figures(tmp_path, "lenet", "--batch-size", "2", "--batch-sizes", "1", "16", *MACHINE)
    traffic = content["traffic"]
    assert traffic["machine"] == {"peak": 400e9, "bandwidth": 10e9, "ridge": 40}
    assert [layer["name"] for layer in traffic["layers"]] == [
        layer["name"] for layer in content["layers"]
    ]
    read, written = 4 * (2 * 784 + 156), 4 * 2 * 4704
    assert traffic["layers"][0]["forward"] == {
        "read": read,
        "written": written,
        "multiply_adds": 2 * 4704 * 25,
        "intensity": 2 * 2 * 4704 * 25 / (read + written),
        "bound": "memory",
        "least_milliseconds": pytest.approx((read + written) / 10e9 * 1000),
    }
    assert traffic["trained_bytes"] == content["training"]["gradients"]
    assert traffic["forward"]["fixed"] == content["total"]["weight_bytes"]
    assert [each["batch_size"] for each in traffic["batches"]] == [1, 16]
    assert traffic["batches"][0]["memory_bound"]["forward"] == [
        *("conv1", "conv2", "fc1", "fc2", "fc3")
    ]
    assert list(traffic["batches"][0]["intensity"]) == ["SGD", "momentum", "Adam"]


def test_operators_between_layers_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert profile("resnet", *MACHINE, "--batch-sizes", "1") == 0
    assert "elsewhere are operators that no layer shows: add\n" in capsys.readouterr().out


def test_traffic_without_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    with registry.ARCHITECTURES.restored():
        registry.register("mean", SPEC)(
            lambda num_classes=3: nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
        )
        assert profile("mean", *MACHINE) == 0
    printed = capsys.readouterr().out
    assert "backward traffic: none\n" in printed
    assert "forward bounds: memory bounds 0 of 0 layers with multiply-adds, and 1 " in printed
    assert "without multiply-adds\n" in printed


def test_a_network_that_needs_values_has_no_traffic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            means = x.mean((2, 3))
            return means if means.sum().item() > 0 else -means

    with registry.ARCHITECTURES.restored():
        registry.register("branching", SPEC)(lambda num_classes=3: Branching())
        assert figures(tmp_path, "branching", *MACHINE)["traffic"] is None
    assert "memory traffic can't be counted: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("network", "in_file"),
    [
        ("lenet", "lenet"),
        pytest.param(
            "torchvision/squeezenet1_1",
            "torchvision-squeezenet1_1",
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_plots_of_the_traffic(
    network: str, in_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert profile(network, "--plots", str(tmp_path / "new"), *MACHINE) == 0
    names = [f"intensity-{in_file}.png", f"roofline-{in_file}.png"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == names
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)


def test_precision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = figures(tmp_path, "lenet", "--precision", "bfloat16", *MACHINE)
    assert content["total"]["weight_bytes"] == 2 * content["total"]["parameters"]
    assert content["traffic"]["layers"][0]["forward"]["read"] == 2 * (784 + 156)
    assert "; batch of 1 in bfloat16 on cpu" in capsys.readouterr().out


def test_a_network_that_can_not_be_run_in_a_precision(capsys: pytest.CaptureFixture[str]) -> None:
    class Mixing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)) @ torch.ones(3, 3, device=x.device)

    with registry.ARCHITECTURES.restored():
        registry.register("mixing", SPEC)(lambda num_classes=3: Mixing())
        assert profile("mixing") == 0
        assert profile("mixing", "--precision", "bfloat16") == 2
    message = capsys.readouterr().err
    assert "mixing can't be run in bfloat16 on cpu: " in message
    assert message.endswith("leave out --precision\nSee fanlight profile --help\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--peak", "0"), "--peak must be more than 0, not 0"),
        (("--bandwidth", "nan"), "--bandwidth must be more than 0, not nan"),
        (("--batch-sizes", "8", "0"), "--batch-sizes must be one or more numbers, each 1 or more"),
        (("--batch-sizes",), "--batch-sizes must be one or more numbers, each 1 or more"),
        (("--precision", "half"), "no precision 'half'; there are float32, bfloat16, float16"),
    ],
)
def test_mistakes_about_traffic_are_told(
    options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert profile("lenet", *options) == 2
    assert message in capsys.readouterr().err
