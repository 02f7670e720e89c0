"""Files as people save them: the weights of a `Tiny`, with what stands around them."""

import argparse
import collections
import datetime
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.networks import Tiny

Save = Callable[[Path, Tiny], object]
"""Writes a file with the weights of the network."""


def saved(content: Callable[[Tiny], object], **options: Any) -> Save:
    return lambda path, net: torch.save(content(net), path, **options)


def prefixed(prefix: str, net: nn.Module) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in net.state_dict().items()}


def trained(net: Tiny) -> torch.optim.Optimizer:
    """An optimizer with tensors of its own."""
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.rand(2, 3, 8, 8)).sum().backward()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer.step()
    net.load_state_dict(before)
    return optimizer


def lightning(net: Tiny) -> dict[str, object]:
    return {
        "epoch": 3,
        "global_step": 100,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {**prefixed("model.", net), "loss.weight": torch.ones(3)},
        "optimizer_states": [trained(net).state_dict()],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": argparse.Namespace(lr=0.1, path=Path("data")),
    }


def averaged(net: Tiny) -> dict[str, Tensor]:
    return dict(torch.optim.swa_utils.AveragedModel(net).state_dict())


def compiled(net: nn.Module) -> nn.Module:
    found = torch.compile(net)
    assert isinstance(found, nn.Module)
    return found


def several(net: Tiny) -> dict[str, Tensor]:
    """Wrapped by torch.compile, by DataParallel and as a part of something."""
    return prefixed("model.", compiled(nn.DataParallel(net)))


def inside(net: Tiny) -> dict[str, Tensor]:
    """One layer was compiled."""
    return {name.replace("conv.", "conv._orig_mod."): v for name, v in net.state_dict().items()}


def renamed(net: Tiny) -> dict[str, Tensor]:
    return {
        name.replace("conv", "input_layer").replace("fc", "hidden_to_output_layer"): value
        for name, value in net.state_dict().items()
    }


def numpy_scalar(net: Tiny) -> dict[str, object]:
    return {"net": net.state_dict(), "best_accuracy": np.float64(0.9), "args": Path("runs")}


class Settings(dict[str, object]):
    """Somebody's dict with attributes."""


def settings(net: Tiny) -> dict[str, object]:
    found = Settings(net.state_dict())
    found.frozen = True  # type: ignore[attr-defined]
    return {"model": found}


def beside(net: Tiny) -> dict[str, object]:
    """What training scripts have beside the weights."""
    log: dict[str, list[float]] = collections.defaultdict(list, {"loss": [0.5]})
    return {
        "state_dict": net.state_dict(),
        "log": log,
        "counts": collections.defaultdict(int, {"a": 1}),
        "last": collections.deque([1, 2], 5),
        "words": collections.Counter("aab"),
        "types": [list, dict, set, int, float, str, tuple, bool, object, type, len],
        "sets": [{1}, frozenset([2]), b"bytes", bytearray(b"more"), 1j, slice(1, 2), range(3)],
        "curve": np.array([0.9, 0.8]),
        "random": np.random.default_rng(0).bit_generator.state,
        "when": datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
        "torch": [nn.ReLU, torch.float16, torch.device("cpu"), torch.Size([1]), nn.functional.relu],
        "optimizer": trained(net),
    }


def without_checksums(path: Path, net: Tiny) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(net.state_dict(), path)
    finally:
        torch.serialization.set_crc32_options(True)


def without_values(path: Path, net: Tiny) -> None:
    with torch.serialization.skip_data():
        torch.save(net.state_dict(), path)


def damaged(path: Path, net: Tiny) -> None:
    """One byte of a tensor is another than it was when it was saved."""
    torch.save(net.state_dict(), path)
    content = bytearray(path.read_bytes())
    content[content.index(net.fc.weight.detach().numpy().tobytes()) + 5] ^= 1
    path.write_bytes(content)


def replaced(value: Callable[[Tensor], Tensor]) -> Save:
    return saved(lambda net: {**net.state_dict(), "fc.weight": value(net.fc.weight.detach())})


class Special(torch.Tensor):
    """Somebody's class of tensors."""


def arrays(path: Path, _net: Tiny) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.ones(2))


def script(path: Path, net: Tiny) -> None:
    torch.jit.trace(net.eval(), torch.rand(1, 3, 8, 8)).save(str(path))


def exported(path: Path, net: Tiny) -> None:
    torch.export.save(torch.export.export(net.eval(), (torch.rand(1, 3, 8, 8),)), path)


def archive(**entries: bytes) -> Save:
    def save(path: Path, _net: Tiny) -> None:
        with zipfile.ZipFile(path, "w") as written:
            for name, content in entries.items():
                written.writestr(name.replace("__", "."), content)

    return save


def newer(path: Path, _net: Tiny) -> None:
    """A zip that needs version 9.9 of the format, as its directory says."""
    archive(data__pkl=b"a")(path, _net)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 99
    path.write_bytes(content)


def tarred(path: Path, net: Tiny) -> None:
    buffer = io.BytesIO()
    torch.save(net.state_dict(), buffer)
    with tarfile.open(path, "w") as written:
        entry = tarfile.TarInfo("net.pt")
        entry.size = buffer.tell()
        buffer.seek(0)
        written.addfile(entry, buffer)


def cut(path: Path, net: Tiny) -> None:
    torch.save(net.state_dict(), path)
    path.write_bytes(path.read_bytes()[:2000])


def written(content: bytes) -> Save:
    return lambda path, _net: path.write_bytes(content)


def folder(name: str, content: bytes) -> Save:
    def save(path: Path, _net: Tiny) -> None:
        path.mkdir()
        (path / name).write_bytes(content)

    return save


def with_nan(net: Tiny) -> dict[str, Tensor]:
    return {**net.state_dict(), "fc.bias": torch.tensor([1.0, torch.nan, 0])}
