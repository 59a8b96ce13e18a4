"""What a network of named layers tells of itself once per epoch; core/metrics.py has the sentence of each number.

Tensors, so that a device hands over one list at the end and not twenty numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

Tensors = Mapping[str, torch.Tensor]
MOST_WATCHED, LEAST_WATCHED, WATCHED_SHARE = 64, 4, 50
"""Excerpts whose activations are watched: 64, but one in 50 at most. That costs 1 % of an epoch: a step is three passes
over an excerpt, watching is one."""


def weight_norms(weights: Tensors) -> dict[str, torch.Tensor]:
    """Length of the weights of each layer that multiplies (convolutions, dense layers)."""
    return {
        f"weight_norm_{name.partition('.')[0]}": value.detach().norm()
        for name, value in weights.items()
        if value.ndim > 1
    }


def l2_pulls(weights: Tensors, layers: Iterable[str], weight_decay: float) -> dict[str, torch.Tensor]:
    """‖2λw‖ / ‖data gradient‖ of each penalised layer, between `backward` and the step; 0 where λ (`weight_decay`) is.

    The gradients hold both parts. Where the data gradient is nothing, the smallest number that is not 0 stands for it.
    """
    found = {}
    for layer in layers:
        weight = weights[f"{layer}.weight"]
        assert weight.grad is not None, layer
        pull = 2 * weight_decay * weight.detach()
        found[f"l2_pull_{layer}"] = pull.norm() / (weight.grad - pull).norm().clamp_min(1e-12)
    return found


def norm_statistics(running: Tensors) -> dict[str, torch.Tensor]:
    """Means over channels of the `running` statistics, norm_1.mean becoming norm_mean_1 and so on."""
    found = {}
    for name, value in running.items():
        layer, _, statistic = name.partition(".")
        found[f"norm_{statistic}_{layer.removeprefix('norm_')}"] = value.mean()
    return found


def watched(inputs: torch.Tensor) -> torch.Tensor:
    """The fixed excerpts whose activations are watched, evenly spread over `inputs` [n, ...]."""
    count = max(LEAST_WATCHED, min(MOST_WATCHED, len(inputs) // WATCHED_SHARE))
    return inputs[torch.linspace(0, len(inputs) - 1, count, device=inputs.device).round().long()]


def numbers(found: Tensors) -> dict[str, float]:
    """The values under `optim/`, as floats, fetched from the device at once."""
    return dict(zip((f"optim/{name}" for name in found), torch.stack(list(found.values())).tolist(), strict=True))
