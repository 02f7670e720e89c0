"""A head is a penalised logistic regression, and cross-validation chooses the penalty."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.fitting.start import head

EQUAL = torch.ones(3)


def blobs(count: int, dimensions: int = 5, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    """Features around three centres, and the numbers of these."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(count) % 3
    centres = 3 * torch.eye(3, dimensions)
    noise = torch.randn(count, dimensions, generator=generator)
    return centres[targets] + spread * noise + 7, targets


def slope(found: head.Head, features: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The gradient of what `fit` minimises, of weight and bias together."""
    weight, bias = (each.clone().requires_grad_() for each in (found.weight, found.bias))
    logits = F.linear(features.double(), weight, bias)
    loss = F.cross_entropy(logits, targets, weights.double()) + 0.1 / 2 * weight.square().sum()
    loss.backward()
    assert weight.grad is not None
    assert bias.grad is not None
    return torch.cat([weight.grad.flatten(), bias.grad])


@pytest.mark.parametrize("dimensions", [5, 80])  # fewer and more than the pictures
@pytest.mark.parametrize("weights", [EQUAL, torch.tensor([1.0, 2.0, 5.0])])
def test_the_solution_is_a_minimum(dimensions: int, weights: Tensor) -> None:
    features, targets = blobs(30, dimensions)
    found = head.fit(features, targets, weights, penalty=0.1)
    assert slope(found, features, targets, weights).abs().max() < 1e-4


def test_new_pictures_get_their_class() -> None:
    features, targets = blobs(60)
    found = head.fit(features[:30], targets[:30], EQUAL, penalty=0.01)
    assert (found.logits(features[30:]).argmax(1) == targets[30:]).float().mean() > 0.9


def test_the_same_features_give_the_same_head_whatever_the_threads() -> None:
    features, targets = blobs(30, 80)
    threads = torch.get_num_threads()
    one = head.fit(features, targets, EQUAL, 0.1)
    torch.set_num_threads(2)
    try:
        other = head.fit(features, targets, EQUAL, 0.1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(one.bias, other.bias)


def test_cross_validation_predicts_pictures_that_the_head_has_not_seen() -> None:
    """Targets that features say nothing of can be learned by heart, and are not predicted."""
    features, _ = blobs(60, 200)
    targets = torch.randint(3, (60,), generator=torch.Generator().manual_seed(1))
    own = head.fit(features, targets, EQUAL, 1e-3)
    assert (own.logits(features).argmax(1) == targets).all()
    choice = head.choose(features, targets, EQUAL, seed=0)
    assert (choice.logits.argmax(1) == targets).float().mean() < 0.6
    assert choice.penalty == max(head.PENALTIES)


def test_clear_features_need_little_penalty() -> None:
    features, targets = blobs(60, spread=0.1)
    choice = head.choose(features, targets, EQUAL, seed=0)
    assert choice.penalty == min(head.PENALTIES)
    assert (choice.logits.argmax(1) == targets).all()
    assert choice.pictures.tolist() == list(range(60))


@pytest.mark.parametrize("targets", [[0, 1], [0, 0, 0, 1], [0, 1, 1, 2, 2, 2]])
def test_a_class_may_have_one_picture(targets: list[int]) -> None:
    features, _ = blobs(len(targets))
    choice = head.choose(features, torch.tensor(targets), EQUAL, seed=0)
    assert choice.logits.isfinite().all()


def test_of_many_pictures_some_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "MOST_CROSSED", 30)
    features, targets = blobs(90)
    choice = head.choose(features, targets, EQUAL, seed=0)
    assert len(choice.pictures) == len(choice.logits) == 30
    assert (choice.logits.argmax(1) == targets[choice.pictures]).float().mean() > 0.8


def test_versions_of_a_picture_are_left_out_together() -> None:
    """What features say nothing of is known from a second copy, unless both are left out."""
    features, _ = blobs(60, 200)
    targets = torch.randint(3, (60,), generator=torch.Generator().manual_seed(1))
    twice, both = features.repeat(2, 1), targets.repeat(2)
    versions = torch.arange(60).repeat(2)
    known = head.choose(twice, both, EQUAL, seed=0)
    assert (known.logits.argmax(1) == both).float().mean() > 0.7
    unknown = head.choose(twice, both, EQUAL, seed=0, versions=versions)
    assert (unknown.logits.argmax(1) == both).float().mean() < 0.6
