"""Classical features of a picture: histograms, colours, gradients, edges, corners."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from training.plots import gradients
from training.plots.figures import VIRIDIS, bare, bound, heading, logarithmic, png
from training.plots.text.lettering import lettering

_MOST_SIDE = 256  # pixels; larger pictures are made smaller first
_COLORS = ("red", "green", "blue")
_MOST_CORNERS = 100
_NAMES = (
    ("picture", *_COLORS),
    ("levels", "channels", "edges", "corners"),
    ("grey", "across", "down", "magnitude"),
)


def classical(image: Image.Image, title: str) -> bytes:
    """Draw a decoded picture and its classical features, which need no learning; returns a PNG.

    Pictures with a side above 256 pixels are scaled down to that first, and the title says so.
    """
    with lettering(title):
        picture = image.convert("RGB")
        picture.thumbnail((_MOST_SIDE, _MOST_SIDE), Image.Resampling.BILINEAR)
        if picture.size != image.size:
            title += f" (scaled to {picture.width} × {picture.height})"
        if image.mode == "L":
            title += "; grey, so that red, green and blue are alike"
        channels = np.asarray(picture)  # (H, W, 3)
        levels = np.asarray(picture.convert("L"))  # (H, W)
        tall = 3.3 * min(max(picture.height / picture.width, 0.6), 1.4)
        figure = Figure(figsize=(15, 3 * (tall + 0.6)), layout="compressed")
        heading(figure, title)
        grid: dict[str, Axes] = figure.subplot_mosaic([list(row) for row in _NAMES])
        for name in {name for row in _NAMES for name in row} - {"levels", "channels"}:
            bare(grid[name])
        _separate(grid, channels)
        _count(grid, levels, channels)
        grid["grey"].imshow(levels, cmap="gray", vmin=0, vmax=255)
        grid["grey"].set_title("grey levels")
        grey = torch.from_numpy(levels.astype(np.float32))
        _mark(grid, grey, channels)
        _derive(figure, grid, grey)
        return png(figure)


def _separate(grid: dict[str, Axes], channels: NDArray[np.uint8]) -> None:
    grid["picture"].imshow(channels)
    grid["picture"].set_title("picture")
    for number, color in enumerate(_COLORS):
        alone = np.zeros_like(channels)
        alone[..., number] = channels[..., number]
        grid[color].imshow(alone)
        grid[color].set_title(color)


def _count(grid: dict[str, Axes], levels: NDArray[np.uint8], channels: NDArray[np.uint8]) -> None:
    """Draw the histograms on a logarithmic scale, since a plain background outweighs all else."""
    grey, colored = grid["levels"], grid["channels"]
    grey.set_title("histogram of the grey levels")
    grey.stairs(_histogram(levels), color="grey", fill=True)
    colored.set_title("histograms of the channels")
    for number, color in enumerate(_COLORS):
        colored.stairs(_histogram(channels[..., number]), color=f"tab:{color}", label=color)
    colored.legend(fontsize="small")
    for axes in (grey, colored):
        axes.set(xlabel="level", ylabel="pixels", xlim=(-4, 260))
        axes.set_xticks(range(0, 257, 64))
        axes.set_ylim(bottom=0.7)
        logarithmic(axes)


def _histogram(levels: NDArray[np.uint8]) -> NDArray[np.intp]:
    return np.bincount(levels.ravel(), minlength=256)


def _mark(grid: dict[str, Axes], grey: Tensor, channels: NDArray[np.uint8]) -> None:
    grid["edges"].imshow(gradients.edges(grey).numpy(), cmap="gray_r", vmin=0, vmax=1)
    grid["edges"].set_title("edges (Canny)")
    found = gradients.corners(grey)
    strongest = found[:_MOST_CORNERS].numpy()
    grid["corners"].imshow(channels)
    grid["corners"].plot(strongest[:, 1], strongest[:, 0], "+", color="magenta", markersize=9)
    text = f"{len(found):,}"
    if len(strongest) < len(found):
        text = f"the {_MOST_CORNERS} strongest of {text}"
    grid["corners"].set_title(f"corners (Harris): {text}")


def _derive(figure: Figure, grid: dict[str, Axes], grey: Tensor) -> None:
    """Draw the gradients on one scale, so that both directions can be compared."""
    found = gradients.sobel(grey)
    steepest = bound(found.magnitude.numpy())
    for name, values, title in (
        ("across", found.across, "gradient to the right (Sobel)"),
        ("down", found.down, "gradient downwards (Sobel)"),
        ("magnitude", found.magnitude, "magnitude"),
    ):
        signed = name != "magnitude"
        image = grid[name].imshow(
            values.numpy(),
            cmap="RdBu_r" if signed else VIRIDIS,
            vmin=-steepest if signed else 0,
            vmax=steepest,
        )
        grid[name].set_title(title)
        figure.colorbar(image, ax=grid[name], shrink=0.8, label="grey levels per pixel")
