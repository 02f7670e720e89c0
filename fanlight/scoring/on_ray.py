"""Scorers as actors of a Ray cluster: work → Ray Data → shards.

    our index of the source, a row a shard → map_batches (a pool of actors) → contents of shards

Ray Data's own readers would decode otherwise than the service, and one file that can't be read
would lose the rest of its block. So the actors read and decode as the processes of one machine do.
This process writes the shards, as it does without Ray: the files are equal, and resumed alike.
"""

import pickle
from collections.abc import Callable, Generator, Iterable
from typing import Any

import numpy as np

from fanlight.scoring.scorer import Job, Scorer
from fanlight.scoring.work import Counts, Done, Work, done
from models.errors import message
from training import cluster
from training.cluster import RayError

_ROWS = 4  # of work in a block: what an actor takes at a time


class Actor:
    """A scorer in an actor of Ray Data: a batch of one row, the work → a row, the shard."""

    def __init__(self, job: bytes) -> None:
        self._scorer = Scorer(pickle.loads(job))  # noqa: S301 (of this program)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        found = [
            done(self._scorer, pickle.loads(each))  # noqa: S301 (of this program)
            for each in batch["work"]
        ]
        return {
            "number": np.array([each.number for each in found]),
            "content": np.array([each.content for each in found], object),
            "counts": np.array([each.counts for each in found]),
        }


def run(
    job: Job, work: Iterable[Work], actors: int | None, tell: Callable[[int], None]
) -> Generator[Done]:
    """Score on the cluster that RAY_ADDRESS names, or one of this machine; yield shards when ready.

    `actors` are as many as given, or one for each processor of the cluster. Raises
    `InstallationError` without Ray, and `RayError`.
    """
    with cluster.connected("ray.data"):
        yield from _run(job, work, actors, tell)


def _run(
    job: Job, work: Iterable[Work], actors: int | None, tell: Callable[[int], None]
) -> Generator[Done]:
    import ray
    import ray.data

    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        gpus = 1 if job.settings.device.startswith("cuda") else 0
        there: dict[str, float] = ray.cluster_resources()
        count = actors or max(1, int(there.get("GPU" if gpus else "CPU", 1)))
        rows = [{"work": pickle.dumps(each)} for each in work]
        shards = ray.data.from_items(
            rows, override_num_blocks=max(1, min(len(rows), len(rows) // _ROWS + count))
        ).map_batches(
            Actor,
            fn_constructor_args=(pickle.dumps(job),),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(count, len(rows))),
            num_cpus=1,
            num_gpus=gpus,
        )
        images = 0
        for row in shards.iter_rows():
            found = Done(
                int(row["number"]), bytes(row["content"]), Counts(*map(int, row["counts"]))
            )
            images += found.counts.answered + found.counts.failed
            tell(images)
            yield found
    except (ray.exceptions.RayError, ConnectionError) as error:
        cause = getattr(error, "cause", None) or error.__cause__
        text = message(cause) if cause is not None else None
        lines = str(error).strip().splitlines()
        raise RayError(
            f"Ray: {text or (lines[-1] if lines else type(error).__name__)}; shards that are "
            "written stay, and the same command goes on"
        ) from error
