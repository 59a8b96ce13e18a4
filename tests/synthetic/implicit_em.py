"""Runs of the decoder-free encoder made from the laws its loss should follow, and from the report's claims instead.

Under the laws ‖w‖² grows by 4·lr per step (SGD) or ‖w‖ by a multiple of lr per epoch (Adam), and L = F − K·ln ‖w‖²
with F nearly constant. Other worlds replace one of these: a loss with a limit, weights that stay, dead units that cost
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from core.verdicts import Runs

STEPS = 469  # per epoch
RATES = (0.0001, 0.001, 0.01, 0.1)
World = Callable[..., dict[str, Any]]


def by_law(optimizer: str, rate: float, k: int, t: np.ndarray, noise: np.random.Generator) -> dict[str, Any]:
    """Curves [epochs] and finals of one run where all laws hold."""
    squared = 1 / 3 + 4 * rate * STEPS * t if optimizer == "sgd" else (0.6 + 1200 * rate * t) ** 2
    free = -343.0 - 0.5 * np.log(t) + 0.1 * noise.standard_normal(len(t))
    return {
        "train/scale_free_loss": free,
        "train/loss": free - k * np.log(squared),
        "train/weight_norm_squared": squared,
        "train/weight_norm": np.sqrt(squared),
        "train/responsibility_change": 0.12 / t * np.exp(0.02 * noise.standard_normal(len(t))),
        "train/dead_units": np.zeros(len(t)),
        "test/accuracy": 0.93 + 0.0015 * noise.standard_normal(),
    }


def with_limit(optimizer: str, rate: float, k: int, t: np.ndarray, noise: np.random.Generator) -> dict[str, Any]:
    """A world as the report has it: the loss falls to a limit and its changes pass 1 per epoch at epoch 69."""
    loss = -600.0 + 10 * np.exp(-(t - 69) / 10) + 0.05 * noise.standard_normal(len(t))
    change = 0.12 / t * np.where(t > 70, 0.05, 1.0)
    settled = {"train/loss": loss, "train/responsibility_change": change, "train/weight_norm": np.full(len(t), 5.0)}
    settled |= {"train/scale_free_loss": loss, "train/weight_norm_squared": np.full(len(t), 25.0)}
    return by_law(optimizer, rate, k, t, noise) | settled


def at_different_epochs(
    optimizer: str, rate: float, k: int, t: np.ndarray, noise: np.random.Generator
) -> dict[str, Any]:
    """Each learning rate has its own epoch of convergence, 20 to 95."""
    at = {0.0001: 95, 0.001: 70, 0.01: 45, 0.1: 20}[rate]
    loss = -600.0 + 5 * np.exp(-(t - at) / 5) + 0.05 * noise.standard_normal(len(t))
    return by_law(optimizer, rate, k, t, noise) | {"train/loss": loss}


def changed(**finals: Any) -> World:
    """The laws, but with these finals or curves: values, or functions of (optimizer, rate, k, t, noise)."""

    def world(*about: Any) -> dict[str, Any]:
        return by_law(*about) | {
            name.replace("__", "/"): value(*about) if callable(value) else value for name, value in finals.items()
        }

    return world


def made(
    world: World = by_law,
    *,
    seeds: Sequence[int] = (1, 2, 3),
    epochs: int = 100,
    stages: Sequence[tuple[str, str, float, int]] = (),
    diverged: Sequence[int] = (),
    failed: Sequence[int] = (),
    order: str = "mixed",
    together: bool = False,
    rest: World | None = None,
    slower: float = 1.1,
    seconds_sd: float = 0.01,
) -> Runs:
    """The main grid, and cells of `stages` (stage, optimizer, rate, units), all with these seeds.

    `diverged` and `failed` are numbers of runs that did; `rest` is the world of stages beside main and width;
    `slower` is Adam's time over SGD's (1.1: SGD takes 9 % less), with this scatter of its logarithm; in order "blocks"
    all of SGD ran first.
    """
    cells = [("main", o, rate, 64) for o in ("adam", "sgd") for rate in RATES] + list(stages)
    noise = np.random.default_rng(5)
    t = np.arange(1.0, epochs + 1)
    rows: list[dict[str, Any]] = []
    curves: dict[str, list[Any]] = {}
    for number, (stage, optimizer, rate, k) in enumerate(cells):
        for seed in seeds:
            chosen = world if rest is None or stage in ("main", "width") else rest
            values = chosen(optimizer, rate, k, t, noise)
            run = f"r{len(rows)}"
            last = {name: v[-1] if isinstance(v, np.ndarray) else v for name, v in values.items()}
            seconds = 140 * (slower if optimizer == "adam" else 1.0)
            seconds *= float(np.exp(seconds_sd * noise.standard_normal()))
            state = "diverged" if len(rows) in diverged else "failed" if len(rows) in failed else "done"
            rows.append(
                {"run": run, "stage": stage, "cell": number, "config_id": f"c{number}", "seed": seed,
                 "state": state, "diverged": state == "diverged",
                 "seconds": np.nan if together else seconds, "together": together, "optimizer": optimizer,
                 "epoch_seconds": np.nan if together else seconds / epochs,
                 "learning_rate": rate, "hidden_units": k, "schedule": "constant", **last}
            )  # fmt: skip
            for name, curve in values.items():
                if isinstance(curve, np.ndarray):
                    curves.setdefault(name, []).append((run, number, seed, curve))
    results = _ordered(pd.DataFrame(rows), order)
    return Runs(results, lambda metric: _frame(curves.get(metric, []), t), ("optimizer", "learning_rate"))


def _frame(curves: list[tuple[str, int, int, np.ndarray]], t: np.ndarray) -> pd.DataFrame:
    runs, cells, seeds, values = zip(*curves, strict=True) if curves else ((), (), (), ())
    n = len(t)
    return pd.DataFrame(
        {"run": pd.Series(np.repeat(np.asarray(runs, dtype=object), n), dtype=str), "cell": np.repeat(cells, n),
         "seed": np.repeat(seeds, n), "step": np.tile((STEPS * t).astype(int), len(runs)),
         "epoch": np.tile(t, len(runs)), "value": np.concatenate(values) if values else np.array([])}
    )  # fmt: skip


def _ordered(results: pd.DataFrame, order: str) -> pd.DataFrame:
    """One after another: started_at and ended_at, in seconds."""
    n = len(results)
    turn = np.random.default_rng(2).permutation(n)
    if order == "blocks":
        turn = np.argsort(np.argsort(results["optimizer"] != "sgd", kind="stable"))
    return results.assign(started_at=200.0 * turn, ended_at=200.0 * turn + 150)


def _accuracy(rule: Callable[[str, float, np.random.Generator], float]) -> World:
    return changed(test__accuracy=lambda optimizer, rate, k, t, noise: rule(optimizer, rate, noise))


def _dead(cost: float, sd: float) -> World:
    """0 to 7 dead units in SGD's runs, each of which costs this many nats of the final loss."""

    def world(optimizer: str, rate: float, k: int, t: np.ndarray, noise: np.random.Generator) -> dict[str, Any]:
        values = by_law(optimizer, rate, k, t, noise)
        n = int(noise.integers(0, 8)) if optimizer == "sgd" else 0
        loss = values["train/loss"] + cost * n + sd * noise.standard_normal()
        return values | {"train/dead_units": np.full(len(t), float(n)), "train/loss": loss}

    return world


