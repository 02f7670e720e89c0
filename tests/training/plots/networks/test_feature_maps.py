"""Activations as strips, from low to high level."""

from itertools import pairwise
from math import inf, nan

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from torch import Tensor

from models.structure.receptive_field import ReceptiveField
from tests.training.plots.drawn import Drawn, opened, values
from training import plots

PICTURE = torch.full((3, 4, 4), 200, dtype=torch.uint8)


def draw(scores: dict[str, float] | None = None, **activations: Tensor) -> bytes:
    return plots.feature_maps(PICTURE, scores or {"a": 0.75, "b": 0.25}, activations, "colors/1")


def strip(drawn: Drawn) -> tuple[str, Axes]:
    """The title and axes of the only strip."""
    ((title, axes),) = list(drawn.panels.items())[2:]
    return title, axes


def test_the_input_and_the_scores(drawn: Drawn) -> None:
    draw(fc=torch.ones(2))
    assert list(drawn.panels)[:2] == ["input 3×4×4", "scores"]
    picture, scores = list(drawn.panels.values())[:2]
    assert np.array_equal(values(picture), np.full((4, 4, 3), 200))
    assert [label.get_text() for label in scores.get_yticklabels()] == ["a", "b"]
    assert [text.get_text() for text in scores.texts] == ["0.750", "0.250"]
    assert drawn.figure.texts[0].get_text() == "colors/1"


def test_of_many_scores_the_highest(drawn: Drawn) -> None:
    draw({str(n): n / 66 for n in range(12)}, fc=torch.ones(12))
    axes = drawn.panels["scores, the 10 highest of 12"]
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["11", "10"]


def test_maps_are_laid_side_by_side(drawn: Drawn) -> None:
    maps = torch.arange(9 * 16).view(9, 4, 4) * 1.0
    draw(conv1=maps)
    title, axes = strip(drawn)
    assert title == "conv1, 9×4×4, 0 to 143"
    assert values(axes).shape == (4, 9 * 5 - 1)
    assert np.array_equal(values(axes)[:, 10:14], maps[2])


def test_names_that_are_too_long_keep_their_end(drawn: Drawn) -> None:
    names = [f"{'encoder.' * 30}encoder_layer_{n}" for n in (9, 10)]
    draw(None, **{f"{name} (MultiheadAttention)": torch.ones(2, 4, 4) for name in names})
    for title, name in zip(list(drawn.panels)[2:], names, strict=True):
        assert title.startswith("…encoder.")
        assert f"{name[-15:]} (MultiheadAttention), 2×4×4" in title


def test_of_many_channels_some_are_shown(drawn: Drawn) -> None:
    draw(conv=torch.ones(25, 4, 4))
    title, axes = strip(drawn)
    assert title.endswith("25×4×4, 1 to 1, 24 of 25 channels shown")
    assert values(axes).shape == (9, 59)  # two rows of twelve


@pytest.mark.parametrize(
    ("low", "limits", "colormap"), [(-2.0, (-8.0, 8.0), "RdBu_r"), (0.0, (0.0, 8.0), "viridis")]
)
def test_the_scale_is_told(
    low: float, limits: tuple[float, float], colormap: str, drawn: Drawn
) -> None:
    maps = torch.full((1, 8, 8), 8.0)
    maps[0, 0] = low
    draw(conv=maps)
    image = strip(drawn)[1].images[0]
    assert image.get_clim() == limits
    assert image.get_cmap().name == colormap
    bar = drawn.figure.axes[-1]
    assert [label.get_text() for label in bar.get_yticklabels()] == [f"{end:g}" for end in limits]


def test_a_few_large_values_do_not_pale_the_rest(drawn: Drawn) -> None:
    maps = torch.ones(1, 20, 20)
    maps[0, 0, 0] = 1000
    draw(conv=maps)
    title, axes = strip(drawn)
    assert axes.images[0].get_clim() == (0, 1)
    assert axes.images[0].colorbar is not None
    assert axes.images[0].colorbar.extend == "max"
    assert "1 to 1e+03" in title


def test_a_map_that_is_zero_almost_everywhere(drawn: Drawn) -> None:
    maps = torch.zeros(1, 20, 20)
    maps[0, 0, 0] = 5
    draw(conv=maps)
    assert strip(drawn)[1].images[0].get_clim() == (0, 5)


def test_short_vectors_are_bars(drawn: Drawn) -> None:
    draw(fc=torch.tensor([1.0, -2, 3]))
    title, axes = strip(drawn)
    assert title == "fc, 3, -2 to 3"
    assert [bar.get_height() for bar in axes.patches] == [1, -2, 3]  # type: ignore[attr-defined]


def test_long_vectors_are_lines(drawn: Drawn) -> None:
    draw(fc=torch.arange(200.0))
    shown = values(strip(drawn)[1])
    assert shown.shape == (2, 128)
    assert np.array_equal(shown.ravel()[:200], np.arange(200))
    assert np.isnan(shown.ravel()[200:]).all()


