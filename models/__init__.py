"""What training and service share: architectures, preprocessing, checkpoints, feature capture.

Importing the package registers the built-in architectures and does nothing else.
"""

from models import birdplane, lenet, mnist

__all__ = ["birdplane", "lenet", "mnist"]
