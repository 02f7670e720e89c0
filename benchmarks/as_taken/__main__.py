"""How often a model is right on images as people take them: `python -m benchmarks as_taken`.

Redraws test images in each scene, sends the files through `models.preprocessing.read`, as the
service does, and prints a table: a line for each scene, a column for each model. The scenes are
those of the family `held_out`. `--family tuning` takes the other family and the training split.
The same seed draws the same files. The last column is the time of `read`, the mean of all models.
"""

import argparse
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.as_taken import crosses, held_out, tuning
from benchmarks.as_taken.family import Scene
from models.checkpoint import Checkpoint, load_named
from models.images.decoding import read
from models.images.scaling import Frame, Pixels
from models.preprocessing import InputSpec
from models.repository_paths import SHIPPED
from training.data import datasets
from training.data.datasets import ImageSet
from training.fitting import trust

FamilyName = Literal["held_out", "tuning"]
Subject = Literal["digits", "clothes", "crosses"]
_SETS = {"digits": "mnist", "clothes": "fashion-mnist"}
_AS_STORED = InputSpec(channels=1, height=28, width=28)
_CHUNK = 50  # images that a process draws in a row


def subject_of(labels: Sequence[str]) -> Subject:
    """What to redraw for a model, by its labels."""
    if set(labels) == {"circles", "crosses"}:
        return "crosses"
    return "digits" if "0" in labels else "clothes"


def scenes(subject: Subject, family: FamilyName) -> list[str]:
    if subject == "crosses":
        return list(crosses.HELD_OUT)
    return list(_drawn(subject, family))


def _drawn(subject: Subject, family: FamilyName) -> dict[str, Scene]:
    """The scenes of digits or of clothes, by their rows in the table."""
    found = held_out.FAMILY if family == "held_out" else tuning.FAMILY
    return found.digits if subject == "digits" else found.clothes


@cache
def _stored(
    subject: Subject, family: FamilyName, root: Path
) -> tuple[NDArray[np.uint8], list[int]]:
    """Load the data set: its images (N, 28, 28) and their class indices."""
    split: Literal["test", "train"] = "test" if family == "held_out" else "train"
    found = datasets.load(_SETS[subject], split, root, _AS_STORED)
    return found.in_memory[:, 0].numpy(), found.targets.tolist()


def encoded(
    subject: Subject, family: FamilyName, scene: str, root: Path, seed: int, index: int
) -> tuple[bytes, int]:
    """Draw image `index` of a scene. Return its bytes as a file, and its class index."""
    rng = np.random.default_rng([seed, zlib.crc32(scene.encode()), index])
    if subject == "crosses":
        drawings = crosses.HELD_OUT if family == "held_out" else crosses.TUNING
        return drawings[scene](index % 2, rng), index % 2
    images, targets = _stored(subject, family, root)
    return _drawn(subject, family)[scene](images[index], rng), targets[index]


def _inputs(
    subject: Subject,
    family: FamilyName,
    scene: str,
    root: Path,
    seed: int,
    frames: Sequence[Frame],
    indices: range,
) -> tuple[list[list[Pixels]], list[int], float]:
    """The inputs of each model for these images, their classes, and the seconds of `read`."""
    inputs: list[list[Pixels]] = [[] for _ in frames]
    targets, seconds = [], 0.0
    for index in indices:
        file, target = encoded(subject, family, scene, root, seed, index)
        targets.append(target)
        start = time.perf_counter()
        for frame, found in zip(frames, inputs, strict=True):
            found.append(read(file, frame))
        seconds += time.perf_counter() - start
    return inputs, targets, seconds


def accuracies(
    models: Sequence[Checkpoint], subject: Subject, scene: str, options: argparse.Namespace
) -> tuple[list[float], float]:
    """The accuracy of each model in a scene, and the milliseconds of `read` for an image."""
    specs = [model.card.input for model in models]
    work = partial(
        _inputs,
        *(subject, options.family, scene, options.data_root, options.seed),
        [Frame.of(spec) for spec in specs],
    )
    right, seconds = [0] * len(models), 0.0
    chunks = [
        range(first, min(first + _CHUNK, options.count))
        for first in range(0, options.count, _CHUNK)
    ]
    for inputs, targets, spent in options.map(work, chunks):
        seconds += spent
        for place, (model, pixels) in enumerate(zip(models, inputs, strict=True)):
            batch = torch.from_numpy(np.stack(pixels))
            images = ImageSet(batch, torch.tensor(targets), model.card.labels)
            look = None if model.trust is None else model.trust.second_look
            found = trust.answers(model.network, images, specs[place], look).logits.argmax(1)
            names = _names(subject, model)
            right[place] += sum(
                names[index] == target
                for index, target in zip(found.tolist(), targets, strict=True)
            )
    each = 1000 * seconds / options.count / len(models)
    return [count / options.count for count in right], each


def _names(subject: Subject, model: Checkpoint) -> list[int]:
    """Return, for each label of the model, its class index in the data set."""
    labels = model.card.labels
    if subject == "digits":
        return [int(label) for label in labels]
    if subject == "crosses":
        return [("circles", "crosses").index(label) for label in labels]
    return list(range(len(labels)))


def table(subject: Subject, models: Sequence[Checkpoint], options: argparse.Namespace) -> None:
    heads = " | ".join(f"{model.card.name}/{model.card.version}" for model in models)
    print(f"\n| first {options.count} {subject}, {options.family} | {heads} | ms |")
    print("|---" * (len(models) + 2) + "|")
    for scene in scenes(subject, options.family):
        found, milliseconds = accuracies(models, subject, scene, options)
        cells = " | ".join(f"{value:.4f}" for value in found)
        print(f"| {scene} | {cells} | {milliseconds:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks as_taken")
    parser.add_argument("models", nargs="*", default=["mnist", "mnist-cnn", "fashion-mnist", "xo"])
    parser.add_argument("--family", choices=("held_out", "tuning"), default="held_out")
    parser.add_argument("--count", type=int, default=2000, help="images in each scene")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2, help="that draw and decode")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--repository", type=Path, default=SHIPPED)
    options = parser.parse_args()
    cpu = torch.device("cpu")
    loaded = [load_named(options.repository, name, None, cpu) for name in options.models]
    groups: dict[Subject, list[Checkpoint]] = {}
    for model in loaded:
        groups.setdefault(subject_of(model.card.labels), []).append(model)
    with ProcessPoolExecutor(options.processes) as pool:
        options.map = pool.map
        for subject, models in groups.items():
            table(subject, models, options)


if __name__ == "__main__":
    main()
