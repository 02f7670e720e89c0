"""Figures as they were drawn: their words, pictures and lines."""

from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image


class Drawn(list[Figure]):
    """The figures of a test, in their order."""

    @property
    def figure(self) -> Figure:
        return self[-1]

    @property
    def title(self) -> str:
        """The heading, in one line."""
        return self.figure.get_suptitle().replace("\n", " ")

    @property
    def panels(self) -> dict[str, Axes]:
        """The axes that have a title, by its first line."""
        titles = [(axes.get_title() or axes.get_title("left"), axes) for axes in self.figure.axes]
        return {title.split("\n")[0]: axes for title, axes in titles if title}

    def words_outside(self) -> list[str]:
        """What was written beyond the border of the last figure, which is not laid out anew."""
        border = self.figure.bbox.padded(1)
        words = [text for text in self._words() if text.get_text()]
        boxes = [(text.get_text(), text.get_window_extent()) for text in words]
        return [
            text
            for text, box in boxes
            if box.x0 < border.x0 or box.x1 > border.x1 or box.y0 < border.y0 or box.y1 > border.y1
        ]

    def overlapping_ticks(self) -> list[tuple[str, str]]:
        """Neighbours among the labels of an axis of the last figure that run into each other."""
        shown = [axes for axes in self.figure.axes if axes.axison]
        return [
            (one.get_text(), other.get_text())
            for axes in shown
            for axis in (axes.xaxis, axes.yaxis)
            for one, other in pairwise(tick_labels(axis))
            if frame(one).intersects_path(frame(other))
        ]

    def _words(self) -> Iterator[Text]:
        yield from self.figure.texts
        keys = [*self.figure.legends, *(axes.get_legend() for axes in self.figure.axes)]
        for legend in keys:
            yield from legend.get_texts() if legend is not None else ()
        for axes in self.figure.axes:
            yield from axes.texts
            yield axes.title
            yield axes._left_title  # type: ignore[attr-defined]
            if axes.axison:
                yield from (axes.xaxis.label, axes.yaxis.label)
                yield from [*tick_labels(axes.xaxis), *tick_labels(axes.yaxis)]


def tick_labels(axis: Axis) -> list[Text]:
    """The labels that are seen."""
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]


def frame(text: Text) -> Path:
    """The rectangle, also a turned one, in which a text was drawn."""
    figure = text.get_figure(root=True)
    assert figure is not None
    text.set_bbox({"pad": 0})
    text.update_bbox_position_size(RendererAgg(1, 1, figure.dpi))
    patch = text.get_bbox_patch()
    assert patch is not None
    return patch.get_path().transformed(patch.get_transform())


def opened(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content))
    assert image.format == "PNG"
    image.load()
    return image


def values(axes: Axes) -> NDArray[np.float64]:
    """The array that the first picture in the axes shows."""
    return np.ma.filled(np.ma.asarray(axes.images[0].get_array(), dtype=np.float64), np.nan)


def xs(line: Line2D) -> list[float]:
    return [float(x) for x in np.asarray(line.get_xdata())]


def ys(line: Line2D) -> list[float]:
    return [float(y) for y in np.asarray(line.get_ydata())]
