"""What a study is: variants of a recipe, and findings that their figures bear out or don't."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from training.fitting.loop import Epoch
from training.recipes.recipe import Recipe


@dataclass(frozen=True)
class Measured:
    """What a variant's training gave; NaN where it diverged.

    The accuracies are those of the last epoch's weights with nothing dropped; `gap` is how much
    better they do on the pictures they were trained on than on those held out. `peak_memory` is in
    bytes, or None where the system doesn't tell.
    """

    train: float
    validation: float
    test: float
    parameters: int
    seconds: float
    peak_memory: int | None
    history: tuple[Epoch, ...]
    weight_deviations: Mapping[str, float]

    @property
    def gap(self) -> float:
        return self.train - self.validation

    def validation_at(self, epoch: int) -> float:
        """Accuracy on the held-out pictures after that epoch, or the last if there are fewer."""
        metrics = self.history[min(epoch, len(self.history)) - 1].validation
        return metrics.accuracy if metrics is not None else math.nan


Results = Mapping[str, Measured]


@dataclass(frozen=True)
class Variant:
    """One run of a study, by a label that its report uses, and what was reported of it.

    `hidden` names a layer whose values on test pictures the report draws as a histogram, if any.
    """

    label: str
    recipe: Recipe
    reported: str = ""
    hidden: str | None = None


@dataclass(frozen=True)
class Finding:
    """What was reported as seen; `holds` says whether the measured figures show it too.

    `otherwise` is said where they don't.
    """

    text: str
    holds: Callable[[Results], bool]
    otherwise: str = ""


@dataclass(frozen=True)
class Study:
    """A question, and the variants whose figures answer it.

    `memory` says whether the report tells how much of it each run took.
    """

    name: str
    question: str
    variants: tuple[Variant, ...]
    findings: tuple[Finding, ...]
    memory: bool = False

    def quick(self) -> Self:
        """Every variant at a tenth of its length, for a look."""
        shorter = (
            replace(v, recipe=replace(v.recipe, epochs=max(1, round(v.recipe.epochs_to_run / 10))))
            for v in self.variants
        )
        return replace(self, variants=tuple(shorter))