def _loss(rule: Callable[..., np.ndarray]) -> World:
    return changed(train__loss=rule)


def _orders(loss_decides: float, sd: float = 0.001) -> World:
    """The probe follows the final loss by so much, plus noise."""

    def world(*about: Any) -> dict[str, Any]:
        values = by_law(*about)
        follows = -loss_decides * float(values["train/loss"][-1] + 900) / 300
        return values | {"test/accuracy": 0.93 + 0.003 * follows + sd * about[-1].standard_normal()}

    return world


def _scaled(sd: float) -> World:
    """The laws, but with as many nats per ln(epoch) as each run happens to have: K times e^(sd · noise)."""

    def world(optimizer: str, rate: float, k: int, t: np.ndarray, noise: np.random.Generator) -> dict[str, Any]:
        values = by_law(optimizer, rate, k, t, noise)
        own = float(np.exp(sd * noise.standard_normal()))
        return values | {"train/loss": -343.0 - own * k * np.log(values["train/weight_norm_squared"])}

    return world


def _settling(sd_epochs: float) -> World:
    """A limit, as the report has it, but each run comes to it at an epoch of its own."""

    def world(*about: Any) -> dict[str, Any]:
        t, noise = about[-2:]
        at = 69 + sd_epochs * noise.standard_normal()
        return with_limit(*about) | {"train/loss": -600.0 + 10 * np.exp(-(t - at) / 10)}

    return world


