"""What was drawn, to be asked what it shows."""

from typing import Any

import pytest
from matplotlib.figure import Figure

from tests.training.plots.drawn import Drawn


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """The figures that become PNG files during the test."""
    figures = Drawn()
    save = Figure.savefig

    def savefig(self: Figure, *arguments: Any, **options: Any) -> None:
        figures.append(self)
        save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures
