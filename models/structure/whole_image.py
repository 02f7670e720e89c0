"""The layer whose maps show best what a network saw: the last that holds the whole image.

A layer holds the whole image if every path from the image to the logits goes through it. A
convolution beside an identity or other branches doesn't: its maps are a part of what the network
saw.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.architectures.own_code import FAILURES
from models.features import first, with_first
from models.structure.averaging import Averaging

MAX_VALUES = 2**27  # of all layers, 4 bytes each, that are kept for the gradient at a load


class Candidate(NamedTuple):
    """A module whose output is maps; `as_maps` turns it (N, …) into (N, C, H, W)."""

    name: str
    as_maps: Callable[[Tensor], Tensor]


def find(network: nn.Module, shape: Sequence[int], candidates: Sequence[Candidate]) -> str | None:
    """Name the last candidate that holds the whole image and that the logits depend on.

    If the logits depend on no candidate, as with a head that starts with zeros, it is the last one
    that they are connected to. `shape` is that of a batch (1, C, H, W); the candidates are in the
    order of the forward pass. None if there is no such candidate, or if the network can't be
    differentiated.
    """
    found = _find(network, shape, candidates)
    if found is None and candidates:
        with Averaging():
            found = _find(network, shape, candidates)
    return found


def _find(network: nn.Module, shape: Sequence[int], candidates: Sequence[Candidate]) -> str | None:
    """Return the name of the last candidate that holds the whole image and that the logits depend
    on; None if there is none. The gradients for an image of noise decide."""
    device = next((each.device for each in network.parameters()), torch.device("cpu"))
    with torch.inference_mode(False), torch.enable_grad():
        noise = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(0))
        image = noise.to(device).requires_grad_()
        try:
            with _outputs(network, candidates) as outputs:
                logits = network(image * 1)  # a network may change its input in place
            return _last(candidates, outputs, logits, image)
        except torch.OutOfMemoryError:
            raise
        except FAILURES:  # what somebody's code does may need numbers without a gradient
            return None


def _last(
    candidates: Sequence[Candidate], outputs: Mapping[str, Tensor], logits: Tensor, image: Tensor
) -> str | None:
    weights = torch.arange(1, logits.numel() + 1, device=logits.device)
    answer = (logits.flatten() * weights).sum()
    for each in reversed(candidates):
        output = outputs.get(each.name)
        if output is None or not _is_passed_by_all(output.grad_fn, answer.grad_fn, image):
            continue
        [gradient] = torch.autograd.grad(answer, output, retain_graph=True, materialize_grads=True)
        if each.as_maps(gradient).any():
            return each.name
    return None


@contextmanager
def _outputs(network: nn.Module, candidates: Sequence[Candidate]) -> Iterator[Mapping[str, Tensor]]:
    """Record the candidates' outputs in the `with` block, before they are changed in place."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            given = first(output)
            if not isinstance(given, Tensor) or given.grad_fn is None:
                return None  # the output stays as it is
            found[name] = given
            return with_first(output, given.clone())

        return hook

    with ExitStack() as hooks:
        for name, _as_maps in candidates:
            hooks.enter_context(network.get_submodule(name).register_forward_hook(keep(name)))
        yield found


def _is_passed_by_all(node: Any, start: Any, image: Tensor) -> bool:
    """Return whether every path from the logits back to the image goes through the node."""
    waiting, seen = [start] if start else [], {node}
    while waiting:
        each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        if getattr(each, "variable", None) is image:
            return False
        waiting += [before for before, _ in each.next_functions if before is not None]
    return True
