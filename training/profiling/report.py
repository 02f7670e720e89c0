"""Report of memory traffic: counted traffic → tables, sentences and JSON."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.filesize import decimal
from rich.table import Table

from models.registry import listed
from training.profiling import batches
from training.profiling.batches import OPTIMIZERS, Affine, Batches
from training.profiling.machine import Machine
from training.profiling.traffic import LayerTraffic, StepTraffic, Traffic

_NAMED = 6  # layers in a sentence
_PASSES: dict[str, Callable[[LayerTraffic], Traffic]] = {
    "forward": lambda row: row.forward,
    "backward": lambda row: row.backward,
}


@dataclass(frozen=True)
class Report:
    """The counted traffic and the machine; `milliseconds` are forward times for each of `rows`.

    They are None if the machine is another than the one on which they were measured.
    """

    batches: Batches
    machine: Machine
    milliseconds: Sequence[float] | None

    @property
    def step(self) -> StepTraffic:
        return self.batches.own

    @property
    def rows(self) -> list[LayerTraffic]:
        return [*self.step.layers, self.step.elsewhere]

    def timed(self) -> list[tuple[LayerTraffic, float]]:
        """Each row with the milliseconds measured for its forward pass; 0 if none were measured."""
        return list(zip(self.rows, self.milliseconds or [0.0] * len(self.rows), strict=True))


def by_layer(report: Report) -> Table:
    """Return a table by layer: bytes moved in both passes, operations per byte, and the bound."""
    table = _table("layer", "type")
    for title in ("read", "written", "FLOP/B", "bound", "least ms", "ms", "%"):
        table.add_column(f"forward\n{title}", justify="left" if title == "bound" else "right")
    for title in ("read", "written", "multiply-adds", "FLOP/B", "bound"):
        table.add_column(f"backward\n{title}", justify="left" if title == "bound" else "right")
    spent = sum(milliseconds for _, milliseconds in report.timed())
    for row, milliseconds in report.timed():
        table.add_row(*_cells(row, report.machine, milliseconds, spent))
    table.add_section()
    table.add_row(*_cells(report.step.total, report.machine, spent, spent))
    return table


def by_batch_size(report: Report) -> Table:
    """Return a table by batch size: bytes moved by a step, and operations per byte."""
    table = _table()
    table.add_column("batch", justify="right")
    for name in _PASSES:
        for title in ("bytes", "fixed", "FLOP/B"):
            table.add_column(f"{name}\n{title}", justify="right")
    table.add_column("layers that\nmemory bounds", justify="right")
    for optimizer in OPTIMIZERS:
        table.add_column(f"step, {optimizer}\nFLOP/B", justify="right")
    for step in report.batches.steps:
        forward, backward = step.total.forward, step.total.backward
        bound = batches.memory_bound(step, report.machine, _PASSES["forward"])
        computing = sum(row.forward.multiply_adds > 0 for row in step.layers)
        table.add_row(
            f"{step.batch_size:,}",
            *_of_pass(forward, report.batches.forward),
            *_of_pass(backward, report.batches.backward),
            f"{len(bound)} of {computing}",
            *(_ratio(batches.intensity(step, optimizer)) for optimizer in OPTIMIZERS),
        )
    return table


def findings(report: Report) -> list[str]:
    """Describe what bounds the passes, and which part of the traffic grows with the batch."""
    parts = {"forward": report.batches.forward, "backward": report.batches.backward}
    sentences = [
        sentence
        for name, of in _PASSES.items()
        for sentence in (
            f"{name} traffic: {_whereabouts(report, of)}",
            f"{name} bounds: {_bounds(report, of)}",
            f"{name} by batch size: {_growth(parts[name], report.machine)}",
        )
    ]
    between = report.step.between
    unseen = f"elsewhere are operators that no layer shows: {listed(between, _NAMED)}"
    return [
        *([unseen] if between else []),
        *sentences,
        "an optimizer's step moves, whatever the batch: "
        + ", ".join(
            f"{name} {decimal(times * report.step.trained)}" for name, times in OPTIMIZERS.items()
        ),
        *_share_of_time(report),
    ]


def as_json(report: Report) -> dict[str, Any]:
    """Return every figure, in bytes, operations per byte, operations or bytes per second, and
    ms."""
    machine = report.machine
    return {
        "machine": asdict(machine) | {"ridge": machine.ridge},
        "layers": [_flat(row, machine) for row in report.step.layers],
        "elsewhere": _flat(report.step.elsewhere, machine),
        "between": list(report.step.between),
        "total": _flat(report.step.total, machine),
        "trained_bytes": report.step.trained,
        "forward": asdict(report.batches.forward),
        "backward": asdict(report.batches.backward),
        "batches": [
            {
                "batch_size": step.batch_size,
                **_flat(step.total, machine),
                "memory_bound": {
                    name: batches.memory_bound(step, machine, of) for name, of in _PASSES.items()
                },
                "intensity": {name: batches.intensity(step, name) for name in OPTIMIZERS},
            }
            for step in report.batches.steps
        ],
    }


def _table(*titles: str) -> Table:
    return Table(*titles, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))


def _cells(row: LayerTraffic, machine: Machine, milliseconds: float, spent: float) -> list[str]:
    """Format the traffic of a layer as cells of the table; a figure that is 0 gives an empty
    cell."""
    forward, backward = row.forward, row.backward
    return [
        row.name,
        row.type,
        *(_bytes(forward.read), _bytes(forward.written), _ratio(forward.intensity)),
        machine.bound(forward) or "",
        f"{machine.milliseconds(forward):.3f}" if forward.bytes else "",
        f"{milliseconds:.3f}" if milliseconds else "",
        _percent(milliseconds, spent),
        *(_bytes(backward.read), _bytes(backward.written)),
        f"{backward.multiply_adds:,}" if backward.multiply_adds else "",
        *(_ratio(backward.intensity), machine.bound(backward) or ""),
    ]


def _of_pass(traffic: Traffic, parts: Affine) -> list[str]:
    share = _percent(parts.fixed, traffic.bytes)
    return [_bytes(traffic.bytes), share, _ratio(traffic.intensity)]


def _whereabouts(report: Report, of: Callable[[LayerTraffic], Traffic]) -> str:
    """Name the layer types that move most in a pass, and the single layer that moves most."""
    total = of(report.step.total).bytes
    if not total:
        return "none"
    places = defaultdict[str, int](int)
    for row in report.rows:
        places[f"in {row.type}" if row.type else row.name] += of(row).bytes
    shares = [
        f"{_percent(moved, total)} {place}"
        for place, moved in sorted(places.items(), key=lambda item: -item[1])[:3]
        if moved >= total / 100
    ]
    most = max(report.rows, key=lambda row: of(row).bytes)
    alone = f"{most.name} ({most.type})" if most.type else most.name
    share = _percent(of(most).bytes, total)
    return f"{decimal(total)}, {', '.join(shares)}; {alone} alone has {share}"


def _bounds(report: Report, of: Callable[[LayerTraffic], Traffic]) -> str:
    """Name the layers that memory bounds in a pass; it bounds all layers without multiply-adds."""
    step, machine = report.step, report.machine
    bound = batches.memory_bound(step, machine, of)
    computing = sum(of(row).multiply_adds > 0 for row in step.layers)
    moving = sum(of(row).bytes > 0 and not of(row).multiply_adds for row in step.layers)
    named = f" ({listed(bound, _NAMED)})" if bound else ""
    least = [machine.milliseconds(of(row)) for row in report.rows]
    by_memory = [
        machine.milliseconds(of(row)) for row in report.rows if machine.bound(of(row)) == "memory"
    ]
    share = _percent(sum(by_memory), sum(least)) or "none"
    return (
        f"memory bounds {len(bound)} of {computing} layers with multiply-adds{named}, and "
        f"{moving} without any; {share} of the least time is theirs"
    )


def _share_of_time(report: Report) -> list[str]:
    """Say which share of the measured time memory-bound layers take; empty if nothing was
    measured."""
    if report.milliseconds is None:
        return []
    spent, machine = sum(report.milliseconds), report.machine
    theirs = sum(each for row, each in report.timed() if machine.bound(row.forward) == "memory")
    least = sum(machine.milliseconds(row.forward) for row in report.rows)
    return [
        f"measured: the layers that memory bounds take {_percent(theirs, spent) or 'none'} of the "
        f"{spent:.2f} ms of the forward pass; its least time is {least:.2f} ms"
    ]


def _growth(parts: Affine, machine: Machine) -> str:
    """Describe how the memory traffic of a pass grows with the batch size.

    The text ends with the smallest batch size from which the pass is compute-bound instead of
    memory-bound.
    """
    if not parts.multiply_adds:
        where = "without multiply-adds"
    elif (crossing := parts.crossing(machine)) is None:
        where = f"memory is the bound at every batch size (at most {parts.limit:.3g} FLOP/B)"
    elif crossing == 1:
        where = "arithmetic is the bound at every batch size"
    else:
        where = f"arithmetic is the bound from a batch of {crossing:,} on"
    return (
        f"{decimal(parts.fixed)} whatever the batch, and {decimal(parts.per_image)} an "
        f"image; {where}"
    )


def _flat(row: LayerTraffic, machine: Machine) -> dict[str, Any]:
    return {
        "name": row.name,
        "type": row.type,
        **{
            name: asdict(of(row))
            | {
                "intensity": of(row).intensity,
                "bound": machine.bound(of(row)),
                "least_milliseconds": machine.milliseconds(of(row)),
            }
            for name, of in _PASSES.items()
        },
    }


def _bytes(count: int) -> str:
    return decimal(count) if count else ""


def _ratio(value: float | None) -> str:
    """Format a ratio with three digits, or without decimals from 100 on; empty for None."""
    if not value:
        return "" if value is None else "0"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _percent(value: float, total: float) -> str:
    if not value:
        return ""
    return f"{value / total:.0%}" if value >= total / 200 else "<1%"
