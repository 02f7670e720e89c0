"""Train on a third of birds-vs-planes with three seeds, and print the test accuracies as JSON.

    python -m tests.training.fitting.reached DATA-ROOT

As one process of several, only the first prints.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from training.data import datasets
from training.fitting import loop, predicting
from training.fitting.processes import joined
from training.recipes import catalogue


def main(root: Path) -> None:
    recipe = replace(catalogue.recipe("birds-vs-planes-batchnorm"), epochs=4, flip=True)
    spec = recipe.input
    train, test = (datasets.load(recipe.dataset, split, root, spec) for split in ("train", "test"))
    train = train.subset(torch.arange(0, len(train), 3))
    accuracies = []
    with joined("cpu") as (processes, device):
        for seed in range(3):
            own = replace(recipe, seed=seed)
            fitted = loop.fit(own, train, spec, device, processes=processes)
            accuracies.append(predicting.evaluate(fitted.network, test, spec).accuracy)
        if processes.is_first:
            sys.stdout.write(json.dumps(accuracies))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
