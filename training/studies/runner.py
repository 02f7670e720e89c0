"""The runs of a study: recipes → processes beside each other → run folders.

A run's folder is named by its recipe, so that a finished run is never repeated, and studies that
share a recipe share the run. A broken-off one goes on after its last epoch.
"""

import hashlib
import json
import multiprocessing
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from pathlib import Path

import torch

from models import devices
from training.fitting import experiment
from training.fitting.loop import TrainingError
from training.fitting.records import provenance
from training.fitting.records.run_folder import Run, as_json
from training.recipes.recipe import Recipe

_LOOK = 1.0  # seconds between two looks at the histories


def folder(runs: Path, recipe: Recipe) -> Path:
    """Where the runs of that very recipe lie."""
    digest = hashlib.sha256(json.dumps(as_json(recipe), sort_keys=True).encode()).hexdigest()
    return runs / f"{recipe.name}-{digest[:12]}"


def unfinished(runs: Path, recipes: Sequence[Recipe]) -> list[Recipe]:
    """Those without a result, each once."""
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
) -> Iterator[tuple[Recipe, Exception | None]]:
    """Train each recipe in a process of its own, `jobs` at a time; yield each as it ends.

    `on_progress` hears how many epochs of all are done, about once a second. A run that fails is
    yielded with its error; the others go on. Where a process is killed, for want of memory say,
    all that are left end with `TrainingError`.
    """
    threads = max(1, torch.get_num_threads() // jobs)
    with ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_end_with_parent,
        max_tasks_per_child=1,  # memory is measured from a fresh start
    ) as pool:
        pending = {
            pool.submit(_train, recipe, folder(runs, recipe), root, device, threads): recipe
            for recipe in recipes
        }
        try:
            while pending:
                done, _ = wait(pending, timeout=_LOOK, return_when=FIRST_COMPLETED)
                on_progress(sum(_epochs(folder(runs, recipe)) for recipe in recipes))
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


def _train(recipe: Recipe, folder: Path, root: Path, device: str, threads: int) -> None:
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
    """A process that nobody waits for any more must not go on writing into the run folder."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _epochs(folder: Path) -> int:
    try:
        return len(Run(folder).history())
    except OSError:
        return 0
