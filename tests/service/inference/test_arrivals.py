"""Answers are counted many at a time, by label, score, familiarity and doubt."""

from pathlib import Path

import numpy as np
import pytest

from service.inference import arrivals, doubt
from service.inference.arrivals import Arrivals
from service.inference.doubt import Judge
from service.inference.outputs import Outputs
from service.monitoring.version_figures import Counts
from tests import trusted


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    trusted.publish_trusted(tmp_path)
    found = doubt.usual(trusted.load(tmp_path), None, None)
    assert found is not None
    return found


def outputs(rows: list[list[float]], strangeness: list[float] | None = None) -> Outputs:
    probabilities = np.array(rows, np.float32)
    given = None if strangeness is None else np.array(strangeness, np.float32)
    return Outputs(probabilities, np.log(probabilities + 1e-6), given)


def test_labels_scores_familiarity_and_doubts_are_counted(judge: Judge) -> None:
    told: list[Counts] = []
    counted = Arrivals(3, judge, told.append)
    ranks = judge.trust.statistics
    assert ranks is not None
    usual, middle = float(ranks.values[0]), float(np.median(ranks.values))
    counted.add(outputs([[1.0, 0.0, 0.0], [np.nan] * 3], [usual, 0.0]))
    counted.add(outputs([[0.02, 0.03, 0.95]], [np.inf]))
    counted.add(outputs([[0.3, 0.4, 0.3]], [middle]))
    assert told == []
    counted.report()
    [counts] = told
    assert counts.labels == [1, 1, 1]
    assert counts.scores == [0, 0, 0, 0, 1, 0, 0, 0, 0, 2]
    assert counts.familiarity == [1, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    assert counts.unsure == {"unfamiliar": 1, "ambiguous": 1}
    counted.report()
    assert len(told) == 1  # nothing came since


def test_without_a_judge_labels_and_scores_are_counted() -> None:
    told: list[Counts] = []
    counted = Arrivals(2, None, told.append)
    counted.add(outputs([[0.2, 0.8], [0.55, 0.45]]))
    counted.report()
    assert told == [Counts([1, 1], [0, 0, 0, 0, 0, 1, 0, 0, 1, 0], [0] * 10, {})]


def test_of_no_finite_answers_there_is_nothing_to_count(judge: Judge) -> None:
    told: list[Counts] = []
    counted = Arrivals(3, judge, told.append)
    counted.add(outputs([[np.nan] * 3], [np.nan]))
    counted.report()
    assert [sum(each) for each in told[0][:3]] == [0, 0, 0]


def test_many_are_reported_at_once_and_few_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Counts] = []
    counted = Arrivals(2, None, told.append)
    for _ in range(arrivals.MAX_KEPT_IMAGES - 1):
        counted.add(outputs([[0.2, 0.8]]))
    assert told == []
    counted.add(outputs([[0.2, 0.8]]))
    assert [sum(each.labels) for each in told] == [arrivals.MAX_KEPT_IMAGES]
    counted.add(outputs([[0.2, 0.8]]))
    assert len(told) == 1
    monkeypatch.setattr(arrivals, "WHILE_SECONDS", -1.0)
    counted.add(outputs([[0.2, 0.8]]))
    assert [sum(each.labels) for each in told] == [arrivals.MAX_KEPT_IMAGES, 2]


def test_of_many_classes_few_images_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MAX_KEPT_VALUES", 10)
    told: list[Counts] = []
    counted = Arrivals(4, None, told.append)
    counted.add(outputs([[0.25] * 4]))
    assert told == []
    counted.add(outputs([[0.25] * 4]))
    assert [sum(each.labels) for each in told] == [2]
