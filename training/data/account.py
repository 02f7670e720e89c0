"""What became of every file: where the splits are from, the classes, and what is left out."""

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch

from training.data.datasets import ImageSet

if TYPE_CHECKING:
    from training.fitting.experiment import Pictures

LEFT_OUT = "left-out.csv"
"""In the run folder: each file that is not taken, and why."""
_SHOWN = 20  # classes
_NAMED = 5  # files, where there is no run folder that has all


@dataclass(frozen=True)
class Account:
    """Of the splits of a data set, by name."""

    splits: Mapping[str, ImageSet]

    @classmethod
    def of(cls, pictures: "Pictures") -> Self:
        return cls(pictures.splits)

    @property
    def left_out(self) -> list[tuple[Path, str]]:
        """Files with the reason, each once."""
        pairs = (pair for images in self.splits.values() for pair in images.left_out)
        return list(dict.fromkeys(pairs))

    def as_csv(self) -> bytes:
        written = io.StringIO()
        rows = csv.writer(written)
        rows.writerow(("file", "reason"))
        rows.writerows((str(path), reason) for path, reason in self.left_out)
        return written.getvalue().encode(errors="replace")

    def text(self, listed_in: Path | None = None) -> str:
        """For people; `listed_in` is the file that has the names of all that are left out."""
        lines = [
            f"{split}: {len(images):,} pictures" + (f" from {images.place}" if images.place else "")
            for split, images in self.splits.items()
        ]
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
        """The number of pictures of each class in each split."""
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
