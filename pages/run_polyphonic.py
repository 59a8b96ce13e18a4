"""What one run for instruments hears where several sound at once: the evaluation is started, watched and read here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from core import aggregation, datasets, evaluation, polycharts, polyreports, rundir, thresholds, wording
from core.polyreports import Settings
from core.store import Store
from pages import actions, drawing, palette, polyphonic_pair, polyphonic_work, shared
from pages.dataset_views import download
from pages.run_scores import interval

PROTOCOLS = {
    "published": "3 s every 1.5 s, as IRMAS's polyphonic scores were published for this network.",
    "han": "1 s every 0.5 s, after Han, Kim & Lee.",
    "free": "Any window and hop.",
}
HEAD = {"micro_f1": "micro F1", "macro_f1": "macro F1", "lrap": "ranking precision", "macro_roc_auc": "ROC-AUC"}
BESIDE = (*HEAD, "micro_precision", "micro_recall", "macro_precision", "macro_recall", "micro_roc_auc", "accuracy")


def polyphonic(index: Store, folder: Path, spec: rundir.Spec) -> None:
    """Settings, then the report made with them; where there is none, why, and the button that makes it."""
    if why := actions.why_not_heard(folder, spec.id):
        st.info(shared.plain(f"Its scores on polyphonic music will stand here. {why}"), icon=":material/queue_music:")
        return
    data, settings = _controls(spec)
    try:
        settings.check()
        report = polyreports.find(spec.id, data, settings)
    except (ValueError, OSError) as error:
        shared.failed(error)
        return
    if not polyphonic_work.is_at_rest(spec.id, data, settings):
        return
    if report is None:
        report = polyreports.find(spec.id, data, settings)  # made just now
    if report is None:
        _nothing_yet(spec, data, settings)
        return
    _report(report)
    polyphonic_pair.against(index, spec, report, data, settings)
    _again(spec.id, data, settings, report)


# ---- settings ----


def _controls(spec: rundir.Spec) -> tuple[str, Settings]:
    left, middle = st.columns([2, 5])
    data = left.selectbox(
        "Scored on",
        _data_sets(spec),
        key="data",
        bind="query-params",
        help="Its official test items, or all it has; of the run's own data what it did not learn from.",
    )
    protocol = middle.segmented_control(
        "Windows", list(PROTOCOLS), default="published", required=True, key="protocol", bind="query-params",
        help=_meanings(PROTOCOLS),
    )  # fmt: skip
    left, middle, right = st.columns([2, 2, 3])
    aggregate = left.segmented_control(
        "Put together by", list(aggregation.AGGREGATES), default="mean", required=True, key="aggregate",
        bind="query-params", help=_meanings(aggregation.AGGREGATES),
    )  # fmt: skip
    kind = middle.segmented_control(
        "Thresholds", list(thresholds.KINDS), default="global", required=True, key="thresholds", bind="query-params",
        help=_meanings(thresholds.KINDS),
    )  # fmt: skip
    window_s, hop_s = aggregation.PROTOCOLS.get(str(protocol), (3.0, 1.5))
    if protocol == "free":
        first, second = right.columns(2)
        window_s = first.number_input(
            "Window (s)", 0.2, polyreports.LONGEST_WINDOW_S, 3.0, 0.5, key="window_s", bind="query-params"
        )
        hop_s = second.number_input(
            "Hop (s)", 0.05, polyreports.LONGEST_WINDOW_S, 1.5, 0.25, key="hop_s", bind="query-params"
        )
    return str(data), Settings(float(window_s), float(hop_s), str(aggregate), str(kind))


def _meanings(choices: Mapping[str, str]) -> str:
    return "  \n".join(f"**{name}**: {text}" for name, text in choices.items())


def _data_sets(spec: rundir.Spec) -> list[str]:
    """The run's own data set, then all others that may have labels for instruments."""
    found = []
    for name in datasets.names():
        module = datasets.module(name)
        if "instruments" in module.TASKS and name not in ("folder", "toy"):
            found.append(name)
    return list(dict.fromkeys([spec.data, *found]))


# ---- nothing yet, or once more ----


def _nothing_yet(spec: rundir.Spec, data: str, settings: Settings) -> None:
    st.info(
        "How well this run hears several instruments at once will stand here: F1, precision and recall by class, "
        "calibration, what is taken for what, and the gap to its validation clips. It has not been evaluated with "
        "these settings yet.",
        icon=":material/queue_music:",
    )
    st.button(
        "Evaluate",
        type="primary",
        icon=":material/play_arrow:",
        on_click=polyphonic_work.start,
        args=[spec.id, data, settings],
    )
    for name in dict.fromkeys([data, spec.data]):
        if cost := _first_use(name):
            st.caption(shared.plain(f"{name}: {cost}"))


def _first_use(name: str) -> str:
    """What it costs to have the sound of a data set that is made here and has not been; "" for any other."""
    try:
        is_ready = getattr(datasets.module(name), "is_ready", lambda task: True)
        return "" if is_ready("instruments") else datasets.first_use(name)
    except ValueError:  # the data set is gone; whoever evaluates on it is told
        return ""


