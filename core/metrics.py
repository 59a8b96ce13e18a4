"""Metrics: one function each, whose docstring gives range, unit, better direction and source.

A docstring's first line is the sentence a page shows; then come `Range:`, `Unit:`, `Better:` and `Source:`.
Those here are of numbers: truth [n] and prediction [n], NaN where undefined (constant truth), never an exception; those
of classes are in core/classmetrics.py. `METRICS` has them all, and what trainers report of themselves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from core.classmetrics import (
    THRESHOLD,
    UNDEFINED,
    accuracy,
    f1,
    log_loss,
    lrap,
    macro_f1,
    macro_precision,
    macro_recall,
    macro_roc_auc,
    micro_f1,
    micro_precision,
    micro_recall,
    micro_roc_auc,
    one_hot,
    precision,
    recall,
    roc_auc,
)

PRIMARY = {"emotion": "ccc", "instruments": "macro_f1", "digits": "accuracy", "images": "accuracy"}
CLASS_TASKS = ("instruments", "digits", "images")
ONE_CLASS_TASKS = ("digits", "images")
"""Tasks whose labels are 0 or 1, and those among them where an item has exactly one class."""


@dataclass(frozen=True)
class Metric:
    """What a logged number means. `better` is "higher", "lower" or "neither"; `function` is None for what a
    trainer reports of itself (loss, learning rate) rather than what is computed from predictions."""

    name: str
    range: str
    unit: str
    better: str
    sentence: str
    function: Callable[..., float] | None
    source: str = ""

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the largest value it can have; infinite where its range says that, or no number."""
        low, _, high = self.range.replace("∞", "inf").partition(" to ")
        numbers = re.compile(r"-?(\d+(\.\d+)?|inf)")
        return (
            float(low) if numbers.fullmatch(low) else -math.inf,
            float(high) if numbers.fullmatch(high) else math.inf,
        )


def _usable(truth: np.ndarray, prediction: np.ndarray) -> bool:
    """Whether a continuous metric is defined: two items or more, all finite, and a truth that varies."""
    if len(truth) < 2 or not (np.isfinite(truth).all() and np.isfinite(prediction).all()):
        return False
    return not _is_constant(truth)


def _is_constant(values: np.ndarray) -> bool:
    return bool(np.ptp(values) <= 1e-12 * (1 + np.abs(values).max()))  # a mean over windows rounds


