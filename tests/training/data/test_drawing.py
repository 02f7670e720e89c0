"""Drawings of circles and crosses: like the original data set's, and like those of people."""

from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from training.data.drawing import LABELS, draw

pytestmark = pytest.mark.slow

Kind = Literal["original", "by-hand"]
Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

KINDS: tuple[Kind, ...] = ("original", "by-hand")


@cache
def drawn(kind: Kind, label: str, count: int = 200, seed: int = 5) -> Pixels:
    """So many pictures of a class, (count, 116, 116)."""
    pictures, targets = draw(kind, 2 * count, seed)
    chosen = zip(pictures, targets, strict=True)
    return np.stack([np.asarray(picture) for picture, target in chosen if LABELS[target] == label])


def ink(picture: Pixels) -> Mask:
    """The pixels that differ from the ground, which most of them are."""
    return np.asarray(np.abs(picture.astype(int) - int(np.median(picture))) > 45)


def edges(strokes: Mask) -> npt.NDArray[np.int64]:
    """The first and last column, then the first and last row, that have ink."""
    columns, rows = np.flatnonzero(strokes.any(0)), np.flatnonzero(strokes.any(1))
    return np.array([columns[0], columns[-1], rows[0], rows[-1]])


@pytest.mark.parametrize("kind", KINDS)
def test_draws_grey_pictures_half_of_each_class(kind: Kind) -> None:
    pictures, targets = draw(kind, 10, seed=0)
    assert targets == [0] * 5 + [1] * 5
    assert {(picture.mode, picture.size) for picture in pictures} == {("L", (116, 116))}
    assert len({picture.tobytes() for picture in pictures}) == 10


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_draws_the_same_and_more_begins_with_it(kind: Kind) -> None:
    few, _ = draw(kind, 6, seed=3)
    many, _ = draw(kind, 20, seed=3)
    other, _ = draw(kind, 6, seed=4)
    assert few == many[:3] + many[10:13]
    assert not any(picture in other for picture in few)


@pytest.mark.parametrize(
    ("kind", "brightness"),
    [("original", [242.99, 240.73, 247.82, 248.16]), ("by-hand", [47.08, 41.46, 184.99, 9.39])],
)
def test_a_seed_means_the_same_pictures_everywhere(kind: Kind, brightness: list[float]) -> None:
    """What these were when results were first written down."""
    pictures, _ = draw(kind, 4, seed=0)
    measured = [float(np.asarray(picture).mean()) for picture in pictures]
    assert measured == pytest.approx(brightness, abs=0.1)


@pytest.mark.parametrize("count", [-2, 7])
def test_a_count_must_have_halves(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} pictures can't be half circles"):
        draw("original", count, seed=0)


def test_the_original_kind_is_black_on_white() -> None:
    for label in LABELS:
        assert np.unique(drawn("original", label)).tolist() == [0, 255]


def test_original_circles_are_cut_off_at_the_right_and_the_top() -> None:
    sides = np.array([edges(picture < 128) for picture in drawn("original", "circles")])
    left, right, top, bottom = sides.T
    whole = sides[(right < 104) & (top > 10)]
    across = whole[:, [1, 3]] - whole[:, [0, 2]] + 1
    assert 49 <= across.min() < 53
    assert 80 < across.max() <= 86
    assert (right == 105).mean() == pytest.approx(0.3, abs=0.08)
    assert (top == 9).mean() == pytest.approx(0.3, abs=0.08)
    assert left.min() >= 13
    assert bottom.max() <= 102


