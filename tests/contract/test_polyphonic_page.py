"""The Polyphonic view of a run: empty with one button, filled by it, set beside another run, and refusals in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core import background, listening, mixtures, polyphonic, polyreports, rundir
from tests import tones
from tests.conftest import eventually
from tests.contract.test_cli import call
from tests.contract.test_pages import HOSTILE, assert_text, opened, seen

PAGE = "pages/run.py"


@pytest.fixture
def lab(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two runs on tones, called one and two, and a folder of music that was added under the name music."""
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    monkeypatch.setattr(listening, "load_trainer", tones.hearing())
    monkeypatch.setattr(mixtures.plan, "__defaults__", (24, 0))
    monkeypatch.setattr(mixtures, "LENGTH_S", 6.0)
    wave = tones.wave
    items = {f"{a}-{b}": (f"{a}|{b}", wave([a, b], 2)) for a in tones.TAUGHT for b in tones.TAUGHT if a < b}
    items["one"] = ("flu", wave(["flu"], 2))
    music = tones.polyphonic(tmp_path / "music", items)
    data = tones.training(tmp_path / HOSTILE.replace("/", "-"))
    for name in ("one", "two"):
        tones.run(data, name=name)
    from core import shelf

    shelf.remember("music", Path(music.removeprefix("folder:")))
    st.cache_resource.clear()
    st.cache_data.clear()
    yield cache
    st.cache_resource.clear()
    st.cache_data.clear()


def told(app: AppTest) -> str:
    elements = [*app.markdown, *app.caption, *app.info, *app.warning, *app.error]
    return "\n".join(element.value for element in elements).replace("\\", "")


def press(app: AppTest, label: str) -> AppTest:
    """Press a button and wait until what it started has ended."""
    next(button for button in app.button if button.label == label).click()
    seen(app.run())
    eventually(lambda: not any(job.is_active for job in background._jobs.values()))
    return seen(app.run())


def test_from_nothing_to_scores(lab: Path) -> None:
    app = opened(PAGE, run="one", view="Polyphonic", data="music")
    assert "How well this run hears several instruments at once will stand here" in told(app)
    assert [button.label for button in app.button if button.label.startswith("Evaluate")] == ["Evaluate"]
    app = press(app, "Evaluate")
    assert not app.error
    assert_text(app)
    settings = polyreports.Settings()
    report = polyreports.find("one", "music", settings)
    assert report is not None and report["polyphonic"]["n_items"] == 7
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["micro F1"] == f"{report['polyphonic']['metrics']['micro_f1']['value']:.3f}"
    assert report["explained"] in told(app)
    assert "chosen on 24 mixtures" in told(app)
    assert "never predicted" in app.dataframe[1].value.to_string()
    again = opened(PAGE, run="one", view="Polyphonic", data="music")
    assert {metric.label: metric.value for metric in again.metric} == shown


def test_two_runs_side_by_side(lab: Path) -> None:
    polyphonic.evaluate("one", "music")
    app = opened(PAGE, run="one", view="Polyphonic", data="music", against="two")
    assert "The other run has not been evaluated with these settings yet." in told(app)
    app = press(app, "Evaluate it as well")
    assert not app.error
    assert_text(app)
    assert "paired bootstrap" in told(app)
    assert set(app.dataframe[2].value["difference"].dropna()) == {0.0}  # the same model twice


def test_what_cannot_be_is_said(lab: Path) -> None:
    app = press(opened(PAGE, run="one", view="Polyphonic"), "Evaluate")  # its own data: one label an item
    (error,) = app.error
    assert "has more than one label" in error.value.replace("\\", "")
    assert_text(app)
    app = press(opened(PAGE, run="one", view="Polyphonic", data="irmas"), "Evaluate")
    assert "IRMAS is not here" in app.error[0].value
    app = opened(PAGE, run="one", view="Polyphonic", data="music", protocol="free", window_s="1", hop_s="2")
    assert "so that nothing stays unheard" in app.error[0].value


def test_a_run_that_cannot_listen_and_one_of_another_task(lab: Path) -> None:
    rundir.create(rundir.Spec("bare", "instrunet", {}, "music", "instruments", "grouped:0", 0, "cpu"), "done")
    app = opened(PAGE, run="bare", view="Polyphonic")
    assert "has no checkpoint" in told(app) and not app.error
    tones.run("toy", name="feelings", task="emotion")
    app = opened(PAGE, run="feelings", view="Polyphonic")
    assert "Polyphonic" not in app.segmented_control(key="view").options


def test_an_evaluation_that_is_ended_can_go_on(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = polyphonic.evaluate

    def ended(run: str, data: str, settings: Any, tell: background.Tell) -> Any:
        raise background.Cancelled

    monkeypatch.setattr(polyphonic, "evaluate", ended)
    app = press(opened(PAGE, run="two", view="Polyphonic", data="music"), "Evaluate")
    assert "The evaluation was ended" in told(app)
    monkeypatch.setattr(polyphonic, "evaluate", evaluate)
    app = press(app, "Evaluate")
    assert not app.error and app.metric[-1].label == "ROC-AUC"


def test_the_terminal_says_the_same(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["polyphonic", "one", "--data", "music", "--window", "1", "--against", "two"]
    assert call(monkeypatch, *words, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    kept = polyreports.find("one", "music", polyreports.Settings(1.0, 0.5))
    assert kept is not None and "items" not in found
    assert found["polyphonic"] == kept["polyphonic"] and found["classes"] == kept["classes"]
    assert [row["label"] for row in found["against"]["classes"]][-2:] == ["micro_f1", "macro_f1"]
    assert call(monkeypatch, *words) == 0
    out = capsys.readouterr().out
    assert kept["explained"] in out and "never predicted" in out and "threshold" in out
    for line, mistake in {
        "--data irmas": "IRMAS is not here",
        "--data music --aggregate median": "no aggregate 'median'",
        "--data music --thresholds both": "no thresholds 'both'",
        "--data music --hop 9": "so that nothing stays unheard",
        "": "has more than one label",
    }.items():
        assert call(monkeypatch, "polyphonic", "one", *line.split()) == 2
        err = capsys.readouterr().err
        assert mistake in err.splitlines()[-1]
