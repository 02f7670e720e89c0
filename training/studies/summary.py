"""Summary of a study: figures and verdicts, as in `study.json` and the record of results.

Every seed is kept separately, so that runs of further seeds can be added to those recorded.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from statistics import mean, stdev
from typing import Annotated, Any, NoReturn, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
)

from training.studies.study import Finding, Measured, Results, Study, Variant, verdict


class _Strict(BaseModel):
    """Base of models whose fields accept their own JSON type only: values are used as the file has
    them."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True)


class _OfSeed(_Strict):
    seed: int


class RunRow(_OfSeed):
    """One run: accuracies, null if it diverged; seconds of training; peak memory in bytes.

    `commit` and `finished` say which code ran and when; null for runs from before they were
    recorded.
    """

    train: float | None
    validation: float | None
    test: float | None
    also_tested: dict[str, float | None]
    seconds: NonNegativeFloat
    peak_memory: NonNegativeInt | None
    commit: str | None = None
    finished: str | None = None

    @property
    def gap(self) -> float | None:
        if self.train is None or self.validation is None:
            return None
        return self.train - self.validation


class VariantRow(_Strict):
    """The runs of one variant, by ascending seeds."""

    label: str
    reported: str
    batch_size: PositiveInt
    epochs: PositiveInt
    parameters: NonNegativeInt
    runs: Annotated[list[RunRow], Field(min_length=1)]

    @property
    def setup(self) -> tuple[int, int, int]:
        """Batch size, epochs and parameters, which all runs of a row must share."""
        return self.batch_size, self.epochs, self.parameters


class Held(_OfSeed):
    """Whether a criterion held with a seed."""

    holds: bool


class FindingRow(_Strict):
    """A claim and how it was judged; `held` is empty if it was not judged."""

    claim: str
    criterion: str
    earlier: str
    remark: str
    held: list[Held]

    def with_seeds(self, held: Sequence[Held], seeds: Mapping[str, Collection[int]]) -> Self:
        """Return the finding with the entries of `held` for which all runs of its criterion exist.

        `seeds` are the seeds of the recorded runs, by the variants' labels.
        """
        possible = self.possible(seeds)
        kept = [each for each in held if possible is None or each.seed in possible]
        return self.model_copy(update={"held": kept})

    def possible(self, seeds: Mapping[str, Collection[int]]) -> set[int] | None:
        """Return the seeds for which all runs of the criterion exist; None if it names no run."""
        named = [set(having) for label, having in seeds.items() if f"`{label}`" in self.criterion]
        return set.intersection(*named) if named else None


