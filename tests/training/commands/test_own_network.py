"""Every command takes a network of the user's own, and runs its code only if the user names it."""

from pathlib import Path

import pytest
import torch

from fanlight.command import main
from models import checkpoint
from tests.networks import LABELS
from tests.own_code import Write, write
from tests.training.pictures import write_colors

__all__ = ["write"]
NET = """
class Net(nn.Module):
    '''Flattens its maps by view, as most do.'''
    def __init__(self, n_classes, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.bn = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width * 64, n_classes)

    def forward(self, x):
        x = torch.relu(self.bn(self.conv(x)))
        return self.fc(x.view(x.size(0), -1))

class Softened(Net):
    def forward(self, x):
        return super().forward(x).softmax(1)

class Features(Net):
    def forward(self, x):
        return super().forward(x), x.flatten(1)

class Fixed(Net):
    def __init__(self):
        super().__init__(2)

class Any(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(
            nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes)
        )
"""


@pytest.fixture
def module(write: Write) -> str:
    return write(NET)


@pytest.fixture
def colors(tmp_path: Path) -> Path:
    return write_colors(tmp_path / "colors", pictures=12)


def fit(folder: Path, network: str, *options: str) -> int:
    length = ["--epochs", "1", "--device", "cpu", "--name", "own", *options]
    return main(["fit", str(folder), "--architecture", network, *length])


def saved(module: str, name: str = "Net", *arguments: int) -> Path:
    """A file of weights beside the module, which the author saved."""
    network = getattr(__import__(module), name)
    torch.save(network(*arguments).state_dict(), "net.pt")
    return Path("net.pt")


@pytest.fixture
def published(
    module: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> str:
    """A model `net` in ./checkpoints; the module's name."""
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(Path.cwd()))
        file = saved(module, "Net", 3)
    options = ("--architecture", f"{module}:Net", "--labels", *LABELS)
    assert main(["import", str(file), *options]) == 0
    assert f"fanlight serve --architectures {module}" in (capsys.readouterr().out)
    return module


