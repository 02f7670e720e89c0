"""What a study is: variants of a recipe, claims of its first author, and criteria to judge them by.

A criterion stands in the code before the runs are made. It is judged for each seed by itself, on
runs of that seed alone: a claim is seen if its criterion holds with every seed, not seen if it
holds with none, and unclear otherwise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, Self

from training.fitting.state import Epoch
from training.recipes.recipe import Recipe

SEEDS = (0, 1, 2)
Verdict = Literal["seen", "not seen", "unclear"]


class Spread(NamedTuple):
    """The spread of a parameter's values: their standard deviation, and the `span` around 0 that
    contains 95 % of them."""

    deviation: float
    span: float


@dataclass(frozen=True)
class Measured:
    """The figures of one run; NaN where it diverged.

    The accuracies are those of the last epoch's weights in evaluation mode; `gap` is training minus
    validation accuracy. `also_tested` are accuracies on the test pictures of other data sets, by
    their names. `peak_memory` is in bytes, or None if the system can't measure it. `weights` are
    the spreads of the parameters, by their names. `commit` and `finished`, a time, say which code
    ran and when.
    """

    train: float
    validation: float
    test: float
    parameters: int
    seconds: float
    peak_memory: int | None
    history: tuple[Epoch, ...]
    weights: Mapping[str, Spread]
    also_tested: Mapping[str, float] = field(default_factory=dict)
    commit: str | None = None
    finished: str | None = None

    @property
    def gap(self) -> float:
        return self.train - self.validation


Results = Mapping[str, Measured]  # of the runs of one seed, by the variant's label


@dataclass(frozen=True)
class Variant:
    """One row of a study, by a label that its report uses, and what was reported of it.

    `hidden` names a layer whose values on test pictures the report draws as a histogram, if any.
    `also_test` names data sets on whose test pictures the network is tried, too. `seeds` are
    three unless given.
    """

    label: str
    recipe: Recipe
    reported: str = ""
    hidden: str | None = None
    also_test: tuple[str, ...] = ()
    seeds: tuple[int, ...] = SEEDS

    def run_with(self, seed: int) -> Recipe:
        return replace(self.recipe, seed=seed)


@dataclass(frozen=True)
class Criterion:
    """A statement with its numbers, and whether the runs of one seed fulfil it.

    `labels` are those of the variants whose runs it reads.
    """

    text: str
    labels: frozenset[str]
    holds: Callable[[Results], bool]

    def __and__(self, other: "Criterion") -> "Criterion":
        return Criterion(
            f"{self.text}; and {other.text}",
            self.labels | other.labels,
            lambda r: self.holds(r) and other.holds(r),
        )


@dataclass(frozen=True)
class Finding:
    """A claim, and the criterion that it is judged by.

    `earlier` tells which criterion stood here before, and why it was changed, if it was.
    `remark` explains what was found, for people; it decides nothing.
    """

    claim: str
    criterion: Criterion
    earlier: str = ""
    remark: str = ""

    def held(self, by_seed: Mapping[int, Results]) -> dict[int, bool]:
        """Whether the criterion holds, by each seed that all of its variants were run with."""
        return {
            seed: self.criterion.holds(results)
            for seed, results in by_seed.items()
            if self.criterion.labels <= results.keys()
        }


def verdict(held: Sequence[bool]) -> Verdict:
    """seen if the criterion held with every seed, not seen if with none, unclear otherwise.

    `held` has an entry for each seed, and at least one.
    """
    if all(held):
        return "seen"
    return "unclear" if any(held) else "not seen"


@dataclass(frozen=True)
class Study:
    """A question, and the variants whose figures answer it.

    `memory` says whether the report has the peak memory of each run. `setup` describes the runs:
    what differs from the first author's, and which were made again.
    """

    name: str
    question: str
    variants: tuple[Variant, ...]
    findings: tuple[Finding, ...]
    memory: bool = False
    setup: str = ""

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of all variants, in ascending order."""
        return tuple(sorted({seed for variant in self.variants for seed in variant.seeds}))

    def recipes(self) -> list[Recipe]:
        """Return the recipes of all runs: each variant with each of its seeds."""
        return [variant.run_with(seed) for variant in self.variants for seed in variant.seeds]

    def with_seeds(self, seeds: Sequence[int]) -> Self:
        """Return the study with the runs of these seeds; variants without any such run are
        dropped."""
        return self._only(lambda variant, seed: seed in seeds)

    def without(self, recipes: Sequence[Recipe]) -> Self:
        """Return the study without these runs; variants without any other run are dropped."""
        return self._only(lambda variant, seed: variant.run_with(seed) not in recipes)

    def _only(self, kept: Callable[[Variant, int], bool]) -> Self:
        variants = (
            replace(variant, seeds=tuple(seed for seed in variant.seeds if kept(variant, seed)))
            for variant in self.variants
        )
        return replace(self, variants=tuple(each for each in variants if each.seeds))

    def quick(self) -> Self:
        """Return the study for a quick look: a tenth of the epochs, and one seed for each
        variant."""
        shorter = (
            replace(
                variant,
                recipe=replace(
                    variant.recipe, epochs=max(1, round(variant.recipe.epochs_to_run / 10))
                ),
                seeds=variant.seeds[:1],
            )
            for variant in self.variants
        )
        return replace(self, variants=tuple(shorter))
