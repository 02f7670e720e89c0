"""Runs of studies with figures of one's own."""

from dataclasses import replace
from typing import Any

from training.fitting.evaluation import Metrics
from training.fitting.state import Epoch
from training.studies.study import Measured, Spread


def measured(
    validation: float = 0.9,
    train: float = 0.95,
    deviation: float = 0.1,
    epochs: int = 100,
    **changes: Any,
) -> Measured:
    """So many epochs with these figures; `changes` are other fields of `Measured`."""
    run = Measured(
        train=train,
        validation=validation,
        test=validation,
        parameters=10,
        seconds=epochs * 1.0,
        peak_memory=2**20,
        history=tuple(epoch(n, validation, train) for n in range(1, epochs + 1)),
        weights={"0.weight": Spread(deviation, 2 * deviation), "0.bias": Spread(1.0, 2.0)},
    )
    return replace(run, **changes)


def epoch(
    number: int,
    validation: float = 0.9,
    train: float = 0.95,
    loss: float = 0.1,
    validation_loss: float = 0.1,
    rate: float = 0.01,
) -> Epoch:
    return Epoch(number, Metrics(loss, train), Metrics(validation_loss, validation), rate)
