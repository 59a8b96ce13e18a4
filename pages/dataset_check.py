"""The check of a data set on its page: start it, watch it, cancel it, read what it found."""

from __future__ import annotations

from dataclasses import asdict

import pandas as pd
import streamlit as st

from core import datajobs, datasets
from core.datajobs import Job
from core.datasets import Dataset, splits
from core.findings import Report
from pages import shared
from pages.dataset_views import chosen_split, download

NAMED = 3
"""Items named beside what to do with them; the table has them all."""
SEVERITIES = {"serious": "red", "warning": "orange", "note": "gray"}


def check(name: str, dataset: Dataset) -> None:
    """Start a check, watch it, and read what it found."""
    chosen = chosen_split(name, dataset)
    splits.assign(dataset, chosen)
    _check(name, dataset.task, chosen)


def check_unusable(name: str, task: str) -> None:
    """For a data set that cannot be loaded: the check goes on where loading stops, and lists all that is wrong.

    Draws nothing where that is not so, or where there is nothing to look at; `task` is for a folder that does not say.
    """
    survey = getattr(datasets.module(name), "survey", None)
    try:
        seen = survey(datasets.settled(name).partition(":")[2]).dataset if survey else None
    except ValueError:  # no folder, or no table in it: the page has said so
        return
    if survey:
        task = seen.task if seen else task
        _check(name, task, datasets.default_split(name, task))


def _check(name: str, task: str, chosen: str) -> None:
    report = datajobs.read_report(name, task, chosen)
    job = datajobs.read_job(name, task, chosen)
    if job is not None and job.is_active:
        _watch(name, task, chosen)
    else:
        label = "Check" if report is None else "Check again"
        if st.button(label, type="primary", icon=":material/fact_check:"):
            datajobs.start(name, task, chosen)
            st.rerun()
        if job is not None and job.state in ("failed", "cancelled"):
            (st.error if job.state == "failed" else st.caption)(shared.plain(job.note))
    if report is None:
        st.info(
            "What is wrong with this data will be listed here: missing, unreadable, silent or clipped recordings, "
            "copies on two sides of the split, labels far from the rest. It has not been checked on this split yet.",
            icon=":material/fact_check:",
        )
        return
    if hasattr(datasets.module(name), "lasting") and _is_outdated(name, report):
        st.caption("Ratings came or went since this check; check again to have them judged.")
    _report(name, report)


def _is_outdated(name: str, report: Report) -> bool:
    from core import datacheck  # half a second, which only the data that people add to need

    return report.content != datacheck.content_now(name, report.task, report.split)


@st.fragment(run_every=1.0)
def _watch(name: str, task: str, chosen: str) -> None:
    job = datajobs.read_job(name, task, chosen) or Job("failed")
    if not job.is_active:
        st.rerun(scope="app")
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.progress(min(max(job.fraction, 0.0), 1.0), text=shared.plain(job.note or "Starting …"))
    if right.button("Cancel", icon=":material/stop:", width="stretch"):
        datajobs.stop(name, task, chosen)


def _report(name: str, report: Report) -> None:
    counts = {severity: report.count(severity) for severity in SEVERITIES}
    with st.container(horizontal=True, vertical_alignment="center"):
        for severity, n in counts.items():
            words = f"{n} {severity}" + ("s" if n != 1 and severity != "serious" else "")
            st.badge(words, color=SEVERITIES[severity] if n else "green")  # type: ignore[arg-type]
        st.caption(
            shared.plain(
                f"Checked {shared.ago(report.checked_at)} ({report.checked_at}) in {shared.duration(report.seconds)}: "
                f"{report.items:,} items, {report.recordings:,} recordings read, copies judged on {report.split}."
            )
        )
    for sentence in report.not_checked:
        st.caption(shared.plain(f"Not checked: {sentence}"))
    if not report.findings:
        st.success("Nothing was found.", icon=":material/check:")
        return
    table = pd.DataFrame([asdict(finding) for finding in report.findings])
    kinds = st.multiselect("Kinds", sorted(table["kind"].unique()), key=f"kinds.{name}", placeholder="all of them")
    shown = table[table["kind"].isin(kinds)] if kinds else table
    evidence = [f"{value:g} {unit}" for value, unit in zip(shown["evidence"], shown["unit"], strict=True)]
    columns = ["severity", "kind", "item", "other", "what", "evidence"]
    st.dataframe(
        shown.assign(evidence=evidence)[columns].rename(columns={"other": "with", "what": "what is wrong"}),
        hide_index=True,
        width="stretch",
        column_config={
            name: st.column_config.Column(width=width)
            for name, width in (("item", 150), ("with", 110), ("what is wrong", 360))
        },
    )
    _remedies(shown)
    download(table, f"{name}-check")


def _remedies(findings: pd.DataFrame) -> None:
    """What to do, once for each kind and remedy: sentences, which a cell of the table would cut."""
    lines = []
    for (kind, remedy), rows in findings.groupby(["kind", "remedy"], sort=False):
        items = [item for item in rows["item"] if item]
        which = f" ({', '.join(items[:NAMED])}{' …' if len(items) > NAMED else ''})" if items else ""
        lines.append(f"- **{shared.plain(str(kind))}**{shared.plain(which)}: {shared.plain(str(remedy))}")
    st.markdown("\n".join(["**What to do**", "", *lines]))
