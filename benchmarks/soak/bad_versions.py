"""Bad versions, which must not answer: copies of a good version, spoilt, with the next number."""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from models import checkpoint
from models.checkpoint import CARD, WEIGHTS
from models.registry import markdown_table

Spoil = Callable[[Path], None]
BAD: dict[str, Spoil] = {}
"""Name → function that spoils the good version in a folder."""


def bad(name: str) -> Callable[[Spoil], Spoil]:
    def register(spoil: Spoil) -> Spoil:
        BAD[name] = spoil
        return spoil

    return register


def publish_bad(repository: Path, model: str, kind: str) -> int:
    """Publish a spoilt version of the model under the next number. Return the number."""
    numbers = checkpoint.versions(repository / model)
    number = max(numbers) + 1
    draft = repository / model / f".bad-{number}"
    shutil.copytree(repository / model / str(max(numbers)), draft)
    _change_card(draft, version=number)
    BAD[kind](draft)
    draft.rename(repository / model / str(number))
    return number


def _change_card(folder: Path, **fields: Any) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | fields))


def _with_weights(folder: Path, *changes: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Change the first tensors, and the checksum in the card, so that only the values are bad."""
    weights = torch.load(folder / WEIGHTS, weights_only=True)
    for name, change in zip(weights, changes, strict=False):
        weights[name] = change(weights[name])
    torch.save(weights, folder / WEIGHTS)
    _change_card(folder, weights_sha256=_sha256(folder / WEIGHTS))


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@bad("truncated weights")
def _truncated(folder: Path) -> None:
    os.truncate(folder / WEIGHTS, 1000)


@bad("one byte changed")
def _changed(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / WEIGHTS).write_bytes(content)


@bad("no weights")
def _missing(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


@bad("weights are not numbers")
def _nan(folder: Path) -> None:
    _with_weights(folder, lambda tensor: torch.full_like(tensor, torch.nan))


@bad("weights of another shape")
def _shape(folder: Path) -> None:
    _with_weights(folder, lambda tensor: torch.zeros(3, 3))


@bad("weights are a program")
def _pickle(folder: Path) -> None:
    """Write a pickle that would create a file, and its checksum in the card."""
    program = f"cos\nsystem\n(S'touch {folder.parent / 'ran'}'\ntR.".encode()
    with zipfile.ZipFile(folder / WEIGHTS, "w") as archive:
        archive.writestr("weights/data.pkl", program)
        archive.writestr("weights/version", "3\n")
    _change_card(folder, weights_sha256=_sha256(folder / WEIGHTS))


@bad("the card is no JSON")
def _no_json(folder: Path) -> None:
    (folder / CARD).write_text("{")


@bad("the card of another version")
def _other_version(folder: Path) -> None:
    _change_card(folder, version=4711)


@bad("an unknown architecture")
def _architecture(folder: Path) -> None:
    _change_card(folder, architecture="os:system")


@bad("labels that steer a terminal")
def _labels(folder: Path) -> None:
    card = json.loads((folder / CARD).read_text())
    _change_card(folder, labels=["\x1b[2J", "a\u202eb", *card["labels"][2:]])


@bad("outputs that are infinite for most images")
def _infinite(folder: Path) -> None:
    """Change the weights so that only a black image, which sees the bias alone, stays finite."""
    _with_weights(
        folder,
        lambda weight: torch.full_like(weight, 3e38),
        lambda bias: torch.full_like(bias, -1),  # which ReLU takes for zero
    )


@bad("weights are a FIFO")
def _fifo(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    os.mkfifo(folder / WEIGHTS)


def table() -> str:
    """Return the names of the bad versions as a Markdown table."""
    return markdown_table(["version that must not answer"], [[name] for name in BAD])
