"""What training and service share: architectures, preprocessing, checkpoints, feature capture.

Importing the package registers the built-in architectures and does nothing else.
"""

from models import alexnet, birdplane, convnet, lenet, mlp, mnist, resnet, xo

__all__ = ["alexnet", "birdplane", "convnet", "lenet", "mlp", "mnist", "resnet", "xo"]
