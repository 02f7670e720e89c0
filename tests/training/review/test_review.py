"""A review in words and as a table."""

import csv
import io

import torch

from training.data.datasets import ImageSet, Origin
from training.review.labels import HELD_OUT, Judged
from training.review.review import PAGE, TABLE, Review


def images(count: int, seed: int, name: str) -> ImageSet:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=generator)
    origins = tuple(Origin(f"{name}/{i}.png") for i in range(count))
    return ImageSet(pixels, torch.arange(count) % 2, ("cat", "dog"), origins=origins)


def leaky() -> dict[str, ImageSet]:
    splits = {"train": images(24, 0, "train"), "test": images(10, 1, "test")}
    splits["test"].in_memory[4] = splits["train"].in_memory[2]
    return splits


def test_nothing_odd_is_said() -> None:
    text = Review.of({"train": images(24, 0, "train")}).text()
    assert text.startswith("looked for copies and odd pictures among 24 in ")
    assert text.endswith(" s: none")


def test_what_was_found_with_names_and_what_to_do() -> None:
    text = Review.of(leaky()).text()
    assert "none of these is left out" in text
    assert (
        "the same picture in train and outside of it: 1 (train/2.png = test/4.png). "
        "what is measured on it counts too high: take it out of train"
    ) in text
    assert "1 of 10 pictures of test are in train too" in text
    assert "their share, 0.1000, is the most that its accuracy can be too high" in text


def test_the_table_has_a_row_for_each_picture() -> None:
    splits = leaky()
    probabilities = torch.eye(2)[splits["test"].targets].double()
    probabilities[3] = torch.tensor([1.0, 0.0])
    review = Review.of(splits).judged([Judged("test", splits["test"], probabilities, HELD_OUT)])
    rows = list(csv.DictReader(io.StringIO(review.as_csv().decode())))
    assert [row["finding"] for row in rows].count("hard") == 9
    rows = [row for row in rows if row["finding"] != "hard"]
    assert [(row["finding"], row["split"], row["label"], row["file"]) for row in rows] == [
        ("label", "test", "dog", "test/3.png"),
        ("in-test", "train", "cat", "train/2.png"),
        ("in-test", "test", "cat", "test/4.png"),
    ]
    assert rows[0]["about"] == "probably cat (1.000; dog 0.000)"
    assert review.text_of_labels() == (
        "labels that are probably wrong: 1, first test/3.png is dog, and probably cat"
    )


def test_a_network_that_knows_little_says_so() -> None:
    splits = {"test": images(10, 1, "test")}
    probabilities = torch.eye(2)[[0, 0, 1, 1, 1, 0, 1, 0, 0, 1]]
    review = Review.of(splits).judged([Judged("test", splits["test"], probabilities, HELD_OUT)])
    share = review.right
    assert share < 0.7
    assert f"what judged them is right on {share:.0%} only" in review.text_of_labels()


def test_both_files_are_written() -> None:
    written: dict[str, bytes] = {}
    Review.of(leaky()).write("pets", written.__setitem__)
    assert written.keys() == {PAGE, TABLE}
