"""Fixtures for all tests."""

import gc
import logging
import os
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import structlog
import torch

from models.graphs import trial
from service.monitoring import logs
from service.process import garbage
from tests.networks import publish_tiny


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Tests share the processors: threads of torch wait for each other longer than they compute."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # of processes that tests start
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="session")
def _graphs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Exported graphs are kept here, so that each network is exported once; servers end at once."""
    folder = tmp_path_factory.mktemp("graphs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FANLIGHT_GRAPH_CACHE", str(folder))
        patch.setenv("FANLIGHT_SHUTDOWN_GRACE", "0s")
        yield folder


@pytest.fixture(autouse=True, scope="session")
def _no_certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """HTTP clients load no certificates of the world's: that takes 60 ms, mostly for plain HTTP."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SSL_CERT_FILE", raising=False)
        patch.setenv("SSL_CERT_DIR", str(tmp_path_factory.mktemp("certificates")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _what_pytest_holds_is_no_garbage() -> Iterator[None]:
    """A service collects all garbage once a network is loaded: not among the tests themselves."""
    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(garbage, "freeze", gc.collect)
        yield


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, _graphs: Path) -> None:
    """FANLIGHT_… variables of the shell decide no test; `data_root` has read its own before."""
    for name in [name for name in os.environ if name.startswith("FANLIGHT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FANLIGHT_GRAPH_CACHE", str(_graphs))
    monkeypatch.setenv("FANLIGHT_SHUTDOWN_GRACE", "0s")  # else each server takes 12 s to end


@pytest.fixture(autouse=True)
def _logs_as_at_the_start() -> Iterator[None]:
    """An application made by a test, in this process, configures the log for that test alone."""
    events = structlog.get_config()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logs.end()
    structlog.configure(**events)
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    if root.level != level:  # to set it empties a cache of every logger there is
        root.setLevel(level)


@pytest.fixture(scope="module")
def _graphs_are_tried_here() -> Iterator[None]:
    """Imported graphs are not tried in a process of their own first, which takes a second each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "check", lambda content: None)
        yield


TESTS = Path(__file__).parent
SLOW_FOLDERS = (  # all tests there are `slow`
    TESTS / "e2e",
    TESTS / "faults",
    TESTS / "models" / "convolutional",
    TESTS / "models" / "images" / "framing",
    TESTS / "models" / "trust",
    TESTS / "service" / "inference" / "explain_methods",
    TESTS / "service" / "monitoring",
    TESTS / "service" / "responses",
    TESTS / "training" / "commands",
    TESTS / "training" / "fitting",
    TESTS / "training" / "plots",
    TESTS / "training" / "review",
)
DATA_ROOT = os.environ.get("FANLIGHT_DATA")


@pytest.fixture
def data_root() -> Path:
    """The folder of the full data sets; tests that ask for it carry the marker `data`."""
    if not DATA_ROOT:
        pytest.skip("FANLIGHT_DATA does not name the folder of the full data sets")
    return Path(DATA_ROOT)


@pytest.fixture(scope="session")
def shared_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with two versions of the model `colors`; not to be changed."""
    folder = tmp_path_factory.mktemp("shared") / "repository"
    publish_tiny(folder, seed=0)
    publish_tiny(folder, seed=1)
    return folder


@pytest.fixture
def repository(shared_repository: Path, tmp_path: Path) -> Path:
    """The same for one test, which may change it."""
    return Path(shutil.copytree(shared_repository, tmp_path / "repository"))


def pytest_configure() -> None:
    """Logs are captured from this level on; as pytest's own option it is set thrice a test."""
    logging.getLogger().setLevel(logging.INFO)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Folders of slow tests are not even imported where these are left out."""
    if "not slow" in config.option.markexpr and collection_path in SLOW_FOLDERS:
        return True
    return None


@cache
def _is_slow(path: Path) -> bool:
    return any(folder in path.parents for folder in SLOW_FOLDERS)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _is_slow(item.path):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="torch sees no CUDA device"))
    # with several workers, the file that begins last should not be one that takes minutes
    items.sort(key=lambda item: not _is_slow(item.path))
