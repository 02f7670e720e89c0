"""EfficientNet-Lite0: a network for photographs, small enough for a processor without a GPU.

The layers are those of EfficientNet-B0 (Tan and Le 2019, EfficientNet: Rethinking Model Scaling for
Convolutional Neural Networks, table 1), as TensorFlow's EfficientNet-Lite changes them: ReLU6 in
place of swish, no squeeze-and-excitation, and a stem and a head of fixed width. Convolutions pad as
TensorFlow's SAME does, so that weights that were trained there give the same answers.
"""

from collections import OrderedDict
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.architectures.registry import register
from models.preprocessing import InputSpec

STEM, HEAD = 32, 1280  # channels
STAGES = (
    # expansion, kernel, stride, channels, blocks
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class SameConv2d(nn.Conv2d):
    """A convolution without bias whose output has ⌈size / stride⌉ pixels a side.

    Where the padding is odd, the right and the bottom get the pixel more, as in TensorFlow.
    """

    def __init__(
        self, channels_in: int, channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(channels_in, channels, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Turn maps (N, channels_in, H, W) into maps (N, channels, ⌈H / stride⌉, ⌈W / stride⌉)."""
        vertical, horizontal = (
            max((-(-size // stride) - 1) * stride + kernel - size, 0)
            for size, stride, kernel in zip(
                x.shape[-2:], self.stride, self.kernel_size, strict=True
            )
        )
        left, top = horizontal // 2, vertical // 2
        if left == horizontal - left and top == vertical - top:  # the convolution pads by itself
            return F.conv2d(x, self.weight, None, self.stride, (top, left), 1, self.groups)
        return super().forward(F.pad(x, (left, horizontal - left, top, vertical - top)))


def _unit(
    channels_in: int, channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution, batch normalisation with TensorFlow's constants, ReLU6."""
    return nn.Sequential(
        OrderedDict(
            conv=SameConv2d(channels_in, channels, kernel, stride, groups),
            bn=_norm(channels),
            relu=nn.ReLU6(inplace=True),  # a third less time than a copy
        )
    )


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class InvertedResidual(nn.Module):
    """A block that widens by a 1×1 convolution, filters each channel by itself, and narrows again
    (Sandler et al. 2018, MobileNetV2). The input is added if it has the shape of the output."""

    def __init__(
        self, channels_in: int, channels: int, expansion: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.expand: nn.Module = nn.Identity()
        if expansion != 1:
            self.expand = _unit(channels_in, wide, 1)
        self.depthwise = _unit(wide, wide, kernel, stride, groups=wide)
        self.project = nn.Sequential(
            OrderedDict(conv=SameConv2d(wide, channels, 1), bn=_norm(channels))
        )
        self.is_residual = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        """Turn maps (N, channels_in, H, W) into maps (N, channels, ⌈H / stride⌉, ⌈W / stride⌉)."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.is_residual else y


# pixels from -1 to 1 almost, as TensorFlow's EfficientNet-Lite takes them: (pixel - 127) / 128
_INPUT = InputSpec(channels=3, height=224, width=224, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


@register("efficientnet-lite0", _INPUT)
def efficientnet_lite0(
    num_classes: int = 1000, dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
) -> nn.Sequential:
    """EfficientNet-Lite0, for photographs; weights learned on ImageNet come with `pretrained`."""
    stages = []
    channels_in = STEM
    for expansion, kernel, stride, channels, blocks in STAGES:
        stage = []
        for block in range(blocks):
            first = stride if block == 0 else 1
            stage.append(InvertedResidual(channels_in, channels, expansion, kernel, first))
            channels_in = channels
        stages.append(nn.Sequential(*stage))
    return nn.Sequential(
        OrderedDict(
            stem=_unit(3, STEM, 3, stride=2),  # (32, 112, 112)
            stages=nn.Sequential(*stages),  # (320, 7, 7)
            top=_unit(channels_in, HEAD, 1),  # (1280, 7, 7)
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            dropout=nn.Dropout(dropout),
            head=nn.Linear(HEAD, num_classes),
        )
    )
