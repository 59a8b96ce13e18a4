"""Rules over a run's curves: what is wrong, how one sees it, and what to do.

A rule is a function of a run's history that gives a `Diagnosis` or None. Each names its threshold and where that comes
from. Curves are read at whole epochs; a rule whose curves are not there says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from core import convergence, criteria, curves
from core.wording import percent_text

SERIOUS, WARNING, NOTE = "serious", "warning", "note"
SEVERITIES = (SERIOUS, WARNING, NOTE)


@dataclass(frozen=True)
class Diagnosis:
    """What a rule found: `evidence` are the numbers it judged, `first` and `last` the epochs that show it."""

    rule: str
    severity: str
    sentence: str
    evidence: dict[str, float]
    first: float
    last: float
    threshold: str
    source: str
    remedy: str


@dataclass(frozen=True)
class History:
    """A run's curves, metric name → (epochs [n], values [n]), and what is known beside them.

    `prior_loss` is the loss of a model that outputs the base rates (`base_rate_loss`); `units` how many units can die.
    """

    curves: Mapping[str, tuple[np.ndarray, np.ndarray]]
    prior_loss: float | None = None
    units: int | None = None

    def pair(self, name: str) -> tuple[pd.Series, pd.Series] | None:
        """Train and validation of a metric at the epochs that have both; None where one is missing."""
        both = [self.series(f"{part}/{name}") for part in ("train", "validation")]
        if both[0] is None or both[1] is None:
            return None
        shared = both[0].index.intersection(both[1].index)
        return (both[0].loc[shared], both[1].loc[shared]) if len(shared) else None

    def series(self, name: str) -> pd.Series | None:
        """A metric by epoch, what is not finite left out; None where nothing is left."""
        if name not in self.curves:
            return None
        epoch, value = (np.asarray(part, dtype=float) for part in self.curves[name])
        kept = np.isfinite(epoch) & np.isfinite(value)
        found = pd.Series(value[kept], epoch[kept])
        found = found[~found.index.duplicated(keep="last")].sort_index()
        return found if len(found) else None


@dataclass(frozen=True)
class Rule:
    """A rule and what a page says of it without a run."""

    name: str
    threshold: str
    source: str
    remedy: str
    look: Callable[[History], tuple[str, str, dict[str, float], float, float] | None] = field(repr=False)


def history(metrics: pd.DataFrame, *, prior_loss: float | None = None, units: int | None = None) -> History:
    """A run's history from its metric rows (epoch, name, value): whole epochs where a metric has any."""
    found = {}
    for name, rows in metrics.groupby("name"):
        whole = criteria.per_epoch(rows.assign(run=name)).get(str(name))
        kept = whole if whole is not None and len(whole[0]) else (rows["epoch"].to_numpy(), rows["value"].to_numpy())
        broken = rows[~np.isfinite(rows["value"].astype(float))]
        if len(broken):  # a curve that ends in NaN must not look like one that ended well
            kept = (rows["epoch"].to_numpy(float), rows["value"].to_numpy(float))
        found[str(name)] = kept
    return History(found, prior_loss, units)


def diagnose(of: History) -> list[Diagnosis]:
    """What the rules find, the serious first."""
    found = []
    for rule in RULES:
        said = rule.look(of)
        if said is not None:
            severity, sentence, evidence, first, last = said
            found.append(
                Diagnosis(rule.name, severity, sentence, evidence, first, last, rule.threshold, rule.source,
                          rule.remedy)
            )  # fmt: skip
    return sorted(found, key=lambda one: SEVERITIES.index(one.severity))


def base_rate_loss(rates: Sequence[float] | np.ndarray, *, is_multi_label: bool) -> float:
    """The cross-entropy (nats) of a model that outputs the base rates: the mean binary entropy per label, else that of
    the class frequencies (which are brought to sum 1). H(1/11) is .3046, ten equal classes ln 10 = 2.303."""
    p = np.clip(np.asarray(rates, dtype=float), 1e-12, 1.0)
    if is_multi_label:
        q = np.clip(1 - p, 1e-12, 1.0)
        return float(np.mean(-p * np.log(p) - q * np.log(q)))
    p = p / p.sum()
    return float(-(p * np.log(p)).sum())


def contradiction(claimed: float, logged: float, sd: float = 0.0, digit: float = 0.01) -> str:
    """A sentence where a claimed number is further from the logged one than 3 s.d. or rounding allow; else empty."""
    allowed = max(3 * sd, digit)
    if abs(claimed - logged) <= allowed:
        return ""
    return (
        f"The claim says {claimed:g}, the log {logged:g}: {abs(claimed - logged):.3g} apart, {allowed:.2g} is allowed."
    )


# ---- the rules: (severity, sentence, evidence, first epoch, last epoch) or None ----

Said = tuple[str, str, dict[str, float], float, float] | None


