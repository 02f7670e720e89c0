"""Runtimes by name: what can give predictions, where it runs, and how it is built.

Each runtime is a module of this folder, which registers one `RuntimeEntry`. All modules of the
folder import torch and its like inside functions: settings need the names without loading them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from models.registry import Parameters, Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from models.checkpoint import Checkpoint
    from models.preprocessing import Pixels
    from service.inference.runtimes.eager import Torch
    from service.inference.runtimes.onnx_cache import Graphs

AUTO = "auto"  # the choice of the quickest runtime that fits
_DEVICES = {"cpu": "the CPU", "cuda": "a GPU"}


class Runtime(Protocol):
    """A function: uint8 batch (N, C, H, W) → float32 columns of `service.inference.outputs`.

    An `independent` one may run in any thread, also while the network itself runs.
    """

    @property
    def name(self) -> str: ...

    @property
    def independent(self) -> bool: ...

    def __call__(self, batch: "Pixels") -> "NDArray[np.float32]": ...

    def settle(self) -> None:
        """Give back memory: called once, after start-up has timed batches of all sizes.

        What the largest of them needed may never be needed again.
        """


@dataclass(frozen=True)
class Setup:
    """What a runtime is built from: the verified network, and the settings of the service.

    `eager` is the network in torch, which every runtime is compared with. `threads` are those of a
    forward pass on the CPU.
    """

    checkpoint: "Checkpoint"
    eager: "Torch"
    precision: str
    threads: int
    max_batch_size: int
    graphs: "Graphs"


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Attempt:
    """One way to build a runtime.

    `make` may raise anything. `accepted` is called if the runtime answers as eager torch does, for
    batches of these `batch_sizes`.
    """

    make: Callable[[], Runtime]
    accepted: Callable[[], None] = _nothing
    batch_sizes: tuple[int, ...] = (8, 1, 3)


@dataclass(frozen=True)
class RuntimeEntry:
    """A runtime that can be chosen.

    `title` is its full name, and `product` what messages call the thing that it builds. It runs on
    these types of `devices`, in these `precisions`. `auto` takes the fitting one with the highest
    `rank`; it never takes one of rank 0. `unavailable` tells why it can't run on this machine, or
    None. `attempts` are tried in their order.
    """

    name: str
    title: str
    description: str
    product: str
    devices: tuple[str, ...]
    precisions: tuple[str, ...]
    rank: int
    attempts: Callable[[Setup], Iterable[Attempt]]
    unavailable: Callable[[], str | None] = _nothing
    parameters: Parameters = field(default_factory=dict)

    def fits(self, device: str, precision: str) -> bool:
        """Return whether the runtime runs on this type of device, in this precision."""
        return device in self.devices and precision in self.precisions

    @property
    def scope(self) -> str:
        """Where it runs, in words: `float32 on the CPU`."""
        places = " or ".join(_DEVICES.get(device, device) for device in self.devices)
        return f"{', '.join(self.precisions)} on {places}"


RUNTIMES = Registry[RuntimeEntry]("runtime", package=__package__)


def register(entry: RuntimeEntry) -> RuntimeEntry:
    """Add a runtime; raises `ValueError` if its name is taken."""
    return RUNTIMES.register(entry, stacklevel=2)


def choices() -> tuple[str, ...]:
    """The values of the setting `runtime`."""
    return (AUTO, *RUNTIMES.names())


def describe() -> str:
    """The help of the setting `runtime`."""
    described = "; ".join(f"{each.name}: {each.description.rstrip('.')}" for each in RUNTIMES)
    return (
        f"what computes predictions. {AUTO}: the fastest one for the device that matches torch; "
        f"{described}"
    )


def table() -> str:
    """The runtimes as a Markdown table."""
    return RUNTIMES.table(
        {
            "runtime": lambda each: f"`{each.name}`",
            "what it is": lambda each: each.description,
            "runs": lambda each: each.scope,
            f"order of `{AUTO}`": lambda each: str(each.rank) if each.rank else "last",
        }
    )
