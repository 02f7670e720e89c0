"""What people really save, and what `import` makes of it: the same weights, or one sentence."""

import argparse
import collections
import gzip
import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fanlight.command import main
from models import checkpoint
from models.architectures import registry
from tests.models.importing.saved import (
    Save,
    Special,
    archive,
    arrays,
    averaged,
    beside,
    compiled,
    cut,
    damaged,
    exported,
    folder,
    inside,
    lightning,
    newer,
    numpy_scalar,
    prefixed,
    renamed,
    replaced,
    saved,
    script,
    settings,
    several,
    tarred,
    trained,
    with_nan,
    without_checksums,
    without_values,
    written,
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


REFUSED: dict[str, tuple[Save, tuple[str, ...], str]] = {
    "a whole network": (
        saved(lambda net: net),
        (),
        "a whole pickled network (class tests.networks.Tiny)",
    ),
    "a whole network in a dict": (saved(lambda net: {"net": net}), (), "a whole pickled network"),
    "TorchScript": (script, (), "a TorchScript program, which is code. Save its weights: torch.s"),
    "torch.export": (exported, (), "a program of torch.export. Save its weights"),
    "a pickle": (lambda p, net: p.write_bytes(pickle.dumps([1])), (), "a pickle that torch.save"),
    "Keras": (archive(config__json=b"{}", model__weights__h5=b""), (), "a Keras network"),
    "HDF5": (written(b"\x89HDF\r\n\x1a\n" + bytes(99)), (), "an HDF5 file, as Keras writes"),
    "TensorFlow": (folder("saved_model.pb", b"\x08"), (), "a TensorFlow SavedModel"),
    "TensorFlow Lite": (written(b"\x1c\0\0\0TFL3" + bytes(99)), (), "a TensorFlow Lite network"),
    "numpy": (arrays, (), "arrays of numpy. Make tensors of them"),
    "an archive of others": (archive(readme__txt=b"a"), (), "an archive of other files (readme.t"),
    "a tar": (tarred, (), "a tar archive. Unpack it"),
    "compressed": (written(gzip.compress(b"weights")), (), "is compressed. Unpack it"),
    "Git LFS": (written(b"version https://git-lfs.github.com/spec/v1\n"), (), "git lfs pull"),
    "a web page": (written(b"\n<!DOCTYPE html><html>"), (), "a web page: the download went wrong"),
    "JSON": (written(json.dumps({"a": 1}).encode()), (), "is JSON, not weights"),
    "text": (written(b"no weights"), (), "is no file of weights"),
    "nothing": (written(b""), (), "is empty. Copy or download it again"),
    "cut off": (cut, (), "it is cut off"),
    "a newer zip": (newer, (), "is a zip of a newer version than can be read"),
    "a folder": (folder("model.safetensors", b""), (), "name a file in it: model.safetensors"),
    "a broken safetensors": (written(b"\x10" + bytes(7) + b"{" + bytes(40)), (), "broken safetens"),
    "an optimizer alone": (
        saved(lambda net: {"optimizer": trained(net).state_dict()}),
        (),
        "has no weights: its keys are 'optimizer'",
    ),
    "a tensor": (saved(lambda net: torch.ones(3)), (), "one tensor of shape (3,), without names"),
    "a settings object": (
        saved(lambda net: argparse.Namespace(a=1)),
        (),
        "it holds an object of argparse.Namespace",
    ),
    "an empty dict": (saved(lambda net: {}), (), "it is an empty dict"),
    "two networks": (
        saved(lambda net: {"teacher": net.state_dict(), "student": net.state_dict()}),
        (),
        "several sets of weights: 'teacher', 'student'; choose one with --key",
    ),
    "a key that is not there": (
        saved(lambda net: {"model": net.state_dict()}),
        ("--key", "modle"),
        "no weights under 'modle'; did you mean 'model'?",
    ),
    "two prefixes": (
        saved(lambda net: {**prefixed("student.", net), **prefixed("teacher.", net)}),
        (),
        "2 sets of weights that fit: --strip-prefix student. or --strip-prefix teacher.",
    ),
    "a prefix that is not there": (
        saved(lambda net: prefixed("model.", net)),
        ("--strip-prefix", "net."),
        "no name begins with 'net.'; they begin with 'model.'",
    ),
    "another head": (
        saved(lambda net: Tiny(1000).state_dict()),
        (),
        "the head has 1,000 outputs, and there are 3 labels: --labels needs 1,000 names, or "
        "--new-head",
    ),
    "a head of one output": (
        saved(lambda net: Tiny(1).state_dict()),
        (),
        "the head has one output, and there are 3 labels: one number tells two classes apart in an "
        "ONNX graph alone",
    ),
    "a narrower head": (saved(lambda net: Tiny(2).state_dict()), (), "the head has 2 outputs"),
    "a wider network": (
        saved(lambda net: Tiny(3, 8).state_dict()),
        (),
        "conv.weight has the shape 8×3×3×3 in the file, and 4×3×3×3 in tiny",
    ),
    "other channels": (
        saved(lambda net: {**net.state_dict(), "conv.weight": torch.ones(4, 1, 3, 3)}),
        (),
        "it takes 1 channels where tiny takes 3",
    ),
    "a layer more": (
        saved(lambda net: {**net.state_dict(), "fc2.weight": torch.ones(3, 3)}),
        (),
        "the file has more than tiny, 1 tensors: 'fc2.weight'",
    ),
    "a layer less": (
        saved(lambda net: dict(list(net.state_dict().items())[:2])),
        (),
        "the file lacks 2 of the 4 tensors of tiny: 'fc.weight', 'fc.bias'",
    ),
    "another network": (
        saved(lambda net: nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 9)).state_dict()),
        (),
        "it is another network: of the 4 tensors of tiny the file has 0",
    ),
    "damaged": (damaged, (), "does not have the checksum that is stated: the file is damaged"),
    "without values": (without_values, (), "saved without the values of its tensors"),
    "several in a list": (
        saved(lambda net: [net.state_dict(), Tiny(3).state_dict()]),
        (),
        "several sets of weights: '0', '1'; choose one with --key",
    ),
    "arrays of numpy": (
        saved(lambda net: {"model": {k: v.numpy() for k, v in net.state_dict().items()}}),
        (),
        "holds arrays of numpy, not tensors. Make tensors of them",
    ),
    "a list of tensors": (
        saved(lambda net: [value for _, value in net.named_parameters()]),
        (),
        "a list of tensors without names; save network.state_dict()",
    ),
    "another protocol": (
        saved(lambda net: net.state_dict(), pickle_protocol=4),
        (),
        "a pickle of protocol 4, where 2 is read: save it again with torch.save, without pickle_",
    ),
    "a function of the system": (
        saved(lambda net: {"model": net.state_dict(), "now": os.getcwd}),
        (),
        "it holds posix.getcwd, a name of the operating system's",
    ),
    "without values, on meta": (replaced(lambda v: v.to("meta")), (), "fc.weight has no values"),
    "sparse": (replaced(lambda v: v.to_sparse()), (), "fc.weight is quantised, complex or sparse"),
    "complex": (
        replaced(lambda v: v.to(torch.complex64)),
        (),
        "fc.weight is quantised, complex or sparse",
    ),
    "nested": (
        replaced(lambda v: torch.nested.nested_tensor([v])),
        (),
        "fc.weight is a nested tensor",
    ),
    "quantised": (
        replaced(lambda v: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8)),
        (),
        "fc.weight is quantised, complex or sparse: save it as plain numbers (dequantize()",
    ),
    "of somebody's class": (
        replaced(lambda v: v.as_subclass(Special)),
        (),
        "tensors of the class tests.models.importing.saved.Special: make plain ones",
    ),
    "expanded": (
        replaced(lambda v: v[:1, :1].clone().expand(3, 4)),
        (),
        "one made by expand needs contiguous() before",
    ),
    "not finite": (saved(with_nan), (), "fc.bias has values that are not finite"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.jit
@pytest.mark.filterwarnings("ignore:.*prototype stage:UserWarning")  # nested tensors
@pytest.mark.filterwarnings("ignore:.*deprecated:UserWarning")  # quantised tensors
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_says_the_one_cause(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save, options, said = REFUSED[kind]
    file = tmp_path / "net.pt"
    save(file, network())
    assert run(file, *options) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(f"error: {re.escape(str(file))}.*{re.escape(said)}.*\n", printed.err)
    assert len(printed.err) < 600
    assert not (tmp_path / "repository").exists()


def run(file: Path, *options: str, labels: tuple[str, ...] = LABELS) -> int:
    repository = str(file.parent / "repository")
    fixed = ("import", str(file), "--architecture", "tiny", *labels, "--repository", repository)
    return main([*fixed, *options])


def test_nothing_of_a_file_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "touched",))

    torch.save({"model": network().state_dict(), "evil": Evil()}, tmp_path / "net.pt")
    run(tmp_path / "net.pt")
    assert not (tmp_path / "touched").exists()


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


