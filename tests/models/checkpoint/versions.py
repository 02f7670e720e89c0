"""Versions for the tests of checkpoints, and what is done to them."""

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.checkpoint import TrainingRecord
from tests.networks import LABELS, Tiny

CPU = torch.device("cpu")
RECORD = TrainingRecord(
    recipe={"architecture": "tiny", "epochs": 3, "flip": True, "l2": 0.001},
    dataset="colors",
    seed=7,
    epochs=3,
    selected_epoch=2,
    seconds=1.5,
    device="cpu",
    torch=torch.__version__,
    commit="0123abc",
    finished="2026-01-31T12:00:00+00:00",
)


def tiny(seed: int = 0) -> Tiny:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Tiny(len(LABELS))


def logits(network: nn.Module, batch: Tensor) -> Tensor:
    with torch.inference_mode():
        result: Tensor = network(batch)
    return result


def saved(content: object) -> bytes:
    buffer = BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def change_card(folder: Path, **fields: Any) -> None:
    """Replace fields of the card; None removes one."""
    path = folder / "card.json"
    card = json.loads(path.read_bytes()) | fields
    path.write_text(json.dumps({name: v for name, v in card.items() if v is not None}))


def put_weights(folder: Path, content: bytes) -> None:
    """Replace the weights, and state their SHA-256 in the card."""
    (folder / "weights.pt").write_bytes(content)
    change_card(folder, weights_sha256=hashlib.sha256(content).hexdigest())


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
