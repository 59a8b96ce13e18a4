"""The view of a run's misses: empty, filled, with hostile names; and what its buttons make."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core import audio, background, datasets, misses, rundir
from core.datasets import Dataset
from pages import run_misses
from tests import made_runs
from tests.contract.test_pages import HOSTILE, assert_text, opened, seen

SMALL = {"width": 4, "kernel": 3, "epochs": 2, "batch_size": 32}


def with_sound(dataset: Dataset, folder: Path) -> Dataset:
    """The stand-in with a tone for each item, the last one's missing."""
    folder.mkdir(exist_ok=True)
    for index in range(len(dataset.items) - 1):
        tone = np.sin(2 * np.pi * (200 + 20 * index) * np.arange(8000) / 8000)
        (folder / f"{index}.wav").write_bytes(audio.wav_bytes(0.3 * tone, 8000))
    return replace(dataset, audio=lambda index: folder / f"{index}.wav")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs on a folder with a hostile name, and one of an emotion model."""
    folder = tmp_path_factory.mktemp("made")
    with mock.patch.dict(os.environ, {"EARSHOT_CACHE": str(folder), "EARSHOT_STARTER": str(folder / "no-starter")}):
        made_runs.finished("instrunet", made_runs.stand_in(f"folder:{HOSTILE}", "instruments", "logmel", 3.0), SMALL)
        made_runs.emotion()
    return folder


@pytest.fixture
def data(cache: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dataset]:
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    shutil.copytree(made, cache, dirs_exist_ok=True)
    dataset = with_sound(made_runs.stand_in(f"folder:{HOSTILE}", "instruments", "logmel", 3.0), tmp_path / "sound")
    monkeypatch.setattr(datasets, "load", lambda *_: dataset)
    st.cache_resource.clear()
    background._jobs.clear()
    yield dataset
    st.cache_resource.clear()


def the_run(task: str = "instruments") -> Path:
    return next(folder for folder in rundir.directories() if rundir.read_spec(folder).task == task)


def told(app: AppTest) -> str:
    elements = [*app.markdown, *app.caption, *app.info, *app.warning, *app.error]
    return "\n".join(element.value for element in elements).replace("\\", "")


def view(**query: str) -> AppTest:
    return opened("pages/run.py", run=the_run().name, view="Misses", **query)


def test_the_worst_of_a_class_are_shown_with_what_they_were_taken_for(data: Dataset) -> None:
    found = misses.stored(the_run(), "test")
    assert found is not None
    label = next(label for k, label in enumerate(found.labels) if (found.truth[:, k] > 0).any())
    app = view(part="test", **{"class": run_misses._name(label)})
    assert all("No such file" in box.value for box in app.error)  # the last item's sound, where it is among them
    worst = misses.missed(found, label)[0]
    score = found.scores[worst, found.labels.index(label)]
    name = run_misses._name(label)
    assert f"{name} {score:.2f} · {found.items[worst]}" in told(app)
    assert f"There: {name}. Highest scores: " in told(app)
    charts, players = app.get("vega_lite_chart"), app.get("audio")
    n_shown = len(misses.missed(found, label)) + len(misses.false_alarms(found, label))
    assert len(charts) == len(players) == n_shown - len(app.error) and charts
    assert_text(app)


def test_two_epochs_are_compared_when_asked(data: Dataset) -> None:
    app = view(part="validation")
    assert "went towards the truth" not in told(app)
    seen(next(button for button in app.button if button.label == "Compare").click().run())
    ((key, job),) = [(key, job) for key, job in background._jobs.items() if key[0] == "moved"]
    assert job.wait(60) and key[1] == the_run().name
    app = seen(app.run())
    first, second = job.result()
    (move, *_) = misses.moves(first, second)
    name = run_misses._name(move.label)
    assert f"{move.before:.2f} → {move.after:.2f}" in told(app) and f"{name}, which is" in told(app)
    assert "Epoch 1: " in told(app) and "Epoch 2: " in told(app)
    background._jobs.clear()
    assert "went towards the truth" in told(view(part="validation"))  # kept: nobody is asked again


def test_a_run_that_is_not_scored_yet_says_what_will_be_here(data: Dataset) -> None:
    folder = the_run()
    (folder / "predictions.parquet").unlink()
    (folder / "checkpoints" / "final.safetensors").unlink()
    (folder / "checkpoints" / "epoch-0001.safetensors").unlink()
    app = view()
    assert "it has not been scored yet" in told(app) and "only epoch 2 is kept of this run" in told(app)
    assert not app.error
    assert_text(app)


def test_without_kept_predictions_the_model_is_asked(data: Dataset) -> None:
    kept = misses.stored(the_run(), "test")
    assert kept is not None
    (the_run() / "predictions.parquet").unlink()
    app = view(part="test")
    assert "Its predictions were not kept, so the model has to be asked again." in told(app)
    seen(next(button for button in app.button if button.label == "Ask the model").click().run())
    ((_, job),) = [(key, job) for key, job in background._jobs.items() if key[0] == "misses"]
    assert job.wait(60)
    app = seen(app.run())
    assert f"Of {len(kept)} items" in told(app)
    background._jobs.clear()
    assert "has to be asked" not in told(view(part="test"))


def test_what_is_damaged_or_gone_is_said(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    (the_run() / "predictions.parquet").write_bytes(b"PAR1")
    assert "predictions cannot be read" in told(view())
    shutil.copy(next(Path(os.environ["EARSHOT_CACHE"]).glob("runs/*ridge*/predictions.parquet")), the_run())
    app = view()  # predictions of another task, put there by somebody
    assert_text(app)

    def gone(*_: object) -> Dataset:
        raise datasets.Missing(f"There is no folder {HOSTILE}.")

    monkeypatch.setattr(datasets, "load", gone)
    st.cache_resource.clear()
    app = view()
    assert "There is no folder" in told(app)
    assert_text(app)


def test_items_that_left_the_data_set_or_have_no_sound_are_still_listed(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for less, sentence in (
        (replace(data, items=np.char.add(data.items, "-new")), "It is in the data set no longer."),
        (replace(data, audio=None), "This data set has no sound here."),
    ):
        monkeypatch.setattr(datasets, "load", lambda *_, less=less: less)
        st.cache_resource.clear()
        app = view()
        assert sentence in told(app) and not app.get("audio") and not app.error


@pytest.mark.parametrize("value", [HOSTILE, "", "-1", "99"])
def test_an_address_that_somebody_made_up_opens(data: Dataset, value: str) -> None:
    app = view(part=value, first=value, second=value, **{"class": value})
    assert_text(app)


def test_runs_of_other_tasks_have_no_such_view(data: Dataset) -> None:
    app = opened("pages/run.py", run=the_run("emotion").name)
    assert "Misses" not in app.segmented_control(key="view").options
