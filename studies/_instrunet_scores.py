"""Checks of InstruNet's claims about scores: which regularisation generalises, recalls, precisions, what did it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from core.datasets import INSTRUMENT_NAMES, IRMAS_CLASSES
from core.verdicts import NOT_REPRODUCED, REPRODUCED, Runs, Verdict, interval, unknown
from studies._instrunet_arms import (
    BLOCKS,
    BOTH,
    NETWORKS,
    PLAIN,
    among,
    by_all,
    by_gap,
    dots,
    framed,
    gap,
    means,
    p_text,
    pooled,
    short_of,
)

MACRO_F1 = "test/macro_f1"


def head_beats_blocks(runs: Runs, least: float = 0.02, seeds: int = 3) -> Verdict:
    """Claim: dropout at the head with L2 generalises better than dropout in the blocks.

    By macro F1 on held-out excerpts of songs that were not trained on, over the networks that have runs of both; the
    same items for all, so the interval is over training seeds. Reproduced where it lies above 0, not reproduced where
    an advantage of `least` is excluded.
    """
    return _compared(runs, MACRO_F1, BOTH, BLOCKS, "held-out macro F1", least, seeds)


def _compared(runs: Runs, metric: str, a: str, b: str, name: str, least: float, seeds: int) -> Verdict:
    of = pooled(runs)
    frame = framed(of, of.column(metric))
    chart = dots(frame, f"{name[0].upper()}{name[1:]} of every run", name)
    if lacking := short_of(of, frame, (a, b), seeds):
        return unknown(lacking, means(frame, name), chart)
    found = gap(frame, a, b)
    said = f"{of.losses()}{name[0].upper()}{name[1:]} of {a} less that of {b} is {found.text()}"
    return by_gap(found, said, least, means(frame, name), chart)


def recalls_rise(runs: Runs, classes: tuple[str, ...] = ("cel", "flu"), least: float = 0.05, seeds: int = 3) -> Verdict:
    """Claim: with head dropout and L2 the recall of these classes rises.

    Beside the same network without either. Both trainings answer at a threshold of .5, while the write-up compares
    recalls at two thresholds, which move recall by themselves. Each class must rise (p adjusted for their number,
    Holm); a rise of `least` excluded for any one of them (Bonferroni) is not reproduced.
    """
    of = pooled(runs)
    frames = {INSTRUMENT_NAMES[one]: framed(of, of.column(f"test/recall_{one}")) for one in classes}
    table = pd.concat([means(frame, "recall").assign(instrument=name) for name, frame in frames.items()])
    shown = pd.concat([frame.assign(arm=frame["arm"] + f", {name}") for name, frame in frames.items()])
    chart = dots(shown, "Recall of every run, by class", "recall")
    for frame in frames.values():
        if lacking := short_of(of, frame, (BOTH, PLAIN), seeds):
            return unknown(lacking, table, chart)
    found = {name: gap(frame, BOTH, PLAIN) for name, frame in frames.items()}
    adjusted = among(list(found.values()))
    told = "; ".join(
        f"{name} {one.interval.text('+.2f')} seeds, {p_text(p)} (Holm)"
        for (name, one), p in zip(found.items(), adjusted, strict=True)
    )
    return by_all(found, f"{of.losses()}Recall with {BOTH} less that with {PLAIN}: {told}", least, table, chart)


def precision_is_above(runs: Runs, above: float = 0.7, seeds: int = 3) -> Verdict:
    """Claim: the regularised network's precision is above .70 for most classes.

    A number per run decides: the share of the classes with a precision above `above` (one that is never predicted has
    a precision of 0), its interval over seeds above or below one half. The evidence has every class, with the p of its
    distance from `above` adjusted for their number (Holm).
    """
    of = pooled(runs)
    of = of.only(batch_norm=True)
    columns = {label: of.column(f"test/precision_{label}") for label in IRMAS_CLASSES}
    table = pd.DataFrame({label: values for label, values in columns.items() if np.isfinite(values).any()})
    kind = framed(of, pd.Series(1.0, of.results["run"].astype(str)))
    table = table[table.index.isin(kind.loc[kind["arm"] == BOTH, "run"])] if len(kind) else table[:0]
    table = table.dropna(how="all")
    if len(table) < seeds:
        why = f"It takes {seeds} finished seeds of the network with batch norm, {BOTH}; there are {len(table)}."
        return unknown(f"{of.losses()}{why}")
    evidence = _by_class(table, above)
    share = interval((table > above).sum(axis=1) / table.notna().sum(axis=1))
    never = evidence.loc[evidence["mean"] == 0, "instrument"].tolist()
    silent = f" Never predicted, or never rightly: {', '.join(never)}." if never else ""
    told = f"{share.text('.0%')} seeds"
    said = f"{of.losses()}Of {table.shape[1]} classes a precision above {above:g} is reached by {told}"
    if share.low > 0.5:
        return Verdict(REPRODUCED, f"{said}: more than half.{silent}", evidence)
    if share.high <= 0.5:
        return Verdict(NOT_REPRODUCED, f"{said}: not more than half.{silent}", evidence)
    return unknown(f"{said}: one half is inside.{silent}", evidence)


def _by_class(table: pd.DataFrame, above: float) -> pd.DataFrame:
    """Each class's precision over seeds, and the adjusted p that it is not `above`."""
    from scipy.stats import ttest_1samp

    from core.effects import holm

    rows, p = [], []
    for label in table:
        values = table[label].dropna().to_numpy(float)
        found = interval(values)
        rows.append({"class": label, "instrument": INSTRUMENT_NAMES[str(label)], **found._asdict()})
        varies = len(values) > 1 and float(np.ptp(values)) > 0
        p.append(float(ttest_1samp(values, above).pvalue) if varies else float("nan"))
    return pd.DataFrame(rows).assign(p_holm=holm(np.array(p)))


