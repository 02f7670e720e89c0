"""The effect of dropout: one picture, many draws → values before and behind layers, probabilities.

In training a unit is 0 with probability p and is otherwise divided by 1 - p, so that its mean over
draws is its value. In evaluation dropout changes nothing (Srivastava et al. 2014, Dropout: A Simple
Way to Prevent Neural Networks from Overfitting). The spread of the probabilities over many draws
measures how unsure the network is (Gal and Ghahramani 2016, Dropout as a Bayesian Approximation).

Only dropout is in training mode here: batch normalisation uses its running statistics.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn

from models.features import first

UNITS = 8  # that are shown of each layer
SHOWN = 4  # draws that are shown
_BATCH = 50  # draws at a time
Kind = nn.modules.dropout._DropoutNd


@dataclass(frozen=True)
class Drawn:
    """A dropout layer and up to `UNITS` of its units, those with the largest magnitudes.

    `places` are the indices of the units; a unit of a feature map is written as channel, row and
    column. In a layer that drops whole maps, the units are of different maps. `before` (units,) are
    the values that enter the layer. `behind` (draws, units) are the values that leave it in
    training mode, and `evaluated` (units,) those in evaluation mode.
    """

    name: str
    kind: str
    p: float
    places: tuple[str, ...]
    before: Tensor
    behind: Tensor
    evaluated: Tensor

    @property
    def dropped(self) -> float:
        """The share of the units that are 0, over all draws."""
        return float((self.behind == 0).float().mean())

    @property
    def means(self) -> Tensor:
        """The mean of each unit over all draws, (units,)."""
        return self.behind.mean(0)


@dataclass(frozen=True)
class Demonstration:
    """The dropout layers of a network and its probabilities for one picture.

    `evaluated` (num_classes,) are the probabilities without dropout, `drawn` (draws, num_classes)
    those with it.
    """

    layers: tuple[Drawn, ...]
    evaluated: Tensor
    drawn: Tensor


def modules(network: nn.Module) -> dict[str, Kind]:
    """The dropout layers of a network that drop anything, by name."""
    found = network.named_modules()
    return {name: each for name, each in found if isinstance(each, Kind) and each.p > 0}


def demonstrate(network: nn.Module, picture: Tensor, draws: int, seed: int) -> Demonstration:
    """Run dropout `draws` times on one normalised picture (1, C, H, W), on the network's device.

    Each layer draws on its input in evaluation mode, so that only its own effect shows. For the
    probabilities, all dropout layers draw. torch's global generators are restored afterwards. The
    network must be in evaluation mode, and is left in it.
    """
    devices = [picture.device] if picture.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.inference_mode():
        torch.manual_seed(seed)
        taken: dict[str, Tensor] = {}
        layers = modules(network)
        with ExitStack() as hooks:
            for name, module in layers.items():
                hooks.enter_context(module.register_forward_pre_hook(_keep(taken, name)))
            evaluated = _probabilities(network, picture)[0]
        shown = [_drawn(n, layers[n], value, draws) for n, value in taken.items()]
        try:
            for module in layers.values():
                module.train()
            batches = [min(_BATCH, draws - at) for at in range(0, draws, _BATCH)]
            parts = [_probabilities(network, picture.expand(n, -1, -1, -1)) for n in batches]
        finally:
            network.eval()
    return Demonstration(tuple(shown), evaluated, torch.cat(parts))


def _keep(taken: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any], None]:
    def hook(_module: nn.Module, inputs: Any) -> None:
        taken[name] = first(inputs).detach().clone()

    return hook


def _probabilities(network: nn.Module, batch: Tensor) -> Tensor:
    """Return the softmax probabilities of a batch, (N, num_classes) on the CPU."""
    logits: Tensor = first(network(batch.contiguous()))
    return logits.float().softmax(1).cpu()


def _drawn(name: str, module: Kind, taken: Tensor, draws: int) -> Drawn:
    units = _units(module, taken)
    before = taken.flatten()[units]
    evaluated = module.forward(taken.clone()).flatten()[units]
    module.train()
    try:
        behind = torch.stack([module.forward(taken.clone()).flatten()[units] for _ in range(draws)])
    finally:
        module.eval()
    places = tuple(str(unit) for unit in units.tolist())
    if taken.ndim == 4:
        _, _, height, width = taken.shape
        places = tuple(
            f"{unit // (height * width)} at {unit // width % height}, {unit % width}"
            for unit in units.tolist()
        )
    # 0 is added, lest a negative unit that is dropped be written as -0
    parts = (each.float().cpu() + 0.0 for each in (before, behind, evaluated))
    return Drawn(name, type(module).__name__, module.p, places, *parts)


def _units(module: Kind, taken: Tensor) -> Tensor:
    """Return the flat indices of the units with the largest magnitudes, at most `UNITS`.

    For a layer that drops whole maps, at most one unit of each map is taken.
    """
    magnitudes = taken.abs().flatten()
    if isinstance(module, nn.Dropout2d) and taken.ndim == 4:
        size = taken[0, 0].numel()
        best, places = magnitudes.view(-1, size).max(1)  # (C,)
        maps = best.topk(min(UNITS, len(best))).indices.sort().values
        return maps * size + places[maps]
    return magnitudes.topk(min(UNITS, len(magnitudes))).indices.sort().values


def layer_table(layer: Drawn) -> Table:
    """Return a table of a layer's units: value before, in some draws, mean of all draws, in
    evaluation."""
    scale = "all others are 0" if layer.p == 1 else f"the others times {1 / (1 - layer.p):.4g}"
    result = Table(
        title=f"{layer.name} ({layer.kind}): drops with probability {layer.p:g}, {scale}; dropped "
        f"{100 * layer.dropped:.1f} % of these in {len(layer.behind):,} draws"
    )
    heads = ["unit", "before", *(f"draw {n}" for n in range(1, len(layer.behind[:SHOWN]) + 1))]
    for head in (*heads, "mean of draws", "evaluation"):
        result.add_column(head, justify="right")
    for number, place in enumerate(layer.places):
        values = [layer.before[number], *layer.behind[:SHOWN, number]]
        values += [layer.means[number], layer.evaluated[number]]
        result.add_row(place, *(f"{value.item():.3g}" for value in values))
    return result


def probability_table(found: Demonstration, labels: Sequence[str], most: int = 10) -> Table:
    """The spread of the probabilities over the draws, the likeliest classes first."""
    result = Table(title=f"probabilities of {len(found.drawn):,} draws of all dropout layers")
    result.add_column("class", overflow="fold")
    for head in ("evaluation", "mean", "deviation", "least", "most"):
        result.add_column(head, justify="right")
    for index in found.evaluated.argsort(descending=True)[:most].tolist():
        draws = found.drawn[:, index]
        figures = (found.evaluated[index], draws.mean(), draws.std(correction=0))
        cells = [f"{float(value):.4f}" for value in (*figures, draws.min(), draws.max())]
        result.add_row(labels[index], *cells)
    return result
