"""Of what a network returns, its logits are taken: one rule wherever it is called."""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import checkpoint
from models.architectures import outputs
from models.architectures.architecture import Architecture
from models.checkpoint import CheckpointError
from models.preprocessing import InputSpec

SPEC = InputSpec(channels=1, height=2, width=2)
Named = namedtuple("Named", "features logits")


@dataclass
class Answer:
    logits: Tensor
    loss: float | None = None


class Net(nn.Module):
    """Gives its logits and its features to a function."""

    def __init__(self, answer: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.fc, self.answer = nn.Linear(4, 3), answer

    def forward(self, x: Tensor) -> Any:
        features = x.flatten(1)
        return self.answer(self.fc(features), features)


def built(answer: Callable[[Tensor, Tensor], Any]) -> nn.Module:
    return Architecture("mine:net", SPEC, lambda: Net(answer), "").build(3).eval()


@pytest.mark.parametrize(
    ("answer", "left_out"),
    [
        (lambda logits, _: logits, ""),
        (lambda logits, features: (logits, features), "output 1 is taken as logits; output 2 is"),
        (lambda logits, features: [logits, features, 1], "output 2, output 3 are left out"),
        (lambda logits, features: {"x": features, "logits": logits}, "'logits' is taken"),
        (lambda logits, _: {"y": logits}, ""),
        (lambda logits, _: (logits,), ""),
        (lambda logits, features: Named(features, logits), "output 2 is taken as logits; output 1"),
        (lambda logits, _: Answer(logits), "'logits' is taken as logits; 'loss' is left out"),
    ],
    ids=["one", "tuple", "list", "dict", "dict of one", "tuple of one", "named", "dataclass"],
)
def test_the_logits_are_taken_and_the_rest_is_told(
    answer: Callable[[Tensor, Tensor], Any], left_out: str
) -> None:
    network, images = built(answer), torch.rand(5, 1, 2, 2)
    fc = network.get_submodule("fc")
    assert torch.equal(network(images), fc(images.flatten(1)))
    assert left_out in outputs.left_out(network, SPEC)
    assert bool(outputs.left_out(network, SPEC)) is bool(left_out)
    assert [layer.name for layer in checkpoint.trial(network, SPEC, 3).layers] == ["fc"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda logits, features: (features, logits), "output 2 has that shape: return it first"),
        (lambda logits, features: {"x": features, "y": logits}, "'y' has that shape: return it"),
        (lambda _, features: (features, 1), r"returns output 1 \(1, 4\), output 2 int: return the"),
        (lambda *_: None, "answers with no tensor .* an object of NoneType: return the logits"),
        (lambda *_: "cat", "an object of str: return the logits"),
    ],
    ids=["second", "dict", "none", "nothing", "text"],
)
def test_what_has_no_logits(answer: Callable[[Tensor, Tensor], Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        checkpoint.trial(built(answer), SPEC, 3)


def test_a_forward_pass_that_ends_the_program() -> None:
    def end(*_: Tensor) -> None:
        raise SystemExit(3)

    with pytest.raises(CheckpointError, match="SystemExit, which ends the program"):
        checkpoint.trial(built(end), SPEC, 3)