class Summary(_Strict):
    """The summary of a study: a row for each variant, and its findings."""

    name: str
    question: str
    memory: bool
    setup: str = ""
    rows: Annotated[list[VariantRow], Field(min_length=1)]
    findings: list[FindingRow]

    @classmethod
    def of(cls, study: Study, by_seed: Mapping[int, Results], *, judged: bool = True) -> Self:
        """Summarise a study; `by_seed` has the figures of each seed's runs, by variant label.

        The findings are not judged if `judged` is False.
        """
        return cls(
            name=study.name,
            question=study.question,
            memory=study.memory,
            setup=study.setup,
            rows=[_variant(variant, by_seed) for variant in study.variants],
            findings=[_finding(each, by_seed if judged else {}) for each in study.findings],
        )

    def joined(self, later: "Summary") -> "Summary":
        """Merge these runs with those of `later` if the criteria are the same; else return `later`.

        Of two runs with the same seed, and of two set-ups of one variant, the later one stays.
        Either summary may lack variants that have none of its seeds.
        """
        if [each.criterion for each in self.findings] != [
            each.criterion for each in later.findings
        ]:
            return later
        old, new = ({row.label: row for row in each.rows} for each in (self, later))
        longer = max(self.rows, later.rows, key=len)
        labels = dict.fromkeys(row.label for row in (*longer, *self.rows, *later.rows))
        rows = [_joined_row(old.get(label), new.get(label)) for label in labels]
        seeds = {row.label: {run.seed for run in row.runs} for row in rows}
        findings = [
            one.with_seeds(_united(other.held, one.held), seeds)
            for other, one in zip(self.findings, later.findings, strict=True)
        ]
        return later.model_copy(update={"rows": rows, "findings": findings})

    def renewed(self, study: Study) -> "Summary":
        """Return the summary with the study's words, and with verdicts that are missing.

        A seed whose runs never lay beside each other is judged by their recorded figures, if the
        criterion reads no others. A finding with another criterion than the study's is kept as it
        is.
        """
        recorded = {run.seed for row in self.rows for run in row.runs}
        by_seed = {
            seed: {
                row.label: _recorded(row, run)
                for row in self.rows
                for run in row.runs
                if run.seed == seed
            }
            for seed in sorted(recorded)
        }
        now = {each.criterion.text: each for each in study.findings}
        findings = [
            _renewed(row, now[row.criterion], by_seed) if row.criterion in now else row
            for row in self.findings
        ]
        return self.model_copy(
            update={"question": study.question, "setup": study.setup, "findings": findings}
        )

    def markdown(self) -> str:
        """Return the study as a section: the question, a table, the findings."""
        also = list(
            dict.fromkeys(n for row in self.rows for run in row.runs for n in run.also_tested)
        )
        columns = [
            *("run", "reported", "train", "validation", "gap", "test"),
            *(f"on {name}" for name in also),
            *("batch", "epochs", "seeds", "parameters", "time"),
            *(["peak memory"] if self.memory else []),
        ]
        about = f"{self.question} {self.setup}".rstrip()
        lines = [about, "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        for row in self.rows:
            lines.append(f"| {' | '.join(self._cells(row, also))} |".replace("|p|", "\\|p\\|"))
        seeds = {row.label: [run.seed for run in row.runs] for row in self.rows}
        findings = [_text(each, each.possible(seeds) or set()) for each in self.findings]
        return "\n".join([*lines, "", *findings]) + "\n"

    def _cells(self, row: VariantRow, also: Sequence[str]) -> list[str]:
        runs = row.runs
        peaks = [run.peak_memory for run in runs if run.peak_memory is not None]
        return [
            *(row.label, row.reported),
            *(_figure([run.train for run in runs]), _figure([run.validation for run in runs])),
            *(_figure([run.gap for run in runs]), _figure([run.test for run in runs])),
            *(_figure([run.also_tested.get(name) for run in runs]) for name in also),
            *(f"{row.batch_size:,}", str(row.epochs), ", ".join(str(run.seed) for run in runs)),
            *(f"{row.parameters:,}", f"{mean(run.seconds for run in runs):.0f} s"),
            *([f"{max(peaks) / 2**20:,.0f} MiB" if peaks else ""] if self.memory else []),
        ]


def _variant(variant: Variant, by_seed: Mapping[int, Results]) -> VariantRow:
    runs = {seed: by_seed[seed][variant.label] for seed in sorted(variant.seeds)}
    return VariantRow(
        label=variant.label,
        reported=variant.reported,
        batch_size=variant.recipe.batch_size,
        epochs=variant.recipe.epochs_to_run,
        parameters=next(iter(runs.values())).parameters,
        runs=[_run(seed, measured) for seed, measured in runs.items()],
    )


def _run(seed: int, measured: Measured) -> RunRow:
    return RunRow(
        seed=seed,
        train=_rounded(measured.train),
        validation=_rounded(measured.validation),
        test=_rounded(measured.test),
        also_tested={name: _rounded(value) for name, value in measured.also_tested.items()},
        seconds=measured.seconds,
        peak_memory=measured.peak_memory,
        commit=measured.commit,
        finished=measured.finished,
    )


def _finding(finding: Finding, by_seed: Mapping[int, Results]) -> FindingRow:
    return FindingRow(
        claim=finding.claim,
        criterion=finding.criterion.text,
        earlier=finding.earlier,
        remark=finding.remark,
        held=[Held(seed=seed, holds=holds) for seed, holds in finding.held(by_seed).items()],
    )


class _NotRecordedError(Exception):
    """A criterion needs a run's history or weights, which are in its folder, not in the record."""


class _NotRecorded:
    """In place of the history or the weights of a recorded run."""

    def _refuse(self, *_: object) -> NoReturn:
        raise _NotRecordedError

    __len__ = __iter__ = __getitem__ = _refuse


def _recorded(row: VariantRow, run: RunRow) -> Measured:
    missing: Any = _NotRecorded()
    return Measured(
        _number(run.train),
        _number(run.validation),
        _number(run.test),
        row.parameters,
        run.seconds,
        run.peak_memory,
        history=missing,
        weights=missing,
        also_tested={name: _number(value) for name, value in run.also_tested.items()},
    )


def _number(recorded: float | None) -> float:
    return math.nan if recorded is None else recorded


def _renewed(row: FindingRow, finding: Finding, by_seed: Mapping[int, Results]) -> FindingRow:
    """Return a row with the finding's words, judged for further seeds as far as the record goes.

    A finding that was not judged at all stays so.
    """
    judged = {each.seed for each in row.held}
    added = []
    for seed, results in by_seed.items():
        if judged and seed not in judged and finding.criterion.labels <= results.keys():
            with suppress(_NotRecordedError):
                added.append(Held(seed=seed, holds=finding.criterion.holds(results)))
    words = {"claim": finding.claim, "earlier": finding.earlier, "remark": finding.remark}
    return row.model_copy(update={**words, "held": _united(added, row.held)})


_BySeed = TypeVar("_BySeed", bound=_OfSeed)


def _united(old: Sequence[_BySeed], new: Sequence[_BySeed]) -> list[_BySeed]:
    found = {each.seed: each for each in (*old, *new)}
    return [found[seed] for seed in sorted(found)]


def _joined_row(old: VariantRow | None, new: VariantRow | None) -> VariantRow:
    """Merge the recorded runs of a row with the new ones; one of the two rows may be None.

    If their set-ups differ, the new row replaces the recorded one.
    """
    if old is None or new is None or old.setup != new.setup:
        return new or old  # type: ignore[return-value]
    return new.model_copy(update={"runs": _united(old.runs, new.runs)})


def _text(finding: FindingRow, possible: Collection[int]) -> str:
    """Format a finding as Markdown, with verdict and criterion.

    `possible` are the seeds for which all runs of the criterion exist.
    """
    held = [each.holds for each in finding.held]
    left = sorted(set(possible) - {each.seed for each in finding.held}) if held else []
    if not held:
        lines = [f"- Not judged: {finding.claim}."]
    else:
        seeds = f"{sum(held)} of {len(held)} seeds" if len(held) > 1 else "one seed"
        lines = [f"- **{verdict(held).capitalize()}** ({seeds}): {finding.claim}."]
    if left:
        lines.append(
            f"  Not judged with seed {', '.join(map(str, left))}: these runs were made, but never "
            "lay beside each other."
        )
    lines.append(f"  Criterion: {finding.criterion}.")
    if finding.earlier:
        lines.append(f"  Before: {finding.earlier}.")
    if finding.remark and held and not all(held):
        lines.append(f"  Remark: {finding.remark}.")
    return "\n".join(lines)


def _figure(values: Sequence[float | None]) -> str:
    """Format one value, or the mean ± standard deviation over the seeds (with n - 1).

    Returns `diverged` if a value is None.
    """
    found = [value for value in values if value is not None]
    if len(found) < len(values):
        return "diverged"
    return f"{mean(found):.4f}" + (f" ± {stdev(found):.4f}" if len(found) > 1 else "")


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
