"""p-values and quantiles keep their promise, also where scores were left out."""

import math

import numpy as np
import pytest

from models.trust import TrustError
from models.trust.ranks import MAX_KEPT, Ranks


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=count).astype(np.float32)


def full_pvalues(scores: np.ndarray, asked: np.ndarray) -> np.ndarray:
    found: np.ndarray = ((scores[None] >= asked[:, None]).sum(1) + 1) / (len(scores) + 1)
    return found


class TestRanks:
    def test_pvalues_of_few_scores_are_those_of_the_definition(self) -> None:
        scores, asked = drawn(500), np.concatenate([drawn(200, 1), drawn(500)[:50]])
        np.testing.assert_array_equal(Ranks.of(scores).pvalues(asked), full_pvalues(scores, asked))

    def test_equal_scores_count_as_high(self) -> None:
        ranks = Ranks.of(np.array([1, 2, 2, 2, 3], np.float32))
        found = ranks.pvalues(np.array([2, 2.5, 0, 3, 4], np.float32))
        assert found.tolist() == [5 / 6, 2 / 6, 1, 2 / 6, 1 / 6]

    def test_of_many_scores_some_are_kept_and_no_pvalue_is_lower(self) -> None:
        scores, asked = drawn(20_000), drawn(3000, 1)
        ranks = Ranks.of(scores)
        found, full = ranks.pvalues(asked), full_pvalues(scores, asked)
        assert len(ranks.values) == MAX_KEPT
        assert ranks.count == 20_000
        assert (found >= full).all()
        assert (found - full).max() < 1 / 400
        strange = full < 400 / 20_000
        np.testing.assert_array_equal(found[strange], full[strange])

    def test_what_is_not_finite_is_never_familiar(self) -> None:
        ranks = Ranks.of(drawn(99))
        odd = np.array([np.nan, np.inf, -np.inf, ranks.strangest, 1e30], np.float32)
        assert ranks.pvalues(odd).tolist() == [0, 0, 0, 0.01, 0.01]
        assert ranks.least == 0.01

    def test_no_images_give_no_pvalues(self) -> None:
        assert Ranks.of(drawn(9)).pvalues(np.empty(0, np.float32)).shape == (0,)

    @pytest.mark.parametrize("level", [0.001, 0.5, 0.9, 0.95, 0.99])
    def test_the_quantile_is_the_smallest_score_of_that_rank(self, level: float) -> None:
        scores = drawn(999)
        expected = np.sort(scores)[math.ceil(level * 1000 - 1e-9) - 1]
        assert Ranks.of(scores).quantile(level) == expected

    def test_the_quantile_of_some_scores_is_never_lower(self) -> None:
        scores = drawn(30_000)
        ranks, ordered = Ranks.of(scores), np.sort(scores)
        for level in np.linspace(0.01, 0.999, 50):
            assert ranks.quantile(level) >= ordered[math.ceil(level * 30_001) - 1]

    def test_of_too_few_scores_there_is_no_quantile(self) -> None:
        assert Ranks.of(drawn(18)).quantile(0.95) == math.inf
        assert Ranks.of(drawn(19)).quantile(0.95) < math.inf

    @pytest.mark.parametrize("scores", [[], [1.0, math.nan], [math.inf]])
    def test_scores_that_tell_nothing_are_refused(self, scores: list[float]) -> None:
        with pytest.raises(TrustError, match="finite"):
            Ranks.of(np.array(scores, np.float32))

    def test_equal_scores_in_great_number_are_one(self) -> None:
        ranks = Ranks.of(np.zeros(5000, np.float32))
        assert ranks.values.tolist() == [0]
        assert ranks.pvalues(np.array([0, 1], np.float32)).tolist() == [1, 1 / 5001]
