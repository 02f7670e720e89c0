"""The page shows what was found, and nothing that others have named becomes a part of it."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch

from training.data.datasets import ImageSet, Origin
from training.review import findings
from training.review.findings import find
from training.review.labels import Suspect
from training.review.page import WORST, page

HOSTILE = [
    "<script>alert(1)</script>.png",
    '"><img src=x onerror=alert(1)>.png',
    "</figcaption></main>.png",
    "&lt;b&gt;.png",
    "evil\u202egnp.exe",
    "two\nlines\x1b[31m.png",
    "caf\udce9.png",
]


class Tags(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def suspect(name: str, given: str = "cat") -> Suspect:
    return Suspect("train", name, torch.zeros(3, 8, 8).byte(), given, "dog", 0.1, 0.9)


def images(name: str = "a.png") -> ImageSet:
    """Two equal pictures, in two classes."""
    noise = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8).repeat(2, 1, 1, 1)
    return ImageSet(noise, torch.arange(2), ("cat", "dog"), origins=(Origin(name), Origin("b.png")))


@pytest.mark.parametrize("name", HOSTILE)
def test_names_and_labels_are_text(name: str) -> None:
    pictures = images(name)
    pictures = replace(pictures, labels=(name, "dog"))
    found = find({"train": pictures})
    about = [findings.Finding(findings.UNREADABLE, about=name)]
    splits = {"train": pictures}
    tags = Tags(page(name, splits, [*found, *about], [suspect(name, name)], ["how"]))
    usual = Tags(page("a", splits, [*found, *about], [suspect("a", "a")], ["how"]))
    assert [tag for tag, _ in tags.tags] == [tag for tag, _ in usual.tags]
    assert tags.count("script") == 0
    for char in "\u202e\x1b\udce9":
        assert char not in tags.text
    if name.isprintable():
        assert name in tags.text


def test_nothing_is_loaded_or_run() -> None:
    tags = Tags(page("pets", {"train": images()}, find({"train": images()}), [suspect("a")]))
    sources = [attributes["src"] or "" for tag, attributes in tags.tags if tag == "img"]
    assert len(sources) == 3
    assert all(source.startswith("data:image/") for source in sources)
    assert {attributes.get("href") for tag, attributes in tags.tags if tag in ("a", "link")} <= {
        "#labels",
        "#two-classes",
        "#few-pictures",
    }
    [policy] = [a["content"] for _, a in tags.tags if "http-equiv" in a]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert tags.count("script") == 0


def test_the_worst_fifty_are_shown_and_the_others_counted() -> None:
    tags = Tags(page("pets", {"train": images()}, [], [suspect(f"{i}.png") for i in range(80)]))
    assert tags.count("img") == WORST
    assert "49.png" in tags.text
    assert "50.png" not in tags.text
    assert "30 more are in data.csv" in tags.text


def test_a_huge_group_is_cut() -> None:
    many = replace(images(), origins=())
    many = many.subset(torch.zeros(500, dtype=torch.int64))
    tags = Tags(page("pets", {"train": many}, find({"train": many}), None))
    assert tags.count("img") == WORST
    assert "and 450 more" in tags.text
    assert "labels that are probably wrong" not in tags.text


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 300, 100)])
def test_pictures_of_any_size(shape: tuple[int, int, int]) -> None:
    content = page("a", {}, [], [replace(suspect("a"), picture=torch.zeros(shape).byte())])
    assert b"data:image/" in content


def test_nothing_found() -> None:
    text = Tags(page("pets", {"train": images()}, [], None)).text
    assert "among photographs also mirrored, or turned by 90, 180 or 270 degrees" in text
    assert "There are no copies" in Tags(page("pets", {"train": images()}, [], None)).text
