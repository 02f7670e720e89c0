"""An epoch with pixels in a file against one with pixels in memory, in one run.

    python -m benchmarks.streaming

Both train the same network on the same pictures, in the same order, in turn, so that a machine
whose speed drifts slows both. The file was just written, so it is in the system's page cache: the
ratio is what reading batches costs, without the disk. That is processor time, whose ratio holds on
a busy machine, too. Pictures are noise: their content doesn't change the time.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from models import devices
from training.data.datasets import ImageSet
from training.data.storage import Storage
from training.fitting import loop, state
from training.recipes import catalogue
from training.recipes.recipe import Recipe

ROWS: tuple[tuple[str, dict[str, Any], int], ...] = (  # recipe, changes, pictures
    ("fashion-mnist-mlp", {}, 2_000),
    ("mnist-cnn", {}, 1_000),
    ("birds-vs-planes-base", {}, 2_000),
    ("birds-vs-planes-base", {"batch_size": 8}, 2_000),
    ("xo-base", {}, 500),
    ("birds-vs-planes", {"precision": "float32"}, 200),
)


class Way:
    def __init__(self, recipe: Recipe, images: ImageSet, device: torch.device) -> None:
        self._images, self._spec = images.to(device), recipe.input
        generator = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        self._training = state.Training(recipe, self._images, self._spec, device, generator)

    def epoch(self) -> tuple[float, float]:
        """Train one epoch; return seconds, by the clock and of the processor."""
        started, used = time.perf_counter(), time.process_time()
        loop.train_one_epoch(self._training, self._images, self._spec)
        return time.perf_counter() - started, time.process_time() - used


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.streaming",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--epochs", type=int, default=5, help="measured epochs of each (default 5)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    parser.add_argument("--folder", type=Path, help="of the file (default that of temporary files)")
    arguments = parser.parse_args()
    device = devices.resolve(arguments.device)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {device}")
    folder = arguments.folder or Path(tempfile.gettempdir())
    for name, changes, count in ROWS:
        recipe = replace(catalogue.recipe(name), **changes)
        shape = recipe.input.shape
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)
        images = ImageSet(pixels, torch.arange(count) % 2, ("airplane", "bird"))
        stored, _ = Storage(folder, stream=True).keep(pixels, "noise")
        memory = Way(recipe, images, device)
        file = Way(recipe, replace(images, images=stored), device)
        memory.epoch(), file.epoch()  # warm-up
        pairs = [(memory.epoch(), file.epoch()) for _ in range(arguments.epochs)]
        by_clock, by_processor = (
            statistics.median(one[kind] / other[kind] for one, other in pairs) for kind in (0, 1)
        )
        each = min(one[0] for one, _ in pairs), min(other[0] for _, other in pairs)
        print(
            f"{name}, {count:,} pictures {'×'.join(map(str, shape))}, {recipe.batch_size} a step: "
            f"from memory {each[0]:.3f} s an epoch, from a file {each[1]:.3f} s (least); speed "
            f"{by_clock:.2f} by the clock, {by_processor:.2f} by processor time (medians)",
            flush=True,
        )


if __name__ == "__main__":
    main()
