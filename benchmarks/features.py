"""What feature maps cost beside predictions: `python -m benchmarks.features`.

One batch through an engine, as the service runs it: the prediction alone, and with the activations
of one layer, the largest and the embedding. Medians of passes in turns, so that a machine whose
speed varies slows both; what the encoding of an answer takes comes on top.
"""

import argparse
import asyncio
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from models import checkpoint, features
from models.checkpoint import Checkpoint
from service.inference.engine import Engine, FeatureRequest
from service.settings import SHIPPED


async def measure(loaded: Checkpoint, layer: str, images: int, turns: int) -> tuple[float, float]:
    """Return the median seconds of a prediction, and of one with the layer's activations."""
    engine = Engine(loaded, threads=1)
    shape = loaded.card.input.shape
    noise = np.random.default_rng(0)
    pictures = list(noise.integers(0, 256, (images, *shape), dtype=np.uint8))
    looks = [FeatureRequest(picture, (layer,)) for picture in pictures]
    await engine.warm()
    await engine.activations(looks)
    seconds: tuple[list[float], list[float]] = [], []
    for _ in range(turns):
        started = time.perf_counter()
        await engine.run(pictures)
        between = time.perf_counter()
        await engine.activations(looks)
        seconds[0].append(between - started)
        seconds[1].append(time.perf_counter() - between)
    engine.close()
    return median(seconds[0]), median(seconds[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", type=Path, default=SHIPPED)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--turns", type=int, default=30)
    arguments = parser.parse_args()
    print(f"{'model':28}{'layer':18}{'shape':14}{'predict ms':>12}{'features ms':>13}{'ratio':>8}")
    for name in checkpoint.names(arguments.repository):
        folder = checkpoint.find(arguments.repository, name)
        loaded = checkpoint.load(folder, torch.device("cpu"))
        shapes = features.shapes(loaded.layers)
        largest = max(shapes, key=lambda layer: torch.Size(shapes[layer]).numel())
        for layer in (largest, "penultimate"):
            plain, seen = asyncio.run(measure(loaded, layer, arguments.images, arguments.turns))
            shape = "×".join(map(str, shapes[layer]))
            print(
                f"{name:28}{layer:18}{shape:14}{1000 * plain:12.2f}{1000 * seen:13.2f}"
                f"{seen / plain:8.2f}"
            )


if __name__ == "__main__":
    main()
