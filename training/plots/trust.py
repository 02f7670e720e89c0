"""Plots of the reliability of probabilities, label sets and familiarity."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.plots.figures import heading, png, say
from training.plots.text.lettering import lettering

_BINS = 60
_SHOWN = (0.5, 99.5)  # percentiles of the statistics that the histogram spans


def reliability(
    bins: NDArray[np.float64], asked: Sequence[float], held: Sequence[float], title: str
) -> bytes:
    """Draw the reliability diagram (DeGroot and Fienberg 1983) and, beside it, the coverage.

    `bins` (B, 3) are the number of images, accuracy and mean top probability of each bin, as
    `models.trust.calibration.reliability` returns them. `held` is the share of the sets that have
    the right label, for each coverage in `asked`; both are empty if the network has no sets.
    """
    with lettering(title):
        figure = Figure(figsize=(10, 5), layout="constrained")
        heading(figure, title)
        left, right = figure.subplots(1, 2)
        _diagonal(left)
        count, accuracy, probability = bins[bins[:, 0] > 0].T
        left.bar(probability, accuracy, width=0.8 / len(bins), color="tab:blue", alpha=0.6)
        left.plot(probability, accuracy, color="tab:blue", marker=".")
        for at, height, images in zip(probability, accuracy, count, strict=True):
            left.annotate(
                f"{images:,.0f}", (at, height), xytext=(0, 4), textcoords="offset points",
                ha="center", fontsize="x-small",
            )  # fmt: skip
        left.set(xlabel="mean top probability", ylabel="accuracy")
        left.set_title("reliability, images per bin")
        _diagonal(right)
        if len(asked):
            right.plot(asked, held, color="tab:orange", marker=".")
        else:
            say(right, "the card has no calibration")
        right.set(xlabel="coverage asked for", ylabel="sets with the right label", title="coverage")
        return png(figure)


def _diagonal(axes: Axes) -> None:
    axes.plot((0, 1), (0, 1), color="grey", linestyle=":")
    axes.set(xlim=(0, 1), ylim=(0, 1.05))


def strangers(
    familiar: NDArray[np.float32], strange: NDArray[np.float32], limit: float, title: str
) -> bytes:
    """Draw histograms of the statistic of familiar images and of strangers; returns a PNG.

    The statistic is larger for stranger images; answers above the `limit` are unsure. Values beyond
    the percentiles 0.5 and 99.5 are counted at the edges.
    """
    with lettering(title):
        figure = Figure(figsize=(9, 4.5), layout="constrained")
        heading(figure, title)
        axes = figure.subplots()
        ends = [np.percentile(each, _SHOWN) for each in (familiar, strange)]
        low, high = min(ends[0][0], ends[1][0]), max(ends[0][1], ends[1][1], limit)
        edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
        for values, color, name in (
            (familiar, "tab:blue", "familiar"),
            (strange, "tab:red", "strangers"),
        ):
            shares = np.full(len(values), 1 / len(values))
            axes.hist(
                np.clip(values, edges[0], edges[-1]), edges.tolist(), weights=shares, alpha=0.6,
                color=color, label=f"{name} ({len(values):,})",
            )  # fmt: skip
        axes.axvline(limit, color="grey", linestyle=":", label="unsure to the right")
        axes.set(xlabel="statistic: larger is stranger", ylabel="share of the images")
        axes.legend()
        return png(figure)
