"""Plot of how a picture becomes numbers: as sent → square → grey → 25×25 → its pixel values.

Below it is a corner of the picture, by channel: levels, and the network's normalised inputs.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from models.preprocessing import InputSpec
from training.data.corner import Corner
from training.plots.figures import bare, heading, pixels, png
from training.plots.text.lettering import lettering, wrapped

_SIDE = 25
_MOST_SIDE = 600  # pixels that are drawn; the titles tell the real ones
_SPARE = (".", ".")  # places of the channels that a grey picture lacks
_DARK = 110  # grey levels on which white is easier to read


def representation(image: Image.Image, title: str, corner: Corner) -> bytes:
    """Draw the steps from a decoded picture to a network's input, with the grey levels as
    numbers."""
    with lettering(title):
        names = ("sent", "cropped", "grey")
        channels = [*(f"{each} levels" for each in corner.channels), *_SPARE][:3]
        below = ("corner", *channels)
        figure = Figure(figsize=(14, 14), layout="compressed")
        heading(figure, title)
        grid = figure.subplot_mosaic(
            [[*each] for each in (*((name, *["numbers"] * 3) for name in names), below)]
        )
        _corner(grid, corner)
        for name in names:
            bare(grid[name])
        kind = "grey" if image.mode == "L" else "colour"
        sent = image.convert("RGB")
        sent.thumbnail((_MOST_SIDE, _MOST_SIDE))
        grid["sent"].imshow(sent)
        grid["sent"].set_title(f"as sent: {image.width} × {image.height} pixels, {kind}")
        side = min(image.size)
        drawn = min(side, _MOST_SIDE)
        for name, spec in (
            ("cropped", InputSpec(channels=3, height=drawn, width=drawn)),
            ("grey", InputSpec(channels=1, height=drawn, width=drawn)),
        ):
            grid[name].imshow(pixels(spec.pixels(image)), cmap="gray", vmin=0, vmax=255)
            grid[name].set_title(f"{name}: {side} × {side}")
        small = InputSpec(channels=1, height=_SIDE, width=_SIDE).pixels(image)[0]  # (25, 25)
        _numbers(grid["numbers"], small.tolist())
        return png(figure)


def _corner(grid: dict[str, Axes], corner: Corner) -> None:
    """The pixels of the corner, and a table of numbers for each channel."""
    bare(grid["corner"])
    grid["corner"].imshow(pixels(corner.levels), cmap="gray", vmin=0, vmax=255)
    grid["corner"].set_title(wrapped(str(corner), 3.2, "large"))
    for name, levels, values in zip(corner.channels, corner.levels, corner.values, strict=True):
        axes = grid[f"{name} levels"]
        bare(axes)
        axes.imshow(levels.numpy(), cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"{name}: levels,\nand what a network takes")
        for row, column in np.ndindex(levels.shape):
            level = int(levels[row, column])
            text = axes.text(column, row, f"{level}\n{float(values[row, column]):.4f}")
            text.set(color="white" if level < _DARK else "black", ha="center", va="center")
            text.set(fontsize=11, in_layout=False)  # inside of the axes


def _numbers(axes: Axes, levels: list[list[int]]) -> None:
    axes.imshow(levels, cmap="gray", vmin=0, vmax=255)
    for row, values in enumerate(levels):
        for column, value in enumerate(values):
            color = "white" if value < _DARK else "black"
            text = axes.text(column, row, str(value), ha="center", va="center", color=color)
            text.set(fontsize=7.5, in_layout=False)  # inside of the axes
    axes.set_title(f"resized to {_SIDE} × {_SIDE}: grey levels from 0 (black) to 255 (white)")
    bare(axes)
