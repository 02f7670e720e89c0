"""Pictures of data sets, trainings and networks, as the bytes of PNG files."""

from training.plots.classical import classical
from training.plots.confusion import confusion
from training.plots.first import first
from training.plots.history import curves, overlay
from training.plots.mistakes import mistakes
from training.plots.networks.class_map import class_map
from training.plots.networks.dropout import dropout
from training.plots.networks.feature_maps import feature_maps
from training.plots.networks.kernels import kernels, matrix
from training.plots.networks.representation import representation
from training.plots.networks.roofline import intensities, roofline
from training.plots.networks.saturation import saturation
from training.plots.networks.weights import histograms
from training.plots.samples import samples
from training.plots.trust import reliability, strangers

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