def test_of_very_long_vectors_some_is_shown(drawn: Drawn) -> None:
    draw(fc=torch.zeros(4096))
    assert strip(drawn)[0].endswith("1,024 of 4,096 values shown")
    assert values(strip(drawn)[1]).shape == (8, 128)


def test_maps_of_one_pixel_are_a_vector(drawn: Drawn) -> None:
    draw(pool=torch.ones(5, 1, 1))
    assert len(strip(drawn)[1].patches) == 5


def test_matrices_are_one_map(drawn: Drawn) -> None:
    draw(attention=torch.ones(50, 768))
    assert values(strip(drawn)[1]).shape == (50, 768)


@pytest.mark.parametrize("shape", [(3,), (200,), (2, 4, 4)])
def test_values_that_are_not_finite_are_counted(shape: tuple[int, ...], drawn: Drawn) -> None:
    value = torch.ones(shape)
    value.view(-1)[:2] = torch.tensor([nan, inf])
    opened(draw(layer=value))
    assert strip(drawn)[0].endswith("1 to 1, 2 not finite")
    opened(draw(layer=torch.full(shape, nan)))


def test_what_a_layer_sees_and_its_level_stand_in_its_title(drawn: Drawn) -> None:
    fields = {
        "conv1": ReceptiveField(3, 3, (32, 32), (1, 1)),
        "fc": ReceptiveField(4, 17, (16, 32)),
    }
    maps = {"conv1": torch.ones(2, 3, 3), "other": torch.ones(2, 3, 3)}
    plots.feature_maps(PICTURE, {"a": 1.0}, {**maps, "fc": torch.ones(2)}, "colors/1", fields)
    assert list(drawn.panels)[2:] == [
        "conv1: 3×3 pixels of 32×32, low level, 2×3×3, 1 to 1",
        "other, 2×3×3, 1 to 1",
        "fc: 4×17 pixels of 16×32, high level, 2, 1 to 1",
    ]


def labels_of(drawn: Drawn) -> list[str]:
    """Those of bars, in the order of the axes, without the scores and the breaks of lines."""
    names = [
        label.get_text().replace("\n", "")
        for axes in drawn.figure.axes[2:]
        if axes.axison
        for label in axes.get_yticklabels()
    ]
    return [name for name in names if not name[-1:].isdigit() or "class" in name]


@pytest.mark.parametrize("classes", [2, 10, 100, 128])
def test_bars_of_the_classes_have_their_labels(classes: int, drawn: Drawn) -> None:
    scores = {f"class {n}": n / classes for n in range(classes)}
    logits = torch.arange(classes) - 3.0
    plots.feature_maps(PICTURE, scores, {"fc": logits}, "colors/1", outputs=["fc"])
    assert labels_of(drawn) == list(scores)
    bars = [bar for axes in drawn.figure.axes[3:] for bar in axes.patches]
    assert [bar.get_width() for bar in bars] == logits.tolist()  # type: ignore[attr-defined]
    assert drawn.words_outside() == []
    assert drawn.overlapping_ticks() == []


@pytest.mark.parametrize(
    "label", ["of sixty letters that is far longer than one would like", "муравей" * 9, "蚂蚁" * 9]
)
def test_long_labels_are_broken_into_lines_and_not_cut(label: str, drawn: Drawn) -> None:
    scores = {f"class {n} {label}": 0.01 for n in range(100)}
    plots.feature_maps(PICTURE, scores, {"fc": torch.ones(100)}, "colors/1", outputs=["fc"])
    names = labels_of(drawn)
    assert len(names) == 100
    assert not any("…" in name for name in names)
    if label.isascii():
        assert [name.replace(" ", "") for name in names] == [x.replace(" ", "") for x in scores]
    highest = [text.get_text() for text in drawn.figure.axes[1].get_yticklabels()]
    assert len(highest) == 10
    assert not any("…" in text for text in highest)
    assert drawn.words_outside() == []


def test_of_more_classes_than_fit_lines_are_drawn(drawn: Drawn) -> None:
    scores = {f"class {n}": 0.001 for n in range(1000)}
    plots.feature_maps(PICTURE, scores, {"fc": torch.arange(1000.0)}, "x", outputs=["fc"])
    assert values(strip(drawn)[1]).shape == (8, 128)


def test_strips_do_not_overlap(drawn: Drawn) -> None:
    draw(conv=torch.ones(30, 9, 9), fc1=torch.ones(200), fc2=torch.ones(20), fc3=torch.ones(2))
    boxes = [axes.get_tightbbox() for axes in list(drawn.panels.values())[2:]]
    for above, below in pairwise(boxes):
        assert above is not None
        assert below is not None
        assert below.y1 < above.y0
    assert drawn.words_outside() == []
