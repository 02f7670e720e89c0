"""A service as a process of its own, over models whose right answers are known."""

import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.soak import run
from benchmarks.soak.oracle import Oracle
from benchmarks.soak.process import Service, running

Start = Callable[..., AbstractContextManager[Service]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and sys.platform != "linux":
            item.add_marker(pytest.mark.skip(reason="looks at processes through /proc"))


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    return Oracle(12, seed=0)


@pytest.fixture(scope="session")
def published(oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models `steady`, `colours` and `swapped`; not to be changed."""
    folder = tmp_path_factory.mktemp("faults") / "models"
    run.publish(folder, oracle)
    return folder


@pytest.fixture
def repository(published: Path, tmp_path: Path) -> Path:
    """The same for one test, which may change it."""
    return Path(shutil.copytree(published, tmp_path / "models"))


@pytest.fixture(scope="session")
def start(published: Path) -> Start:
    """Start a service over a repository; flags, as `running` takes them, come on top."""

    def begin(repository: Path, *flags: str, **options: Any) -> AbstractContextManager[Service]:
        graphs = published.with_name("graphs")  # exported once
        usual = ("--repository", repository, "--graph-cache", graphs, "--watch-interval", "0.1")
        quick = ("--shutdown-grace", "0.5")
        return running(*usual, *quick, *flags, **options)

    return begin