@pytest.mark.usefixtures("quick_plots")
class TestFit:
    def test_it_is_trained_and_published(
        self, module: str, colors: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert fit(colors, f"{module}:Net", "--arguments", "width=6") == 0
        card = checkpoint.read_card(Path("checkpoints/own/1"))
        assert (card.architecture, card.arguments) == (f"{module}:Net", {"width": 6})
        assert card.input.shape == (3, 8, 8)  # the one size that it takes
        printed = capsys.readouterr().out
        assert "the input was worked out from the network: 3×8×8\n" in printed
        to_open = f"--architectures {module}"
        assert f"fanlight serve {to_open}\n" in printed
        assert f"fanlight visualize weights own {to_open}\n" in printed

    def test_of_several_outputs_the_logits_are_trained(
        self, module: str, colors: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert fit(colors, f"{module}:Features") == 0
        printed = capsys.readouterr().out
        assert "output 1 is taken as logits; output 2 is left out\n" in printed
        to_open = ("--architectures", module)
        assert main(["evaluate", "own", "--dataset", str(colors), *to_open]) == 0
        assert main(["export", "own", "--format", "state_dict", *to_open]) == 0

    def test_one_for_any_size_gets_that_of_the_pictures(self, module: str, colors: Path) -> None:
        assert fit(colors, f"{module}:Any") == 0
        assert checkpoint.read_card(Path("checkpoints/own/1")).input.shape == (3, 32, 32)

    @pytest.mark.parametrize(
        ("name", "status", "message"),
        [
            ("Softened", 1, "leave out the softmax at the end of its forward pass"),
            ("Fixed", 1, "the network answers with shape (1, 2) where 3 labels need (1, 3)"),
            ("Nit", 2, "has no 'Nit'; did you mean 'Net'?"),
        ],
    )
    def test_what_can_not_be_trained_is_told_before(
        self,
        name: str,
        status: int,
        message: str,
        module: str,
        colors: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert fit(colors, f"{module}:{name}") == status
        assert message in capsys.readouterr().err
        assert not Path("checkpoints").exists()


class TestImport:
    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ((), "pixels go in as 0 to 1; say with --mean and --std"),
            (("--mean", "0.5"), "of mean 0.5, 0.5, 0.5 and std 1, 1, 1"),
            (("--mean", "0.5", "--std", "0.25"), ""),
        ],
        ids=str,
    )
    def test_how_pixels_go_in_is_told_unless_it_was_given(
        self,
        published: str,
        capsys: pytest.CaptureFixture[str],
        given: tuple[str, ...],
        told: str,
    ) -> None:
        line = ["--architecture", f"{published}:Net", "--labels", *LABELS, *given]
        assert main(["import", "net.pt", *line, "--name", "other"]) == 0
        printed = capsys.readouterr().out
        assert told in printed
        assert ("pixels go in" in printed) == bool(told)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--architecture", "{}:Net", "--labels", "a", "b"), "the head has 3 outputs, and"),
            (("--architecture", "{}:Softened", "--labels", *LABELS), "leave out the softmax"),
            (("--architecture", "{}:Fixed", "--labels", *LABELS), "where 3 labels need (1, 3)"),
            (("--architecture", "{}:Any", "--labels", *LABELS), "takes pictures of any size: give"),
            (
                ("--architecture", "{}:Net", "--labels", *LABELS, "--height", "9"),
                "does not take an input of shape (3, 9, 9)",
            ),
        ],
        ids=str,
    )
    def test_what_does_not_fit(
        self,
        options: tuple[str, ...],
        message: str,
        published: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        line = [each.format(published) for each in options]
        status = 2 if line[1].endswith(":Any") else 1
        assert main(["import", "net.pt", *line, "--name", "other"]) == status
        assert message in capsys.readouterr().err
        assert not Path("checkpoints/other").exists()

    def test_channels_can_be_told(
        self, write: Write, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        module = write(
            "net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))"
        )
        torch.save({"2.weight": torch.ones(2, 3), "2.bias": torch.zeros(2)}, "net.pt")
        options = ["--architecture", f"{module}:net", "--labels", "a", "b", "--channels", "3"]
        size = ["--height", "20", "--width", "10", "--resize-size", "30"]
        assert main(["import", "net.pt", *options, *size, "--interpolation", "bicubic"]) == 0
        assert "worked out" not in capsys.readouterr().out
        spec = checkpoint.read_card(Path("checkpoints/net/1")).input
        assert (spec.shape, spec.resize_size, spec.interpolation) == ((3, 20, 10), 30, "bicubic")


class TestPermission:
    @pytest.mark.parametrize(
        "line",
        [
            ("evaluate", "net", "--dataset", "COLORS"),
            ("visualize", "weights", "net"),
            ("visualize", "kernels", "net"),
            ("visualize", "confusion", "net", "--dataset", "COLORS"),
            ("profile", "net", "--passes", "1"),
        ],
        ids=" ".join,
    )
    @pytest.mark.usefixtures("quick_plots")
    def test_a_published_model_runs_no_code_that_is_not_named(
        self,
        line: tuple[str, ...],
        published: str,
        colors: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        line = tuple(str(colors) if word == "COLORS" else word for word in line)
        assert main([*line]) == 1
        said = capsys.readouterr().err
        assert f"allow it with --architectures {published}" in said
        assert main([*line, "--architectures", f"{published}x"]) == 1
        assert main([*line, "--architectures", f"{published}.py"]) == 2
        assert "is a file: write its module" in capsys.readouterr().err
        assert main([*line, "--architectures", published]) == 0
        monkeypatch.setenv("FANLIGHT_ARCHITECTURES", f"other,{published}")
        assert main(list(line)) == 0

    def test_profile_takes_a_network_that_is_named(
        self, module: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["profile", f"{module}:Fixed", "--passes", "1"]) == 0
        assert "input 3×8×8, 2 classes" in capsys.readouterr().out
        assert main(["profile", f"{module}:Any", "--passes", "1", "--size", "40"]) == 0
        assert "input 3×40×40" in capsys.readouterr().out
        assert main(["profile", f"{module}:Fixed", "--num-classes", "3"]) == 2
        assert "has a fixed head" in capsys.readouterr().err
        assert main(["profile", f"{module}:Any"]) == 2
        assert "fit and profile: --size" in capsys.readouterr().err