def _diverged(of: History) -> Said:
    for name, (epoch, value) in of.curves.items():
        bad = np.flatnonzero(~np.isfinite(np.asarray(value, dtype=float)))
        if len(bad) and name.endswith("loss"):
            at = float(epoch[bad[0]])
            return SERIOUS, f"{name} is no number from epoch {at:g} on.", {"epoch": at}, at, float(epoch[-1])
    return None


def _last(series: pd.Series) -> float:
    """The mean of the last twentieth."""
    return float(series.iloc[-max(1, len(series) // 20) :].mean())


def _train_accuracy(of: History) -> float | None:
    series = of.series("train/accuracy")
    return None if series is None else _last(series)


def _evaluation(of: History) -> Said:
    """Validation far worse than training while training itself is not good yet: no room to have over-fitted."""
    pair, accuracy = of.pair("loss"), _train_accuracy(of)
    if pair is None or accuracy is None or accuracy >= 0.9:
        return None
    train, validation = _last(pair[0]), _last(pair[1])
    if train <= 0 or validation <= 3 * train:
        return None
    said = (
        f"Validation loss is {validation:.3g}, {validation / train:.1f} times the training loss of {train:.3g}, while "
        f"training accuracy is only {percent_text(accuracy, 1)}: that is no over-fitting but evaluation."
    )
    evidence = {"train_loss": train, "validation_loss": validation, "train_accuracy": accuracy}
    return SERIOUS, said, evidence, float(pair[0].index[0]), float(pair[0].index[-1])


def _memorised(of: History) -> Said:
    loss, accuracy = of.series("train/loss"), of.series("train/accuracy")
    if loss is None or accuracy is None or _last(accuracy) < 0.999 or not 0 <= _last(loss) < 1e-3:
        return None
    first = float(accuracy.index[np.argmax(accuracy.to_numpy() >= 0.999)])
    evidence = {"train_accuracy": _last(accuracy), "train_loss": _last(loss)}
    validation = of.pair("accuracy")
    beside = f", and {percent_text(_last(validation[1]), 1)} of the others" if validation else ""
    said = (
        f"It knows {percent_text(_last(accuracy), 1)} of its training items by heart from epoch {first:g} on{beside}."
    )
    return WARNING, said, evidence, first, float(accuracy.index[-1])


def _overfitting(of: History) -> Said:
    """(validation − train) / train above .1, with validation past its best, or an accuracy gap of .1 (.07 above .9)."""
    if _evaluation(of) is not None:
        return None
    loss, accuracy = of.pair("loss"), of.pair("accuracy")
    if accuracy is not None:
        train, validation = _last(accuracy[0]), _last(accuracy[1])
        if train - validation >= (0.07 if train > 0.9 else 0.1):
            ratio = float("inf")
            if loss is not None and _last(loss[0]) > 0.5e-3:  # a loss printed as .000 gives no ratio
                ratio = _last(loss[1]) / _last(loss[0]) - 1
            both = f"Training accuracy {percent_text(train, 1)}, validation {percent_text(validation, 1)}"
            said = f"{both}: a gap of {percent_text(train - validation, 1)}."
            evidence = {"gap": train - validation, "ratio": ratio}
            return WARNING, said, evidence, *_since_best(accuracy[1], higher=True)
    if loss is None or len(loss[0]) < 6:
        return None
    train, validation = loss
    best = float(validation.idxmin())
    rose = _last(validation) - float(validation.min())
    fell = float(train.loc[best]) - _last(train)
    span = float(validation.iloc[0] - validation.min())
    gap = _last(validation) - _last(train)
    if rose <= 0.1 * max(abs(float(validation.min())), span) or fell <= 0 or gap <= 0.1 * abs(_last(train)):
        return None
    said = f"Validation loss rose by {rose:.3g} since epoch {best:g}, while training loss fell by another {fell:.3g}."
    return WARNING, said, {"rose": rose, "fell": fell, "best_epoch": best}, best, float(validation.index[-1])


def _since_best(series: pd.Series, *, higher: bool) -> tuple[float, float]:
    return float(series.idxmax() if higher else series.idxmin()), float(series.index[-1])


def _prior(of: History) -> Said:
    """A loss within 2 % of the base-rate loss for 5 epochs, or R² or CCC within .02 of 0."""
    checks = [("train/loss", of.prior_loss), ("validation/loss", of.prior_loss)]
    checks += [(f"validation/{name}", 0.0) for name in ("r2", "ccc")]
    for name, prior in checks:
        series = of.series(name)
        if series is None or prior is None:
            continue
        stretch = convergence.on_prior(series.index.to_numpy(float), series.to_numpy(), prior)
        if stretch is not None:
            is_still = stretch[1] >= series.index[-1]
            end = "the end" if is_still else f"epoch {stretch[1]:g}"
            said = (
                f"{name} stands at {float(series.loc[slice(*stretch)].mean()):.4f} from epoch {stretch[0]:g} to "
                f"{end}; a model that outputs the base rates and ignores its input has {prior:.4f}."
            )
            evidence = {"prior": prior, "epochs": stretch[1] - stretch[0] + 1}
            return SERIOUS if is_still else NOTE, said, evidence, *stretch
    return None


def _dead(of: History) -> Said:
    series = of.series("train/dead_units")
    if series is None or not of.units or _last(series) < 0.5:
        return None
    n, share = _last(series), _last(series) / of.units
    severity = SERIOUS if share > 0.5 else WARNING if share > 0.1 else NOTE
    first = float(series.index[np.argmax(series.to_numpy() > 0)])
    said = f"{n:.0f} of {of.units} units never change ({percent_text(share)})."
    return severity, said, {"dead": n, "share": share}, first, float(series.index[-1])


def _discriminator(of: History) -> Said:
    """D's loss near 0 while G's is high and rising: G gets no gradient to learn from."""
    d, g = of.series("train/discriminator_loss"), of.series("train/generator_loss")
    if d is None or g is None or len(d) < 3 or len(g) < 3:
        return None
    low = d < 0.01
    if not low.iloc[-3:].all() or _last(g) < 1.2 * max(float(g.iloc[: max(1, len(g) // 10)].mean()), 0.69):
        return None
    last_high = d.index[~low]
    first = float(d.index[d.index > last_high[-1]][0]) if len(last_high) else float(d.index[0])
    said = f"The discriminator's loss is {_last(d):.4f} from epoch {first:g} on and the generator's is {_last(g):.1f}."
    return SERIOUS, said, {"discriminator": _last(d), "generator": _last(g)}, first, float(d.index[-1])


def _unlimited(of: History) -> Said:
    series = of.series("train/loss")
    series = None if series is None else series[series.index > 0]
    if series is None or len(series) < 20:
        return None
    later = series[series.index > series.index[-1] / 10]
    found = convergence.classify(series.index.to_numpy(float), series.to_numpy())
    if found.kind != convergence.IMPROVING or len(later) < 10:
        return None
    fits = curves.fit(later.index.to_numpy(float), later.to_numpy())
    if not fits.has_no_limit or fits.best.law != curves.LOGARITHM or fits.best.parameters["b"] <= 0:
        return None
    fall = fits.best.parameters["b"]
    said = (
        f"The loss falls by {fall:.3g} with every factor 2.72 in epochs and has no limit: it crosses any threshold θ "
        f"per epoch at epoch {fall:.3g}/θ, and that epoch means nothing by itself."
    )
    return NOTE, said, {"per_log_epoch": fall, "lead": fits.lead}, float(later.index[0]), float(later.index[-1])


RULES: tuple[Rule, ...] = (
    Rule("diverged", "a loss that is no number", "AutoTrainer, Zhang et al. 2021",
         "Lower the learning rate by ten, or clip the gradient.", _diverged),
    Rule("discriminator won", "D loss below .01 for 3 epochs, G loss 1.2 times its start or more",
         "this lab's own, after a published GAN run (D .0000, G 98.7)",
         "Train D less often or with noise on its inputs, lower its learning rate, or label real items .9.",
         _discriminator),
    Rule("evaluation trouble", "validation loss above 3 × training loss at a training accuracy below 90 %",
         "this lab's own, after a published ResNet run (57.5 % / 18.4 %)",
         "Check that validation goes through the same preprocessing and that batch norm has settled statistics; then "
         "the learning rate.", _evaluation),
    Rule("prior plateau", "within 2 % of the base-rate loss, or .02 of R² = 0, for 5 epochs",
         "entropy of the base rates; this lab's own margin",
         "Check inputs and labels belong together; raise the learning rate, weigh rare classes, or warm up.", _prior),
    Rule("memorised", "training accuracy 99.9 % or more at a loss below .001", "this lab's own",
         "Nothing is left to learn from these items: stop earlier, add data, augmentation or weight decay.",
         _memorised),
    Rule("over-fitting", "accuracy gap .1 (.07 above 90 %), or validation loss 10 % past its best while training falls",
         "AutoTrainer, Zhang et al. 2021; SageMaker Debugger's Overfit",
         "Stop at the best validation epoch; more data, augmentation, dropout or weight decay.", _overfitting),
    Rule("dead units", "units with variance below .01: any is noted, 10 % a warning, 50 % serious",
         "SageMaker Debugger's DeadRelu (50 % of a layer)",
         "Lower the learning rate, initialise smaller, or use a leaky activation.", _dead),
    Rule("no limit in sight", "a logarithm beats the laws with a limit by AICc", "Hurvich & Tsai 1989",
         "Judge by a relative or scale-free criterion, and bound the scale (normalise rows, a hinge).", _unlimited),
)  # fmt: skip
