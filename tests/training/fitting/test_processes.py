"""One training by several processes: the same network as by one, published once."""

import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from models import checkpoint
from models.errors import OptionError
from tests.training.fitting import group
from tests.training.fitting.test_resume import interrupt_with
from tests.training.pictures import write_colors
from training.fitting.evaluation import Tally
from training.fitting.processes import ALONE, Processes
from training.fitting.state import batches

CPU = torch.device("cpu")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run")
MLP = ("mlp", "--arguments", "hidden=[4]")
CONVNET = ("convnet", "--arguments", "widths=[4]")
PRETRAINED = ("efficientnet-lite0", "--pretrained", "imagenet", "--size", "32")


class Place:
    """`fit` on a folder of colours, for one process or several."""

    def __init__(
        self, folder: Path, dataset: Path, *options: str, network: Sequence[str] = MLP
    ) -> None:
        self.repository, self.runs = folder / "repository", folder / "runs"
        self.command = [
            *("fit", "mnist-cnn", "--name", "colors", "--dataset", str(dataset)),
            *("--architecture", *network, "--epochs", "2"),
            *(
                "--batch-size",
                "5",
                "--optimizer",
                "sgd",
                "--validation-fraction",
                "0",
                "--calibration-fraction",
                "0",
            ),
            *("--repository", str(self.repository), "--runs", str(self.runs), "--device", "cpu"),
            *options,
        ]

    def weights(self, version: int = 1) -> dict[str, torch.Tensor]:
        loaded = checkpoint.load(self.repository / "colors" / str(version), CPU)
        return dict(loaded.network.state_dict())

    def metrics(self) -> dict[str, float]:
        (folder,) = (self.runs / "colors").iterdir()
        metrics: dict[str, float] = json.loads((folder / "result.json").read_bytes())["metrics"]
        return metrics


