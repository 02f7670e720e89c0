"""Saturation of activation functions: pictures → inputs of each function → shares and slopes.

A function multiplies the gradient by its derivative. The derivative of a sigmoid is nearly 0 for
large inputs, so a layer before many sigmoids learns slowly (Glorot and Bengio 2010, Understanding
the Difficulty of Training Deep Feedforward Neural Networks). ReLU is flat for all inputs below 0; a
unit whose inputs are below 0 for every picture is dead.

Only functions that are modules are counted. Functions that the network calls directly are not seen;
`Structure.between` names them.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn

from models.features import first

FLAT = 0.05
"""An input is saturated if the derivative there is below this fraction of its largest value."""
ENDS = 10.0  # of the inputs that are drawn, on both sides of 0
BINS = 80
KINDS: tuple[type[nn.Module], ...] = (
    *(nn.Sigmoid, nn.Tanh, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU),
    *(nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign, nn.LogSigmoid),
    *(nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.Tanhshrink),
)
FUNCTIONS = frozenset(
    (
        *("sigmoid", "tanh", "relu", "hardtanh", "leaky_relu", "prelu", "elu", "celu", "selu"),
        *("gelu", "silu", "mish", "softplus", "softsign", "log_sigmoid_forward", "hardsigmoid"),
        *("hardswish", "relu6", "clamp_min"),
    )
)
"""torch's operators that are activation functions, as `Structure.between` names them."""


@dataclass
class Saturation:
    """Statistics of the inputs of one call of an activation function, over all pictures.

    `largest` is the largest magnitude of the derivative, and `slope` the sum of the derivatives.
    `inputs` is a histogram with `BINS` bins from -ENDS to ENDS; values beyond are in the outermost
    bins. `is_alive` says for each unit whether any picture left it unsaturated. It is None before
    the first batch, and keeps its shape: a batch with another shape doesn't change it.
    """

    name: str
    module: nn.Module
    largest: float
    values: int = 0
    saturated: int = 0
    slope: float = 0.0
    inputs: Tensor = field(default_factory=lambda: torch.zeros(BINS))
    is_alive: Tensor | None = None

    def add(self, taken: Tensor) -> None:
        """Count the inputs (N, …) of a batch."""
        slopes = derivative(self.module, taken)
        flat = slopes.abs() < FLAT * self.largest
        self.values += flat.numel()
        self.saturated += int(flat.sum())
        self.slope += float(slopes.double().sum())
        self.inputs += torch.histc(taken.float().clamp(-ENDS, ENDS).cpu(), BINS, -ENDS, ENDS)
        alive = (~flat).any(0)
        if self.is_alive is None or self.is_alive.shape == alive.shape:
            self.is_alive = alive if self.is_alive is None else self.is_alive | alive

    @property
    def share(self) -> float:
        """The fraction of the inputs that are saturated."""
        return self.saturated / max(self.values, 1)

    @property
    def always(self) -> float:
        """The fraction of the units that are saturated for every picture; with ReLU they are
        dead."""
        return 0.0 if self.is_alive is None else 1 - float(self.is_alive.float().mean())

    @property
    def mean_slope(self) -> float:
        return self.slope / max(self.values, 1)

    @property
    def kind(self) -> str:
        return type(self.module).__name__


