"""`import` publishes a state_dict that was made elsewhere, if it fits."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fanlight.command import main
from models import checkpoint
from models.architectures import registry
from models.preprocessing import InputSpec
from tests.networks import Tiny

CPU = torch.device("cpu")
PLANES = ("--architecture", "birdplane-batchnorm", "--labels", "airplane", "bird")


@pytest.fixture
def network() -> nn.Module:
    """With statistics of its own, as if it had been trained."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = registry.architecture("birdplane-batchnorm").build(2)
        with torch.inference_mode():
            network.train()(torch.rand(8, 3, 32, 32))
    return network.eval()


@pytest.fixture
def weights(network: nn.Module, tmp_path: Path) -> Path:
    torch.save(network.state_dict(), tmp_path / "planes.pt")
    return tmp_path / "planes.pt"


def run(weights: Path, *arguments: str) -> int:
    repository = weights.parent / "repository"
    return main(["import", str(weights), *arguments, "--repository", str(repository)])


def pictures() -> Tensor:
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_the_published_network_gives_the_same_logits(weights: Path, network: nn.Module) -> None:
    assert run(weights, *PLANES, "--name", "birds-vs-planes") == 0
    loaded = checkpoint.load(weights.parent / "repository" / "birds-vs-planes" / "1", CPU)
    with torch.inference_mode():
        assert torch.equal(loaded.network(pictures()), network(pictures()))


def test_the_card_says_what_was_told(weights: Path) -> None:
    assert run(weights, *PLANES) == 0
    card = checkpoint.read_card(weights.parent / "repository" / "planes" / "1")
    assert (card.name, card.architecture) == ("planes", "birdplane-batchnorm")
    assert card.labels == ("airplane", "bird")
    assert card.input == registry.architecture("birdplane-batchnorm").input
    assert card.training is None
    assert card.metrics == {}


def test_each_import_is_the_next_version(weights: Path) -> None:
    assert [run(weights, *PLANES) for _ in range(2)] == [0, 0]
    assert checkpoint.versions(weights.parent / "repository" / "planes") == [1, 2]


def test_the_input_can_be_told(tmp_path: Path) -> None:
    torch.save(Tiny(2).state_dict(), tmp_path / "tiny.pt")
    assert (
        run(
            *(tmp_path / "tiny.pt", "--architecture", "tiny", "--labels", "a", "b"),
            *("--height", "12", "--width", "10", "--resize", "stretch"),
            *("--mean", "0.1", "0.2", "0.3", "--std", "0.4", "0.5", "0.6"),
        )
        == 0
    )
    assert checkpoint.read_card(tmp_path / "repository" / "tiny" / "1").input == InputSpec(
        channels=3,
        height=12,
        width=10,
        resize="stretch",
        mean=(0.1, 0.2, 0.3),
        std=(0.4, 0.5, 0.6),
    )


def test_arguments_of_the_architecture(tmp_path: Path) -> None:
    arguments = {"channels": 1, "widths": [4, 8]}
    network = registry.architecture("convnet").build(2, **arguments)
    torch.save(network.state_dict(), tmp_path / "grey.pt")
    told = ["--arguments", "channels=1", "widths=[4,8]"]
    labels = ["--labels", "a", "b"]
    assert run(tmp_path / "grey.pt", "--architecture", "convnet", *told, *labels) == 0
    card = checkpoint.read_card(tmp_path / "repository" / "grey" / "1")
    assert card.arguments == arguments
    assert card.input == InputSpec(channels=1, height=32, width=32)


def test_one_mean_is_for_all_channels(weights: Path) -> None:
    assert run(weights, *PLANES, "--mean", "0.5") == 0
    card = checkpoint.read_card(weights.parent / "repository" / "planes" / "1")
    assert card.input.mean == (0.5, 0.5, 0.5)


def test_it_says_where_it_published(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(weights, *PLANES) == 0
    repository = weights.parent / "repository"
    assert capsys.readouterr().out == (
        f"published planes/1 in {repository}; serve it with\n"
        f"  fanlight serve --repository {repository}\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--architecture", "birdplane-base", "--labels", "a", "b"),
            "has more than birdplane-base",
        ),
        (("--architecture", "birdplane-width", "--labels", "a", "b"), "it is another network, or"),
        (("--architecture", "mnist-cnn", "--labels", "a", "b"), "it lacks 'conv1.0.weight' 16×1"),
        (
            ("--architecture", "birdplane-batchnorm", "--labels", "a", "b", "c"),
            "planes.pt: the head has 2 outputs, and there are 3 labels: --labels needs 2 names",
        ),
        (("--architecture", "birdplane-batchnorm", "--labels", "a", "a"), "labels must differ"),
        (("--architecture", "birdplane-batchnorm", "--labels", "a"), "two labels or more, not 1"),
        (("--architecture", "birdplane-batchnorm", "--labels", "a", ""), "label 1 is empty"),
        ((*PLANES, "--height", "16"), "does not take an input"),
    ],
)
def test_what_does_not_fit_is_not_published(
    weights: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(weights, *arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(f"error: .*{re.escape(message)}.*\n", printed.err)
    assert checkpoint.versions(weights.parent / "repository" / "planes") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--architecture", "huge"), "no architecture 'huge'"),
        (("--architecture", "huge", "--labels", "a", "b"), "no architecture 'huge'"),
        ((*PLANES, "--name", "Birds & planes"), "can't name a model"),
        ((*PLANES, "--std", "0", "1", "1"), "std must be above 0"),
        ((*PLANES, "--mean", "0.5", "0.5"), "mean has 2 values for 3 channels"),
        ((*PLANES, "--arguments", "depth=3"), "can't be built with {'depth': 3}"),
        ((*PLANES, "--arguments", "channels=2"), "the input: should be 1 or 3"),
    ],
)
def test_options_that_can_not_be_are_refused(
    weights: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(weights, *arguments) == 2
    told = f"error: .*{re.escape(message)}.*\nSee fanlight import --help\n"
    assert re.fullmatch(told, capsys.readouterr().err)
    assert checkpoint.versions(weights.parent / "repository" / "planes") == []


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What others have saved is in tests/models/importing."""
    for arguments in ((), PLANES, ("--architecture", "huge"), ("--name", "No Name")):
        assert run(tmp_path / "missing.pt", *arguments) == 2
        assert "error: there is no file " in capsys.readouterr().err
    assert not (tmp_path / "repository").exists()