@pytest.mark.data
@pytest.mark.parametrize("label", LABELS)
def test_the_original_kind_measures_as_the_original_does(data_root: Path, label: str) -> None:
    def measure(pictures: list[Any]) -> npt.NDArray[np.float64]:
        """Share of ink in percent and the four edges in pixels: their quantiles and mean."""
        strokes = [np.asarray(picture) < 128 for picture in pictures]
        figures = np.array([[100 * stroke.mean(), *edges(stroke)] for stroke in strokes])
        quantiles = np.quantile(figures, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
        return np.concatenate([quantiles, figures.mean(0, keepdims=True)])

    paths = sorted(data_root.glob(f"xo/*/{label}/*.bmp"))
    originals = [Image.open(path).convert("L") for path in paths]
    difference = measure(list(drawn("original", label, len(originals)))) - measure(originals)
    assert len(originals) == 1000
    assert np.abs(difference[:, 0]).max() < 0.25
    assert np.abs(difference[:, 1:]).max() <= 2.5
    assert np.abs(difference[-1]).max() < 1


def around(strokes: Mask) -> tuple[float, float]:
    """How far the nearest ink is from the mean place of all ink, as a share of its extent, and in
    what share of all directions from there ink is met beyond three tenths of the extent."""
    left, right, top, bottom = edges(strokes)
    extent = max(right - left, bottom - top) + 1
    rows, columns = np.nonzero(strokes)
    y, x = rows - rows.mean(), columns - columns.mean()
    distance = np.hypot(x, y) / extent
    far = distance > 0.3
    met = np.unique(np.degrees(np.arctan2(y[far], x[far])) % 360 // 15)
    return float(distance.min()), len(met) / 24


def by_hand(label: str) -> list[Mask]:
    return [ink(picture) for picture in drawn("by-hand", label)]


def lies_inside(strokes: Mask) -> bool:
    return bool(edges(strokes).min() > 0 and edges(strokes).max() < 115)


def test_by_hand_a_circle_goes_round_an_empty_middle() -> None:
    for strokes in filter(lies_inside, by_hand("circles")):
        nearest, met = around(strokes)
        assert nearest > 0.15
        assert met > 0.75


def test_by_hand_a_cross_has_its_ink_in_the_middle_and_arms() -> None:
    for strokes in filter(lies_inside, by_hand("crosses")):
        nearest, met = around(strokes)
        assert nearest < 0.12
        assert 0.15 < met < 0.7


@pytest.mark.parametrize("label", LABELS)
def test_by_hand_sizes_and_places_vary(label: str) -> None:
    masks = by_hand(label)
    inside = np.array([edges(strokes) for strokes in masks if lies_inside(strokes)])
    extents = np.maximum(inside[:, 1] - inside[:, 0], inside[:, 3] - inside[:, 2]) / 116
    assert 0.85 < len(inside) / len(masks) < 1
    assert 0.2 < extents.min() < 0.3
    assert 0.85 < extents.max() < 1
    middles = (inside[:, 0] + inside[:, 1]) / 2, (inside[:, 2] + inside[:, 3]) / 2
    for place in middles:
        assert place.min() < 35
        assert place.max() > 80


def widest(strokes: Mask) -> int:
    """The side in pixels of the largest square of ink."""
    side = 0
    while strokes.any():
        side += 1
        strokes = strokes[1:, 1:] & strokes[1:, :-1] & strokes[:-1, 1:] & strokes[:-1, :-1]
    return side


def test_by_hand_strokes_are_thin_and_thick() -> None:
    widths = [widest(strokes) for strokes in by_hand("circles")]
    assert min(widths) <= 3
    assert 9 <= max(widths) < 20  # a stroke may run beside its own beginning


@pytest.mark.parametrize("label", LABELS)
def test_by_hand_inks_and_grounds_vary(label: str) -> None:
    pictures = drawn("by-hand", label)
    ground = np.median(pictures, axis=(1, 2))
    assert 0.25 < (ground < 128).mean() < 0.55  # light on dark
    assert ((ground < 80) | (ground > 175)).all()
    assert ((ground > 0) & (ground < 255)).mean() > 0.4
    inked = np.array([picture[ink(picture)].mean() for picture in pictures])
    assert np.abs(inked - ground).min() > 60


def test_by_hand_edges_are_smooth() -> None:
    """Some pixels lie between ink and ground, also where both are plain black and white."""
    plain = [p for p in drawn("by-hand", "circles") if (np.isin(p, [0, 255])).mean() > 0.8]
    assert len(plain) > 20
    for picture in plain:
        assert ((picture > 40) & (picture < 215)).sum() > 10
