"""What is found among the pictures of splits, and which pictures each finding names."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from training.data.datasets import ImageSet, Origin
from training.review import findings
from training.review.findings import KINDS, Kind, Place, find, of

LABELS = ("cat", "dog")


def noise(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=generator)


def images(count: int = 24, seed: int = 0) -> ImageSet:
    return ImageSet(noise(count, seed), torch.arange(count) % 2, LABELS)


def found(kind: Kind, **splits: ImageSet) -> list[tuple[Place, ...]]:
    return [each.pictures for each in of(kind, find(splits))]


def test_nothing_odd() -> None:
    assert find({"train": images(), "test": images(8, seed=1)}) == []


def test_the_same_picture_in_two_classes() -> None:
    train = images()
    train.in_memory[5] = train.in_memory[2]
    assert found(findings.TWO_CLASSES, train=train) == [(("train", 2), ("train", 5))]
    assert found(findings.COPY, train=train) == []


def test_the_same_picture_twice_in_a_class() -> None:
    train = images()
    train.in_memory[6] = train.in_memory[4] = train.in_memory[2]
    assert found(findings.COPY, train=train) == [(("train", 2), ("train", 4), ("train", 6))]


@pytest.mark.parametrize("split", ["test", "validation"])
def test_the_same_picture_in_train_and_outside(split: str) -> None:
    train, other = images(), images(8, seed=1)
    other.in_memory[2] = train.in_memory[4]
    splits = {"train": train, split: other}
    assert found(findings.IN_TEST, **splits) == [(("train", 4), (split, 2))]
    assert findings.seen_in_train(find(splits), split) == [2]


def test_one_picture_may_be_in_two_classes_and_in_test() -> None:
    train, test = images(), images(8, seed=1)
    test.in_memory[3] = train.in_memory[4]
    for kind in (findings.TWO_CLASSES, findings.IN_TEST):
        assert found(kind, train=train, test=test) == [(("train", 4), ("test", 3))]


def test_a_picture_in_validation_and_test_is_a_copy() -> None:
    validation, test = images(8, seed=1), images(8, seed=2)
    test.in_memory[2] = validation.in_memory[4]
    splits = {"train": images(), "validation": validation, "test": test}
    assert found(findings.COPY, **splits) == [(("validation", 4), ("test", 2))]
    assert findings.seen_in_train(find(splits), "test") == []


def test_near_copies_with_all_their_exact_copies() -> None:
    train, test = images(), images(8, seed=1)
    test.in_memory[2] = train.in_memory[4] = train.in_memory[2]
    train.in_memory[6] = (train.in_memory[2].float() * 0.9).byte()
    train.in_memory[7] = (train.in_memory[3].float() * 0.9).byte()
    both = [(("train", 2), ("train", 4), ("test", 2), ("train", 6))]
    assert [sorted(each) for each in found(findings.NEAR_IN_TEST, train=train, test=test)] == [
        sorted(both[0])
    ]
    assert found(findings.NEAR_COPY, train=train, test=test) == [(("train", 3), ("train", 7))]


def test_pictures_of_one_colour_are_no_copies_of_each_other() -> None:
    train = images()
    train.in_memory[3] = train.in_memory[4] = torch.tensor([200, 10, 10]).view(3, 1, 1)
    train.in_memory[5] = 250 + noise(1, seed=3)[0] % 6
    assert found(findings.BLANK, train=train) == [(("train", i),) for i in (3, 4, 5)]
    assert found(findings.TWO_CLASSES, train=train) == []


@pytest.mark.parametrize(
    ("size", "kinds"),
    [
        ((16, 16), []),
        ((8, 8), []),
        ((7, 30), [findings.TINY, findings.ELONGATED]),
        ((4, 4), [findings.TINY]),
        ((401, 100), [findings.ELONGATED]),
        ((100, 400), []),
        ((1, 60_000), [findings.TINY, findings.ELONGATED]),
    ],
)
def test_shapes(size: tuple[int, int], kinds: list[Kind]) -> None:
    origins = [Origin(f"{i}.png", (16, 16)) for i in range(24)]
    origins[3] = Origin("3.png", size)
    found = find({"train": replace(images(), origins=tuple(origins))})
    assert [each.kind for each in found] == kinds
    assert {each.about for each in found} <= {f"{size[0]} × {size[1]} pixels"}


def test_files_that_are_equal_and_files_that_are_not() -> None:
    train = images()
    train.in_memory[6], train.in_memory[7] = train.in_memory[4], train.in_memory[3]
    digests = [b"%d" % i for i in range(24)]
    digests[6] = digests[4]
    origins = tuple(Origin(f"{i}", digest=digest) for i, digest in enumerate(digests))
    copies = of(findings.COPY, find({"train": replace(train, origins=origins)}))
    assert [each.about for each in copies] == [
        "the files differ, their pixels don't",
        "the files are equal",
    ]


def test_unreadable_files_and_no_others() -> None:
    left_out = ((Path("a.png"), "broken: cut off"), (Path("b.txt"), "hidden, or of the system"))
    found = find({"train": replace(images(), left_out=left_out)})
    assert [(each.kind, each.about) for each in found] == [
        (findings.UNREADABLE, "a.png: broken: cut off")
    ]


def test_classes_with_few_training_pictures() -> None:
    train = images().subset(torch.tensor([*range(0, 24, 2), 1, 3]))  # 12 cats and 2 dogs
    found = find({"train": train, "test": images(2, seed=1)})
    assert [each.about for each in found] == ["dog: 2"]


def test_kinds_are_told_apart_by_name() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
