"""The roofline of a machine and the layers below it."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from tests.training.plots.drawn import Drawn, opened, xs, ys
from training import plots
from training.plots.networks.roofline import MAX_LAYERS
from training.profiling.batches import Affine, Batches
from training.profiling.machine import Machine
from training.profiling.report import Report
from training.profiling.traffic import LayerTraffic, StepTraffic, Traffic

MACHINE = Machine(peak=100e9, bandwidth=10e9)  # a ridge of 10 operations a byte


def step(batch_size: int, names: tuple[str, ...]) -> StepTraffic:
    """The nth layer has 4n operations a byte forward, and 8n backward. An activation follows."""
    layers = tuple(
        LayerTraffic(
            *(name, "Linear"),
            Traffic(60, 40, 200 * n * batch_size),
            Traffic(60, 40, 400 * n * batch_size),
        )
        for n, name in enumerate(names, 1)
    )
    relu = LayerTraffic("relu", "ReLU", Traffic(50, 50), Traffic(100, 50))
    nothing = LayerTraffic("elsewhere", "", Traffic(), Traffic())
    return StepTraffic(batch_size, (*layers, relu), nothing, (), 1000)


def report(
    names: tuple[str, ...] = ("one", "two"), sizes: tuple[int, ...] = (1, 4), timed: bool = True
) -> Report:
    """Each layer takes a microsecond."""
    parts = Affine(100, 10, 1000)
    compared = Batches(step(1, names), tuple(step(size, names) for size in sizes), parts, parts)
    times = [1e-3] * (len(names) + 2) if timed else None
    return Report(compared, MACHINE, times)


def points(axes: Axes, filled: bool) -> list[tuple[float, float]]:
    return [
        (xs(line)[0], ys(line)[0])
        for line in axes.lines
        if line.get_marker() == "o" and (line.get_markerfacecolor() != "none") == filled
    ]


def solid(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if line.get_linestyle() == "-"]


def test_the_roof_rises_to_the_ridge(drawn: Drawn) -> None:
    image = opened(plots.roofline(report(), "colors"))
    assert image.width > image.height > 300
    for name in ("forward", "backward"):
        axes = drawn.panels[name]
        roof, ridge = axes.lines[0], axes.lines[1]
        assert np.allclose(ys(roof), np.minimum(100, 10 * np.array(xs(roof))))
        assert xs(ridge) == [10, 10]
        assert axes.get_xscale() == axes.get_yscale() == "log"


def test_layers_stand_where_the_machine_allows_and_where_they_were_measured(drawn: Drawn) -> None:
    plots.roofline(report(), "colors")
    assert points(drawn.panels["forward"], filled=False) == [(4, 40), (8, 80)]
    assert points(drawn.panels["backward"], filled=False) == [(8, 80), (16, 100)]
    measured = points(drawn.panels["forward"], filled=True)
    assert np.allclose(measured, [(4, 0.4), (8, 0.8)])
    assert points(drawn.panels["backward"], filled=True) == []


def test_another_machine_has_no_measured_rates(drawn: Drawn) -> None:
    plots.roofline(report(timed=False), "colors")
    assert points(drawn.panels["forward"], filled=True) == []
    assert "measured" not in legend(drawn)


def legend(drawn: Drawn) -> list[str]:
    return [text.get_text() for text in drawn.figure.legends[0].get_texts()]


def test_the_legend_names_the_layers_that_compute(drawn: Drawn) -> None:
    plots.roofline(report(), "colors")
    assert legend(drawn)[:2] == ["one (Linear)", "two (Linear)"]
    assert not any("ReLU" in text for text in legend(drawn))


def test_of_many_layers_those_that_compute_most_have_colours(drawn: Drawn) -> None:
    names = tuple(f"layer{n}" for n in range(MAX_LAYERS + 5))
    plots.roofline(report(names), "colors")
    assert [text for text in legend(drawn) if text.endswith("(Linear)")] == [
        f"{name} (Linear)" for name in names[5:]
    ]
    assert "other layers" in legend(drawn)
    assert len(points(drawn.panels["forward"], filled=False)) == len(names)


def test_no_layer_that_computes(drawn: Drawn) -> None:
    opened(plots.roofline(report(names=()), "colors"))
    assert [text.get_text() for text in drawn.panels["forward"].texts] == ["no layer multiplies"]
    opened(plots.intensities(report(names=()), "colors"))


def test_intensities_grow_with_the_batch(drawn: Drawn) -> None:
    opened(plots.intensities(report(sizes=(4, 1)), "colors"))
    first, second, whole = solid(drawn.panels["forward"])
    assert (xs(first), ys(first)) == ([1, 4], [4, 16])
    assert ys(second) == [8, 32]
    assert ys(whole) == [1200 / 300, 4800 / 300]
    assert {"whole pass", "whole step with SGD", "whole step with Adam"} <= set(legend(drawn))


def test_a_single_batch_size() -> None:
    opened(plots.intensities(report(sizes=(8,)), "colors"))
