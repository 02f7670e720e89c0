"""The commands, recorded in place of being run."""

from typing import Any

import pytest

from service import launch
from training.commands.calibrate import Calibrate
from training.commands.evaluate import Evaluate
from training.commands.export import Export
from training.commands.fit import Fit
from training.commands.import_weights import Import
from training.commands.look import Look
from training.commands.profile import Profile
from training.commands.push import Push
from training.commands.results import Results
from training.commands.study import Study
from training.commands.visualize import Visualize


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The commands that would have run."""
    calls: list[Any] = []
    for kind in (
        Calibrate,
        Evaluate,
        Export,
        Fit,
        Import,
        Look,
        Profile,
        Push,
        Results,
        Study,
        Visualize,
    ):
        monkeypatch.setattr(kind, "__call__", lambda self, console: calls.append(self))
    monkeypatch.setattr(launch, "serve", calls.append)
    return calls