def _again(run: str, data: str, settings: Settings, report: dict[str, Any]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Evaluate again", icon=":material/refresh:", on_click=polyphonic_work.start, args=[run, data, settings]
        )
        st.download_button(
            "Report as JSON",
            lambda: json.dumps(report, indent=1),
            f"{run}-polyphonic.json",
            "application/json",
            on_click="ignore",
            icon=":material/download:",
        )
        st.caption(f"Made {shared.ago(report['made_at'])}, data version {shared.plain(str(report['data_version']))}.")


# ---- the report ----


def _report(report: dict[str, Any]) -> None:
    side = report["polyphonic"]
    columns = st.columns(len(HEAD))
    for column, (metric, name) in zip(columns, HEAD.items(), strict=True):
        score = side["metrics"].get(metric)
        column.metric(name, "—" if score is None else f"{score['value']:.3f}")
        if score is not None and score["low"] is not None:
            column.caption(shared.plain(f"[{score['low']:.3f}, {score['high']:.3f}]"))
    st.caption(shared.plain(_how(report)))
    for note in report["notes"]:
        st.caption(shared.plain(note))
    st.markdown("**Single clips and polyphonic music**")
    if report["explained"]:
        st.markdown(f"> {shared.plain(report['explained'])}")
    st.dataframe(_beside(report), hide_index=True, placeholder="—", height="content")
    st.caption(
        "The same windows everywhere. The validation clips chose the checkpoint, and so flatter a little. "
        "In brackets the 95 % interval over items, by group. Right class first counts items with one label. The last "
        "column is what naming every instrument always would score."
    )
    _classes(report)
    _calibration(report)
    _taken_for(report)


def _how(report: dict[str, Any]) -> str:
    side, chosen = report["polyphonic"], report["chosen"]
    values = list(chosen["values"].values())
    limits = f"{wording.number_text(values[0], 2)} for every class"
    if report["thresholds"] == "class":
        limits = f"{wording.number_text(min(values), 2)} to {wording.number_text(max(values), 2)} by class"
    return (
        f"n = {side['n_items']:,} items of {side['n_groups']:,} groups, {report['n_windows']:,} windows. Threshold "
        f"{limits}, chosen on {chosen['n']:,} mixtures of {chosen['labels_per_item']:.1f} training clips of "
        f"{evaluation.short_name(report['trained_on'])} on average (micro F1 there "
        f"{chosen['micro_f1']:.2f}); no validation or test item was used for that."
    )


def _beside(report: dict[str, Any]) -> pd.DataFrame:
    sides = {"validation clips, 0.5": report["mono"], "polyphonic, 0.5": report["usual"],
             "polyphonic, chosen thresholds": report["polyphonic"]}  # fmt: skip
    rows = []
    for metric in BESIDE:
        row: dict[str, str] = {"": "right class first" if metric == "accuracy" else _words(metric)}
        for name, side in sides.items():
            score = side["metrics"].get(metric, {"value": None, "low": None, "high": None})
            row[name] = interval(*(float("nan") if score[end] is None else score[end] for end in score))
        base = report["baseline"].get(metric)
        rows.append(row | {"say everything": "—" if base is None or metric == "accuracy" else f"{base:.3f}"})
    errors = {name: side["calibration"]["error"] for name, side in sides.items()}
    last = {"": "calibration error"} | {name: "—" if e is None else f"{e:.3f}" for name, e in errors.items()}
    counts = {"": "items"} | {name: f"{side['n_items']:,}" for name, side in sides.items()}
    return pd.DataFrame([counts, *rows, last]).fillna("—")


def _words(metric: str) -> str:
    return HEAD.get(metric, metric.replace("_", " ").replace("roc auc", "ROC-AUC"))


def _colours() -> dict[str, Any]:
    return palette.ROLES[shared.theme()]


def _classes(report: dict[str, Any]) -> None:
    drawing.draw(polycharts.class_drawing, polycharts.class_table(report), _colours())
    st.caption(polycharts.READING["classes"])
    rows = pd.DataFrame(report["classes"])
    rows = rows.assign(label=[polycharts.name(label) for label in rows["label"]])
    rows = rows.rename(columns={"label": "class", "n_said": "said", "roc_auc": "ROC-AUC", "f1": "F1"})
    numbers = ["F1", "low", "high", "precision", "recall", "ROC-AUC", "threshold"]
    rows = rows.astype(dict.fromkeys(numbers, float))
    with st.expander("All numbers by class"):
        three = {column: st.column_config.NumberColumn(column, format="%.3f") for column in numbers}
        st.dataframe(rows, hide_index=True, column_config=three, placeholder="—", height="content")
        download(rows, f"{report['run']}-classes")


def _calibration(report: dict[str, Any]) -> None:
    table = polycharts.calibration_table(report)
    if len(table):
        drawing.draw(polycharts.calibration_drawing, table, _colours())
        st.caption(polycharts.READING["calibration"])


def _taken_for(report: dict[str, Any]) -> None:
    single = polycharts.confusion_table(report)
    if len(single):
        title = "What single instruments are taken for"
        drawing.draw(polycharts.cells_drawing, single, title, "highest score", _colours())
        st.caption(polycharts.READING["confusion"])
    else:
        st.caption("No item that is heard has exactly one label, so there is no confusion matrix of single labels.")
    missed = polycharts.missed_table(report)
    if len(missed):
        title = "What is said where an instrument is missed"
        drawing.draw(polycharts.cells_drawing, missed, title, "said, and not there", _colours())
        st.caption(polycharts.READING["missed"])
    else:
        st.caption("No label was missed.")
