"""The review of a data set: in words for the console, as `data.html` and as `data.csv`."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from training import spreadsheet
from training.data.datasets import ImageSet
from training.data.names import shown
from training.review import findings as kinds
from training.review.findings import Finding, Kind
from training.review.labels import Judged, Suspect, hardest, suspects
from training.review.page import WORST, page

PAGE, TABLE = "data.html", "data.csv"
_OF_USE = 0.7  # accuracy below which most labels that are called wrong are right
_NAMED = 3  # pictures of each kind, on the console


@dataclass(frozen=True)
class Review:
    """The findings about a data set; `seconds` is how long the search took.

    `suspects` are pictures whose label is probably wrong, None until labels are judged. `hard` are
    further pictures that the network finds hardest, so that fifty are shown in all. `how` says what
    judged the labels. `right` is its accuracy, the lowest if there were several.
    """

    splits: Mapping[str, ImageSet]
    findings: Sequence[Finding]
    seconds: float
    suspects: Sequence[Suspect] | None = None
    hard: Sequence[Suspect] = ()
    how: Sequence[str] = ()
    right: float = 1.0

    @classmethod
    def of(cls, splits: Mapping[str, ImageSet]) -> Self:
        start = time.monotonic()
        found = kinds.find(splits)
        return cls(splits, found, time.monotonic() - start)

    def judged(self, judged: Sequence[Judged]) -> Self:
        """Return the review with the labels that are probably wrong."""
        shares, how = [], []
        for way in dict.fromkeys(each.how for each in judged):
            same = [each for each in judged if each.how == way]
            shares.append(sum(e.right for e in same) / max(1, sum(len(e.images) for e in same)))
            names = ", ".join(each.split for each in same)
            how.append(f"{names}: {way}. It is right on {shares[-1]:.0%} of them")
        worst = min(shares, default=1.0)
        named = suspects(judged)
        hard = hardest(judged, named, WORST - min(WORST, len(named)))
        return replace(self, suspects=named, hard=hard, how=how, right=worst)

    def text(self) -> str:
        """Describe the findings: a line for each kind, with a few names."""
        count = sum(map(len, self.splits.values()))
        looked = f"looked for copies and odd pictures among {count:,} in {self.seconds:.1f} s"
        if not kinds.compares_near(self.splits):
            looked += (
                " (not for near copies, nor for wrong labels in train: so many pictures, read "
                "from a file, would take too much memory)"
            )
        if not self.findings:
            return f"{looked}: none"
        lines = [_line(kind, self) for kind in kinds.KINDS if kinds.of(kind, self.findings)]
        return "\n".join([f"{looked}; none of these is left out:", *lines, *self._too_high()])

    def text_of_labels(self) -> str:
        """Say how many labels are probably wrong, with the names of the surest."""
        if self.suspects is None:
            return ""
        if not self.suspects:
            return "no label is probably wrong"
        names = "; ".join(
            f"{shown(each.name)} is {shown(each.given)}, and probably {shown(each.likely)}"
            for each in self.suspects[:_NAMED]
        )
        text = f"labels that are probably wrong: {len(self.suspects):,}, first {names}"
        if self.right < _OF_USE:
            text += (
                f". This means little: what judged them is right on {self.right:.0%} only; train "
                "a better network first"
            )
        return text

    def seen_in_train(self, split: str) -> list[int]:
        """The indices of the pictures of a split that are in train too, or nearly."""
        return kinds.seen_in_train(self.findings, split)

    def write(self, title: str, write: Callable[[str, bytes], None]) -> None:
        """Write the page and the table by calling `write` with the name and content of each."""
        write(PAGE, page(title, self.splits, self.findings, self.suspects, self.how, self.hard))
        write(TABLE, self.as_csv())

    def as_csv(self) -> bytes:
        """A row for each picture of each finding; rows of the same group have the same number."""
        head = ("finding", "group", "split", "label", "file", "about")
        return spreadsheet.as_csv(head, self._rows())

    def _rows(self) -> Iterator[tuple[str, int, str, str, str, str]]:
        for number, suspect in enumerate([*(self.suspects or ()), *self.hard], 1):
            kind = "label" if number <= len(self.suspects or ()) else "hard"
            word = "probably" if kind == "label" else "or"
            about = (
                f"{word} {suspect.likely} ({suspect.probability_likely:.3f}; "
                f"{suspect.given} {suspect.probability_given:.3f})"
            )
            yield kind, number, suspect.split, suspect.given, suspect.name, about
        for number, finding in enumerate(self.findings, 1):
            for split, index in finding.pictures:
                images = self.splits[split]
                label = images.labels[int(images.targets[index])]
                name = images.name(index)
                yield finding.kind.name, number, split, label, name, finding.about
            if not finding.pictures:
                yield finding.kind.name, number, "", "", "", finding.about

    def _too_high(self) -> Iterator[str]:
        for split, images in self.splits.items():
            seen = self.seen_in_train(split) if split != "train" else []
            if seen:
                share = len(seen) / len(images)
                yield (
                    f"  {len(seen):,} of {len(images):,} pictures of {split} are in train too, or "
                    f"nearly: their share, {share:.4f}, is the most that its accuracy can be too "
                    "high; fit tells the accuracy without them too"
                )


def _line(kind: Kind, review: Review) -> str:
    found = kinds.of(kind, review.findings)
    names = [_named(finding, review.splits) for finding in found[:_NAMED]]
    more = ", …" if len(found) > _NAMED else ""
    return f"  {kind.title}: {len(found):,} ({'; '.join(names)}{more}). {kind.advice}"


def _named(finding: Finding, splits: Mapping[str, ImageSet]) -> str:
    names = [shown(splits[place.split].name(place.number)) for place in finding.pictures]
    joined = " = ".join(names[:_NAMED]) + (" = …" if len(names) > _NAMED else "")
    about = shown(finding.about)
    if not finding.pictures:
        return about
    return joined if finding.kind.pairs or not about else f"{joined}, {about}"
