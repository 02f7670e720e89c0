"""What a network gave for images, which trust is fitted on and asked about."""

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
    """What a network gave for images of known labels.

    `logits` (N, K); `features` (N, D), penultimate, None where the network shows none; `targets`
    (N,), which index the labels. `blank` (N,) tells the images that show nothing; None if nobody
    looked. Where some images were looked at twice, `first_logits` (N, K) are what the network gave
    at first, as the features are; otherwise they are None.
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
        """The logits of the first look (N, K): how strange an image is, is told by these."""
        return self.logits if self.first_logits is None else self.first_logits

    def looked_again(
        self, second: SecondLook, look: Callable[[NDArray[np.bool_]], NDArray[np.float32]]
    ) -> "Answers":
        """These answers with the logits after a second look at some images.

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
        """The answers of all parts in a row. A field that is None in one part is None."""
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
