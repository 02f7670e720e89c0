"""The same files by processes, by Ray, in one process, and after a kill: with a shipped model."""

import io
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from fanlight.score import Score
from fanlight.scoring import processes
from fanlight.scoring.processes import ScorerError
from fanlight.scoring.scorer import Job
from fanlight.scoring.sources import opening
from fanlight.scoring.work import Work
from models import repositories
from models.repository_paths import SHIPPED
from service.settings import Settings
from tests.fanlight.scoring import sources
from tests.fanlight.scoring.test_score import contents, in_this_process, rows
from tests.networks import DATA
from tests.waiting import until

COPIES = 8  # of ten images


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("images")
    found = {path.name: path.read_bytes() for path in (DATA / "fashion-mnist").glob("*.png")}
    found["broken.png"] = found["bag.png"][:-30]
    names = {f"{number}/{name}": each for number in range(COPIES) for name, each in found.items()}
    return sources.folder(place, names)


def score(images: Path, out: Path, **options: object) -> str:
    """Score in files of ten rows; return what is printed."""
    console = Console(file=io.StringIO(), soft_wrap=True)
    Score(str(images), "fashion-mnist", out, shard_size=10, repository=(SHIPPED,), **options)(  # type: ignore[arg-type]
        console
    )
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.fixture(scope="module")
def expected(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files that one scorer in this process writes."""
    out = tmp_path_factory.mktemp("expected")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "run", in_this_process)
        score(images, out)
    return contents(out)


@pytest.mark.slow
@pytest.mark.thorough
def test_two_processes_write_equal_files(
    images: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    told = score(images, tmp_path / "out", processes=2)
    assert contents(tmp_path / "out") == expected
    assert sum(row["error"] is not None for row in rows(tmp_path / "out")) == COPIES
    assert f"{len(rows(tmp_path / 'out'))} images in " in told


@pytest.mark.thorough
def test_a_killed_run_goes_on_and_leaves_no_process(
    images: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "fanlight", "score", str(images), "--shard-size", "10"]
    command += ["--model", "fashion-mnist", "--out", str(out), "--repository", str(SHIPPED)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*command, "--processes", "2"], env=environment) as running:
        until(lambda: len(list(out.glob("part-*"))) > 0, seconds=120)
        family = _family(running.pid)
        running.send_signal(signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), seconds=60)
    written = contents(out)
    assert written.items() <= expected.items()
    subprocess.run([*command, "--processes", "1"], env=environment, check=True, timeout=200)
    assert contents(out) == expected


def _family(pid: int) -> set[int]:
    """The processes that a process has started, and those that these have."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    children = {int(child) for child in path.read_text().split()} if path.exists() else set()
    return children.union(*map(_family, children))


@pytest.mark.slow
def test_a_process_that_ends_is_an_error_that_says_how_to_go_on(
    images: Path,
) -> None:
    source = opening.opened(str(images))
    work = [Work(0, 0, source.piece(0, len(source)), "parquet")]
    job = Job(repositories.find((SHIPPED,), "fashion-mnist"), Settings(device="cpu"), 5)

    def kill(_images: int) -> None:
        for child in multiprocessing.active_children():
            child.kill()

    with pytest.raises(ScorerError, match="was ended by the system, perhaps for want of memory"):
        list(processes.run(job, work, 1, kill))
    assert multiprocessing.active_children() == []


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")  # Ray's own, of what is deprecated in Ray
def test_a_ray_cluster_writes_equal_files(
    images: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    told = score(images, tmp_path / "out", ray=True, processes=2)
    assert contents(tmp_path / "out") == expected
    assert f"{len(rows(tmp_path / 'out'))} images in " in told
