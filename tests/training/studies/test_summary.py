"""Summaries: rows with means over seeds, verdicts, and runs of further seeds that join."""

import math
from dataclasses import replace

import pytest

from tests.training.studies.measured import measured
from training.recipes.recipe import Recipe
from training.studies.figures import loss, narrower, train
from training.studies.study import Finding, Study, Variant, verdict
from training.studies.summary import Summary

RECIPE = Recipe("mlp", "colors", "mlp", epochs=10, batch_size=8)
STUDY = Study(
    "width",
    "Do more hidden units help?",
    (Variant("4", RECIPE, "less"), Variant("8", RECIPE), Variant("large", RECIPE, seeds=(0,))),
    (
        Finding("4 learn", train("4") >= 0.8, "at least 0.5"),
        Finding("the large one does", train("large") >= 0.8, remark="it needs more epochs"),
    ),
)
BY_SEED = {
    0: {"4": measured(0.8, 0.9), "8": measured(0.9, 0.95), "large": measured(train=0.7)},
    1: {"4": measured(0.7, 0.75), "8": measured(math.nan, math.nan)},
    2: {"4": measured(0.75, 0.9), "8": measured(0.9, 0.95)},
}
SUMMARY = Summary.of(STUDY, BY_SEED)


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ((True, True, True), "seen"),
        ((False, False), "not seen"),
        ((True, False, True), "unclear"),
        ((True,), "seen"),
        ((False,), "not seen"),
    ],
)
def test_what_seeds_say_together(held: tuple[bool, ...], said: str) -> None:
    assert verdict(held) == said


def test_rows_are_means_and_deviations_over_the_seeds() -> None:
    text = SUMMARY.markdown()
    assert "| 4 | less | 0.8500 ± 0.0866 | 0.7500 ± 0.0500 | 0.1000 ± 0.0500 |" in text
    assert "| 8 | 10 | 0, 1, 2 | 10 | 100 s |\n" in text
    assert "| 8 |  | diverged | diverged | diverged | diverged | 8 |" in text
    assert "| 8 | 10 | 0 | 10 | 100 s |\n" in text


def test_a_finding_tells_verdict_criterion_and_what_stood_before() -> None:
    text = SUMMARY.markdown()
    assert (
        "- **Unclear** (2 of 3 seeds): 4 learn.\n"
        "  Criterion: training accuracy of `4` ≥ 0.8.\n"
        "  Before: at least 0.5.\n"
    ) in text
    assert "- **Not seen** (one seed): the large one does.\n" in text
    assert "  Remark: it needs more epochs.\n" in text


def test_a_remark_is_for_what_was_not_seen() -> None:
    seen = replace(STUDY, findings=(replace(STUDY.findings[1], criterion=train("8") >= 0),))
    assert "Remark" not in Summary.of(seen, BY_SEED).markdown()


def test_quick_looks_are_not_judged() -> None:
    text = Summary.of(STUDY, BY_SEED, judged=False).markdown()
    assert text.count("- Not judged: ") == 2


def test_what_differs_from_the_first_author_is_told() -> None:
    study = replace(STUDY, setup="It has one thread.")
    assert (
        "Do more hidden units help? It has one thread.\n" in Summary.of(study, BY_SEED).markdown()
    )


def test_a_seed_whose_runs_never_lay_beside_each_other_is_told() -> None:
    both = replace(STUDY, findings=(Finding("8 beat 4", train("8") > train("4")),))
    seeds = [Summary.of(both.with_seeds((seed,)), {seed: BY_SEED[seed]}) for seed in (0, 2)]
    [finding] = seeds[1].findings
    apart = seeds[1].model_copy(update={"findings": [finding.model_copy(update={"held": []})]})
    text = seeds[0].joined(apart).markdown()
    assert "- **Seen** (one seed): 8 beat 4.\n  Not judged with seed 2: these runs" in text
    assert "Not judged" not in seeds[0].joined(seeds[1]).markdown()


def test_such_a_seed_is_judged_by_what_is_recorded_if_that_is_enough() -> None:
    claims = (
        Finding("8 beat 4", train("8") > train("4"), "another"),
        Finding("8 fall", loss("8", 1) > loss("8", 2)),
        Finding("8 are narrower", narrower("8", than="4")),
        Finding("not judged at all", train("8") < train("4")),
    )
    study = replace(STUDY, findings=claims)
    found = Summary.of(study.with_seeds((0,)), {0: BY_SEED[0]})
    later = Summary.of(study.with_seeds((1, 2)), {seed: BY_SEED[seed] for seed in (1, 2)})
    rows = found.joined(later).rows
    judged = [each.model_copy(update={"earlier": "old words"}) for each in found.findings]
    judged[3] = judged[3].model_copy(update={"held": []})
    apart = found.model_copy(update={"rows": rows, "findings": judged})
    renewed = apart.renewed(study)
    assert [[(h.seed, h.holds) for h in each.held] for each in renewed.findings] == [
        [(0, True), (1, False), (2, True)],  # the run of seed 1 diverged
        [(0, judged[1].held[0].holds)],
        [(0, judged[2].held[0].holds)],
        [],
    ]
    assert renewed.findings[0].earlier == "another"
    other = replace(study, findings=(Finding("8 beat 4", train("8") >= train("4")),))
    assert apart.renewed(other).findings == judged


def test_memory_and_other_data_sets_where_the_study_is_about_them() -> None:
    study = replace(STUDY, memory=True, variants=STUDY.variants[:1], findings=())
    run = measured(also_tested={"inverted": 0.25})
    text = Summary.of(study, {seed: {"4": run} for seed in range(3)}).markdown()
    assert "| test | on inverted | batch |" in text
    assert "| 0.2500 ± 0.0000 | 8 |" in text
    assert "| time | peak memory |" in text
    assert "| 100 s | 1 MiB |\n" in text


class TestJoined:
    def test_runs_of_further_seeds_join_those_of_the_first(self) -> None:
        first = Summary.of(STUDY.with_seeds((0,)), {0: BY_SEED[0]})
        further = Summary.of(STUDY.with_seeds((1, 2)), {s: BY_SEED[s] for s in (1, 2)})
        assert [row.label for row in further.rows] == ["4", "8"]
        assert first.joined(further) == SUMMARY
        assert further.joined(first) == SUMMARY

    def test_of_two_runs_with_one_seed_the_later_one_stays(self) -> None:
        other = {0: {label: measured(0.5, 0.5) for label in BY_SEED[0]}}
        joined = SUMMARY.joined(Summary.of(STUDY.with_seeds((0,)), other))
        assert [run.train for run in joined.rows[0].runs] == [0.5, 0.75, 0.9]
        assert [each.holds for each in joined.findings[0].held] == [False, False, True]

    def test_another_criterion_starts_anew(self) -> None:
        changed = replace(STUDY, findings=(Finding("4 learn", train("4") >= 0.9),))
        later = Summary.of(changed.with_seeds((0,)), {0: BY_SEED[0]})
        assert SUMMARY.joined(later) == later

    def test_runs_of_another_set_up_do_not_stand_beside(self) -> None:
        longer = replace(RECIPE, epochs=20)
        changed = replace(STUDY, variants=(Variant("4", longer), *STUDY.variants[1:]))
        joined = SUMMARY.joined(Summary.of(changed.with_seeds((0,)), {0: BY_SEED[0]}))
        assert [len(row.runs) for row in joined.rows] == [1, 3, 1]
        held = [[each.seed for each in finding.held] for finding in joined.findings]
        assert held == [[0], [0]]  # verdicts on runs that are gone are gone, too