@pytest.mark.usefixtures("quick_plots")
def test_two_processes_train_what_one_does_and_one_publishes(
    tmp_path: Path, colors_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--class-weights", "balanced", "--l2", "0.01")
    one, two = (Place(tmp_path / name, colors_folder, *options) for name in ("one", "two"))
    assert group.run(one.command, capsys, 1)[0].code == 0
    first, second = group.run(two.command, capsys)
    assert (first.code, second.code) == (0, 0)
    assert "2 processes share each step's 5 pictures: 3 + 2 (not evenly" in first.out
    assert second.out == second.err == ""
    assert checkpoint.versions(two.repository / "colors") == [1]
    expected, found = one.weights(), two.weights()
    for name, values in expected.items():  # the sums alone are in another order
        torch.testing.assert_close(found[name], values, rtol=1e-4, atol=1e-5)
    for name, value in one.metrics().items():
        assert two.metrics()[name] == pytest.approx(value, abs=1e-4)


class TestParts:
    @pytest.mark.parametrize("count", [1, 2, 3, 7])
    def test_they_are_the_whole_batch(self, count: int) -> None:
        batch = torch.randperm(64)
        parts = [Processes(rank, count).part(batch) for rank in range(count)]
        assert torch.cat(parts).sort().values.tolist() == list(range(64))
        assert Processes(0, count).sizes(64) == [len(part) for part in parts]
        assert max(map(len, parts)) - min(map(len, parts)) <= 1

    @pytest.mark.parametrize("pictures", range(8, 40))
    @pytest.mark.parametrize("count", [2, 3])
    def test_no_process_gets_fewer_than_two(self, pictures: int, count: int) -> None:
        whole = batches(torch.arange(pictures), 8, Processes(0, count).least_batch)
        for rank in range(count):
            assert min(len(Processes(rank, count).part(each)) for each in whole) >= 2

    def test_a_batch_that_cannot_be_shared(self) -> None:
        ALONE.check(1, 1)
        Processes(0, 3).check(6, 6)
        with pytest.raises(OptionError, match="give --batch-size 6 or more, or start fewer"):
            Processes(0, 3).check(5, 100)
        with pytest.raises(OptionError, match="5 pictures to train on can't be shared by 3"):
            Processes(0, 3).check(64, 5)

    def test_seeds_differ_by_process_and_by_seed(self) -> None:
        seeds = {Processes(rank, 4).seed(seed) for rank in range(4) for seed in range(-3, 3)}
        assert len(seeds) == 24
        assert all(0 <= each < 2**63 for each in seeds)


def test_tallies_are_summed_up() -> None:
    logits, targets = torch.randn(10, 3), torch.arange(10) % 3
    whole, part = Tally(CPU), Tally(CPU)
    whole.add(logits.repeat(2, 1), targets.repeat(2))
    part.add(logits, targets)
    found = part.summed(lambda values: 2 * values)
    assert found.count == 20
    assert found.metrics().loss == pytest.approx(whole.metrics().loss)
    assert found.metrics().accuracy == pytest.approx(whole.metrics().accuracy)


@pytest.mark.thorough
@pytest.mark.usefixtures("quick_plots")
class TestGroup:
    def test_it_goes_on_after_an_interruption_to_the_same_weights(
        self, tmp_path: Path, colors_folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        broken, whole = (
            Place(tmp_path / name, colors_folder, "--flip", network=CONVNET) for name in "ab"
        )
        with interrupt_with(1):
            first, second = group.run(broken.command, capsys)
        assert first.code == 130
        assert second.code in (1, -signal.SIGKILL)  # as torchrun ends it
        assert second.out == second.err == ""
        assert checkpoint.versions(broken.repository / "colors") == []
        resumed = group.run([*broken.command, "--resume"], capsys)
        assert [each.code for each in resumed] == [0, 0]
        assert [each.code for each in group.run(whole.command, capsys)] == [0, 0]
        expected, found = whole.weights(), broken.weights()
        assert all(torch.equal(found[name], values) for name, values in expected.items())

    def test_as_many_processes_as_before_go_on(
        self, tmp_path: Path, colors_folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        place = Place(tmp_path, colors_folder)
        with interrupt_with(1):
            group.run(place.command, capsys)
        (alone,) = group.run([*place.command, "--resume"], capsys, 1)
        assert alone.code == 2
        assert "was broken off by 2 processes, and these are 1: start as many" in alone.err

    def test_the_head_of_a_pretrained_network(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        dataset = write_colors(tmp_path / "colors", pictures=12)
        options = ("--validation-fraction", "0.3", "--tune", "head-first")
        place = Place(tmp_path, dataset, *options, network=PRETRAINED)
        ended = group.run(place.command, capsys)
        assert [each.code for each in ended] == [0, 0]
        assert checkpoint.versions(place.repository / "colors") == [1]

    @pytest.mark.parametrize("who", ["all", "another"])
    def test_an_error_is_told_once(
        self, who: str, tmp_path: Path, colors_folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        place = Place(tmp_path, colors_folder)
        lost = [*place.command, "--dataset", "nothing"]
        if who == "all":
            ended = group.run(lost, capsys)
        else:  # a machine that has other pictures
            other = write_colors(tmp_path / "others", pictures=5)
            own = [*place.command, "--data-root", str(colors_folder.parent), "--dataset", "colors"]
            others = [*own, "--data-root", str(other.parent), "--dataset", "colors"]
            other.rename(other.parent / "colors")
            ended = group.run(own, capsys, others=others)
        assert all(each.code for each in ended)
        told = [each.err for each in ended if each.err]
        assert len(told) == 1
        assert told[0].count("error: ") == 1
        assert ("no data set 'nothing'" if who == "all" else "other pictures") in told[0]
        assert checkpoint.versions(place.repository / "colors") == []

    def test_other_commands_refuse(self, capsys: pytest.CaptureFixture[str]) -> None:
        first, second = group.run(["evaluate", "mnist"], capsys)
        assert (first.code, second.code) == (2, 2)
        assert "start it without torchrun" in first.err
        assert second.err == ""


@pytest.mark.thorough
@pytest.mark.data
@pytest.mark.timeout(1800)
def test_the_accuracy_is_that_of_one_process(data_root: Path) -> None:
    """Three seeds each, with batch normalisation and random views."""
    program = ["tests.training.fitting.reached", str(data_root)]
    one, two = (
        subprocess.run(
            [*start, "-m", *program],
            cwd=Path(__file__).parents[3],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            check=True,
        )
        for start in ([sys.executable], [*TORCHRUN, "--standalone", "--nproc-per-node", "2"])
    )
    alone, shared = json.loads(one.stdout), json.loads(two.stdout)
    spread = max(statistics.stdev(alone), statistics.stdev(shared), 0.005)
    error = spread * (2 / 3) ** 0.5  # of the difference of two means of three
    assert abs(statistics.mean(shared) - statistics.mean(alone)) < 3 * error, (alone, shared)
