"""Labels of any script and length, in every kind of plot: nothing runs off or into another."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from models.convolutional.class_map import ClassMap
from models.convolutional.picture import Picture
from models.preprocessing import InputSpec
from tests.cases import one_in
from tests.networks import picture
from tests.training.plots.drawn import Drawn
from tests.training.plots.networks.test_roofline import report as traffic
from training import plots
from training.activations import dropout
from training.activations.saturation import Saturation
from training.data import corner
from training.data.datasets import ImageSet
from training.fitting import evaluation
from training.fitting.evaluation import Metrics
from training.fitting.records.steps import Step
from training.fitting.state import Epoch

LABELS = (
    "a label of sixty letters, which is longer than one would like",
    "W" * 200,
    "蚂蚁蜜蜂" * 10,
    "👨‍👩‍👧‍👦👩🏽‍🚀" * 4,
    "🇩🇪🇫🇷🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "نَمْلَةٌ صَغِيرَةٌ " * 6,
    "क्षत्रिय स्त्री " * 5,
    "กำนี้ที่นั่น" * 6,
    "Z" + "\u0301" * 50,
    "ab\u202edef",
    "$x_1$",
    "a\nb\tc",
    "   ",
    "\u200b\u2060",
    "نمی\u200cکنم 3",
    "\udcff\ue000\ufdfd",
)
TITLES = ("W" * 200, " / ".join(LABELS[2:]), LABELS[8] * 9)
PICTURES = torch.zeros(len(LABELS), 3, 8, 8, dtype=torch.uint8)
TARGETS = torch.arange(len(LABELS))
STEPS = [Step(number, 1, 1.0, 2.0, 0.1, Metrics(1.0, 0.5), 2000) for number in range(0, 1000, 100)]
EPOCHS = [Epoch(n, Metrics(3 / n, 1 - 1 / n), Metrics(4 / n, 0.5)) for n in range(1, 4)]


def confusion(labels: tuple[str, ...], title: str) -> bytes:
    targets = torch.arange(len(labels))
    result = evaluation.score(torch.eye(len(labels)), targets, labels)
    return plots.confusion(result, title)


def feature_maps(title: str) -> bytes:
    activations = {label: torch.ones(2, 3, 3) for label in LABELS[:8]}
    activations |= {label: torch.ones(20) for label in LABELS[8:]}
    scores = {label: n / 99 for n, label in enumerate(LABELS)}
    activations["fc"] = torch.ones(len(LABELS))
    return plots.feature_maps(PICTURES[0], scores, activations, title, outputs=["fc"])


def wild(title: str) -> bytes:
    """Scores of the labels that are left out above."""
    return plots.feature_maps(PICTURES[0], dict.fromkeys(LABELS, 0.1), {}, title)


def representation(title: str) -> bytes:
    pixels = torch.zeros(3, 20, 30, dtype=torch.uint8)
    spec = InputSpec(channels=3, height=20, width=30)
    found = corner.cut(pixels, spec, 0, 0, title[:80])
    return plots.representation(picture(0, (30, 20)), title, found)


def dropped(title: str) -> bytes:
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, len(LABELS))).eval()
    network.add_module("a layer with a name that is long " * 5, nn.Dropout(0.1).eval())
    found = dropout.demonstrate(network, torch.ones(1, 3, 8, 8), 5, 0)
    return plots.dropout(found, LABELS, title)


def saturated(title: str) -> bytes:
    functions = [Saturation(label, nn.Sigmoid(), 0.25) for label in LABELS]
    for each in functions:
        each.add(torch.linspace(-9, 9, 12).view(2, 6))
    return plots.saturation(functions, title)


def class_map(title: str) -> bytes:
    """Every label wins at one place."""
    probabilities = torch.eye(len(LABELS))[:, :, None]  # (num_classes, rows, 1)
    shown = Picture(PICTURES[0].numpy(), (0, 0, 1, 1), ())
    return plots.class_map(ClassMap(probabilities, (1, 1), (2, 2), shown), LABELS, title)


DRAW: dict[str, Callable[[str], bytes]] = {
    "class_map": class_map,
    "classical": lambda title: plots.classical(picture(0, (30, 20)), title),
    "confusion": lambda title: confusion(LABELS, title),
    "confusion of one class": lambda title: confusion(LABELS[1:2], title),
    "confusion of short labels": lambda title: confusion(("a", "b"), title),
    "curves": lambda title: plots.curves(EPOCHS, title, EPOCHS[1]),
    "dropout": dropped,
    "feature_maps": feature_maps,
    "feature_maps of others": wild,
    "first": lambda title: plots.first(PICTURES, LABELS, LABELS[::-1], title),
    "curves of steps": lambda title: plots.curves(EPOCHS[:1], title, EPOCHS[0], STEPS),
    "histograms": lambda title: plots.histograms(
        {label: torch.linspace(-1e-30, 3e30, 9) for label in LABELS}, title
    ),
    "histograms of one": lambda title: plots.histograms({LABELS[1]: torch.ones(3)}, title),
    "intensities": lambda title: plots.intensities(traffic(LABELS), title),
    "kernels": lambda title: next(plots.kernels(torch.ones(16, 16, 3, 3), title)),
    "kernels that are wide": lambda title: next(plots.kernels(torch.ones(16, 16, 1, 9), title)),
    "kernels that are tall": lambda title: next(plots.kernels(torch.ones(16, 16, 9, 1), title)),
    "matrix": lambda title: plots.matrix(torch.ones(10, 200), title),
    "mistakes": lambda title: plots.mistakes(
        PICTURES, LABELS, LABELS[::-1], [0.5] * len(LABELS), title, LABELS[3:] + LABELS[:3]
    ),
    "mistakes of none": lambda title: plots.mistakes(PICTURES[:0], [], [], [], title, []),
    "overlay": lambda title: plots.overlay(dict.fromkeys(LABELS, EPOCHS), title),
    "reliability": lambda title: plots.reliability(
        np.array([[10, 0.2, 0.1], [0, 0, 0], [2000, 0.9, 0.95]]), [0.8, 0.95], [0.82, 0.95], title
    ),
    "representation": representation,
    "roofline": lambda title: plots.roofline(traffic(LABELS), title),
    "saturation": saturated,
    "samples": lambda title: plots.samples(
        ImageSet(PICTURES, TARGETS, LABELS), title, torch.Generator().manual_seed(0)
    ),
    "strangers": lambda title: plots.strangers(
        np.linspace(0, 5, 50, dtype=np.float32), np.linspace(3, 9, 20, dtype=np.float32), 4.5, title
    ),
    "samples of one class": lambda title: plots.samples(
        ImageSet(PICTURES[:1], TARGETS[:1], LABELS[:1]), title, torch.Generator().manual_seed(0)
    ),
}


def test_every_kind_of_plot_is_drawn_here() -> None:
    assert {name.split(" ")[0] for name in DRAW} == set(plots.__all__)


@pytest.mark.parametrize("kind", one_in(5, DRAW))
def test_texts_stay_in_the_figure_and_apart(kind: str, drawn: Drawn) -> None:
    """A letter that a font lacks would be a warning, which is an error here."""
    for title in TITLES if "of" in kind else TITLES[:1]:
        DRAW[kind](title)
        assert drawn.words_outside() == []
        assert drawn.overlapping_ticks() == []


@pytest.mark.thorough
@pytest.mark.parametrize("classes", [30, 100])
def test_labels_of_very_many_classes_stay_apart(
    classes: int, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = tuple(f"{LABELS[n % len(LABELS)]}{n}" for n in range(classes))
    confusion(labels, TITLES[1])
    assert drawn.words_outside() == []
    assert drawn.overlapping_ticks() == []


def test_the_check_finds_what_runs_off_or_into_another(drawn: Drawn) -> None:
    """That the tests above can fail."""
    plots.matrix(torch.ones(10, 200), "short")
    axes = drawn.figure.axes[0]
    axes.set_xticks([10, 11], ["long label", "another"])
    assert drawn.overlapping_ticks() == [("long label", "another")]
    drawn.figure.text(-0.1, 0.5, "outside")
    assert drawn.words_outside() == ["outside"]


def test_a_name_from_right_to_left_moves_no_number(drawn: Drawn) -> None:
    """Beside it `2×3×4` would be drawn as `4×3×2`."""
    ant = LABELS[5].strip()
    plots.feature_maps(PICTURES[0], {"a": 1.0}, {ant: torch.ones(2, 3, 4)}, f"{ant}, 12 of 24")
    ((title, _),) = list(drawn.panels.items())[2:]
    assert title == f"\u2068{ant}\u2069, 2×3×4, 1 to 1"
    assert drawn.figure.texts[0].get_text() == f"\u2068{ant}\u2069, 12 of 24"


def test_saved_pixels_have_no_ink_at_the_border() -> None:
    import io

    content = confusion(LABELS, TITLES[1])
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    border = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
    assert all((side == 255).all() for side in border)
