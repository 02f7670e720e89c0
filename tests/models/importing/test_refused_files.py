"""What `import` does not take as weights: a sentence says the one cause, nothing is published."""

import argparse
import gzip
import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.models.importing.saved import (
    Save,
    Special,
    archive,
    arrays,
    cut,
    damaged,
    exported,
    folder,
    newer,
    prefixed,
    replaced,
    saved,
    script,
    tarred,
    trained,
    with_nan,
    without_values,
    written,
)
from tests.models.importing.test_saved_files import network, run
from tests.networks import Tiny

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

pytestmark = pytest.mark.slow


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


def test_nothing_of_a_file_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "touched",))

    torch.save({"model": network().state_dict(), "evil": Evil()}, tmp_path / "net.pt")
    run(tmp_path / "net.pt")
    assert not (tmp_path / "touched").exists()


def test_a_pipe_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "net.pt")
    assert run(tmp_path / "net.pt") == 1
    assert "net.pt is no file, but a pipe or a device" in capsys.readouterr().err
