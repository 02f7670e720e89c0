"""Scorers in processes of this machine: work → shards, in the order in which they are ready.

Each process has a network of its own and computes on one thread. A process whose parent is gone
ends.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.sharedctypes import Synchronized

from fanlight.scoring.scorer import Job, Scorer
from fanlight.scoring.work import Done, Work, done
from models.errors import FanlightError, message

_WORK_PER_PROCESS = 2  # pieces, of which one waits: no process is idle, and few are in memory
_LOOK_SECONDS = 0.2  # between two looks at how many images are done


class ScorerError(FanlightError):
    """A process that scores has ended, or could not begin."""


def run(
    job: Job, work: Iterable[Work], processes: int, tell: Callable[[int], None]
) -> Generator[Done]:
    """Score in this many processes; yield each shard when it is ready.

    `tell` is called with the number of images that are done so far. Raises `ScorerError` if a
    process ends or can't load the network. When the iterator is closed early, the processes are
    killed.
    """
    context = multiprocessing.get_context("spawn")
    counted: Synchronized[int] = context.Value("q", 0)
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, context, _begin, (job, counted))
    waiting = iter(work)
    running: set[Future[Done]] = set()
    is_over = False
    try:
        for each in islice(waiting, _WORK_PER_PROCESS * processes):
            running.add(pool.submit(_score, each))
        while running:
            ended, running = wait(running, _LOOK_SECONDS, FIRST_COMPLETED)
            tell(counted.get_obj().value)  # without the lock, which a killed process may hold
            for future in ended:
                yield future.result()
                for each in islice(waiting, 1):
                    running.add(pool.submit(_score, each))
        is_over = True
    except BrokenProcessPool as error:
        raise ScorerError(
            "a process that scores was ended by the system, perhaps for want of memory; the same "
            "command goes on, with fewer --processes it needs less"
        ) from error
    finally:
        if not is_over:
            for child in set(multiprocessing.active_children()) - before:
                child.kill()
        pool.shutdown(cancel_futures=True)


_scorer: Scorer | str = "not begun"
_counted: "Synchronized[int] | None" = None


def _begin(job: Job, counted: "Synchronized[int]") -> None:
    """Load the network in a new process. An error is kept, and raised with the first work."""
    global _scorer, _counted
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _counted = counted
    try:
        _scorer = Scorer(job)
    except Exception as error:
        text = message(error)
        if text is None:
            raise
        _scorer = text


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _score(work: Work) -> Done:
    if isinstance(_scorer, str):
        raise ScorerError(_scorer)
    return done(_scorer, work, _tell)


def _tell(images: int) -> None:
    assert _counted is not None  # noqa: S101 (`_begin` has set it)
    with _counted.get_lock():
        _counted.value += images
