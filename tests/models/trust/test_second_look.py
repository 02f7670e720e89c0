"""Images that the first look leaves unsure are looked at again, mirrored; the others are not."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from models.trust import SecondLook, second_look

Logits = NDArray[np.float32]
# softmax: 0.5, 0.88, 0.95
FIRST = np.array([[0, 0], [2, 0], [0, 3]], np.float32)
MIRRORED = np.array([[0, 6], [6, 0], [6, 0]], np.float32)


def looked(below: float) -> tuple[Logits, list[int]]:
    """The answer, and which images were looked at again."""
    again: list[int] = []

    def look(due: NDArray[np.bool_]) -> Logits:
        again.extend(np.flatnonzero(due).tolist())
        return MIRRORED[due]

    return SecondLook(below=below, part=0.1).answer(FIRST, look), again


@pytest.mark.parametrize(
    ("below", "due", "means"),
    [
        (0.5, [], {}),
        (0.6, [0], {0: [0, 3]}),
        (0.9, [0, 1], {0: [0, 3], 1: [4, 0]}),
        (1.0, [0, 1, 2], {0: [0, 3], 1: [4, 0], 2: [3, 1.5]}),
    ],
)
def test_the_unsure_are_the_mean_of_both_looks(
    below: float, due: list[int], means: dict[int, list[float]]
) -> None:
    expected = FIRST.copy()
    for row, mean in means.items():
        expected[row] = mean
    found, again = looked(below)
    assert again == due
    np.testing.assert_array_equal(found, expected)


def test_an_answer_that_is_no_number_is_not_looked_at_again() -> None:
    first = np.array([[np.nan, 0], [np.inf, 0]], np.float32)
    with np.errstate(invalid="ignore"):
        found = SecondLook(below=1, part=1).answer(first, lambda due: MIRRORED[:2][due])
    np.testing.assert_array_equal(found, first)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_where_the_second_look_gives_no_number_the_first_stands(broken: float) -> None:
    second = np.array([[broken, 0], [6, 0]], np.float32)
    found = SecondLook(below=0.9, part=1).answer(FIRST, lambda _due: second)
    np.testing.assert_array_equal(found, [[0, 0], [4, 0], [0, 3]])


def test_large_logits_do_not_overflow() -> None:
    first = np.array([[1e30, 0], [-1e30, -1e30]], np.float32)
    found = SecondLook(below=0.9, part=1).answer(first, lambda _due: np.zeros((1, 2), np.float32))
    np.testing.assert_allclose(found, [[1e30, 0], [-5e29, -5e29]])


def views(noise: float, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Two looks (2000, 3) at the same, each with a noise of its own, and the targets."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(3, (2000,), generator=generator)
    signal = 4 * torch.nn.functional.one_hot(targets, 3).float()
    first, other = (signal + noise * torch.randn(2000, 3, generator=generator) for _ in range(2))
    return first, other, targets


class TestChoose:
    def test_a_twentieth_is_looked_at_again_where_two_looks_know_more(self) -> None:
        first, mirrored, targets = views(2.5)
        found = second_look.choose(first, mirrored, targets)
        assert found is not None
        assert found.part == pytest.approx(0.05, abs=0.001)
        before = (first.argmax(1) == targets).float().mean()
        after = found.answer(first.numpy(), lambda due: mirrored.numpy()[due]).argmax(1)
        assert (after == targets.numpy()).mean() > before

    @pytest.mark.parametrize("mirrored", ["the same", "means nothing", "another class"])
    def test_there_is_none_where_it_tells_nothing_more(self, mirrored: str) -> None:
        first, other, targets = views(2.5)
        order = torch.randperm(2000, generator=torch.Generator().manual_seed(1))
        seen = {
            "the same": first,
            "means nothing": other[order],
            "another class": other.roll(1, 1),
        }
        assert second_look.choose(first, seen[mirrored], targets) is None

    def test_of_answers_that_are_all_alike_none_is_due(self) -> None:
        alike = torch.zeros(50, 3)
        assert second_look.choose(alike, alike, torch.zeros(50, dtype=torch.long)) is None


@pytest.mark.parametrize("values", [{"below": 1.1}, {"below": float("nan")}, {"part": -0.1}])
def test_a_card_with_impossible_parts_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SecondLook(**{"below": 0.5, "part": 0.1, **values})
