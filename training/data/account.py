"""Tell what became of every file of a data set.

That is, from which folder each split is, how many pictures of each class it has, and which files
are not used, each with the reason.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from training import spreadsheet
from training.data import names
from training.data.datasets import ImageSet

LEFT_OUT = "left-out.csv"
"""In the run folder: each file that is not taken, and why."""
_SHOWN = 20  # classes
_NAMED = 5  # files that are left out


@dataclass(frozen=True)
class Account:
    """The account of these splits of a data set, by their names."""

    splits: Mapping[str, ImageSet]

    @property
    def left_out(self) -> list[tuple[Path, str]]:
        """The files that are not used, each once, with the reason."""
        pairs = (pair for images in self.splits.values() for pair in images.left_out)
        return list(dict.fromkeys(pairs))

    @property
    def notes(self) -> list[str]:
        """What was decided about the files, each once."""
        notes = (note for images in self.splits.values() for note in images.notes)
        return list(dict.fromkeys(map(names.shown, notes)))

    def as_csv(self) -> bytes:
        rows = ((str(path), reason) for path, reason in self.left_out)
        return spreadsheet.as_csv(("file", "reason"), rows)

    def text(self, listed_in: Path | None = None) -> str:
        """Write the account for people.

        `listed_in` is the file that names all that is left out; here only the first few are named.
        """
        lines = [
            f"{split}: {len(images):,} pictures" + (f" from {images.place}" if images.place else "")
            for split, images in self.splits.items()
        ]
        lines += self.notes
        lines += self._classes()
        if left_out := self.left_out:
            reasons = Counter(reason.partition(": ")[0] for _, reason in left_out)
            counts = "; ".join(f"{reason} ({n:,})" for reason, n in reasons.most_common())
            lines.append(f"left out, {len(left_out):,} files: {counts}")
            if listed_in is not None:
                lines.append(f"  all of them are in {listed_in}")
            for path, reason in left_out[:_NAMED]:
                lines.append(f"  {path}: {reason}")
        return "\n".join(lines)

    def _classes(self) -> list[str]:
        """Write a line for each class: its number of pictures in each split."""
        labels = next(iter(self.splits.values())).labels
        counts = [
            torch.bincount(images.relabel(labels).targets, minlength=len(labels)).tolist()
            for images in self.splits.values()
        ]
        lines = [
            f"  {label}: {' + '.join(f'{n:,}' for n in numbers)}"
            for label, *numbers in zip(labels, *counts, strict=True)
        ]
        more = [f"  and {len(labels) - _SHOWN} classes more"] if len(labels) > _SHOWN else []
        return lines[:_SHOWN] + more
