"""Studies on a Ray cluster: what is refused, what a machine checks, runs that equal those here."""

import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fanlight.command import main
from models.errors import OptionError
from tests.training.studies import test_studies
from training.fitting.records.run_folder import WEIGHTS, Run
from training.studies import on_ray, runner
from training.studies.catalogue import STUDIES
from training.studies.study import Study, Variant

RECIPE = replace(test_studies.RECIPE, epochs=3)
FAILS = replace(RECIPE, dataset="no-colors")
LONG = replace(RECIPE, epochs=400)
Start = Callable[..., int]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Call `study` with a tiny study, and with options, in an empty folder."""
    recipes = (Variant("4", RECIPE), Variant("fails", FAILS))
    monkeypatch.setitem(STUDIES, "dropout", Study("tiny", "Does it run?", recipes, ()))
    monkeypatch.chdir(tmp_path)
    return lambda *options: main(["study", "dropout", "--ray", "--data-root", "data", *options])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--jobs", "2"), "--jobs and --ray exclude each other"),
        (("--jobs", "1"), "--jobs and --ray exclude each other"),
        (("--device", "cuda:1"), "the cluster chooses which: take cuda, auto or cpu"),
        (("--device", "tpu"), "no device 'tpu'"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_made(
    options: tuple[str, ...],
    message: str,
    study: Start,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert study(*options) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_ray_the_error_says_how_to_install_it(
    study: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert study() == 1
    assert "pip install 'fanlight[ray]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_named(
    study: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    for given in (address, f"ray://{address}"):
        monkeypatch.setenv("RAY_ADDRESS", given)
        assert study() == 1
        assert f"RAY_ADDRESS={given} can't be reached: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_auto_takes_a_gpu_where_the_cluster_has_one() -> None:
    assert on_ray.placed("auto", {"CPU": 4}) == "cpu"
    assert on_ray.placed("auto", {"CPU": 4, "GPU": 2}) == "cuda"
    assert on_ray.placed("cpu", {"CPU": 4, "GPU": 2}) == "cpu"
    assert on_ray.placed("cuda", {"CPU": 4, "GPU": 2}) == "cuda"
    with pytest.raises(OptionError, match="no machine of the Ray cluster has a GPU"):
        on_ray.placed("cuda", {"CPU": 4})


def test_a_machine_that_does_not_share_the_folder_of_runs_writes_nothing(tmp_path: Path) -> None:
    name = runner.folder(tmp_path, RECIPE).name
    said = on_ray.task(RECIPE, name, tmp_path, "cpu", tmp_path / "runs" / ".shared-1")
    assert said is not None
    assert f"{tmp_path / 'runs'} is not the folder that the command writes to" in said
    assert list(tmp_path.iterdir()) == []


def test_a_machine_with_another_version_writes_nothing(tmp_path: Path) -> None:
    token = tmp_path / ".shared-1"
    token.touch()
    said = on_ray.task(RECIPE, "mlp-of-before", tmp_path, "cpu", token)
    assert said is not None
    assert "another version of Fanlight is installed there" in said
    assert list(tmp_path.iterdir()) == [token]


@pytest.mark.slow
def test_a_machine_without_fanlight_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The function has to travel without Fanlight: it is unpickled where nothing is imported."""
    from ray import cloudpickle

    content = cloudpickle.dumps(on_ray.portable())
    for name in [name for name in sys.modules if name.split(".")[0] == "training"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "training", None)
    start = cloudpickle.loads(content)
    assert "Fanlight is not installed on " in start(b"")


@pytest.mark.slow
def test_a_task_trains_or_returns_what_is_wrong(tmp_path: Path, colors_folder: Path) -> None:
    token = tmp_path / ".shared-1"
    token.touch()
    root, short = colors_folder.parent, replace(RECIPE, epochs=1)
    where, fails = (runner.folder(tmp_path, each) for each in (short, FAILS))
    assert on_ray.task(short, where.name, root, "cpu", token) is None
    assert Run(where).result() is not None
    said = on_ray.task(FAILS, fails.name, root, "cpu", token)
    assert said is not None
    assert "no data set 'no-colors'" in said


def holders(lock: Path) -> list[int]:
    """The processes that hold the lock of this file."""
    inode = str(lock.stat().st_ino)
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return [int(line[4]) for line in lines if line[1] != "->" and line[5].endswith(f":{inode}")]


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="needs Linux's /proc/locks")
def test_runs_equal_those_of_this_machine_also_after_a_kill(
    tmp_path: Path, colors_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that fails stops no other; one whose process is killed goes on after its last epoch."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    recipes = [LONG, replace(RECIPE, seed=1), FAILS]
    here, there = tmp_path / "here", tmp_path / "there"
    long = Run(runner.folder(there, LONG))
    killed: list[int] = []

    def kill_once(epochs: int) -> None:
        if killed or not (long.folder / "state.pt").exists():
            return
        for process in holders(long.folder / ".lock"):
            os.kill(process, signal.SIGKILL)
            killed.append(len(long.history()))

    told = list(on_ray.run(recipes, there, colors_folder.parent, "cpu", kill_once))
    ended = {runner.folder(there, recipe).name: error for recipe, error in told}
    names = [runner.folder(there, recipe).name for recipe in recipes]
    assert sorted(ended) == sorted(names)
    assert killed
    assert killed[0] < LONG.epochs_to_run
    assert ended[names[0]] is None
    assert ended[names[1]] is None
    assert "no data set 'no-colors'" in str(ended[names[2]])
    assert not list(there.glob(".*"))
    threads = torch.get_num_threads()  # one each, as on Ray
    list(runner.run(recipes[:2], here, colors_folder.parent, "cpu", threads))
    for recipe in recipes[:2]:
        one, other = (Run(runner.folder(runs, recipe)) for runs in (here, there))
        assert one.history() == other.history()
        weights, others = (
            torch.load(run.folder / WEIGHTS, weights_only=True) for run in (one, other)
        )
        assert weights.keys() == others.keys()
        assert all(torch.equal(weights[name], others[name]) for name in weights)
