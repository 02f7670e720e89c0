"""Wrong labels are found by probabilities of a network that was not trained on the pictures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.networks import LABELS, SPEC
from tests.training.pictures import colors
from training.data import storage
from training.data.datasets import ImageSet
from training.data.storage import Storage
from training.fitting.state import Fitted
from training.review import labels
from training.review.labels import HELD_OUT, Judged, suspects, thresholds


class MeanColour(torch.nn.Module):
    """The mean of each channel, and a linear layer that tells the brightest."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(3, 3)
        with torch.no_grad():
            self.head.weight.copy_(20 * torch.eye(3))
            self.head.bias.zero_()

    def forward(self, batch: Tensor) -> Tensor:
        logits: Tensor = self.head(batch.mean((2, 3)))
        return logits


def judged(probabilities: list[list[float]], targets: list[int]) -> Judged:
    images = ImageSet(torch.zeros(len(targets), 1, 2, 2).byte(), torch.tensor(targets), ("a", "b"))
    return Judged("test", images, torch.tensor(probabilities), HELD_OUT)


def test_thresholds_are_the_mean_probability_of_the_own_label() -> None:
    probabilities = torch.tensor([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6]])
    limits = thresholds(probabilities, torch.tensor([0, 0, 1]))
    assert limits.tolist() == pytest.approx([0.8, 0.6])


def test_a_class_without_pictures_is_never_the_likely_one() -> None:
    assert suspects([judged([[0.1, 0.9], [0.2, 0.8]], [0, 0])]) == []


def test_the_surest_come_first_and_hard_ones_are_not_named() -> None:
    """Thresholds: a (0.9 + 0.95 + 0.05 + 0.2 + 0.45) / 5 = 0.51, b (0.9 + 0.8) / 2 = 0.85."""
    rows = [
        [0.9, 0.1],
        [0.95, 0.05],
        [0.05, 0.95],
        [0.2, 0.8],
        [0.45, 0.55],
        [0.1, 0.9],
        [0.2, 0.8],
    ]
    rows[3] = [0.12, 0.88]
    found = suspects([judged(rows, [0, 0, 0, 0, 0, 1, 1])])
    assert [(each.name, each.given, each.likely) for each in found] == [
        ("no. 2", "a", "b"),
        ("no. 3", "a", "b"),
    ]
    assert found[0].margin == pytest.approx(-0.9)


def test_the_hardest_are_those_with_the_least_margin_that_are_not_named() -> None:
    of_b = [0.1, 0.05, 0.95, 0.88, 0.55, 0.9, 0.8]
    each = judged([[1 - p, p] for p in of_b], [0, 0, 0, 0, 0, 1, 1])
    found = labels.hardest([each], suspects([each]), 2)
    assert [(one.name, one.given, one.likely) for one in found] == [
        ("no. 4", "a", "b"),
        ("no. 6", "b", "a"),
    ]
    assert labels.hardest([each], suspects([each]), 0) == []


def test_probabilities_that_are_not_finite_name_nothing() -> None:
    assert suspects([judged([[float("nan")] * 2] * 3, [0, 1, 1])]) == []


def mislabelled() -> ImageSet:
    images = colors(pictures=20)
    images.targets[3] = 2  # blue, called red
    images.targets[45] = 0
    return images


def test_wrong_labels_of_a_training_set_are_found_by_cross_validation() -> None:
    images = mislabelled()
    probabilities = labels.cross_validated(MeanColour().eval(), images, SPEC, seed=0)
    assert probabilities is not None
    torch.testing.assert_close(probabilities.sum(1), torch.ones(60))
    found = suspects([Judged("train", images, probabilities, labels.CROSS_VALIDATED)])
    assert {(each.name, each.likely) for each in found} == {
        ("no. 3", LABELS[0]),
        ("no. 45", LABELS[2]),
    }


def test_pictures_of_a_file_are_cross_validated_as_long_as_memory_allows(tmp_path: Path) -> None:
    images = colors()
    found = []
    for allowed in (len(images) * storage.COMPARED, len(images) * storage.COMPARED - 1):
        pixels, _ = Storage(tmp_path, True, allowed).keep(images.in_memory, "colors")
        stored = replace(images, images=pixels)
        found.append(labels.cross_validated(MeanColour().eval(), stored, SPEC, seed=0))
    expected = labels.cross_validated(MeanColour().eval(), images, SPEC, seed=0)
    assert expected is not None
    assert found[0] is not None
    assert torch.equal(found[0], expected)
    assert found[1] is None


def test_too_few_pictures_are_not_cross_validated() -> None:
    images = colors(pictures=3)
    assert labels.cross_validated(MeanColour().eval(), images, SPEC, seed=0) is None


def test_a_network_without_weights_has_no_features() -> None:
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    assert labels.cross_validated(network, colors(), SPEC, seed=0) is None


def test_each_split_is_judged_by_what_was_not_trained_on_it() -> None:
    network = MeanColour().eval()
    selected: Any = None
    fitted = Fitted(network, [], selected, mislabelled(), held_out=colors(seed=2))
    test = colors(seed=3)
    found = labels.judge(fitted, test, network(SPEC.normalize(test.in_memory)).detach(), SPEC, 0)
    assert [(each.split, each.how) for each in found] == [
        ("test", HELD_OUT),
        ("validation", HELD_OUT),
        ("train", labels.CROSS_VALIDATED + labels.TRAINED_FEATURES),
    ]
    assert {each.split for each in suspects(found)} == {"train"}
