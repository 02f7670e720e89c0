"""How a picture becomes numbers: as sent → square → grey → 25×25 → its pixel values."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from models.preprocessing import InputSpec
from training.plots.figures import bare, heading, pixels, png
from training.plots.lettering import lettering

_SIDE = 25
_MOST_SIDE = 600  # pixels that are drawn; the titles tell the real ones
_DARK = 110  # grey levels on which white is easier to read


def representation(image: Image.Image, title: str) -> bytes:
    """A decoded picture on its way to a network, and the grey levels that arrive, as numbers."""
    with lettering(title):
        names = ("sent", "cropped", "grey")
        figure = Figure(figsize=(14, 10.6), layout="compressed")
        heading(figure, title)
        grid = figure.subplot_mosaic([[name, "numbers"] for name in names], width_ratios=(1, 3))
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


def _numbers(axes: Axes, levels: list[list[int]]) -> None:
    axes.imshow(levels, cmap="gray", vmin=0, vmax=255)
    for row, values in enumerate(levels):
        for column, value in enumerate(values):
            color = "white" if value < _DARK else "black"
            text = axes.text(column, row, str(value), ha="center", va="center", color=color)
            text.set(fontsize=7.5, in_layout=False)  # inside of the axes
    axes.set_title(f"resized to {_SIDE} × {_SIDE}: grey levels from 0 (black) to 255 (white)")
    bare(axes)
