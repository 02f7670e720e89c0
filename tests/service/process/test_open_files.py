"""Connections are open files, and other files need room beside them."""

import resource
from collections.abc import Iterator

import pytest

from service.process import open_files


@pytest.fixture
def limit() -> Iterator[int]:
    """A limit of open files that is lower than usual."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowered = min(500, soft)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowered, hard))
    try:
        yield lowered
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_few_connections_are_granted(limit: int) -> None:
    assert open_files.max_connections(7) == 7


def test_others_files_have_room(limit: int) -> None:
    most = open_files.max_connections()
    assert most == open_files.max_connections(10_000)
    assert limit // 4 < most < limit - 100


def test_the_usual_number_where_nothing_limits_it(monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda _: unlimited)
    assert open_files.max_connections() == open_files.USUAL_CONNECTIONS
    assert open_files.max_connections(10_000) == 10_000
