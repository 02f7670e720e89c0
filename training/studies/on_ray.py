"""The runs of a study as tasks of a Ray cluster: recipes → one task a run → run folders.

A network of a study is too small to be divided, so the unit of parallel work is the run. Recipes
travel by Ray; pictures, states and results do not: all machines share the folder of the runs.
"""

import os
import pickle
import platform
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from models import devices, files
from models.errors import FanlightError, OptionError, message
from training import cluster
from training.cluster import RayError
from training.fitting.state import TrainingError
from training.recipes.recipe import Recipe
from training.studies import runner

_RETRIES = 3  # of a run whose process was killed or whose machine went away


def check_device(device: str) -> None:
    """Raise `OptionError` if no machine of a cluster can have this device.

    Ray chooses the GPU, so a number is refused. This machine needs no GPU.
    """
    if device.startswith("cuda:"):
        raise OptionError(
            f"--device {device} is one GPU of a machine, and with --ray the cluster chooses which: "
            "take cuda, auto or cpu"
        )
    if device != "cuda":
        devices.resolve(device)


def run(
    recipes: Sequence[Recipe],
    runs: Path,
    root: Path,
    device: str,
    on_progress: Callable[[int], None] = lambda epochs: None,
    on_note: Callable[[str], None] = lambda text: None,
) -> Generator[tuple[Recipe, Exception | None]]:
    """Train each recipe in a task of its own; yield each as it ends, like `runner.run`.

    A task takes one processor, and one GPU if `device` is `cuda`, or `auto` and the cluster has
    any. A task whose process or machine is lost is started again, and goes on after the last epoch
    in its run folder. `runs` and `root` are the same folders on all machines. Raises
    `InstallationError` without Ray, `RayError` if the cluster is lost, and `OptionError` for `cuda`
    on a cluster without a GPU.
    """
    runs, root = runs.absolute(), root.absolute()
    with cluster.connected(), _token(runs) as token:
        yield from _run(recipes, runs, root, device, token, on_progress, on_note)


def _run(
    recipes: Sequence[Recipe],
    runs: Path,
    root: Path,
    device: str,
    token: Path,
    on_progress: Callable[[int], None],
    on_note: Callable[[str], None],
) -> Generator[tuple[Recipe, Exception | None]]:
    import ray

    resources: dict[str, float] = ray.cluster_resources()
    device = placed(device, resources)
    if resources.get("CPU", 0) < 1:
        on_note("the Ray cluster has no processor now: the runs wait until a machine joins it")
    remote = ray.remote(
        num_cpus=1,
        num_gpus=int(device == "cuda"),
        max_calls=1,  # memory is measured from a fresh start
        max_retries=_RETRIES,
    )(portable())
    pending = {}
    try:
        for recipe in recipes:
            name = runner.folder(runs, recipe).name
            content = pickle.dumps((recipe, name, root, device, token))
            pending[remote.remote(content)] = recipe
        while pending:
            ended, _ = ray.wait(list(pending), timeout=runner.LOOK)
            on_progress(runner.epochs(recipes, runs))
            for each in ended:
                yield pending.pop(each), _error(each)
    except ConnectionError as error:
        raise RayError(
            f"the connection to the Ray cluster is lost ({error}): the same command goes on after "
            "the last finished epoch of each run"
        ) from error
    finally:
        for each in pending:
            with suppress(ConnectionError, ray.exceptions.RayError):
                ray.cancel(each, force=True)


def placed(device: str, resources: Mapping[str, float]) -> str:
    """Return the device of all runs on a cluster of these resources: `cuda` or `cpu`.

    Raises `OptionError` for `cuda` without a GPU.
    """
    gpus = resources.get("GPU", 0)
    if device == "cuda" and gpus < 1:
        raise OptionError(
            "--device cuda: no machine of the Ray cluster has a GPU; take auto or cpu, or add a "
            "machine with a GPU first"
        )
    return ("cuda" if gpus >= 1 else "cpu") if device == "auto" else device


def _error(ended: object) -> Exception | None:
    """Return the error of a task that has ended; one of Ray itself becomes a `TrainingError`."""
    import ray

    try:
        text: str | None = ray.get(ended)  # type: ignore[call-overload]
    except ray.exceptions.RayTaskError as error:
        return error  # a bug, with the traceback of the other machine
    except ray.exceptions.RayError as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return TrainingError(
            f"Ray has given it up after {_RETRIES} further tries ({first}): if memory was short, "
            "start Ray with fewer processors a machine; the same command goes on after the last "
            "finished epoch"
        )
    return None if text is None else TrainingError(text)


def portable() -> Callable[[bytes], str | None]:
    """Return a function that calls `task` with pickled arguments.

    Ray sends it whole, so a machine can say that Fanlight is not installed there.
    """

    def start(content: bytes) -> str | None:
        import pickle
        import platform

        try:
            from training.studies import on_ray
        except ImportError as error:
            return (
                f"Fanlight is not installed on {platform.node()} ({error}); pip install "
                "'fanlight[ray,training]' on all machines of the Ray cluster"
            )
        return on_ray.task(*pickle.loads(content))  # noqa: S301 (of this program)

    return start


def task(recipe: Recipe, name: str, root: Path, device: str, token: Path) -> str | None:
    """Train on a machine of the cluster; return what a command prints of an error, or None.

    An error that no user can mend is raised: Ray brings its traceback.
    """
    try:
        _check(recipe, name, token)
        runner.train(recipe, token.parent / name, root, device, threads=1)
    except Exception as error:
        if (text := message(error)) is None:
            raise
        return f"{text} (on {platform.node()})"
    return None


def _check(recipe: Recipe, name: str, token: Path) -> None:
    if not token.exists():
        raise RunsNotSharedError(
            f"{token.parent} is not the folder that the command writes to: name a folder by --runs "
            "that all machines of the Ray cluster share under the same path"
        )
    if runner.folder(token.parent, recipe).name != name:
        raise RayError(
            "another version of Fanlight is installed there: install the same on all machines of "
            "the Ray cluster"
        )


class RunsNotSharedError(FanlightError):
    """A machine of the cluster does not see the folder that the runs are written to."""


@contextmanager
def _token(runs: Path) -> Iterator[Path]:
    """Make a file in the folder, by which other machines know that it is the same folder.

    A name that nobody has asked for before is in no cache of a shared disk.
    """
    path = runs / f".shared-{os.getpid()}-{uuid.uuid4().hex}"
    files.make_folder(runs)
    files.write(path, b"")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
