"""What one run scored, with intervals, baseline and ceiling, and per class; and who it is related to."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core import branching, guide, itemwords, metrics, runcurves, rundir, runview
from core.datasets import INSTRUMENT_NAMES
from core.store import Store
from pages import runnames, shared

MOST_RELATIVES = 60
MOST_LINKED = 12


def scores(index: Store, spec: rundir.Spec) -> None:
    """Every evaluation of the run, the one it is ranked by first."""
    found = runview.score_table(index, spec.id)
    if found.empty:
        st.info(
            "Its scores will stand here, with intervals, baseline and ceiling; a run is scored once it is done.",
            icon=":material/grading:",
        )
        return
    primary = metrics.primary(spec.task)
    st.caption(
        "The interval of 95 % draws the items again, by group: it says what other songs would change, not other seeds. "
        "The baseline knows the training labels only; the ceiling is what label noise allows. "
        f"[Every metric in the Guide]({guide.link(primary)})"
    )
    for (data, split), rows in found.groupby(["data", "split"], sort=False):
        is_own = (data, split) == (spec.data, spec.split)
        own = " (its own)" if is_own else ""
        st.markdown(f"**{shared.plain(str(data))}**, split {shared.plain(str(split))}{own}")
        parts = itemwords.of_scores(rows)
        for sentence in itemwords.sentences(parts, spec.task):
            if not (is_own and sentence == itemwords.unlike(parts, spec.task)):  # above, where the two scores stand
                st.caption(f":material/info: {shared.plain(sentence)}")
        for part in sorted(rows["part"].unique(), reverse=True):
            of_part = rows[rows["part"] == part]
            st.markdown(f"{shared.plain(str(part).capitalize())}, n = {int(of_part['n_items'].max()):,} items")
            _overall(runview.overall(of_part, primary))
            _per_label(runview.per_label(of_part), f"{data}-{split}-{part}")


def _overall(rows: pd.DataFrame) -> None:
    shown = pd.DataFrame(
        {
            "metric": rows["metric"],
            "value [95 %]": [interval(*cell) for cell in zip(rows["value"], rows["low"], rows["high"], strict=True)],
            "baseline": rows["baseline"],
            "ceiling": rows["ceiling"],
            "n": rows["n_items"],
            "what it says": [_sentence(name) for name in rows["metric"]],
        }
    ).dropna(axis="columns", how="all")
    numbers = {name: st.column_config.NumberColumn(name, format="%.3f", width=80) for name in ("baseline", "ceiling")}
    wide = {"what it says": st.column_config.Column("what it says", width=520)}
    st.dataframe(shown, hide_index=True, column_config=numbers | wide, placeholder="—", width="stretch")


def _per_label(rows: pd.DataFrame, key: str) -> None:
    if rows.empty:
        return
    shown = pd.DataFrame({"class": [INSTRUMENT_NAMES.get(label, label) for label in rows["label"]]})
    if "n" in rows:
        shown["n"] = rows["n"]
    for metric in [name for name in runview.PER_LABEL if name in rows]:
        low, high = rows.get(f"{metric} low"), rows.get(f"{metric} high")
        cells = zip(
            rows[metric],
            low if low is not None else rows[metric] * float("nan"),
            high if high is not None else rows[metric] * float("nan"),
            strict=True,
        )
        shown[metric] = [interval(*cell) for cell in cells]
    st.dataframe(shown, hide_index=True, placeholder="—", key=f"labels.{key}", height="content")


def interval(value: float, low: float, high: float) -> str:
    """A score with its interval in one cell, three digits: "0.567  [0.492, 0.630]"."""
    if pd.isna(value):
        return "—"
    text = f"{round(value, 3) + 0.0:.3f}"  # no "-0.000"
    return text if pd.isna(low) else f"{text}  [{low:.3f}, {high:.3f}]"


def _sentence(name: str) -> str:
    try:
        return metrics.about(name).sentence
    except ValueError:  # logged by another version
        return ""


# ---- relatives ----


def family(index: Store, spec: rundir.Spec) -> None:
    """The tree this run stands in, runs of the same configuration, and runs that build on it."""
    if not tree(index, spec):
        st.info(
            "Runs that branch from this one will hang here as a tree, each with the knobs in which it differs. "
            "Branch begins one.",
            icon=":material/account_tree:",
        )
    _links("Its inputs", [run for run in spec.inputs.values() if isinstance(run, str)])
    _links("Runs that build on it", runview.used_by(index, spec.id))
    seeds = runview.same_configuration(index, spec.id).head(MOST_LINKED)
    if len(seeds):
        st.markdown("**The same configuration, run again**")
        called = runnames.of(seeds["run"])
        for row in seeds.to_dict("records"):
            runnames.link(row["run"], f"{called[row['run']]} · {row['state']}")


def tree(index: Store, spec: rundir.Spec, title: str = "") -> bool:
    """The run among all it descends from and all that descends from those; where it is alone nothing, and False."""
    found = runview.family(index, spec.id)
    me = next((relative for relative in found if relative.run == spec.id), None)
    if me is None or len(found) == 1:
        return False
    if title:
        st.subheader(title, anchor=False)
    st.caption("Each branch stands under the run it began from, with the knobs in which it differs.")
    primary = metrics.primary(spec.task)
    runs = [relative.run for relative in found[:MOST_RELATIVES]]
    values, called = _values(index, runs, spec, primary), runnames.of(runs)
    for relative in found[:MOST_RELATIVES]:
        _relative(relative, me, called[relative.run], values.get(relative.run), primary)
    if len(found) > MOST_RELATIVES:
        st.caption(f"And {len(found) - MOST_RELATIVES} more.")
    return True


def _values(index: Store, runs: list[str], spec: rundir.Spec, primary: str) -> dict[str, float]:
    rows = index.scores(runs)
    rows = rows[(rows["metric"] == primary) & (rows["part"] == "validation")]
    rows = rows[(rows["data"] == spec.data) & (rows["split"] == spec.split)]
    return dict(zip(rows["run"], rows["value"], strict=True))


def _relative(
    relative: branching.Relative, me: branching.Relative, called: str, value: float | None, primary: str
) -> None:
    is_me = relative.run == me.run
    words = ["this run" if is_me else _kinship(relative, me)]
    if relative.parent is not None:
        words.append(f"from epoch {relative.parent_epoch or 0:g}")
        words.append(runcurves.moved_text(relative.values) or "same knobs")
    words.append(relative.state)
    if value is not None:
        words.append(f"validation {primary} {value:.3f}")
    name, about = shared.plain(called), shared.plain(", ".join(word for word in words if word))
    with st.container(horizontal=True, vertical_alignment="center"):
        if relative.depth:
            st.html(f'<span style="padding-left: {1.5 * min(relative.depth, 8) - 1}rem">↳</span>', width="content")
        if is_me or relative.state in ("gone", "in the trash"):
            st.markdown(f"**{name}**" if is_me else name, width="content")
        else:
            runnames.link(relative.run, called, width="content")
        st.caption(about)


def _kinship(relative: branching.Relative, me: branching.Relative) -> str:
    if relative.run == me.parent:
        return "parent"
    if relative.parent == me.run:
        return "branch"
    return "sibling" if relative.parent is not None and relative.parent == me.parent else ""


def _links(title: str, runs: list[str]) -> None:
    if runs:
        st.markdown(f"**{title}**")
        for run, called in runnames.of(runs[:MOST_LINKED]).items():
            runnames.link(run, called)
