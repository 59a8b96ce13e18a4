"""Checks of InstruNet's claims about scores: which regularisation generalises, recalls, precisions, what did it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from core.datasets import INSTRUMENT_NAMES, IRMAS_CLASSES
from core.verdicts import NOT_REPRODUCED, REPRODUCED, Runs, Verdict, interval, unknown
from studies import _instrunet_arms as arms
from studies import _instrunet_items as items
from studies._instrunet_arms import BLOCKS, BOTH, HEAD, NETWORKS, PLAIN

MACRO_F1 = "test/macro_f1"


def head_beats_blocks(runs: Runs, least: float = 0.02, seeds: int = 3) -> Verdict:
    """Claim: dropout at the head with L2 generalises better than dropout in the blocks.

    By macro F1 on held-out excerpts of songs that were not trained on, over the networks that have runs of both, seeds
    and test songs. The two differ in L2 as well as in the place of dropout: what the place alone does, both without L2,
    is told beside it.
    """
    of = arms.pooled(runs)
    frame = arms.framed(of, of.column(MACRO_F1))
    table, chart = arms.means(frame, "held-out macro F1"), _dots(frame)
    if lacking := arms.short_of(of, frame, (BOTH, BLOCKS), seeds):
        return unknown(lacking, table, chart)

    def more(kind: str) -> arms.Gap:
        found = arms.gap(frame, kind, BLOCKS)
        return items.widened(of, found, arms.shares(frame, kind, BLOCKS), items.macro_f1)

    found, place = more(BOTH), more(HEAD)
    said = f"{of.losses()}Held-out macro F1 of {BOTH} less that of {BLOCKS} is {found.text()}"
    if place.interval.n:
        said += f" (of {HEAD} alone {place.text()})"
    return arms.by_gap(found, said, least, table, chart)


def _dots(frame: pd.DataFrame) -> Any:
    return arms.dots(frame, "Held-out macro F1 of every run", "held-out macro F1")


def recalls_rise(runs: Runs, classes: tuple[str, ...] = ("cel", "flu"), least: float = 0.05, seeds: int = 3) -> Verdict:
    """Claim: with head dropout and L2 the recall of these classes rises.

    Beside the same network without either, over seeds and test songs. Both trainings answer at a threshold of .5, while
    the write-up compares recalls at two thresholds, which move recall by themselves; precision is told beside it, for
    recall also rises where more is said. Each class must rise; a rise of `least` excluded for any one of them
    (Bonferroni) is not reproduced.
    """
    of = arms.pooled(runs)
    frames = {INSTRUMENT_NAMES[one]: arms.framed(of, of.column(f"test/recall_{one}")) for one in classes}
    table = pd.concat([arms.means(frame, "recall").assign(instrument=name) for name, frame in frames.items()])
    shown = pd.concat([frame.assign(arm=frame["arm"] + f", {name}") for name, frame in frames.items()])
    chart = arms.dots(shown, "Recall of every run, by class", "recall")
    for frame in frames.values():
        if lacking := arms.short_of(of, frame, (BOTH, PLAIN), seeds):
            return unknown(lacking, table, chart)
    found, told = {}, []
    for label, (name, frame) in zip(classes, frames.items(), strict=True):
        more, shares = arms.gap(frame, BOTH, PLAIN), arms.shares(frame, BOTH, PLAIN)
        found[name] = items.widened(of, more, shares, items.recall_of(label))
        precision = arms.gap(arms.framed(of, of.column(f"test/precision_{label}")), BOTH, PLAIN)
        beside = f", precision {precision.interval.text('+.2f')}" if precision.interval.n else ""
        told.append(f"{name} {found[name].text('+.2f')}{beside}")
    said = f"{of.losses()}Recall with {BOTH} less that with {PLAIN}: {'; '.join(told)}"
    return arms.by_all(found, said, least, table, chart)


def precision_is_above(runs: Runs, above: float = 0.7, seeds: int = 3) -> Verdict:
    """Claim: the regularised network's precision is above .70 for most classes.

    A number per run decides: the share of the classes with a precision above `above` (one that is never predicted has
    a precision of 0), its interval over seeds and test songs above or below one half: with a few dozen excerpts of a
    class its precision depends on these more than on the seed. The evidence has every class over seeds, with the p of
    its distance from `above` adjusted for their number (Holm).
    """
    of = arms.pooled(runs)
    of = of.only(batch_norm=True)
    columns = {label: of.column(f"test/precision_{label}") for label in IRMAS_CLASSES}
    table = pd.DataFrame({label: values for label, values in columns.items() if np.isfinite(values).any()})
    kind = arms.framed(of, pd.Series(1.0, of.results["run"].astype(str)))
    table = table[table.index.isin(kind.loc[kind["arm"] == BOTH, "run"])] if len(kind) else table[:0]
    table = table.dropna(how="all")
    if len(table) < seeds:
        why = f"It takes {seeds} finished seeds of the network with batch norm, {BOTH}; there are {len(table)}."
        return unknown(f"{of.losses()}{why}")
    evidence = _by_class(table, above)
    found = items.over_seeds((table > above).sum(axis=1) / table.notna().sum(axis=1))
    share = items.widened(of, found, dict.fromkeys(map(str, table.index), 1 / len(table)), items.precise_share(above))
    never = evidence.loc[evidence["mean"] == 0, "instrument"].tolist()
    silent = f" Never predicted, or never rightly: {', '.join(never)}." if never else ""
    told = f"{share.interval.text('.0%')} {share.over}"
    said = f"{of.losses()}Of {table.shape[1]} classes a precision above {above:g} is reached by {told}"
    if share.interval.low > 0.5:
        return Verdict(REPRODUCED, f"{said}: more than half.{silent}", evidence)
    if share.interval.high <= 0.5:
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

    By held-out macro F1, seed by seed and over the test songs: what batch normalisation adds to the plain network, less
    what head dropout and L2 add to that. The write-up credits the latter, but its two runs differ in all three.
    """
    of = arms.pooled(runs)
    frame = arms.framed(of, of.column(MACRO_F1))
    chart = _dots(frame)
    with_norm, without = NETWORKS[True], NETWORKS[False]
    wanted = {"baseline": (without, PLAIN), "norm": (with_norm, PLAIN), "all": (with_norm, BOTH)}
    rows = {
        name: frame[(frame["network"] == network) & (frame["arm"] == kind)] for name, (network, kind) in wanted.items()
    }
    table = pd.DataFrame({name: some.groupby("seed")["value"].mean() for name, some in rows.items()}).dropna()
    evidence = table.assign(
        by_batch_norm=table["norm"] - table["baseline"], by_dropout_and_l2=table["all"] - table["norm"]
    ).reset_index()
    if len(table) < seeds:
        why = f"It takes {seeds} seeds of the baseline, of it with batch norm, and of that with {BOTH}"
        return unknown(f"{of.losses()}{why}; there are {len(table)} of all three.", evidence, chart)
    norm, rest = interval(evidence["by_batch_norm"]), interval(evidence["by_dropout_and_l2"])
    more = items.over_seeds(evidence["by_batch_norm"] - evidence["by_dropout_and_l2"])
    shares: dict[str, float] = {}
    for name, times in {"baseline": -1.0, "norm": 2.0, "all": -1.0}.items():
        paired = rows[name][rows[name]["seed"].isin(table.index)]
        shares |= dict.fromkeys(paired["run"], times / len(paired))
    more = items.widened(of, more, shares, items.macro_f1)
    said = (
        f"{of.losses()}Batch norm adds {norm.text('+.3f')} seeds, to held-out macro F1, head dropout and L2 on top of "
        f"it {rest.text('+.3f')}; the first is more by {more.text()}"
    )
    return arms.by_gap(more, said, least, evidence, chart)


__all__ = ["batch_norm_did_most", "head_beats_blocks", "precision_is_above", "recalls_rise"]
