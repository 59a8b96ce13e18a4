"""Linear probes of frozen features: what a linear model can read from them.

The final one is multinomial logistic regression on standardised features with the penalty ½‖weights‖² against the
summed cross-entropy: scikit-learn's LogisticRegression(), brought closer to the same optimum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

TOLERANCE = 1e-5
"""Largest gradient, per item, at which the fit ends; a tenth of where scikit-learn stops."""
MOST_STEPS = 300
FEW_ROWS = 6000


def standard(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each column of [n, units] in float64; a constant column gets 1."""
    mean = features.mean(dim=0, dtype=torch.float64)
    sd = torch.stack([(features[:, k].double() - mean[k]).square().mean().sqrt() for k in range(features.shape[1])])
    return mean, torch.where(sd > 1e-9 * (1 + mean.abs()), sd, 1.0)


def logistic(features: torch.Tensor, classes: torch.Tensor, n_classes: int) -> dict[str, Any]:
    """The probe of features [n, units] and classes [n] (whole numbers): its mean, sd, weights and biases.

    The columns are whitened first, penalty and all: the same optimum, in tens of steps instead of hundreds.
    """
    mean, sd = standard(features)
    z = (features.contiguous().double() - mean) / sd
    n, units = z.shape
    covariance = z.T @ z / n + 1e-6 * torch.eye(units, dtype=torch.float64)
    root = torch.linalg.cholesky(covariance)
    z = torch.linalg.solve_triangular(root, z.T, upper=False).T.contiguous()
    back = torch.linalg.inv(root)  # weights on z are weights on the whitened columns times this
    penalty = back @ back.T / n
    wanted = torch.zeros(n, n_classes, dtype=torch.float64).scatter_(1, classes[:, None], 1.0)
    weights = torch.zeros(units + 1, n_classes, dtype=torch.float64)
    if n > 2 * FEW_ROWS:  # most of the way is cheaper on a few rows, taken evenly
        few = slice(None, None, n // FEW_ROWS)
        weights = _minimum(z[few].contiguous(), wanted[few].contiguous(), penalty, weights)
    weights = _minimum(z, wanted, penalty, weights)
    return _card(mean, sd, (weights[:-1].T @ back).numpy(), weights[-1].numpy())


def _minimum(z: torch.Tensor, wanted: torch.Tensor, penalty: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weights and biases [units + 1, classes] of least mean cross-entropy + ½ Σ w·(penalty w), found from `weights`."""
    from scipy.optimize import minimize  # torch's own would import its compiler, which takes seconds

    n = len(z)

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = torch.from_numpy(flat).view(weights.shape)
        logits = torch.addmm(w[-1], z, w[:-1])
        total = torch.logsumexp(logits, dim=1, keepdim=True)
        pulled = penalty @ w[:-1]
        loss = (total.sum() - (logits * wanted).sum()) / n + 0.5 * (w[:-1] * pulled).sum()
        slope = logits.sub_(total).exp_().sub_(wanted).div_(n)
        gradient = torch.cat([z.T @ slope + pulled, slope.sum(dim=0, keepdim=True)])
        return float(loss), gradient.numpy().ravel()

    limits = {"gtol": TOLERANCE, "ftol": 0.0, "maxcor": 20, "maxiter": MOST_STEPS}
    found = minimize(loss_and_gradient, weights.numpy().ravel(), jac=True, method="L-BFGS-B", options=limits)
    return torch.from_numpy(found.x).view(weights.shape)


def discriminant(features: torch.Tensor, classes: torch.Tensor, n_classes: int) -> dict[str, Any]:
    """A linear discriminant, shrunk a little, in closed form: a rough probe that costs next to nothing."""
    mean, sd = standard(features)
    z = (features.double() - mean) / sd
    wanted = torch.nn.functional.one_hot(classes, n_classes).double()
    counts = wanted.sum(dim=0).clamp(min=1)
    centres = wanted.T @ z / counts[:, None]
    spread = z - centres[classes]
    covariance = spread.T @ spread / len(z) + 0.1 * torch.eye(z.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(covariance, centres.T).T
    biases = torch.log(counts / len(z)) - 0.5 * (weights * centres).sum(dim=1)
    return _card(mean, sd, weights.numpy(), biases.numpy())


def _card(mean: torch.Tensor, sd: torch.Tensor, weights: np.ndarray, biases: np.ndarray) -> dict[str, Any]:
    names = ("feature_mean", "feature_sd", "probe_weights", "probe_biases")
    return dict(zip(names, (mean.numpy(), sd.numpy(), weights, biases), strict=True))


def probabilities(features: np.ndarray, probe: dict[str, Any]) -> np.ndarray:
    """Probability of each class [n, classes] for features [n, units], by either probe."""
    z = (np.asarray(features, dtype=np.float64) - probe["feature_mean"]) / probe["feature_sd"]
    logits = z @ np.asarray(probe["probe_weights"]).T + probe["probe_biases"]
    logits = np.exp(logits - logits.max(axis=1, keepdims=True))
    return logits / logits.sum(axis=1, keepdims=True)


def nothing(units: int, n_classes: int) -> dict[str, Any]:
    """The probe of features that are no numbers: every class is as likely as the others."""
    zeros = torch.zeros(units, dtype=torch.float64)
    return _card(zeros, zeros + 1, np.zeros((n_classes, units)), np.zeros(n_classes))