def _powers(metric: str, mean: float, sd: float, after: float = 0.0) -> World:
    """A curve that goes as epoch^p after this epoch, with a p of each run's own."""

    def curve(optimizer: str, rate: float, k: int, t: np.ndarray, noise: np.random.Generator) -> np.ndarray:
        return (t / max(after, 1.0)) ** np.where(t > after, mean + sd * noise.standard_normal(), -1.0)

    return changed(**{metric: curve})


def _lengths(sd: float) -> World:
    """Weights whose squared length is the predicted one times e^(sd · noise)."""

    def curve(optimizer: str, rate: float, k: int, t: np.ndarray, noise: np.random.Generator) -> np.ndarray:
        return by_law(optimizer, rate, k, t, noise)["train/weight_norm_squared"] * np.exp(sd * noise.standard_normal())

    return changed(train__weight_norm_squared=curve)


def _free(sd: float) -> World:
    """A scale-free loss that falls as a share of each run's own of what the loss falls."""

    def curve(optimizer: str, rate: float, k: int, t: np.ndarray, noise: np.random.Generator) -> np.ndarray:
        return sd * abs(noise.standard_normal()) * by_law(optimizer, rate, k, t, noise)["train/loss"]

    return changed(train__scale_free_loss=curve)


def _shifted(sd_nats: float) -> World:
    """Final losses that are off by this much from run to run."""
    return _loss(lambda *about: by_law(*about)["train/loss"] + sd_nats * about[-1].standard_normal())


WIDTHS = [("width", o, rate, k) for k in (32, 128) for o in ("adam", "sgd") for rate in (0.001, 0.01)]
OTHERS = [("momentum", "momentum", 0.001, 64), ("momentum", "momentum", 0.01, 64), ("adamw", "adamw", 0.001, 64),
          ("adamw", "adamw", 0.001, 64),
          *[("schedules", o, 0.01, 64) for o in ("adam", "adam", "sgd", "sgd")]]  # fmt: skip
REST = [*OTHERS, *[("remedies", o, rate, 64) for o in ("adam", "sgd") for rate in (0.001, 0.01)],
        *[("alone", o, rate, 64) for o in ("adam", "sgd") for rate in RATES]]  # fmt: skip
STEADY = _loss(lambda optimizer, rate, k, t, noise: -9.0 * t)
FIXED_EPOCH = _loss(lambda optimizer, rate, k, t, noise: -600 + 10 * np.exp(-(t - 69) / 10))
AT_RANDOM = _loss(lambda optimizer, rate, k, t, noise: -(3.0 if noise.random() < 0.5 else 9.0) * t)
ONE_SEED = made(seeds=(1,))

