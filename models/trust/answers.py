"""The outputs of a network for images with known labels, on which trust is fitted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.trust.second_look import SecondLook


@dataclass(frozen=True)
class Answers:
    """The outputs of a network for images of known labels.

    `logits` (N, K). `features` (N, D), penultimate; None if the network has none. `targets` (N,),
    the indices of the labels. `blank` (N,) is True for images that show nothing; None if that was
    not checked. If some images got a second look, `first_logits` (N, K) are the logits of the first
    one, to which the features belong; otherwise None.
    """

    logits: Tensor
    features: Tensor | None
    targets: Tensor
    blank: Tensor | None = None
    first_logits: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def first_look(self) -> Tensor:
        """The logits of the first look (N, K), which decide how strange an image is."""
        return self.logits if self.first_logits is None else self.first_logits

    def looked_again(
        self, second: SecondLook, look: Callable[[NDArray[np.bool_]], NDArray[np.float32]]
    ) -> "Answers":
        """Return these answers with the logits after a second look at some images.

        `look(due)` asks the network again, as in `SecondLook.answer`.
        """
        logits = torch.from_numpy(second.answer(self.logits.numpy(), look))
        return replace(self, logits=logits, first_logits=self.logits)

    def subset(self, at: Tensor) -> "Answers":
        return self._with_each(lambda each: each[at])

    def on_cpu(self) -> "Answers":
        return self._with_each(
            lambda each: (each.float() if each.is_floating_point() else each).cpu()
        )

    @classmethod
    def joined(cls, parts: Sequence["Answers"]) -> "Answers":
        """Concatenate the answers of all parts. A field that is None in one part is None."""
        first, *_ = parts
        every = {each.name: [getattr(part, each.name) for part in parts] for each in fields(cls)}
        joined: dict[str, Any] = {
            name: None if any(part is None for part in found) else torch.cat(found)
            for name, found in every.items()
        }
        return replace(first, **joined)

    def _with_each(self, change: Callable[[Tensor], Tensor]) -> "Answers":
        parts = {each.name: getattr(self, each.name) for each in fields(self)}
        changed = {name: change(part) for name, part in parts.items() if part is not None}
        return replace(self, **changed)