def batch_norm_did_most(runs: Runs, least: float = 0.02, seeds: int = 3) -> Verdict:
    """Ours: of what the published baseline and the published network differ in, batch normalisation does most.

    By held-out macro F1, seed by seed: what batch normalisation adds to the plain network, less what head dropout and
    L2 add to that. The write-up credits the latter, but its two runs differ in all three.
    """
    of = pooled(runs)
    frame = framed(of, of.column(MACRO_F1))
    chart = dots(frame, "Held-out macro F1 of every run", "held-out macro F1")
    with_norm, without = NETWORKS[True], NETWORKS[False]
    wanted = {"baseline": (without, PLAIN), "norm": (with_norm, PLAIN), "all": (with_norm, BOTH)}
    found = {
        name: frame[(frame["network"] == network) & (frame["arm"] == kind)].groupby("seed")["value"].mean()
        for name, (network, kind) in wanted.items()
    }
    table = pd.DataFrame(found).dropna()
    evidence = table.assign(
        by_batch_norm=table["norm"] - table["baseline"], by_dropout_and_l2=table["all"] - table["norm"]
    ).reset_index()
    if len(table) < seeds:
        why = f"It takes {seeds} seeds of the baseline, of it with batch norm, and of that with {BOTH}"
        return unknown(f"{of.losses()}{why}; there are {len(table)} of all three.", evidence, chart)
    norm, rest = interval(evidence["by_batch_norm"]), interval(evidence["by_dropout_and_l2"])
    more = interval(evidence["by_batch_norm"] - evidence["by_dropout_and_l2"])
    said = (
        f"{of.losses()}Batch norm adds {norm.text('+.3f')} seeds, to held-out macro F1, head dropout and L2 on top of "
        f"it {rest.text('+.3f')}; the first is more by {more.text('+.3f')}"
    )
    if more.low > 0:
        return Verdict(REPRODUCED, f"{said}.", evidence, chart)
    if more.high < least:
        return Verdict(NOT_REPRODUCED, f"{said}.", evidence, chart)
    return unknown(f"{said}: with {more.n} seeds that cannot be told.", evidence, chart)


__all__ = ["batch_norm_did_most", "head_beats_blocks", "precision_is_above", "recalls_rise"]
