"""The runs of a study: recipes → processes that run in parallel → run folders.

A run's folder is named by its recipe, so that a finished run is never repeated, and studies that
share a recipe share the run. An interrupted run continues after its last epoch.
"""

import hashlib
import json
import multiprocessing
import os
import threading
import warnings
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from pathlib import Path

import torch

from models import devices
from training.fitting import experiment
from training.fitting.records import provenance
from training.fitting.records.run_folder import Run, as_json
from training.fitting.state import TrainingError
from training.recipes.recipe import Recipe

LOOK = 1.0  # seconds between two looks at the histories


def folder(runs: Path, recipe: Recipe) -> Path:
    """Return the run folder of a recipe; its name has a hash of all fields."""
    digest = hashlib.sha256(json.dumps(as_json(recipe), sort_keys=True).encode()).hexdigest()
    return runs / f"{recipe.name}-{digest[:12]}"


def unfinished(runs: Path, recipes: Sequence[Recipe]) -> list[Recipe]:
    """Return the recipes whose run has no result yet, each once."""
    return [
        recipe
        for number, recipe in enumerate(recipes)
        if recipe not in recipes[:number] and Run(folder(runs, recipe)).result() is None
    ]


def run(
    recipes: Sequence[Recipe],
    runs: Path,
    root: Path,
    device: str,
    jobs: int,
    on_progress: Callable[[int], None] = lambda epochs: None,
) -> Generator[tuple[Recipe, Exception | None]]:
    """Train each recipe in a process of its own, `jobs` at a time; yield each as it ends.

    `on_progress` is called about once a second with the number of finished epochs of all runs. A
    run that fails is yielded with its error; the others continue. If a process is killed, for lack
    of memory say, all remaining runs end with `TrainingError`.
    """
    threads = max(1, torch.get_num_threads() // jobs)
    with ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_end_with_parent,
        max_tasks_per_child=1,  # memory is measured from a fresh start
    ) as pool:
        pending = {
            pool.submit(train, recipe, folder(runs, recipe), root, device, threads): recipe
            for recipe in recipes
        }
        try:
            while pending:
                done, _ = wait(pending, timeout=LOOK, return_when=FIRST_COMPLETED)
                on_progress(epochs(recipes, runs))
                for future in done:
                    error = future.exception()
                    if error is not None and not isinstance(error, Exception):
                        raise error
                    if isinstance(error, BrokenProcessPool):
                        error = TrainingError(
                            f"its process was killed ({error}): if memory was short, lower --jobs"
                        )
                    yield pending.pop(future), error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def train(recipe: Recipe, folder: Path, root: Path, device: str, threads: int) -> None:
    """Train a recipe in this process, in its run folder; continue after the last epoch there.

    Raises `RunHeldError` if another process trains there.
    """
    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    on, commit = devices.resolve(device), provenance.commit()
    run = Run.at(folder, recipe)
    with run.held():
        pictures = experiment.load(recipe, root)
        result = experiment.run(recipe, pictures, root, on, run).as_json()
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        run.finish({**result, "commit": commit, "finished": finished})


def _end_with_parent() -> None:
    """End this process when its parent ends, so that it stops writing into the run folder."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def epochs(recipes: Sequence[Recipe], runs: Path) -> int:
    """Return the number of finished epochs of these runs together."""
    return sum(_epochs(folder(runs, recipe)) for recipe in recipes)


def _epochs(folder: Path) -> int:
    try:
        return len(Run(folder).history())
    except OSError:
        return 0
