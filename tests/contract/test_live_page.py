"""Runs watched together on the Train page, and one run's curves while it trains: what is drawn, and when it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core import paths, rundir

LOSSES = {"first": [3.0, 2.0, 1.0], "second": [5.0, 4.5, 4.25]}
HOSTILE = "<b>x</b> [a](javascript:b) *c* `d` :red[f]"


def under_way(name: str, losses: list[float], *, trainer: str = "toy", seed: int = 0, is_told: bool = True) -> Path:
    """A run that trains, as its files say: one line of numbers for each loss, and a heart that beats."""
    spec = rundir.Spec(
        name, trainer, {"epochs": 9}, "toy", "emotion", "grouped:0", seed, "cpu", created_at="2026-01-01T00:00:00+00:00"
    )  # fmt: skip
    folder = rundir.create(spec)
    writer = rundir.Writer(folder)
    writer.set(state="running", device="cpu", step=3, epoch=3.0, fraction=0.25, trained_s=60.0)
    for epoch, loss in enumerate(losses if is_told else [], 1):
        writer.event(
            "metrics", step=epoch, epoch=float(epoch), values={"train/loss": loss, "validation/loss": loss + 1}
        )
    return folder


@pytest.fixture
def lab(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A new cache, and an app that has seen none before; nothing is started in the background."""
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    monkeypatch.setattr("core.supervisor.ensure", lambda: None)
    st.cache_resource.clear()
    yield cache
    st.cache_resource.clear()


def opened(page: str, runs: list[str]) -> AppTest:
    """The page, as somebody sees it who comes by a link to these runs."""
    app = AppTest.from_file(str(paths.PROJECT / "app.py"), default_timeout=60).run().switch_page(page)
    app.query_params = {"run": runs}
    return seen(app.run())


def seen(app: AppTest) -> AppTest:
    assert [box.message for box in app.exception] == []
    return app


def charts(app: AppTest) -> dict[str, dict[str, Any]]:
    """Title → ECharts option of what is drawn in the main part."""
    options = [json.loads(chart.proto.spec) for chart in app.get("echarts_chart")]
    return {option["title"]["text"]: option for option in options}


def told(app: AppTest) -> str:
    """What stands beside the bars of the main part, and in every sentence."""
    bars = [bar.proto.text for bar in app.main.get("progress")]
    return "\n".join([*bars, *(box.value for box in [*app.info, *app.caption, *app.warning])]).replace("\\", "")


def test_runs_together_share_their_axes_each_in_its_colour(lab: Path) -> None:
    for seed, (name, losses) in enumerate(LOSSES.items()):
        under_way(name, losses, seed=seed)
    app = opened("pages/train.py", list(LOSSES))
    drawn = charts(app)["Loss"]["series"]
    by_run = {name: [line for line in drawn if line["name"] == f"toy, seed {seed}"] for seed, name in enumerate(LOSSES)}
    for name, losses in LOSSES.items():
        of_training, of_validation = by_run[name]
        assert [value for _, value in of_training["data"]] == losses
        assert [value for _, value in of_validation["data"]] == [loss + 1 for loss in losses]
        assert of_training["lineStyle"]["type"] == "solid" and of_validation["lineStyle"]["type"] == "dashed"
        assert of_training["lineStyle"]["color"] == of_validation["lineStyle"]["color"]
    colours = {lines[0]["lineStyle"]["color"] for lines in by_run.values()}
    assert len(colours) == 2
    assert "**toy, seed 0**, running: epoch 3, step 3, 60 s so far, 3 min left, loss 1" in told(app)
    assert "**toy, seed 1**, running: epoch 3, step 3, 60 s so far, 3 min left, loss 4.25" in told(app)


def test_what_a_run_logs_is_on_the_next_drawing(lab: Path) -> None:
    folders = [under_way(name, losses, seed=seed) for seed, (name, losses) in enumerate(LOSSES.items())]
    app = opened("pages/train.py", list(LOSSES))
    rundir.Writer(folders[1]).event("metrics", step=4, epoch=4.0, values={"train/loss": 0.5, "validation/loss": 0.75})
    app = seen(app.run())
    ends = [line["data"][-1] for line in charts(app)["Loss"]["series"]]
    assert ends == [[3, 1], [3, 2], [4, 0.5], [4, 0.75]]
    assert "loss 0.5" in told(app)


def test_twins_are_told_apart_and_their_names_are_text(lab: Path) -> None:
    for name in ("twin-aaaa", "twin-bbbb"):
        under_way(name, [1.0], trainer=HOSTILE)
    app = opened("pages/train.py", ["twin-aaaa", "twin-bbbb"])
    assert charts(app)["Loss"]["legend"]["data"] == [f"{HOSTILE}, seed 0 (aaaa)", f"{HOSTILE}, seed 0 (bbbb)"]
    bars = [bar.proto.text for bar in app.get("progress")]
    assert any("(aaaa" in text.replace("\\", "") for text in bars)
    assert not any("<b>" in text or "[a](" in text or ":red[" in text for text in bars)


def test_a_run_that_is_not_there_or_damaged_leaves_the_others_drawn(lab: Path) -> None:
    for seed, (name, losses) in enumerate(LOSSES.items()):
        under_way(name, losses, seed=seed)
    (under_way("third", [1.0]) / "spec.json").write_text("{")
    app = opened("pages/train.py", [*LOSSES, "third", "nowhere"])
    assert "There is no run nowhere" in told(app)
    assert "third has no readable spec.json" in "\n".join(box.value for box in app.error).replace("\\", "")
    assert len(charts(app)["Loss"]["series"]) == 4


def test_runs_without_a_number_say_what_will_be_here(lab: Path) -> None:
    for name, losses in LOSSES.items():
        under_way(name, losses, is_told=False)
    app = opened("pages/train.py", list(LOSSES))
    assert not charts(app) and "Their first numbers will be drawn here." in told(app)


def test_more_than_six_are_not_drawn(lab: Path) -> None:
    names = [under_way(f"run-{seed}", [1.0], seed=seed).name for seed in range(7)]
    app = opened("pages/train.py", names)
    assert "The first 6 of 7 runs are drawn." in told(app)
    assert charts(app)["Loss"]["legend"]["data"] == [f"toy, seed {seed}" for seed in range(6)]


@pytest.mark.parametrize("page", ["pages/train.py", "pages/run.py"])
def test_nothing_ticks_once_all_is_over(lab: Path, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    ticking: dict[str, float | None] = {}
    fragment = st.fragment

    def noted(part: Any = None, *, run_every: float | None = None) -> Any:
        if part is not None:
            ticking[part.__name__] = run_every
        return fragment(part, run_every=run_every)

    monkeypatch.setattr(st, "fragment", noted)
    folder = under_way("only", [3.0, 2.0])
    parts = {"pages/train.py": {"_watch", "_inside"}, "pages/run.py": {"_curves"}}[page]
    app = opened(page, ["only"])
    assert all(ticking[part] for part in parts)
    rundir.set_status(folder, replace(rundir.read_status(folder), state="done", heartbeat=time.time()))
    seen(app.run())
    assert [ticking[part] for part in parts] == [None] * len(parts)
