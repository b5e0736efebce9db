"""MobileNetV2 in PyTorch, for the contenders that run on it: torchvision would bring a PyTorch of its own."""

from __future__ import annotations

import torch
from torch import nn

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of each stage: table 2 of Sandler et al. 2018, arXiv:1801.04381."""
FIRST, LAST, CLASSES = 32, 1280, 2


def _convolved(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(after)]


class Block(nn.Module):
    """An inverted residual with a linear bottleneck."""

    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        inside = before * expansion
        widened = [*_convolved(before, inside, 1), nn.ReLU6()] if expansion > 1 else []
        depthwise = [*_convolved(inside, inside, 3, stride, groups=inside), nn.ReLU6()]
        self.layers = nn.Sequential(*widened, *depthwise, *_convolved(inside, after, 1))
        self.is_residual = stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's maps."""
        return x + self.layers(x) if self.is_residual else self.layers(x)


def mobilenetv2() -> nn.Module:
    """Return MobileNetV2 with random weights and two classes; pictures in -1..1, probabilities out."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [*_convolved(3, FIRST, 3, 2), nn.ReLU6()]
    before = FIRST
    for expansion, after, blocks, stride in STAGES:
        for number in range(blocks):
            layers.append(Block(before, after, stride if number == 0 else 1, expansion))
            before = after
    layers += [*_convolved(before, LAST, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(LAST, CLASSES), nn.Softmax(1)).eval()