def ccc(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Concordance: 1 only where every prediction equals the label; a shift or a wrong scale lowers it.

    Range: -1 to 1. Unit: none. Better: higher.
    Source: Lin 1989, Biometrics 45(1), 255–268; 2 cov / (var + var + difference of means squared), divisor n
    """
    if not _usable(truth, prediction):
        return UNDEFINED
    covariance = np.mean((truth - truth.mean()) * (prediction - prediction.mean()))
    return float(2 * covariance / (truth.var() + prediction.var() + (truth.mean() - prediction.mean()) ** 2))


def r2(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Share of the labels' variance that is explained; 0 is what predicting their mean gets, below 0 is worse.

    Range: -∞ to 1. Unit: none. Better: higher.
    Source: coefficient of determination, 1 − residual / total sum of squares (scikit-learn r2_score)
    """
    from sklearn.metrics import r2_score

    return float(r2_score(truth, prediction)) if _usable(truth, prediction) else UNDEFINED


def mse(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Mean squared distance between prediction and label.

    Range: 0 to ∞. Unit: squared unit of the label. Better: lower.
    Source: scikit-learn mean_squared_error
    """
    if not len(truth) or not (np.isfinite(truth).all() and np.isfinite(prediction).all()):
        return UNDEFINED
    return float(np.mean((truth - prediction) ** 2))


def rmse(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Typical distance between prediction and label: the root of the mean squared error.

    Range: 0 to ∞. Unit: unit of the label. Better: lower.
    Source: scikit-learn root_mean_squared_error
    """
    return float(np.sqrt(mse(truth, prediction)))


def r(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Pearson correlation: whether predictions rise and fall with the labels, whatever their scale.

    Range: -1 to 1. Unit: none. Better: higher.
    Source: Pearson 1895, Proc. R. Soc. London 58, 240–242
    """
    if not _usable(truth, prediction) or _is_constant(prediction):
        return UNDEFINED
    return float(np.corrcoef(truth, prediction)[0, 1])


CONTINUOUS = (ccc, r2, rmse, r)
PER_CLASS = (f1, precision, recall, roc_auc)
OVER_CLASSES = (micro_f1, macro_f1, micro_precision, macro_precision, micro_recall, macro_recall)
RANKING = (micro_roc_auc, macro_roc_auc, lrap)

_REPORTED = (
    Metric("loss", "see the trainer", "see the trainer (cross-entropy in nats)", "lower",
           "What the trainer minimises; comparable between runs of one trainer and one objective only.", None),
    Metric("prior_loss", "0 to ∞", "nats", "neither",
           "Loss of a model that outputs the training labels' base rates and ignores its input.", None),
    Metric("learning_rate", "0 to ∞", "none", "neither", "Step size of the optimiser at this step.", None),
    Metric("scale_free_loss", "-∞ to ∞", "nats", "lower",
           "Loss of an encoder without the scale of its weights: loss + 2 · Σ ln ‖w‖ over hidden units.", None),
    Metric("weight_norm", "0 to ∞", "none", "neither", "Mean length of the hidden units' weight vectors.", None),
    Metric("weight_norm_squared", "0 to ∞", "none", "neither",
           "Mean squared length of the hidden units' weight vectors.", None),
    Metric("dead_units", "0 to the number of units", "units", "lower",
           "Hidden units whose activation has a variance below 0.01 on 2,000 fixed training items.", None),
    Metric("responsibility_change", "0 to 2", "none", "neither",
           "Mean L1 distance of an item's responsibilities before and after the epoch, on 2,000 fixed items.", None),
    Metric("responsibility_entropy", "0 to ln of the units", "nats", "neither",
           "Mean entropy of the responsibilities softmax(−a) over units, on 2,000 fixed training items.", None),
    Metric("active_share", "0 to 1", "none", "neither",
           "Share of activations above 0.01, on 2,000 fixed training items.", None),
    Metric("weight_norm_convolution", "0 to ∞", "none", "neither",
           "Length of a convolution's weights as one vector; batch normalisation makes its scale irrelevant.", None),
    Metric("weight_norm_dense", "0 to ∞", "none", "neither",
           "Length of the last layer's weights as one vector; it grows with the certainty of the answers.", None),
    Metric("l2_pull", "0 to ∞", "none", "neither",
           "How hard L2 pulls at a layer: 2 · weight_decay · ‖w‖ over the length of the gradient that the data gives, "
           "at the last step of the epoch; above 1 the weights shrink whatever the data say.", None),
    Metric("norm_mean", "-∞ to ∞", "none", "neither",
           "Mean over channels of what batch normalisation takes for their mean (of outputs after ReLU).", None),
    Metric("norm_variance", "0 to ∞", "none", "neither",
           "Mean over channels of what batch normalisation takes for their variance; 0 is a block that is dead.", None),
    Metric("zero_share", "0 to 1", "none", "neither",
           "Share of zeros after a block's ReLU, shown up to 64 fixed training excerpts as in use; 1 is a dead block.",
           None),
    Metric("gradient_norm", "0 to ∞", "loss per unit of weight", "neither",
           "Length of the gradient over all weights before clipping; a sudden rise announces divergence.", None),
)  # fmt: skip


def _described(function: Callable[..., float]) -> Metric:
    """The Metric that a function's docstring describes."""
    text = " ".join((function.__doc__ or "").split())
    form = r"(.+?) Range: (.+?)\. Unit: (.+?)\. Better: (higher|lower)\. Source: (.+)"
    found = re.fullmatch(form, text)
    assert found, f"the docstring of {function.__name__} lacks one of Range, Unit, Better, Source"
    sentence, value_range, unit, better, source = found.groups()
    return Metric(function.__name__, value_range, unit, better, sentence, function, source)


METRICS: dict[str, Metric] = {
    **{f.__name__: _described(f) for f in (*CONTINUOUS, mse, accuracy, log_loss, *PER_CLASS, *OVER_CLASSES, *RANKING)},
    **{metric.name: metric for metric in _REPORTED},
}


def about(name: str) -> Metric:
    """The Metric behind a logged name such as `validation/ccc_valence` or `optim/learning_rate`.

    Raises ValueError for a name that no metric explains.
    """
    bare = name.rpartition("/")[2]
    for candidate in sorted(METRICS, key=len, reverse=True):
        if bare == candidate or bare.startswith(candidate + "_"):
            return METRICS[candidate]
    raise ValueError(f"No metric explains the name {name!r}; there are {', '.join(METRICS)}.")


def primary(task: str) -> str:
    """The metric a board of this task is ranked by; "loss" where the task has none of its own."""
    return PRIMARY.get(task, "loss")


def per_item(
    task: str, truth: np.ndarray, prediction: np.ndarray, items: Sequence[str] | np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One row per item: predictions averaged, truth averaged (emotion) or its maximum (instruments).

    Returns truth [m, labels], prediction [m, labels] and the row [m] where each item first occurs, items in name
    order. Without `items` every row is its own item.
    """
    truth, prediction = np.asarray(truth, dtype=float), np.asarray(prediction, dtype=float)
    assert truth.shape == prediction.shape and truth.ndim == 2, (truth.shape, prediction.shape)
    if items is None:
        return truth, prediction, np.arange(len(truth))
    assert len(items) == len(truth), (len(items), len(truth))
    names, first, which = np.unique(np.asarray(items, dtype=str), return_index=True, return_inverse=True)
    if len(names) == len(truth):
        return truth[first], prediction[first], first
    counts = np.bincount(which, minlength=len(names))[:, None]

    def mean(values: np.ndarray) -> np.ndarray:
        total = np.zeros((len(names), values.shape[1]))
        np.add.at(total, which, values)
        return total / counts

    if task != "instruments":
        return mean(truth), mean(prediction), first
    highest = np.zeros((len(names), truth.shape[1]))
    np.maximum.at(highest, which, truth)
    return highest, mean(prediction), first


def score(
    task: str,
    truth: np.ndarray,
    prediction: np.ndarray,
    labels: Sequence[str],
    items: Sequence[str] | np.ndarray | None = None,
    threshold: float = THRESHOLD,
) -> dict[str, float]:
    """All metrics of a task by name, computed per item; what is undefined is left out.

    truth and prediction are [n, labels], `items` n names (rows of one item are averaged first). "emotion" gives
    ccc_, r2_, rmse_ and r_ of each label, and their means `ccc` and `r2`; "instruments" accuracy, F1, precision,
    recall and ROC-AUC (micro, macro, per class) and lrap; "digits" and "images", where the highest score is the answer,
    accuracy, macro_f1 and log_loss, and f1_ of each class. A task without metrics of its own gives {}.
    """
    truth, prediction, _ = per_item(task, truth, prediction, items)
    assert truth.shape[1] == len(labels), (truth.shape, labels)
    values: dict[str, float] = {}
    if task == "emotion":
        for k, label in enumerate(labels):
            values |= {f"{f.__name__}_{label}": f(truth[:, k], prediction[:, k]) for f in CONTINUOUS}
        for name in ("ccc", "r2"):
            values[name] = float(np.mean([values[f"{name}_{label}"] for label in labels]))
    elif task == "instruments":
        values["accuracy"] = accuracy(truth, prediction)
        values |= {f.__name__: f(truth, prediction, threshold) for f in OVER_CLASSES}
        values |= {f.__name__: f(truth, prediction) for f in RANKING}
        for k, label in enumerate(labels):
            for f in (f1, precision, recall):
                values[f"{f.__name__}_{label}"] = f(truth[:, k], prediction[:, k], threshold)
            values[f"roc_auc_{label}"] = roc_auc(truth[:, k], prediction[:, k])
    elif task in ONE_CLASS_TASKS and np.isfinite(prediction).all():
        answer = one_hot(prediction)
        values = {"accuracy": accuracy(truth, prediction), "macro_f1": macro_f1(truth, answer)}
        values |= {"log_loss": log_loss(truth, prediction)}
        values |= {f"f1_{label}": f1(truth[:, k], answer[:, k]) for k, label in enumerate(labels)}
    return {name: value for name, value in values.items() if np.isfinite(value)}


def baseline(task: str, train_targets: np.ndarray, n: int) -> np.ndarray:
    """What a model without ears predicts for n items, [n, labels]: the mean of the training labels.

    For classes that mean is each class's base rate, so its highest entry is the majority class.
    """
    assert len(train_targets), f"no training targets for a {task} baseline"
    return np.tile(np.asarray(train_targets, dtype=float).mean(axis=0), (n, 1))
