"""The weights of a layer as pictures: kernels, templates, matrices."""

from math import ceil, sqrt

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from training.plots.figures import bare, bound, centres, heading, mosaic, plain_text, png

_MOST_SIDE_BY_SIDE = 64  # kernels of one input channel, or in colour
_MOST_CHANNELS = 16  # of input and of output, where every pair has a kernel
_GROUND = "lightsteelblue"  # no grey, so that gaps aren't taken for weights
_WIDTH = 8.0  # inches


@plain_text
def kernels(weight: Tensor, title: str) -> bytes:
    """The kernels (out, in, H, W) of a convolution, or the templates of a linear layer.

    Of three input channels they are pictures in colour, of one in grey, side by side. Otherwise
    there is a row per output channel and a column per input channel. All have one scale,
    symmetrical about 0. The title tells how many are drawn of how many.
    """
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
    figure = Figure(figsize=(_WIDTH + 1.8, tall + 1), layout="constrained")
    heading(figure, f"{title}: {text}")
    axes = figure.subplots()
    image = axes.imshow(whole, cmap="gray", vmin=-largest, vmax=largest, interpolation="nearest")
    if inputs != 3:
        figure.colorbar(image, ax=axes, shrink=0.8, label="weight")
    axes.set_facecolor(_GROUND)
    bare(axes)
    if pairs:
        axes.set(xlabel="input channel", ylabel="output channel")
        axes.set_yticks(centres(whole.shape[0], height, shown), map(str, range(shown)))
        axes.set_xticks(centres(whole.shape[1], width, columns), map(str, range(columns)))
        axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return png(figure)


@plain_text
def matrix(weight: Tensor, title: str) -> bytes:
    """The weights (out, in) of a linear layer, on a scale symmetrical about 0."""
    array = weight.detach().float().cpu().numpy()
    outputs, inputs = array.shape
    tall = min(max(_WIDTH * outputs / inputs, 2.0), _WIDTH)
    figure = Figure(figsize=(_WIDTH + 2, tall + 1.2), layout="constrained")
    heading(figure, f"{title}: {outputs:,} outputs × {inputs:,} inputs")
    axes = figure.subplots()
    largest = bound(array)
    image = axes.imshow(array, aspect="auto", cmap="gray", vmin=-largest, vmax=largest)
    axes.set(xlabel="input", ylabel="output")
    figure.colorbar(image, ax=axes, label="weight")
    return png(figure)
