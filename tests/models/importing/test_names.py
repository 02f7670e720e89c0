"""The tensors of somebody's file get the names of our network, or an error says why not."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.importing import names
from models.importing.names import MismatchError


def equal_layers(numbers: range) -> dict[str, Tensor]:
    """Weights of layers of one shape, each filled with its place in the forward pass."""
    return {f"{n}.weight": torch.full((4, 4), float(i)) for i, n in enumerate(numbers)}


def sorted_by_name(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As safetensors has them: 1, 11, 13, 3, …"""
    return dict(sorted(tensors.items()))


@pytest.mark.parametrize("order", [dict, sorted_by_name])
def test_numbers_keep_their_order_however_the_file_sorts_them(
    order: Callable[[dict[str, Tensor]], dict[str, Tensor]],
) -> None:
    theirs, ours = equal_layers(range(1, 15, 2)), equal_layers(range(0, 21, 3))
    found = names.fit(order(theirs), ours, architecture="mine").tensors
    assert [value[0, 0].item() for value in found.values()] == list(range(7))


def test_numbers_at_several_places() -> None:
    def blocks(first: int, step: int) -> dict[str, Tensor]:
        places = [(i, j) for i in range(first, first + 12 * step, step) for j in (first, 10)]
        return {f"body.{i}.{j}.w": torch.full((2,), float(n)) for n, (i, j) in enumerate(places)}

    found = names.fit(sorted_by_name(blocks(1, 2)), blocks(0, 1), architecture="mine").tensors
    assert [value[0].item() for value in found.values()] == list(range(24))


def three(*called: str) -> dict[str, Tensor]:
    return {f"{name}.weight": torch.full((3, 3), float(i)) for i, name in enumerate(called)}


def test_by_order() -> None:
    theirs, ours = three("stem", "body", "head"), three("a", "b", "c")
    with pytest.raises(MismatchError, match="--by-order takes them so"):
        names.fit(theirs, ours, architecture="mine")
    found = names.fit(theirs, ours, architecture="mine", by_order=True).tensors
    assert [value[0, 0].item() for value in found.values()] == [0, 1, 2]


def test_an_order_that_the_file_does_not_keep_is_not_followed() -> None:
    theirs, ours = sorted_by_name(three("stem", "body", "head")), three("a", "b", "c")
    with pytest.raises(MismatchError, match="does not keep the order of its tensors"):
        names.fit(theirs, ours, architecture="mine", by_order=True, has_order=False)
    with pytest.raises(MismatchError, match=r"rename the entries, to 'a\.weight'"):
        names.fit(theirs, ours, architecture="mine", has_order=False)


def test_numbers_of_eight_bits() -> None:
    layer = nn.Linear(2, 2)
    theirs = {name: each.to(torch.float8_e4m3fn) for name, each in layer.state_dict().items()}
    found = names.fit(theirs, layer.state_dict(), architecture="mine")
    assert found.tensors["weight"].dtype == torch.float32
    assert found.notes == ("converted float8_e4m3fn to float32",)
    theirs["bias"] = torch.tensor([1.0, torch.nan]).to(torch.float8_e4m3fn)
    with pytest.raises(MismatchError, match="bias has values that are not finite"):
        names.fit(theirs, layer.state_dict(), architecture="mine")


@pytest.mark.parametrize("head", ["aux1", "AuxLogits"])
def test_auxiliary_heads_that_a_file_lacks_are_recognised(head: str) -> None:
    with pytest.raises(MismatchError, match="add --arguments aux_logits=false"):
        names.fit(three("stem"), three("stem", head), architecture="mine")
    with pytest.raises(MismatchError, match="it is another network, or --arguments are missing"):
        names.fit(three("stem"), three("stem", head, "fc"), architecture="mine")
