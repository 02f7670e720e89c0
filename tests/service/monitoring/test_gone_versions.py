"""Figures of versions that are gone end after a while, also of those that others served."""

import pytest

from service.monitoring.gone_versions import KEPT_SECONDS, GoneVersions


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_version_that_is_there_has_figures_for_ever(clock: Clock) -> None:
    versions = GoneVersions(clock)
    versions.there("xo", 1)
    clock.now = 10 * KEPT_SECONDS
    assert versions.over() == []
    assert versions.has_figures("xo", "1")


def test_one_that_is_gone_is_over_once_after_a_while(clock: Clock) -> None:
    versions = GoneVersions(clock)
    versions.there("xo", 1)
    versions.gone("xo", 1)
    clock.now = KEPT_SECONDS - 1
    assert versions.over() == []
    assert versions.has_figures("xo", "1")
    clock.now = KEPT_SECONDS
    assert versions.over() == [("xo", "1"), ("xo", "")]
    assert versions.over() == []
    assert not versions.has_figures("xo", "1")


@pytest.mark.parametrize("after", [KEPT_SECONDS / 2, 2 * KEPT_SECONDS])
def test_one_that_comes_back_has_figures_again(clock: Clock, after: float) -> None:
    versions = GoneVersions(clock)
    versions.gone("xo", 1)
    clock.now = after
    versions.over()
    versions.there("xo", 1)
    clock.now = 10 * KEPT_SECONDS
    assert versions.over() == []
    assert versions.has_figures("xo", "1")


def test_a_model_goes_with_its_last_version(clock: Clock) -> None:
    versions = GoneVersions(clock)
    versions.there("xo", 1)
    versions.there("xo", 2)
    versions.gone("xo", 1)
    assert versions.is_served("xo")
    assert not versions.is_served("strangers")
    clock.now = KEPT_SECONDS
    assert versions.over() == [("xo", "1")]
    assert versions.has_figures("xo", "")
    versions.gone("xo", 2)
    assert not versions.is_served("xo")
    assert versions.has_figures("xo", "")
    clock.now = 2 * KEPT_SECONDS
    assert versions.over() == [("xo", "2"), ("xo", "")]
    assert not versions.has_figures("xo", "")
    versions.there("xo", 3)
    assert versions.is_served("xo")
    assert versions.has_figures("xo", "")


def test_one_of_another_worker_is_gone_from_when_it_is_met(clock: Clock) -> None:
    versions = GoneVersions(clock)
    clock.now = 1000.0
    assert versions.has_figures("xo", "1")
    clock.now += KEPT_SECONDS
    assert versions.over() == [("xo", "1")]
    assert not versions.has_figures("xo", "1")
