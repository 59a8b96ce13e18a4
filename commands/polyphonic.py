"""`lab.py polyphonic`: what a run hears where several instruments sound at once."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from commands import Json, plain, teller
from core import evaluation

SCORES = ("micro_f1", "micro_precision", "micro_recall", "macro_f1", "micro_roc_auc", "macro_roc_auc", "lrap")


def polyphonic(
    run: str,
    data: Annotated[str | None, typer.Option(help="Data set with several labels an item; the run's own else.")] = None,
    window: Annotated[float, typer.Option(help="Window in s: 3 as published, 1 after Han et al.")] = 3.0,
    hop: Annotated[float | None, typer.Option(help="A window every … s; half a window else.")] = None,
    aggregate: Annotated[str, typer.Option(help="Windows put together by mean, max or sum-max.")] = "mean",
    thresholds: Annotated[str, typer.Option(help="One for all (global) or one a class (class).")] = "global",
    against: Annotated[str | None, typer.Option(help="Another run, scored alike and set beside it.")] = None,
    as_json: Json = False,
) -> None:
    """Score a run for instruments on polyphonic music, with thresholds chosen on mixtures of its training clips."""
    from core import polyphonic, polyreports

    half = window / 2 if hop is None else hop
    settings = polyreports.Settings(window, half, aggregate, thresholds)
    first = polyphonic.evaluate(run, data, settings, teller())
    second = polyphonic.evaluate(against, data or first["data"], settings, teller()) if against else None
    table = polyreports.compare(first, second) if second else None
    if as_json:
        shown = {key: value for key, value in first.items() if key != "items"}
        if second and table is not None:
            shown["against"] = {"run": second["run"], "classes": table.to_dict("records")}
        typer.echo(json.dumps(plain(shown)))
        return
    _told(first)
    if second:
        typer.echo(f"\nF1 of {first['run']} (first) and {second['run']} (second); p from a paired bootstrap, Holm")
        if apart := polyreports.taught(first, second):
            typer.echo(apart)
        typer.echo(table.to_string(index=False, na_rep="—", float_format=_three) if table is not None else "")


def _told(report: dict[str, Any]) -> None:
    sides, chosen = (report["mono"], report["usual"], report["polyphonic"]), report["chosen"]
    typer.echo(
        f"{report['run']} on {report['data']}: {sides[2]['n_items']:,} items of {sides[2]['n_groups']:,} groups, "
        f"{report['n_windows']:,} windows of {report['window_s']:g} s every {report['hop_s']:g} s, "
        f"put together by {report['aggregate']}"
    )
    limits = list(chosen["values"].values())
    span = (
        f"{limits[0]:.3f}" if report["thresholds"] == "global" else f"{min(limits):.3f} to {max(limits):.3f} by class"
    )
    typer.echo(
        f"threshold {span}, chosen on {chosen['n']} mixtures of training clips of "
        f"{evaluation.short_name(report['trained_on'])} (micro F1 there {chosen['micro_f1']:.3f})"
    )
    heads = "".join(f"{head:>24}" for head in ("validation, 0.5", "polyphonic, 0.5", "polyphonic, chosen"))
    typer.echo(f"\n{'':16}{heads}{'say everything':>16}")
    for name in SCORES:
        cells = "".join(f"{_cell(side['metrics'].get(name)):>24}" for side in sides)
        base = report["baseline"].get(name)
        typer.echo(f"{name:16}{cells}{'—' if base is None else f'{base:.3f}':>16}")
    errors = "".join(f"{_three(side['calibration']['error']):>24}" for side in sides)
    typer.echo(f"{'calibration err.':16}{errors}")
    typer.echo(f"\n{'class':6}{'n':>6}{'said':>6}{'F1':>24}{'precision':>11}{'recall':>8}{'AUC':>8}{'threshold':>11}")
    for row in report["classes"]:
        f1 = _cell({"value": row["f1"], "low": row["low"], "high": row["high"]})
        tail = "".join(f"{_three(row[name]):>{width}}" for name, width in
                       (("precision", 11), ("recall", 8), ("roc_auc", 8), ("threshold", 11)))  # fmt: skip
        typer.echo(f"{row['label']:6}{row['n']:>6}{row['n_said']:>6}{f1:>24}{tail}  {row['note']}".rstrip())
    typer.echo("\n" + "\n".join(filter(None, [report["explained"], *report["notes"]])))


def _cell(score: dict[str, Any] | None) -> str:
    if score is None or score["value"] is None:
        return "—"
    interval = f" [{score['low']:.3f}, {score['high']:.3f}]" if score["low"] is not None else ""
    return f"{score['value']:.3f}{interval}"


def _three(value: float | None) -> str:
    return "—" if value is None else f"{value + 0.0:.3f}"
