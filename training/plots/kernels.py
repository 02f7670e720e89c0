"""The weights of a layer as pictures: kernels, templates, matrices."""

from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from torch import Tensor

from training.plots.figures import bare, bound, centres, heading, mosaic, png
from training.plots.lettering import lettering

_MOST_SIDE_BY_SIDE = 64  # kernels of one input channel, or in colour
_MOST_CHANNELS = 16  # of input and of output, where every pair has a kernel
_GROUND = "lightsteelblue"  # no grey, so that gaps aren't taken for weights
_WIDTH = 8.0  # inches
_NUMBER = 0.25  # inches that the number of a channel takes


def kernels(weight: Tensor, title: str) -> bytes:
    """The kernels (out, in, H, W) of a convolution, or the templates of a linear layer.

    Of three input channels they are pictures in colour, of one in grey, side by side. Otherwise
    there is a row per output channel and a column per input channel. All have one scale,
    symmetrical about 0. The title tells how many are drawn of how many.
    """
    with lettering(title):
        array = weight.detach().float().cpu().numpy()
        outputs, inputs, height, width = array.shape
        pairs = inputs not in (1, 3)
        most = _MOST_CHANNELS if pairs else _MOST_SIDE_BY_SIDE
        shown, columns = min(outputs, most), min(inputs, most)
        tiles = array[:shown, :columns].reshape(-1, height, width)
        text = f"{outputs:,} × {inputs:,} kernels of {height} × {width}"
        if (shown, columns) != (outputs, inputs):
            text += f", {shown} × {columns} of them shown"
        largest = bound(array)
        if not pairs:
            columns = ceil(sqrt(shown))
        if inputs == 3:
            tiles = array[:shown].transpose(0, 2, 3, 1) / largest / 2 + 0.5  # (N, H, W, 3)
            text += f"; mid-grey is 0, the colours end at ±{largest:.3g}"
        whole = mosaic(tiles, columns)
        if inputs == 3:
            whole[np.isnan(whole)] = 1.0  # white, beside which colours are seen as they are
        tall = min(max(_WIDTH * whole.shape[0] / whole.shape[1], 1.0), 2 * _WIDTH)
        figure = Figure(figsize=(_WIDTH + 1.8, tall + 1), layout="compressed")
        heading(figure, f"{title}: {text}")
        axes = figure.subplots()
        image = axes.imshow(
            whole, cmap="gray", vmin=-largest, vmax=largest, interpolation="nearest"
        )
        if inputs != 3:
            figure.colorbar(image, ax=axes, shrink=0.8, label="weight")
        axes.set_facecolor(_GROUND)
        bare(axes)
        if pairs:
            axes.set(xlabel="input channel", ylabel="output channel")
            inches = min(_WIDTH / whole.shape[1], tall / whole.shape[0])  # a pixel's
            _number(axes.yaxis, centres(whole.shape[0], height, shown), inches)
            _number(axes.xaxis, centres(whole.shape[1], width, columns), inches)
            axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return png(figure)


def _number(axis: Axis, middles: Sequence[float], inches: float) -> None:
    """Number the channels in these places, in pixels of some inches; every n-th if it is narrow."""
    between = (middles[-1] - middles[0]) * inches / max(1, len(middles) - 1)
    step = ceil(_NUMBER / between) if between else 1
    axis.set_ticks(middles[::step], [str(n) for n in range(0, len(middles), step)])


def matrix(weight: Tensor, title: str) -> bytes:
    """The weights (out, in) of a linear layer, on a scale symmetrical about 0."""
    with lettering(title):
        array = weight.detach().float().cpu().numpy()
        outputs, inputs = array.shape
        tall = min(max(_WIDTH * outputs / inputs, 2.0), _WIDTH)
        figure = Figure(figsize=(_WIDTH + 2, tall + 1.2), layout="compressed")
        heading(figure, f"{title}: {outputs:,} outputs × {inputs:,} inputs")
        axes = figure.subplots()
        largest = bound(array)
        image = axes.imshow(array, aspect="auto", cmap="gray", vmin=-largest, vmax=largest)
        axes.set(xlabel="input", ylabel="output")
        figure.colorbar(image, ax=axes, label="weight")
        return png(figure)
