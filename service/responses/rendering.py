"""Numbers as pictures: feature maps and kernels as grids of tiles, heat over an image → PNG."""

import math
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.images.colours import viridis
from service.errors import TooLargeError
from service.requests.parameters import MAX_TILE, Colormap, Normalize

Floats = NDArray[np.float32]
MAX_PIXELS = 2**24  # of a drawn picture
_USUAL_TILE = 48  # pixels that a map has at least
_USUAL_CELL = 16  # pixels of a single value
_USUAL_WHOLE = 2**20  # pixels of a grid that the usual tile is chosen for
_GAP = 1  # pixel
_HEAT_UP, _HEAT_DOWN = (178, 24, 43), (33, 102, 172)  # for and against: red and blue
_ENLARGED = 384  # pixels that the input is enlarged to, if it is smaller


@dataclass(frozen=True)
class Grid:
    """A drawn grid: its PNG, and how it is laid out."""

    png: bytes
    columns: int
    rows: int
    tile: int


def grid(
    maps: Floats,
    *,
    columns: int | None = None,
    tile: int | None = None,
    normalize: Normalize = "channel",
    colormap: Colormap = "grey",
) -> Grid:
    """Draw maps (N, H, W) as tiles in reading order, each `tile` pixels wide.

    Gaps are transparent. The least value is drawn darkest: that of each channel, or of all channels
    if `normalize` is "layer". Values that aren't finite are drawn as 0. Raises `TooLargeError` for
    a picture of too many pixels.
    """
    maps = np.nan_to_num(maps, nan=0.0, posinf=0.0, neginf=0.0)
    axes = (1, 2) if normalize == "channel" else (0, 1, 2)
    least = maps.min(axes, keepdims=True)
    span = maps.max(axes, keepdims=True) - least
    levels = np.divide(maps - least, span, out=np.zeros_like(maps), where=span > 0)
    # (N, H, W, 3), or (N, H, W)
    drawn = viridis(levels) if colormap == "viridis" else (levels * 255).round().astype(np.uint8)
    return _laid_out([Image.fromarray(each) for each in drawn], columns, tile)


def signed_grid(maps: Floats, *, columns: int | None = None, tile: int | None = None) -> Grid:
    """Draw weights (N, H, W), or in colour (N, H, W, 3), as tiles.

    0 is mid-grey, and all tiles have the same scale.
    """
    maps = np.nan_to_num(maps, nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(np.abs(maps).max()) or 1.0
    levels = ((maps / largest / 2 + 0.5) * 255).round().astype(np.uint8)
    return _laid_out([Image.fromarray(each) for each in levels], columns, tile)


def _laid_out(tiles: list[Image.Image], columns: int | None, tile: int | None) -> Grid:
    width, height = tiles[0].size
    columns = min(columns or math.ceil(math.sqrt(len(tiles))), len(tiles))
    rows = math.ceil(len(tiles) / columns)
    tile = tile or _usual_tile(width, columns * rows)
    tall = max(1, round(tile * height / width))
    size = columns * (tile + _GAP) - _GAP, rows * (tall + _GAP) - _GAP
    if math.prod(size) > MAX_PIXELS:
        raise TooLargeError(
            f"a picture of {size[0]:,} × {size[1]:,} pixels; at most {MAX_PIXELS:,} are drawn: "
            "ask for a smaller tile, or for format=npz"
        )
    mode = "RGBA" if tiles[0].mode == "RGB" else "LA"
    whole = Image.new(mode, size)  # transparent
    # enlarged pixels stay squares, and what is made smaller is averaged
    filter = Image.Resampling.NEAREST if tile >= width else Image.Resampling.BOX
    for number, each in enumerate(tiles):
        place = number % columns * (tile + _GAP), number // columns * (tall + _GAP)
        whole.paste(each.resize((tile, tall), filter).convert(mode), place)
    return Grid(png(whole), columns, rows, tile)


def _usual_tile(width: int, count: int) -> int:
    """Return the default width of a tile, in pixels.

    It is a multiple of the map's width that is easy to see, or less if there are very many tiles.
    """
    enlarged = min(width * math.ceil(_USUAL_TILE / width), MAX_TILE)
    wanted = enlarged if width > 1 else _USUAL_CELL
    return max(1, min(wanted, math.isqrt(_USUAL_WHOLE // count)))


def overlay(
    heat: Floats,
    ground: Image.Image,
    box: tuple[float, float, float, float],
    opacity: float,
    largest: float | None = None,
) -> bytes:
    """Draw a heat map (H, W) over the image `ground`; return a PNG.

    `box` is the part of the image that it covers: left, top, right, bottom in fractions of its
    size. Stronger heat hides more of the image; red speaks for the target and blue against it.
    `largest` is the heat that is drawn strongest, by default the largest absolute value.
    """
    heat = np.nan_to_num(heat, nan=0.0, posinf=0.0, neginf=0.0)
    strength = np.abs(heat) / (largest or float(np.abs(heat).max()) or 1.0)
    colours = np.where(heat[..., None] >= 0, _HEAT_UP, _HEAT_DOWN)
    alpha = (strength * opacity * 255).round()
    layer = Image.fromarray(np.dstack([colours, alpha]).astype(np.uint8))  # (H, W, 4)
    ground = ground.convert("RGB")
    if max(ground.size) < _ENLARGED:
        factor = math.ceil(_ENLARGED / max(ground.size))
        ground = ground.resize((ground.width * factor, ground.height * factor), 0)
    left, top = round(box[0] * ground.width), round(box[1] * ground.height)
    right, bottom = round(box[2] * ground.width), round(box[3] * ground.height)
    size = max(1, right - left), max(1, bottom - top)
    layer = layer.resize(size, Image.Resampling.BILINEAR)
    ground.paste(layer.convert("RGB"), (left, top), layer.getchannel("A"))
    return png(ground)


def png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=1)  # a tenth of the time, a tenth larger
    return buffer.getvalue()
