"""Pictures of data sets, trainings and networks, as the bytes of PNG files."""

from training.plots.class_map import class_map
from training.plots.classical import classical
from training.plots.confusion import confusion
from training.plots.dropout import dropout
from training.plots.feature_maps import feature_maps
from training.plots.first import first
from training.plots.history import curves, overlay
from training.plots.kernels import kernels, matrix
from training.plots.mistakes import mistakes
from training.plots.representation import representation
from training.plots.roofline import intensities, roofline
from training.plots.samples import samples
from training.plots.saturation import saturation
from training.plots.trust import reliability, strangers
from training.plots.weights import histograms

__all__ = [
    "class_map",
    "classical",
    "confusion",
    "curves",
    "dropout",
    "feature_maps",
    "first",
    "histograms",
    "intensities",
    "kernels",
    "matrix",
    "mistakes",
    "overlay",
    "reliability",
    "representation",
    "roofline",
    "samples",
    "saturation",
    "strangers",
]
