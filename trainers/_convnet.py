"""A small convolutional network for log-mel pictures that keeps their resolution longer than networks for photographs.

Those halve a picture five times, and of 64 bands and 94 frames two by three places are left. Here it is halved four
times by averaging, each block is a full and a depthwise-separable convolution (Howard et al. 2017) with batch norm, and
the mean over all places is joined by the maximum, which a single short note reaches. It has timm's three methods, so
that `instrument_net` treats it as any other.
"""

from __future__ import annotations

import torch
from torch import nn


class ConvNet(nn.Module):
    """Pictures [n, 1, bands, frames] → logits [n, classes]; `width` channels after the first block, then twice and
    four times as many. 24 makes 71,000 weights, 48 275,000."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.stem = nn.Sequential(*_normed(nn.Conv2d(1, width // 2, 5, padding=2, bias=False)), nn.AvgPool2d(2))
        self.blocks = nn.Sequential(_block(width // 2, width), _block(width, 2 * width), _block(2 * width, 4 * width))
        self.classifier = nn.Linear(8 * width, num_classes)

    def forward_features(self, pictures: torch.Tensor) -> torch.Tensor:
        """[n, 4 × width, bands / 16, frames / 16]."""
        features: torch.Tensor = self.blocks(self.stem(pictures))
        return features

    def forward_head(self, features: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Mean and maximum over all places [n, 8 × width], or the logits [n, classes]."""
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        if pre_logits:
            return pooled
        logits: torch.Tensor = self.classifier(pooled)
        return logits

    def get_classifier(self) -> nn.Linear:
        return self.classifier

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(pictures))


def _normed(convolution: nn.Conv2d) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]


def _block(taken: int, made: int) -> nn.Sequential:
    deep = nn.Conv2d(made, made, 3, padding=1, groups=made, bias=False)
    return nn.Sequential(
        *_normed(nn.Conv2d(taken, made, 3, padding=1, bias=False)),
        deep,
        *_normed(nn.Conv2d(made, made, 1, bias=False)),
        nn.AvgPool2d(2),
    )
