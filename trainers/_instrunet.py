"""The network of InstruNet as functions of its weights, so that nothing in it draws from torch's global generator.

Three blocks of convolution, ReLU, batch normalisation and 2 × 2 max pooling, a fourth convolution, a mean over all
places, dropout and one logit per class; `trainers/instrunet.py` says where it comes from. Weights and running
statistics are two dicts by name: convolution_1.weight, norm_1.mean and so on.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

PREDICT_ROWS = 16
NORM_EPSILON = 1e-3
NORM_RATE = 0.1

Tensors = dict[str, torch.Tensor]
Noise = torch.Generator | None


def start(config: Any, classes: int, generator: np.random.Generator, device: str) -> tuple[Tensors, Tensors]:
    """New weights as Keras starts them (Glorot uniform, biases 0), and the running statistics of the norms."""
    weights: dict[str, np.ndarray] = {}
    running: dict[str, np.ndarray] = {}
    channels = 1
    for block in (1, 2, 3, 4):
        filters = config.width * 2 ** (block - 1)
        shape = (filters, channels, config.kernel, config.kernel)
        weights |= _glorot(f"convolution_{block}", shape, generator)
        if config.batch_norm:
            weights |= {f"norm_{block}.weight": np.ones(filters), f"norm_{block}.bias": np.zeros(filters)}
            running |= {f"norm_{block}.mean": np.zeros(filters), f"norm_{block}.variance": np.ones(filters)}
        channels = filters
    weights |= _glorot("dense", (classes, channels), generator)
    trained = {name: on(device, value).requires_grad_() for name, value in weights.items()}
    return trained, {name: on(device, value) for name, value in running.items()}


def _glorot(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> dict[str, np.ndarray]:
    bound = math.sqrt(6 / (math.prod(shape[2:]) * (shape[0] + shape[1])))
    return {f"{name}.weight": generator.uniform(-bound, bound, shape), f"{name}.bias": np.zeros(shape[0])}


def forward(
    weights: Tensors,
    running: Tensors,
    excerpts: torch.Tensor,
    dropout: tuple[float, float] = (0.0, 0.0),
    noise: Noise = None,
    zero_shares: list[torch.Tensor] | None = None,
) -> torch.Tensor:
    """Logits [n, classes] of excerpts [n, bands, frames]; with `noise` as in training, without it as in use.

    `dropout` is (head, blocks). In training the `running` statistics are updated in place. A list of `zero_shares` is
    given the share of zeros after each convolution's ReLU.
    """
    x = excerpts[:, None].contiguous(memory_format=torch.channels_last)
    for block in (1, 2, 3, 4):
        weight = weights[f"convolution_{block}.weight"]
        x = F.relu(F.conv2d(x, weight, weights[f"convolution_{block}.bias"], padding=weight.shape[-1] // 2))
        if zero_shares is not None:
            zero_shares.append((x == 0).float().mean())
        if running:
            statistics = running[f"norm_{block}.mean"], running[f"norm_{block}.variance"]
            affine = weights[f"norm_{block}.weight"], weights[f"norm_{block}.bias"]
            x = F.batch_norm(x, *statistics, *affine, noise is not None, NORM_RATE, NORM_EPSILON)
        if block < 4:
            x = hide(F.max_pool2d(x, 2), dropout[1], noise)
    x = hide(x.mean(dim=(2, 3)), dropout[0], noise)
    return F.linear(x, weights["dense.weight"], weights["dense.bias"])


def hide(x: torch.Tensor, share: float, noise: Noise) -> torch.Tensor:
    """Hides a share of the values and scales up the rest; torch's own dropout knows the global generator only."""
    if noise is None or share == 0:
        return x
    return x * (torch.rand(x.shape, generator=noise, device=x.device) >= share) / (1 - share)


def infer(weights: Tensors, running: Tensors, values: np.ndarray, device: str) -> torch.Tensor:
    """Logits [n, classes] on the CPU, in batches, so that memory does not grow with n."""
    with torch.no_grad():
        starts = range(0, len(values), PREDICT_ROWS)
        parts = [forward(weights, running, on(device, values[s : s + PREDICT_ROWS])).cpu() for s in starts]
    return torch.cat(parts) if parts else torch.empty(0, len(weights["dense.bias"]))


def on(device: str, values: Any) -> torch.Tensor:
    """A copy of any array as float32 on the device."""
    return torch.tensor(np.asarray(values), dtype=torch.float32, device=device)
