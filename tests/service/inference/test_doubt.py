"""A judge says what `Trust` says, for whatever numbers a runtime gives."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import InvalidInputError
from service.inference import doubt
from service.inference.doubt import Judge
from service.inference.engine import PredictionResult
from service.inference.outputs import Outputs, without_blank
from tests import trusted

NO_LOGITS = np.zeros(3, np.float32)


@dataclass(frozen=True)
class Asked:
    familiarity: bool | None = None
    coverage: float | None = None
    threshold: float | None = None


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    repository = tmp_path_factory.mktemp("doubt")
    trusted.publish_trusted(repository)
    found = doubt.usual(trusted.load(repository), None, None)
    assert found is not None
    return found


def outputs(strangeness: list[float], probabilities: list[list[float]]) -> Outputs:
    array = np.array(probabilities, np.float32)
    return Outputs(array, array, np.array(strangeness, np.float32))


def test_a_familiarity_is_the_p_value_of_trust(usual: Judge) -> None:
    ranks = usual.trust.statistics
    assert ranks is not None
    near = [np.nextafter(ranks.values, side) for side in (-np.inf, np.inf)]
    odd = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30]
    scores = np.concatenate([ranks.values, *near, odd]).astype(np.float32)
    given = outputs(scores.tolist(), [[0.2, 0.3, 0.5]] * len(scores))
    told = usual.measure(given)
    expected = np.round(usual.trust.pvalues(scores), doubt.DIGITS)
    assert [familiarity for familiarity, _set in told] == expected.tolist()


def test_a_blank_image_is_the_least_familiar(usual: Judge) -> None:
    usual_ones = outputs([0.0, 0.0], [[0.0, 0.1, 0.9]] * 2)
    images = np.zeros((2, 3, 8, 8), np.uint8)
    images[1, 0, 0, 0] = 255
    (blank, _), (other, _) = usual.measure(without_blank(usual_ones, images, usual.trust))
    assert blank == 0
    assert other is not None
    assert other > 0.1


def test_where_the_card_knows_blank_images_they_are_judged_as_others(usual: Judge) -> None:
    assert usual.trust.familiarity is not None
    familiarity = usual.trust.familiarity.model_copy(update={"knows_blank": True})
    usual_one = outputs([0.0], [[0.0, 0.1, 0.9]])
    known = replace(usual.trust, familiarity=familiarity)
    found = without_blank(usual_one, np.zeros((1, 3, 8, 8), np.uint8), known)
    assert found.strangeness is not None
    assert found.strangeness.tolist() == [0.0]


@given(
    st.lists(st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3), min_size=1, max_size=5),
    st.floats(0.001, 0.999),
)
@settings(deadline=None, max_examples=50)
def test_sets_are_those_of_trust(
    usual: Judge, probabilities: list[list[float]], coverage: float
) -> None:
    rows = np.array(probabilities, np.float32)
    found = doubt.sets(usual.trust, rows, coverage)
    inside = usual.trust.sets(rows, coverage)
    assert [sorted(each) for each in found] == [np.flatnonzero(row).tolist() for row in inside]


def result(probabilities: list[float], familiarity: float | None, *labels: int) -> PredictionResult:
    return PredictionResult(probabilities, 1, NO_LOGITS, familiarity, labels)


def test_unfamiliar_comes_before_ambiguous(usual: Judge) -> None:
    found = usual.doubts(
        [
            result([0.01, 0.98, 0.01], 0.5, 1),
            result([0.1, 0.4, 0.5], 0.5, 1, 2),
            result([0.1, 0.4, 0.5], 0.0499, 1, 2),
            result([0.01, 0.01, 0.98], 0.05, 2),
            result([0.01, 0.01, 0.98], None, 2),
        ]
    )
    assert [each.why for each in found] == [None, "ambiguous", "unfamiliar", None, None]
    assert [each.set for each in found] == [(1,), (2, 1), (2, 1), (2,), (2,)]


def test_an_answer_of_which_no_label_is_probable_enough_is_ambiguous(usual: Judge) -> None:
    """The set has the top label all the same, which says nothing."""
    least = float(usual.trust.least_probability(usual.coverage))
    low = float(np.nextafter(np.float32(least), np.float32(0)))
    found = usual.doubts([result([0.0, 0.0, each], 0.9, 2) for each in (low, least)])
    assert [each.why for each in found] == ["ambiguous", None]
    rows = np.array([[0, 0, low], [0, 0, least]], np.float32)
    assert usual.trust.are_clear(rows).tolist() == [False, True]


def test_a_request_for_the_usual_coverage_uses_the_sets_that_are_there(usual: Judge) -> None:
    asked = doubt.judge(usual.card, usual, Asked(coverage=usual.coverage, threshold=0.5))
    assert asked is not None
    assert asked.is_usual
    assert (asked.coverage, asked.threshold) == (usual.coverage, 0.5)
    other = doubt.judge(usual.card, usual, Asked(coverage=0.5))
    assert other is not None
    assert not other.is_usual
    assert doubt.judge(usual.card, usual, Asked()) is usual
    assert doubt.judge(usual.card, usual, Asked(familiarity=False)) is None


def test_a_card_without_calibration_has_no_judge(tmp_path: Path) -> None:
    trusted.publish_trusted(tmp_path)
    bare = trusted.load(tmp_path, "bare")
    assert doubt.usual(bare, 0.9, 0.1) is None
    assert doubt.judge(bare.card, None, Asked()) is None
    with pytest.raises(InvalidInputError, match="no calibration"):
        doubt.judge(bare.card, None, Asked(coverage=0.9))