def derivative(module: nn.Module, taken: Tensor) -> Tensor:
    """Return the derivative of an elementwise function at each input, in the inputs' shape."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf = taken.detach().clone().requires_grad_()
        given = module.forward(leaf * 1)  # some change their input in place
        [slopes] = torch.autograd.grad(given.sum(), leaf)
    return slopes


def largest(module: nn.Module) -> float:
    """Return the largest magnitude of the derivative for inputs from -10 to 10, or 1 if it is 0."""
    device = next((each.device for each in module.parameters()), torch.device("cpu"))
    grid = torch.linspace(-ENDS, ENDS, 2001, device=device).view(-1, 1)
    count = next((each.numel() for each in module.parameters()), 1)  # PReLU has one a channel
    return float(derivative(module, grid.expand(-1, count)).abs().max()) or 1.0


def modules(network: nn.Module) -> dict[str, nn.Module]:
    """The activation functions of a network that are modules, by name."""
    found = network.named_modules()
    return {name: module for name, module in found if isinstance(module, KINDS)}


def measure(network: nn.Module, batches: Iterator[Tensor]) -> list[Saturation]:
    """Measure the saturation of each call of an activation function, in forward order.

    The batches are normalised pictures (N, C, H, W) on the network's device. The network must be in
    evaluation mode.
    """
    found: dict[tuple[str, int], Saturation] = {}
    with _recording(network, found) as start, torch.no_grad():
        for batch in batches:
            start()
            network(batch)
    return list(found.values())


@contextmanager
def _recording(
    network: nn.Module, found: dict[tuple[str, int], Saturation]
) -> Iterator[Callable[[], None]]:
    """Add the inputs of the activation functions to `found` while the context is open.

    The caller must call the yielded function before each batch; it restarts the count of calls.
    """
    calls: dict[str, int] = {}

    def count(name: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, inputs: Any) -> None:
            calls[name] = number = calls.get(name, 0) + 1
            text = name if number == 1 else f"{name}, call {number}"
            key = (name, number)
            if key not in found:
                found[key] = Saturation(text, module, largest(module))
            found[key].add(first(inputs))

        return hook

    with ExitStack() as hooks:
        for name, module in modules(network).items():
            hooks.enter_context(module.register_forward_pre_hook(count(name)))
        yield calls.clear


def products(measured: Sequence[Saturation]) -> list[float]:
    """Return for each function the product of the mean slopes from it down to the input.

    This is about the factor by which the functions alone scale a gradient on its way back from
    there to the input. A residual connection bypasses some of them.
    """
    return list(accumulate((each.mean_slope for each in measured), mul))


def table(measured: Sequence[Saturation]) -> Table:
    """Return a table of the measured figures, with a row for each function."""
    result = Table(
        title=f"saturated: the derivative is below {FLAT * 100:.0f} % of its largest",
        caption="always: units that are saturated for every picture; of ReLU, the dead ones",
    )
    result.add_column("layer", overflow="fold")
    result.add_column("function")
    heads = ("values", "saturated", "always", "mean derivative", "largest", "product to the input")
    for head in heads:
        result.add_column(head, justify="right")
    for each, product in zip(measured, products(measured), strict=True):
        result.add_row(
            each.name,
            each.kind,
            f"{each.values:,}",
            f"{100 * each.share:.1f} %",
            f"{100 * each.always:.1f} %",
            f"{each.mean_slope:.3g}",
            f"{each.largest:.3g}",
            f"{product:.3g}",
        )
    return result


def function_table(measured: Sequence[Saturation]) -> Table:
    """Return a table of the functions and their derivatives at -10, -9, …, 10; one of each kind."""
    kinds = {each.kind: each for each in reversed(measured)}
    at = torch.arange(-ENDS, ENDS + 1, dtype=torch.float64)
    columns: list[Tensor] = []
    result = Table("x", title="the functions and their derivatives; flat ones are in brackets")
    for kind, each in reversed(kinds.items()):
        function = copy.deepcopy(each.module).cpu().double()
        channels = next((p.numel() for p in function.parameters()), 1)
        taken = at.view(-1, 1).expand(-1, channels)
        with torch.no_grad():
            columns.append(function.forward(taken.clone())[:, 0])
        columns.append(derivative(function, taken)[:, 0])
        result.add_column(kind, justify="right")
        result.add_column("derivative", justify="right")
    bounds = [each.largest * FLAT for each in reversed(kinds.values())]
    for row, x in enumerate(at.tolist()):
        cells = [f"{x:g}"]
        for value, slope, bound in zip(columns[::2], columns[1::2], bounds, strict=True):
            text = f"{slope[row].item():.3g}"
            flat = abs(slope[row].item()) < bound
            cells += [f"{value[row].item():.5g}", f"({text})" if flat else text]
        result.add_row(*cells)
    return result
