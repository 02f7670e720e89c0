"""AlexNet for grey pictures, and a smaller one.

Krizhevsky et al. 2012, ImageNet Classification with Deep Convolutional Neural Networks; the form
for 1×224×224 is that of Zhang et al., Dive into Deep Learning, section 8.1.

Parameter names are those of an `nn.Sequential`.
"""

from typing import Annotated

from pydantic import Field
from torch import nn

from models.architectures.registry import register
from models.preprocessing import InputSpec

INPUT = InputSpec(channels=1, height=224, width=224)


@register("alexnet", INPUT)
def alexnet(
    num_classes: int = 10,
    side: Annotated[
        int,
        Field(ge=65, description="height and width of the input; decides the first linear layer"),
    ] = INPUT.height,
) -> nn.Sequential:
    """Five convolutions and three linear layers: 46.8 million parameters for ten classes."""
    last = _pooled(_pooled(_pooled((side + 2 - 11) // 4 + 1)))  # 5 of 224
    return nn.Sequential(
        *(nn.Conv2d(1, 96, kernel_size=11, stride=4, padding=1), nn.ReLU()),  # (96, 54, 54)
        nn.MaxPool2d(3, stride=2),  # (96, 26, 26)
        *(nn.Conv2d(96, 256, kernel_size=5, padding=2), nn.ReLU()),
        nn.MaxPool2d(3, stride=2),  # (256, 12, 12)
        *(nn.Conv2d(256, 384, kernel_size=3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, kernel_size=3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, kernel_size=3, padding=1), nn.ReLU()),
        nn.MaxPool2d(3, stride=2),  # (256, 5, 5)
        nn.Flatten(),
        *(nn.Linear(256 * last * last, 4096), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(4096, num_classes),
    )


def _pooled(side: int) -> int:
    """Return the side of feature maps after 3×3 pooling with stride 2."""
    return (side - 3) // 2 + 1


@register("alexnet-small", INPUT)
def alexnet_small(num_classes: int = 10) -> nn.Sequential:
    """Three convolutions and two linear layers: a fortieth of AlexNet's arithmetic, a seventieth
    of its parameters."""
    return nn.Sequential(
        *(nn.Conv2d(1, 24, kernel_size=11, stride=4, padding=1), nn.ReLU()),  # (24, 54, 54)
        nn.MaxPool2d(3, stride=2),  # (24, 26, 26)
        *(nn.Conv2d(24, 48, kernel_size=3, padding=1), nn.ReLU()),
        nn.MaxPool2d(3, stride=2),  # (48, 12, 12)
        *(nn.Conv2d(48, 96, kernel_size=3, padding=1), nn.ReLU()),
        nn.MaxPool2d(3, stride=2),  # (96, 5, 5)
        nn.Flatten(),
        *(nn.Linear(96 * 5 * 5, 256), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(256, num_classes),
    )
