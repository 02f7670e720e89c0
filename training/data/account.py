"""Account of a data set: which of its files are used, and why the others are not.

It has the folder of each split, the number of pictures of each class, and the files that are left
out, each with the reason.
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
"""Name of the file in the run folder that lists all files left out, each with the reason."""
_SHOWN = 20  # classes
_NAMED = 5  # files that are left out


@dataclass(frozen=True)
class Account:
    """The account of a data set's files; `splits` are its pictures by the name of the split."""

    splits: Mapping[str, ImageSet]

    @property
    def left_out(self) -> list[tuple[Path, str]]:
        """The files that are not used, each once, with the reason."""
        pairs = (pair for images in self.splits.values() for pair in images.left_out)
        return list(dict.fromkeys(pairs))

    @property
    def notes(self) -> list[str]:
        """The decisions that were made about the files, as sentences, each once."""
        notes = (note for images in self.splits.values() for note in images.notes)
        return list(dict.fromkeys(map(names.shown, notes)))

    def as_csv(self) -> bytes:
        rows = ((str(path), reason) for path, reason in self.left_out)
        return spreadsheet.as_csv(("file", "reason"), rows)

    def text(self, listed_in: Path | None = None) -> str:
        """Return the account as text for people.

        `listed_in` is the path of the file that lists all files left out; the text names only the
        first few.
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
        """Return a line for each class, at most 20, with its number of pictures in each split."""
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
