"""The folder of models is gone, or the disk takes nothing more: what is loaded goes on."""

import resource
import shutil
from pathlib import Path

import pytest

from benchmarks.soak.oracle import SWAPPED, Oracle, publish
from tests.faults.asking import ask, ask_anew, connected
from tests.faults.conftest import Start
from tests.waiting import until

pytestmark = pytest.mark.anyio


@pytest.mark.thorough
async def test_a_repository_out_of_reach_stops_nothing(
    start: Start, repository: Path, oracle: Oracle
) -> None:
    away = repository.with_name("away")
    with start(repository) as service:
        shutil.move(repository, away)
        until(lambda: any(event["event"] == "not readable" for event in service.log.loud))
        for model in ("steady", "colours", SWAPPED):
            assert await ask_anew(service, oracle, model) == 1
        assert service.is_ready()
        assert service.versions(SWAPPED)[1]["state"] == "ready"
        shutil.move(away, repository)
        publish(repository, SWAPPED, oracle.networks["even"])
        until(lambda: service.versions(SWAPPED).get(2, {}).get("state") == "ready")
        assert await ask_anew(service, oracle, SWAPPED) == 2


@pytest.mark.thorough
async def test_a_disk_that_takes_nothing_changes_no_answer(
    start: Start, repository: Path, oracle: Oracle, tmp_path: Path
) -> None:
    """No file may grow: neither the log nor a graph that is exported for a new version."""
    with (
        (tmp_path / "log").open("wb") as log,
        start(
            repository,
            *("--graph-cache", str(tmp_path / "graphs")),
            stderr=log,
            limits={resource.RLIMIT_FSIZE: 0},
        ) as service,
    ):
        publish(repository, SWAPPED, oracle.networks["even"])
        until(lambda: 2 in service.versions(SWAPPED))
        until(lambda: service.versions(SWAPPED)[2]["state"] != "loading")
        async with connected(service) as [connection]:
            for model, version in (("steady", 1), ("colours", 1), (SWAPPED, 2)):
                assert service.versions(model)[version]["state"] == "ready"
                assert await ask(connection, oracle, model) == version