def test_a_pipe_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "net.pt")
    assert run(tmp_path / "net.pt") == 1
    assert "net.pt is no file, but a pipe or a device" in capsys.readouterr().err


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


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("cat\ndog\r\n bird \n\n", ["cat", "dog", "bird"]),
        ('["cat", "dog", "bird"]', ["cat", "dog", "bird"]),
        ('{"1": "dog", "0": "cat", "2": "bird"}', ["cat", "dog", "bird"]),
        (
            '{"0": ["n01", "cat"], "1": ["n02", "dog"], "2": ["n03", "bird"]}',
            ["cat", "dog", "bird"],
        ),
        ("\ufeffKatze\nHündin\n鳥", ["Katze", "Hündin", "鳥"]),
    ],
)
def test_labels_from_a_file(content: str, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text(content, "utf-8", newline="")
    torch.save(network().state_dict(), tmp_path / "net.pt")
    assert run(tmp_path / "net.pt", labels=("--labels", str(tmp_path / "labels.txt"))) == 0
    card = checkpoint.read_card(tmp_path / "repository" / "net" / "1")
    assert list(card.labels) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1, 2, 3]", "has labels that are not text"),
        (b'{"1": "a", "2": "b"}', "has no label '0': it counts from 0"),
        (b"[not JSON", "can't be read as a list of labels"),
        (b"\xff\xfe\xff", "can't be read as a list of labels"),
        (b"", "two labels or more, not 0"),
    ],
)
def test_files_that_are_no_labels(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    torch.save(network().state_dict(), tmp_path / "net.pt")
    assert run(tmp_path / "net.pt", labels=("--labels", str(tmp_path / "labels.txt"))) in (1, 2)
    assert message in capsys.readouterr().err
