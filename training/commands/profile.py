"""`profile`: an architecture or a checkpoint → what each layer costs, as a table and as JSON."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import JsonValue
from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from torch import Tensor, nn
from typing_extensions import Doc

from models import checkpoint, devices, files, repositories
from models.architectures import registry
from models.architectures.registry import OTHERS
from models.errors import OptionError
from models.preprocessing import InputSpec
from models.registry import Completion, UnknownNameError, proposal
from training.commands import options
from training.profiling import batches, machine, profile, report
from training.profiling.machine import Machine
from training.profiling.profile import Cost, LayerCost, TrainingMemory
from training.profiling.report import Report
from training.recipes.arguments import Arguments

_IMAGENET_CLASSES = 1000
_BATCH_SIZES = (1, 8, 32, 128, 512)
Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Profile:
    """Show parameters, memory, multiply-adds and time of a network, layer by layer.

    Multiply-adds count convolutions, linear layers and attention, without biases. Activations are
    the memory of the outputs for one image. Time is that of the forward pass. The row "elsewhere"
    is what belongs to no layer, such as operations between layers.

    --traffic adds what each layer reads and writes in a forward and a backward pass, if each tensor
    crosses memory once; its floating-point operations a byte; whether memory or arithmetic bounds
    it on this machine (the roofline model); and how the batch size changes that.
    """

    target: Annotated[
        str,
        options.Positional(),
        Doc(f"{registry.describe()} Otherwise a model in the repository."),
        Completion(lambda: registry.complete() + options.model_names()),
    ]
    checkpoint: bool = False
    """Take the model in the repository, also where an architecture has its name."""
    version: int | None = None
    """The model's version, by default the highest; implies --checkpoint."""
    num_classes: int | None = None
    """Of an architecture; by default its own, for torchvision's the 1,000 of ImageNet."""
    size: int | None = None
    """Of an architecture: height and width of the input in pixels; by default its own."""
    arguments: Annotated[Arguments, Doc(registry.describe_arguments())] = field(
        default_factory=dict
    )
    batch_size: int = 1
    """Pictures in the batch that is timed, and in the training step that is estimated."""
    passes: int = 10
    """Forward passes, of which the median time is taken."""
    precision: Precision = "float32"
    """What weights and pictures are converted to; without autocast, which `fit` uses."""
    seed: int = 0
    """Decides the weights of an architecture, and the pictures, which are noise."""
    traffic: bool = False
    """Also count memory traffic; implied by --batch-sizes, --peak, --bandwidth and --plots."""
    batch_sizes: tuple[int, ...] = _BATCH_SIZES
    """Batch sizes of which the traffic is compared."""
    peak: float | None = None
    """GFLOP/s of another machine, by its data sheet, say; by default measured here."""
    bandwidth: float | None = None
    """GB/s of its memory; by default measured here."""
    plots: Path | None = None
    """A folder for two plots: the roofline, and operations a byte against the batch size."""
    json: Path | None = None
    """A file for the figures."""
    repository: options.Repositories = field(default_factory=options.readable_repositories)
    architectures: options.Architectures = field(default_factory=options.architectures)
    device: options.Device = "auto"

    def __call__(self, console: Console) -> None:
        self._check()
        device = devices.resolve(self.device)
        subject = self._subject(device)
        batch = self._batch(subject, device)
        measured = self._measure(subject, batch)
        memory = _training_memory(subject.network, batch)

        threads = torch.get_num_threads()
        precision = "" if self.precision == "float32" else f" in {self.precision}"
        console.print(
            f"{subject}: input {_shape(subject.input.shape)}, {subject.num_classes} classes; "
            f"batch of {self.batch_size}{precision} on {device}"
            + (f" with {threads} thread{'s' * (threads > 1)}" if device.type == "cpu" else "")
        )
        _print_wide(console, _table(measured))
        for line in _summary(measured, memory, self.batch_size):
            console.print(line)
        counted = self._count(console, subject, batch, measured) if self._has_traffic else None
        if self.json is not None:
            content = {
                "name": subject.name,
                "version": subject.version,
                "architecture": subject.architecture,
                "arguments": subject.arguments,
                "num_classes": subject.num_classes,
                "input": subject.input.model_dump(mode="json", exclude_none=True),
                "batch_size": self.batch_size,
                "precision": self.precision,
                "passes": self.passes,
                "seed": self.seed,
                "device": str(device),
                "threads": threads,
                "torch": torch.__version__,
                "layers": [_flat(row) for row in measured.layers],
                "elsewhere": asdict(measured.elsewhere),
                "total": asdict(measured.total),
                "training": asdict(memory) if isinstance(memory, TrainingMemory) else None,
                "traffic": report.as_json(counted) if counted is not None else None,
            }
            files.write(self.json, json.dumps(content, indent=2).encode() + b"\n")

    def _check(self) -> None:
        options.at_least_one(self, "num_classes", "size", "batch_size", "passes")
        for name in ("peak", "bandwidth"):
            if (value := getattr(self, name)) is not None and not 0 < value < math.inf:
                raise OptionError(f"--{name} must be more than 0, not {value:g}")
        if not self.batch_sizes or min(self.batch_sizes) < 1:
            raise OptionError("--batch-sizes must be one or more numbers, each 1 or more")

    @property
    def _has_traffic(self) -> bool:
        asked = self.peak, self.bandwidth, self.plots
        given = self.batch_sizes != _BATCH_SIZES or any(each is not None for each in asked)
        return self.traffic or given

    def _batch(self, subject: "_Subject", device: torch.device) -> Tensor:
        """Return a normalised batch of noise (N, C, H, W), in the chosen precision."""
        generator = torch.Generator().manual_seed(self.seed)
        shape = (self.batch_size, *subject.input.shape)
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        return subject.input.normalize(pixels.to(device)).to(getattr(torch, self.precision))

    def _measure(self, subject: "_Subject", batch: Tensor) -> profile.Profile:
        subject.network.to(batch.dtype)
        try:
            return profile.profile(subject.network, batch, self.passes)
        except RuntimeError as error:
            if self.precision == "float32":
                raise
            raise OptionError(
                f"{subject.name} can't be run in {self.precision} on {batch.device}: {error}; "
                "leave out --precision"
            ) from error

    def _count(
        self, console: Console, subject: "_Subject", batch: Tensor, measured: profile.Profile
    ) -> Report | None:
        """Count the memory traffic, print it, and draw it if asked to.

        Returns None if the network's traffic can't be counted.
        """
        layers = {row.name: row.type for row in measured.layers}
        try:
            compared = batches.measure(subject.network, batch, layers, self.batch_sizes)
        except Exception as error:  # whatever a network raises that needs the values of tensors
            console.print(f"memory traffic can't be counted: {' '.join(str(error).split())}")
            return None
        costs = [*(row.cost for row in measured.layers), measured.elsewhere]
        is_here = self.peak is None and self.bandwidth is None
        found = Report(
            batches=compared,
            machine=self._machine(console, batch),
            milliseconds=[cost.milliseconds for cost in costs] if is_here else None,
        )
        _print_wide(console, report.by_layer(found))
        for line in report.findings(found):
            console.print(line)
        _print_wide(console, report.by_batch_size(found))
        if self.plots is not None:
            self._draw(console, found, self.plots, f"{subject}, {self.precision}")
        return found

    def _machine(self, console: Console, batch: Tensor) -> Machine:
        """Return the machine with its peak and bandwidth, given or measured, and print which."""
        of_peak = of_bandwidth = "as given"
        if self.peak is None:
            peak = machine.peak(batch.device, batch.dtype)
            of_peak = f"measured by products of matrices in {self.precision}"
        else:
            peak = self.peak * 1e9
        if self.bandwidth is None:
            size, cache = machine.array_bytes(batch.device), machine.last_cache(batch.device)
            try:
                bandwidth = machine.bandwidth(batch.device, size)
            except RuntimeError as error:  # torch has no other for a lack of memory
                raise OptionError(
                    f"the bandwidth can't be measured: {error}; give it as --bandwidth, in GB/s"
                ) from error
            of_cache = f"; the last cache has {decimal(cache)}" if cache else ""
            of_bandwidth = f"measured by a triad over three arrays of {decimal(size)}{of_cache}"
        else:
            bandwidth = self.bandwidth * 1e9
        found = Machine(peak, bandwidth)
        console.print(
            "\nmemory traffic of a step, if each tensor crosses memory once (the roofline model of "
            "Williams, Waterman and Patterson, 2009)"
        )
        console.print(
            f"machine: {peak / 1e9:.4g} GFLOP/s ({of_peak}), {bandwidth / 1e9:.4g} GB/s "
            f"({of_bandwidth}); below {found.ridge:.3g} FLOP/B memory is the bound"
        )
        return found

    def _draw(self, console: Console, found: Report, folder: Path, title: str) -> None:
        from training import plots  # here, since matplotlib takes a second to import

        name = re.sub(r"[^\w.-]+", "-", self.target)
        files.make_folder(folder)
        for kind, content in (
            ("roofline", plots.roofline(found, title)),
            ("intensity", plots.intensities(found, title)),
        ):
            path = folder / f"{kind}-{name}.png"
            files.write(path, content)
            console.print(str(path))

    def _subject(self, device: torch.device) -> "_Subject":
        architectures, models = registry.names(), repositories.names(self.repository)
        published = self.checkpoint or self.version is not None
        if not published and registry.is_known(self.target):
            return self._architecture(device)
        if not published and self.target not in models:
            raise UnknownNameError(
                f"{self.target!r} is neither an architecture ({', '.join(architectures)}, "
                f"{OTHERS}) nor a model in {', '.join(map(str, self.repository))} "
                f"({', '.join(models) or 'which has none'}); "
                f"{proposal(self.target, [*architectures, *models])}".rstrip("; ")
            )
        return self._model(device)

    def _architecture(self, device: torch.device) -> "_Subject":
        architecture = registry.named(self.target)
        if self.num_classes is not None and architecture.classes is None:
            raise OptionError(f"{self.target} has a fixed head: leave out --num-classes")
        num_classes = self.num_classes or architecture.usual_classes or _IMAGENET_CLASSES
        changes = {} if self.size is None else {"height": self.size, "width": self.size}
        spec = architecture.input_for(self.arguments, **changes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = architecture.build(num_classes, **self.arguments)
        network.to(device).eval()
        if architecture.classes is None:
            num_classes = _outputs(network, spec, device)
        return _Subject(
            name=self.target,
            version=None,
            architecture=self.target,
            arguments=dict(self.arguments),
            num_classes=num_classes,
            input=spec,
            network=network,
        )

    def _model(self, device: torch.device) -> "_Subject":
        if self.arguments or self.num_classes is not None or self.size is not None:
            raise OptionError(
                "--arguments, --num-classes and --size are told by a model's checkpoint"
            )
        permission = options.permission(self.architectures)
        loaded = repositories.load_named(
            self.repository, self.target, self.version, device, permission
        )
        card = loaded.card
        if not loaded.has_gradients:
            raise OptionError(
                f"{card.name}/{card.version} is an ONNX graph, which ONNX Runtime runs as a whole: "
                "profile measures the layers of networks of torch. GET /v1/models/"
                f"{card.name} tells the shapes, parameters and multiply-adds of its layers"
            )
        return _Subject(
            name=card.name,
            version=card.version,
            architecture=card.architecture,
            arguments=card.arguments,
            num_classes=len(card.labels),
            input=card.input,
            network=loaded.network,
        )


@dataclass(frozen=True)
class _Subject:
    """What is profiled: a network in evaluation mode on its device."""

    name: str
    version: int | None
    """None of an architecture."""
    architecture: str
    arguments: dict[str, JsonValue]
    num_classes: int
    input: InputSpec
    network: nn.Module

    def __str__(self) -> str:
        if self.version is None:
            return f"architecture {self.name}"
        return f"model {self.name}/{self.version}, architecture {self.architecture}"


def _outputs(network: nn.Module, spec: InputSpec, device: torch.device) -> int:
    """The number of classes of a fixed head; raises `CheckpointError` if it takes other images."""
    pixels = torch.zeros(1, *spec.shape, dtype=torch.uint8, device=device)
    try:
        with torch.inference_mode():
            logits = network(spec.normalize(pixels))
    except Exception as error:
        raise checkpoint.CheckpointError(
            f"the network does not take an input of shape {spec.shape}: {error}"
        ) from error
    return int(logits.shape[-1])


def _training_memory(network: nn.Module, batch: Tensor) -> TrainingMemory | str:
    """Estimate the memory of a training step, or return why that is not possible."""
    try:
        return profile.training_memory(network, batch)
    except Exception as error:  # whatever a network raises that can't be trained on such a batch
        return " ".join(str(error).split())


def _flat(row: LayerCost) -> dict[str, Any]:
    layer = asdict(row)
    cost: dict[str, Any] = layer.pop("cost")
    return layer | cost


def _print_wide(console: Console, table: Table) -> None:
    """Print a table at its full width, so that no figure is cut off."""
    table.width = console.measure(table, options=console.options.update(width=1000)).maximum
    console.print(table)


def _table(measured: profile.Profile) -> Table:
    total = measured.total
    table = Table("layer", "type", "output", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for title in ("parameters", "%", "weights", "multiply-adds", "%", "activations", "%", "ms"):
        table.add_column(title, justify="right")
    table.add_column("%", justify="right")
    for row in measured.layers:
        table.add_row(row.name, row.type, _shape(row.output_shape), *_cells(row.cost, total))
    table.add_row("elsewhere", "", "", *_cells(measured.elsewhere, total), end_section=True)
    table.add_row("total", "", "", *_cells(total, total))
    return table


def _cells(cost: Cost, total: Cost) -> list[str]:
    """Format a cost as cells of the table; a figure that is 0 gives an empty cell."""
    return [
        f"{cost.parameters:,}" if cost.parameters else "",
        _percent(cost.parameters, total.parameters),
        decimal(cost.weight_bytes) if cost.weight_bytes else "",
        f"{cost.multiply_adds:,}" if cost.multiply_adds else "",
        _percent(cost.multiply_adds, total.multiply_adds),
        decimal(cost.activation_bytes) if cost.activation_bytes else "",
        _percent(cost.activation_bytes, total.activation_bytes),
        f"{cost.milliseconds:.2f}",
        _percent(cost.milliseconds, total.milliseconds),
    ]


def _summary(measured: profile.Profile, memory: TrainingMemory | str, batch_size: int) -> list[str]:
    """Describe where parameters, multiply-adds, activations and time go, and a training step's
    memory."""
    sentences = [
        f"parameters: {_whereabouts(measured, lambda cost: cost.parameters)}",
        f"multiply-adds: {_whereabouts(measured, lambda cost: cost.multiply_adds)}",
        f"activations: {_whereabouts(measured, lambda cost: cost.activation_bytes)}",
        f"time: {_whereabouts(measured, lambda cost: cost.milliseconds)}",
    ]
    step = f"a training step with a batch of {batch_size}"
    if isinstance(memory, str):
        return [*sentences, f"{step} can't be estimated: {memory}"]
    return [
        *sentences,
        f"{step} takes, as an estimate: weights {decimal(memory.weights)}, gradients "
        f"{decimal(memory.gradients)}, activations for the backward pass "
        f"{decimal(memory.activations)};",
        f"with plain SGD {decimal(memory.with_sgd)} in all, with momentum "
        f"{decimal(memory.with_momentum)}, with Adam {decimal(memory.with_adam)}",
    ]


def _whereabouts(measured: profile.Profile, of: Callable[[Cost], float]) -> str:
    """Name the layer types that take most of a cost, and the single layer that takes most."""
    total = of(measured.total)
    if not total:
        return "none"
    places = defaultdict[str, float](float, {"elsewhere": of(measured.elsewhere)})
    for row in measured.layers:
        places[f"in {row.type}"] += of(row.cost)
    shares = [
        f"{_percent(value, total)} {name}"
        for name, value in sorted(places.items(), key=lambda item: -item[1])[:3]
        if value >= total / 100
    ]
    if not measured.layers:
        return ", ".join(shares)
    most = max(measured.layers, key=lambda row: of(row.cost))
    share = _percent(of(most.cost), total)
    return f"{', '.join(shares)}; layer {most.name} ({most.type}) alone has {share}"


def _percent(value: float, total: float) -> str:
    if not value:
        return ""
    return f"{value / total:.0%}" if value >= total / 200 else "<1%"


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
