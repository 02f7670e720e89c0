"""The studies of the reference, each with what its author reported."""

from training.studies.alexnet import ALEXNET
from training.studies.ground import GROUND
from training.studies.lenet import LENET
from training.studies.perceptrons import PERCEPTRONS
from training.studies.xo import XO

STUDIES = {study.name: study for study in (*PERCEPTRONS, *LENET, *ALEXNET, *GROUND, *XO)}
