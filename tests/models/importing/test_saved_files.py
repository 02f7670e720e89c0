"""What people really save, and what `import` makes of it: the same weights, or one sentence."""

import collections
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fanlight.command import main
from models import checkpoint
from models.architectures import registry
from tests.models.importing.saved import (
    Save,
    averaged,
    beside,
    compiled,
    inside,
    lightning,
    numpy_scalar,
    prefixed,
    renamed,
    saved,
    settings,
    several,
    trained,
    without_checksums,
)
from tests.networks import Tiny

pytestmark = pytest.mark.slow

LABELS = ("--labels", "a", "b", "c")


def network() -> Tiny:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Tiny(3)


TAKEN: dict[str, tuple[Save, tuple[str, ...], str]] = {
    "a state_dict": (saved(lambda net: net.state_dict()), (), ""),
    "of before torch 1.6": (
        saved(lambda net: net.state_dict(), _use_new_zipfile_serialization=False),
        (),
        "",
    ),
    "state_dict": (
        saved(lambda net: {"state_dict": net.state_dict(), "epoch": 1}),
        (),
        "'state_dict'",
    ),
    "model_state_dict, with an optimizer": (
        saved(
            lambda net: {
                "epoch": 5,
                "model_state_dict": net.state_dict(),
                "optimizer_state_dict": trained(net).state_dict(),
                "loss": torch.tensor(0.5),
            }
        ),
        (),
        "took the weights under 'model_state_dict'",
    ),
    "model": (saved(lambda net: {"model": net.state_dict()}), (), "under 'model'"),
    "net, with scalars of numpy": (saved(numpy_scalar), (), "under 'net'"),
    "deep inside": (saved(lambda net: {"a": {"b": {"c": net.state_dict()}}}), (), "'a.b.c'"),
    "Lightning": (saved(lightning), (), "took 'model.' off the names"),
    "timm": (
        saved(
            lambda net: {
                "state_dict": Tiny(3).state_dict(),
                "state_dict_ema": net.state_dict(),
                "arch": "tiny",
            }
        ),
        (),
        "took 'state_dict_ema', the averaged weights, not 'state_dict'",
    ),
    "AveragedModel": (saved(averaged), (), "left out 'n_averaged'"),
    "FLOPs counted": (
        saved(lambda net: {**net.state_dict(), "fc.total_ops": torch.zeros(1)}),
        (),
        "left out 'fc.total_ops'",
    ),
    "an epoch among the tensors": (
        saved(lambda net: {**net.state_dict(), "epoch": 7}),
        (),
        "left out 'epoch'",
    ),
    "DataParallel": (
        saved(lambda net: nn.DataParallel(net).state_dict()),
        (),
        "took 'module.' out",
    ),
    "torch.compile": (
        saved(lambda net: compiled(net).state_dict()),
        (),
        "took '_orig_mod.' out",
    ),
    "several prefixes": (saved(several), (), "took 'model.' off the names"),
    "a wrapper inside": (saved(inside), (), "took '_orig_mod.' out"),
    "any prefix": (saved(lambda net: prefixed("my.net.", net)), (), "took 'my.net.' off"),
    "two sets in one, one chosen": (
        saved(lambda net: {**prefixed("student.", net), **prefixed("teacher.", Tiny(3))}),
        ("--strip-prefix", "student."),
        "left out 'teacher.conv.weight'",
    ),
    "weights of the loss beside": (
        saved(lambda net: {"class_weights": torch.ones(3), "model": net.state_dict()}),
        (),
        "took the weights under 'model'",
    ),
    "under two keys": (
        saved(lambda net: {"model": (state := net.state_dict()), "best": state}),
        (),
        "'model'",
    ),
    "a whole network beside": (
        saved(lambda net: {"ema": net, "model": net.state_dict()}),
        (),
        "under 'model'",
    ),
    "five folders deep": (
        saved(lambda net: {"a": {"b": {"c": {"d": {"e": net.state_dict()}}}}}),
        (),
        "'a.b.c.d.e'",
    ),
    "two networks, one chosen": (
        saved(lambda net: {"teacher": Tiny(3).state_dict(), "student": net.state_dict()}),
        ("--key", "student"),
        "",
    ),
    "half precision": (
        saved(lambda net: {k: v.half() for k, v in net.state_dict().items()}),
        (),
        "converted float16 to float32",
    ),
    "bfloat16": (
        saved(lambda net: {k: v.bfloat16() for k, v in net.state_dict().items()}),
        (),
        "converted bfloat16 to float32",
    ),
    "double precision": (
        saved(lambda net: {k: v.double() for k, v in net.state_dict().items()}),
        (),
        "converted float64 to float32",
    ),
    "parameters": (saved(lambda net: dict(net.named_parameters())), (), ""),
    "views of one storage": (
        saved(lambda net: {k: torch.stack([v, v])[0] for k, v in net.state_dict().items()}),
        (),
        "",
    ),
    "safetensors": (lambda path, net: save_file(net.state_dict(), path), (), ""),
    "safetensors, half": (
        lambda path, net: save_file({k: v.half() for k, v in net.state_dict().items()}, path),
        (),
        "converted float16",
    ),
    "objects of all kinds beside": (saved(beside), (), "under 'state_dict'"),
    "in a dict of somebody's class": (saved(settings), (), "under 'model'"),
    "in a defaultdict": (
        saved(lambda net: collections.defaultdict(None, net.state_dict())),
        (),
        "",
    ),
    "in a list": (saved(lambda net: [net.state_dict(), {"lr": 1}]), (), "weights under '0'"),
    "in a tuple": (saved(lambda net: (7, net.state_dict())), (), "weights under '1'"),
    "in a list of several, one chosen": (
        saved(lambda net: {"folds": [Tiny(3).state_dict(), net.state_dict()]}),
        ("--key", "folds.1"),
        "",
    ),
    "under a long name": (
        saved(lambda net: {"x" * 300: net.state_dict()}),
        (),
        f"took the weights under '{'x' * 60}…{'x' * 19}'\n",
    ),
    "under numbers": (saved(lambda net: {3: net.state_dict()}), (), "weights under '3'"),
    "without checksums": (without_checksums, (), ""),
    "other names": (saved(renamed), (), "renamed, each layer's shapes fit one place only"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.jit, which torch.compile loads
@pytest.mark.parametrize("kind", TAKEN)
def test_the_same_weights_are_published(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save, options, said = TAKEN[kind]
    net, file = network(), tmp_path / "net.pt"
    save(file, net)
    assert run(file, *options) == 0, capsys.readouterr().err
    assert said in capsys.readouterr().out
    published = checkpoint.load(tmp_path / "repository" / "net" / "1", torch.device("cpu"))
    precision = 1e-2 if "half" in kind or "bfloat" in kind else 0
    for name, value in net.state_dict().items():
        torch.testing.assert_close(
            published.network.state_dict()[name], value, rtol=precision, atol=precision
        )
    pure = torch.load(tmp_path / "repository" / "net" / "1" / "weights.pt", weights_only=True)
    assert {value.dtype for value in pure.values()} == {torch.float32}


def run(file: Path, *options: str, labels: tuple[str, ...] = LABELS) -> int:
    repository = str(file.parent / "repository")
    fixed = ("import", str(file), "--architecture", "tiny", *labels, "--repository", repository)
    return main([*fixed, *options])


def test_a_dict_in_itself_and_one_at_a_billion_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inner: dict[str, object] = {"weights": network().state_dict()}
    for _ in range(3):
        inner = {str(number): inner for number in range(1000)}
    inner["again"] = inner
    torch.save(inner, tmp_path / "net.pt")
    assert run(tmp_path / "net.pt") == 0
    assert "took the weights under '0.0.0.weights'" in capsys.readouterr().out


def test_the_same_shapes_in_the_same_order_are_taken_where_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two layers have one shape: only the order tells them apart."""
    ours = registry.architecture("mlp").build(3, hidden=[6, 6, 6])
    theirs = {
        f"x{index}.{name.rpartition('.')[2]}": value
        for index, (name, value) in enumerate(ours.state_dict().items())
    }
    torch.save(theirs, tmp_path / "net.pt")
    fixed = [
        *("import", str(tmp_path / "net.pt"), "--architecture", "mlp", *LABELS),
        *("--arguments", "hidden=[6,6,6]", "--repository", str(tmp_path / "repository")),
    ]
    assert main(fixed) == 1
    assert "--by-order takes them so" in capsys.readouterr().err
    assert main([*fixed, "--by-order"]) == 0
    assert "renamed, in their order: x0.weight → " in capsys.readouterr().out
    published = checkpoint.load(tmp_path / "repository" / "net" / "1", torch.device("cpu"))
    for name, value in ours.state_dict().items():
        assert torch.equal(published.network.state_dict()[name], value)


def test_a_new_head_keeps_the_other_layers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = Tiny(1000)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    assert run(tmp_path / "net.pt", "--new-head") == 0
    assert "fc is new: the answers mean nothing before it is trained" in capsys.readouterr().out
    published = checkpoint.load(tmp_path / "repository" / "net" / "1", torch.device("cpu"))
    state = published.network.state_dict()
    assert torch.equal(state["conv.weight"], net.conv.weight)
    assert state["fc.weight"].shape == (3, 4)