CASES: dict[str, dict[str, Runs]] = {
    "sgd-epoch-70": {
        "true": made(with_limit),
        "false": made(at_different_epochs),
        "artefact": made(),
        "underpowered": made(_settling(18.0)),
        "lacking": ONE_SEED,
    },
    "adam-never": {
        "true": made(STEADY),
        "false": made(with_limit),
        "artefact": made(),
        "underpowered": made(AT_RANDOM),
        "lacking": made(epochs=30),
    },
    "adam-orbits": {
        "true": made(with_limit),
        "false": made(),
        "underpowered": made(_powers("train__weight_norm", 0.3, 0.5)),
        "lacking": ONE_SEED,
    },
    "responsibilities": {
        "true": made(with_limit),
        "false": made(),
        "underpowered": made(_powers("train__responsibility_change", -5.0, 4.0, after=60.0)),
        "lacking": made(epochs=60),
    },
    "sgd-faster": {
        "true": made(),
        "false": made(slower=0.99),
        "underpowered": made(seconds_sd=0.25),
        "lacking": made(together=True),
    },
    "equivalent-features": {
        "true": made(_accuracy(lambda o, rate, noise: 0.935 + 0.001 * noise.standard_normal())),
        "false": made(_accuracy(lambda o, rate, noise: 0.935 + 0.02 * (o == "sgd") + 0.001 * noise.standard_normal())),
        "underpowered": made(_accuracy(lambda o, rate, noise: 0.935 + 0.008 * noise.standard_normal())),
    },
    "wide-stable-range": {
        "true": made(),
        "false": made(diverged=(4,)),
        "underpowered": ONE_SEED,  # noise does not make it unclear, but false
        "lacking": made(failed=(4,)),
    },
    "loss-is-not-features": {
        "true": made(),
        "false": made(_orders(1.0, 0.0002)),
        "underpowered": made(_orders(1.0, 0.0045)),
    },
    "simple-is-enough": {
        "true": made(stages=OTHERS),
        "false": made(
            _accuracy(lambda o, rate, noise: 0.93 + 0.03 * (o == "momentum") + 0.001 * noise.standard_normal()),
            stages=OTHERS,
        ),
        "underpowered": made(_accuracy(lambda o, rate, noise: 0.93 + 0.01 * noise.standard_normal()), stages=OTHERS),
        "lacking": made(stages=OTHERS[:6]),
    },
    "sgd-law": {
        "true": made(_scaled(0.02), stages=[*WIDTHS, *REST], epochs=160, rest=STEADY),
        "false": made(FIXED_EPOCH, stages=WIDTHS, epochs=160),
        "underpowered": made(_scaled(0.3), stages=WIDTHS, epochs=160),
        "lacking": made(),
    },
    "adam-law": {
        "true": made(_scaled(0.02), stages=[*WIDTHS, *REST], epochs=160, rest=STEADY),
        "false": made(FIXED_EPOCH, stages=WIDTHS, epochs=160),
        "underpowered": made(_scaled(0.5), stages=WIDTHS, epochs=160),
        "lacking": made(),
    },
    "scale-free": {
        "true": made(),
        "false": made(with_limit),
        "underpowered": made(_free(0.1)),
        "lacking": made(epochs=15),
    },
    "weight-law": {
        "true": made(),
        "false": made(with_limit),
        "underpowered": made(_lengths(0.1)),
        "lacking": ONE_SEED,
    },
    "rate-shift": {
        "true": made(),
        "false": made(with_limit),
        "underpowered": made(_shifted(120.0)),
        "lacking": ONE_SEED,
    },
    "dead-units": {
        "true": made(_dead(20.0, 2.0)),
        "false": made(_dead(0.0, 5.0)),
        "underpowered": made(_dead(20.0, 40.0)),
        "lacking": made(),
    },
    "other-criteria": {
        "true": made(),
        "false": made(changed(train__scale_free_loss=lambda *about: by_law(*about)["train/loss"])),
        "underpowered": made(changed(train__scale_free_loss=lambda *about: _settling(20.0)(*about)["train/loss"] / 30)),
        "lacking": ONE_SEED,
    },
}
