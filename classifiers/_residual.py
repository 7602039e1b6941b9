"""A small residual network for small images (He et al. 2016, arXiv:1512.03385), about 0.7 M parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from classifiers._training import Network


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut; a strided block's shortcut is average-pooled, then projected."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.stride = stride
        self.project = nn.Conv2d(width_in, width, 1, bias=False) if width_in != width else nn.Identity()

    def forward(self, x_nchw: Tensor) -> Tensor:
        h = self.norm2(self.conv2(F.silu(self.norm1(self.conv1(x_nchw)))))
        shortcut = F.avg_pool2d(x_nchw, self.stride, ceil_mode=True) if self.stride > 1 else x_nchw
        return F.silu(h + self.project(shortcut))


class ResidualNet(Network):
    """Stem with stride ``stem_stride``, stages of ``blocks`` blocks at ``widths`` channels, mean over space, linear."""

    def __init__(self, num_classes: int, widths: Sequence[int], blocks: int, stem_stride: int, dropout: float) -> None:
        super().__init__()
        kernel = 3 if stem_stride == 1 else 2 * stem_stride
        padding = 1 if stem_stride == 1 else stem_stride // 2
        stem = nn.Conv2d(3, widths[0], kernel, stem_stride, padding, bias=False)
        layers: list[nn.Module] = [stem, nn.BatchNorm2d(widths[0]), nn.SiLU()]
        width_in = widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                layers.append(Block(width_in, width, 2 if stage and not block else 1))
                width_in = width
        self.body = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width_in, num_classes)

    def features(self, x_nchw: Tensor) -> Tensor:
        """float [n, widths[-1]]."""
        features: Tensor = self.body(2 * x_nchw - 1).mean((2, 3))
        return features

    def head(self, features: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.dropout(features))
        return logits
