"""Pictures of data sets, trainings and networks, as the bytes of PNG files."""

from training.plots.classical import classical
from training.plots.confusion import confusion
from training.plots.feature_maps import feature_maps
from training.plots.first import first
from training.plots.history import curves, overlay
from training.plots.kernels import kernels, matrix
from training.plots.mistakes import mistakes
from training.plots.representation import representation
from training.plots.samples import samples
from training.plots.trust import reliability, strangers
from training.plots.weights import histograms

__all__ = [
    "classical",
    "confusion",
    "curves",
    "feature_maps",
    "first",
    "histograms",
    "kernels",
    "matrix",
    "mistakes",
    "overlay",
    "reliability",
    "representation",
    "samples",
    "strangers",
]
