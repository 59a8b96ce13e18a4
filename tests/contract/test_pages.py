"""Every page of the app, opened empty and opened filled: no exception, always a sentence, user text as text."""

from __future__ import annotations

import ast
import errno
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import lab
import trainers
from commands import train as train_command
from core import audio, datasets, library, listening, paths, rundir, supervisor
from core.executors import local
from tests import made_runs

APP = paths.PROJECT / "app.py"
SENTENCES = ("info", "caption", "warning", "error", "success")
HOSTILE = "<b>x</b>'; DROP TABLE runs;--[a](javascript:b) *c* `d` $e$ :red[f] &lt;"
"""Markup of three languages; as the path of a folder it is even allowed."""


def pages() -> list[str]:
    """The files that app.py names, whatever they are."""
    calls = [node for node in ast.walk(ast.parse(APP.read_text())) if isinstance(node, ast.Call)]
    found = [call.args[0].value for call in calls if ast.unparse(call.func) == "st.Page"]
    assert found and all((paths.PROJECT / page).is_file() for page in found)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with runs in every state, made once: real events, checkpoints and evaluations."""
    folder = tmp_path_factory.mktemp("made")
    toy, broken = datasets.load("toy", "emotion"), made_runs.stand_in("cues", "emotion", "lib164", 3.0, is_broken=True)
    about = {"EARSHOT_CACHE": str(folder), "EARSHOT_STARTER": str(folder / "no-starter")}
    with mock.patch.dict(os.environ, about):
        made_runs.emotion()
        made_runs.emotion(alpha=1.0)
        made_runs.emotion("deam", "lib73", 45.0)
        made_runs.instruments()
        for seed in (0, 1):
            made_runs.finished("toy", toy, {"epochs": 3}, seed)
        assert state(made_runs.go(made_runs.new("ridge", broken), broken)) == "failed"
        stopped = made_runs.new("toy", toy, {"epochs": 9})
        rundir.ask(stopped, "stop")
        assert state(made_runs.go(stopped, toy)) == "stopped"
        assert state(made_runs.go(made_runs.new("toy", toy, {"learning_rate": 100.0, "epochs": 99}), toy)) == "diverged"
        queued = made_runs.new("toy", toy, {"epochs": 4})
        (supervisor.queue() / f"{0:020d}-{queued.name}").touch()
        running = made_runs.finished("toy", toy, {"epochs": 5})
        beating = replace(rundir.read_status(running), state="running", fraction=0.4, heartbeat=time.time())
        rundir.set_status(running, beating)
        lost = made_runs.new("toy", toy, {"epochs": 6})
        rundir.set_status(lost, rundir.Status("running", pid=2**22 + 1, host=beating.host))
        hostile = made_runs.stand_in(f"folder:{HOSTILE}", "emotion", "lib164", 3.0)
        made_runs.finished("ridge", hostile)
        library.keep(chord(), "chord.wav")
        library.keep(chord(330.0), f"{HOSTILE}.wav")
    return folder


def chord(frequency_hz: float = 220.0) -> bytes:
    t = np.arange(4 * 8000) / 8000
    return audio.wav_bytes(sum(0.2 * np.sin(2 * np.pi * frequency_hz * k * t) for k in (1, 5 / 4, 3 / 2)), 8000)


def state(folder: Path) -> str:
    return rundir.read_status(folder).state


def run_in(state: str, data: str = "toy") -> str:
    """The name of the run on `data` that is in this state."""
    folders = [folder for folder in rundir.directories() if rundir.read_spec(folder).data == data]
    return next(folder.name for folder in folders if rundir.read_status(folder).state == state)


@pytest.fixture
def empty(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A new cache that the app, which keeps its index between scripts, does not take for the one before."""
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    st.cache_resource.clear()
    yield cache
    st.cache_resource.clear()


@pytest.fixture
def filled(empty: Path, made: Path) -> Path:
    """The runs in every state, in a cache of this test's own."""
    shutil.copytree(made, empty, dirs_exist_ok=True)
    return empty


def opened(page: str, **query: str) -> AppTest:
    """The page, as somebody sees it who comes by a link."""
    app = AppTest.from_file(str(APP), default_timeout=60).run().switch_page(page)
    app.query_params = {name: [value] for name, value in query.items()}
    return seen(app.run())


def seen(app: AppTest) -> AppTest:
    assert [box.message for box in app.exception] == []
    return app


def words(app: AppTest) -> list[str]:
    """Every sentence on the page."""
    return [element.value for kind in SENTENCES for element in getattr(app, kind)]


# ---- all pages ----


@pytest.mark.parametrize("page", pages())
def test_an_empty_page_says_what_will_be_here(empty: Path, page: str) -> None:
    app = opened(page)
    assert len(app.title) == 1
    assert app.info, "an empty page says in a box what will be here"
    assert all(len(text) > 20 and text.rstrip()[-1] in ".?!;" for text in (box.value for box in app.info))
    assert [box.value for box in app.error] == []


@pytest.mark.parametrize("page", pages())
def test_a_filled_page_opens(filled: Path, page: str) -> None:
    app = opened(page)
    assert len(app.title) == 1
    assert words(app)
    assert [box.value for box in app.error] == []


@pytest.mark.parametrize("page", pages())
@pytest.mark.parametrize("value", [HOSTILE, "../../etc/passwd", "", "-1"])
def test_an_address_that_somebody_made_up_opens(filled: Path, page: str, value: str) -> None:
    names = ("run", "clip", "emotion", "instruments", "task", "split", "metric", "trainers", "seed", "data", "trainer")
    app = opened(page, **dict.fromkeys((*names, "toy.epochs", "boosted_trees.depth"), value))
    assert len(app.title) == 1
    assert_text(app)


OF_OURS = ("pages/guide.py", "pages/sql.py", "pages/sweeps.py", "pages/studies.py")
"""Pages that show no user text of these addresses as words: the Guide has none, SQL shows it in tables only, and what a
sweep or a study shows of a user's is tested with sweeps and studies."""


@pytest.mark.parametrize("page", [page for page in pages() if page not in OF_OURS])
def test_user_text_is_shown_as_text(filled: Path, page: str) -> None:
    run = run_in("done", f"folder:{HOSTILE}")
    clip = next(entry.key for entry in library.entries() if "DROP" in entry.key)
    board = {"task": "emotion", "split": "grouped:0", "data": f"folder:{HOSTILE}"}
    app = opened(page, run=run, emotion=run, clip=clip, **({} if "train" in page else board))
    options = [option for box in [*app.selectbox, *app.multiselect] for option in box.options]
    assert any("DROP TABLE" in text for text in [*options, *(element.value for element in app.markdown)])
    assert_text(app)


def test_what_is_wrong_with_a_run_is_shown_as_text(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(st, "page_link", lambda *about, **more: None)  # there are no pages here
    damaged = filled / "runs" / "damaged"
    shutil.copytree(rundir.find(run_in("done")), damaged)
    (damaged / "spec.json").write_text(json.dumps({"trainer": [f"![a](//evil.example/p.png){HOSTILE}"]}))

    def beside() -> None:  # what stands beside every page; of the second run of a script a test is shown no sidebar
        from pages import shared

        shared.store()
        shared._activity()

    app = seen(AppTest.from_function(beside, default_timeout=60).run())
    assert any("evil" in box.value for box in app.caption)
    assert_text(app)


def assert_text(app: AppTest) -> None:
    """No HTML but the frame's own style, and no Markdown in which HOSTILE would be markup."""
    for element in [*app.markdown, *app.caption, *app.info, *app.warning, *app.error, *app.title, *app.subheader]:
        assert not getattr(element, "allow_html", False)
        for markup in ("<b>", "[a](", "*c*", "`d`", "$e$", ":red[", "&lt;"):
            assert markup not in element.value.replace(f"\\{markup[0]}", "")
    for html in app.get("html"):
        assert "DROP" not in html.proto.body


# ---- Leaderboard ----


def test_a_run_names_its_board_where_the_address_lost_the_data_set(filled: Path) -> None:
    toy = next(folder.name for folder in rundir.directories() if rundir.read_spec(folder).data == "toy")
    app = opened("pages/leaderboard.py", task="emotion", split="grouped:0", of=toy)
    assert app.query_params["data"] == "toy" and "of" not in app.query_params
    assert app.selectbox[0].value.startswith("emotion · toy ·")


def test_the_leaderboard_shows_the_baseline_and_the_ceiling(filled: Path) -> None:
    app = opened("pages/leaderboard.py", task="emotion", data="toy", split="grouped:0")
    (table,) = app.dataframe
    names = table.value["configuration"].tolist()
    assert sum(name.startswith("baseline: predict the mean") for name in names) == 1
    assert names[-1].startswith("ceiling")
    pooled = table.value[table.value["runs (n)"] == 2]
    assert len(pooled) == 1 and pooled["interval over"].item() == "training seed"
    assert table.value["#"].tolist()[0] == "1"
    assert table.value.loc[table.value["configuration"].str.startswith("baseline"), "#"].item() == ""


def test_every_choice_of_a_board_is_taken(filled: Path) -> None:
    app = opened("pages/leaderboard.py")
    boards = app.selectbox[0].options
    assert len(boards) >= 3
    for name in [*boards, *reversed(boards)]:
        app = app.selectbox[0].select(name).run()
        assert app.selectbox[0].value == name
        assert app.query_params["data"] == name.split(" · ")[1].replace("\\", "") or "folder:" in name


# ---- Train ----


@pytest.mark.parametrize("wanted", ["done", "failed", "stopped", "diverged", "queued", "running", "lost"])
def test_train_shows_the_run_of_its_address(filled: Path, wanted: str) -> None:
    run = run_in(wanted, "cues" if wanted == "failed" else "toy")
    app = opened("pages/train.py", run=run)
    plain = [text.replace("\\", "") for text in words(app)]
    assert run in plain
    buttons = [button.label for button in app.button]
    assert ("Stop" in buttons) == (wanted in ("queued", "running"))
    assert ("Resume" in buttons) == (wanted in ("failed", "stopped", "lost"))
    status = rundir.read_status(rundir.find(run))
    assert not status.is_finished or status.reason in plain
    assert app.query_params["run"] == run


def test_train_says_that_there_is_no_such_run(filled: Path) -> None:
    app = opened("pages/train.py", run="19990101-000000-toy-0000")
    assert [box.value.replace("\\", "") for box in app.warning] == [
        "There is no run 19990101-000000-toy-0000 in this cache."
    ]


LINKS: dict[str, dict[str, str]] = {
    "defaults": {"trainer": "toy", "data": "toy"},
    "all knobs": {
        "trainer": "toy",
        "data": "toy",
        "split": "cv10:0.3",
        "seed": "9",
        "toy.learning_rate": "0.030000000000000002",
        "toy.epochs": "7",
        "toy.dropout": "0.25",
        "toy.batch_size": "100",
    },
    "another trainer": {"trainer": "ridge", "data": "cues-small", "ridge.alpha": "0.01", "ridge.window_seconds": "4.0"},
}


@pytest.mark.parametrize("name", LINKS)
def test_the_command_shown_makes_the_same_spec_as_the_form(
    empty: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(local, "start_supervisor", lambda: None)  # both only queue
    app = opened("pages/train.py", **LINKS[name])
    (shown,) = [block.value for block in app.code if block.value.startswith("python lab.py")]
    seen(next(button for button in app.button if button.label == "Start").click().run())
    of_form = spec_of_newest()
    assert app.query_params["run"] == of_form.id

    monkeypatch.setattr(train_command, "_follow", lambda *words, **more: rundir.Status("done"))
    monkeypatch.setattr(sys, "argv", shlex.split(shown)[1:])
    with pytest.raises(SystemExit) as ended:
        lab.main()
    assert ended.value.code == 0
    of_command = next(spec for spec in specs() if spec.id != of_form.id)
    same = ("trainer", "config", "data", "task", "split", "seed", "device", "config_id")
    assert {key: getattr(of_command, key) for key in same} == {key: getattr(of_form, key) for key in same}

    given = {key.partition(".")[2]: text for key, text in LINKS[name].items() if "." in key}
    assert {knob: str(of_form.config[knob]) for knob in given} == given  # and the form is what the link said
    assert str(of_form.seed) == LINKS[name].get("seed", "0")


def specs() -> list[rundir.Spec]:
    return [rundir.read_spec(folder) for folder in rundir.directories()]


def spec_of_newest() -> rundir.Spec:
    (spec,) = specs()
    return spec


@pytest.mark.parametrize("trainer", trainers.names())
def test_every_trainer_has_a_form(empty: Path, trainer: str) -> None:
    tasks = set(trainers.constant(trainer, "TASKS"))
    inputs = {"digits": "mnist"} | dict.fromkeys(("emotion", "instruments"), "cues-small")
    data = "toy" if trainer == "toy" else next(inputs[task] for task in sorted(tasks, reverse=True) if task in inputs)
    app = opened("pages/train.py", trainer=trainer, data=data)
    assert [box.value for box in app.selectbox if box.label == "Trainer"] == [trainer]
    if data == "mnist" and not os.environ.get("EARSHOT_DATA"):  # it cannot be rendered: how to get it is told instead
        assert any("mnist" in box.value for box in app.error)
        return
    assert any(f" train {trainer} " in block.value for block in app.code)


def test_a_value_out_of_range_in_a_link_is_told_and_left_out(empty: Path) -> None:
    app = opened("pages/train.py", trainer="toy", data="toy", **{"toy.epochs": "0"})
    (told,) = app.warning
    assert "epochs must be 1 to 10000 epochs, not 0." in told.value.replace("\\", "")
    assert any(block.value == "python lab.py train toy --data toy --seed 0" for block in app.code)


# ---- Listen ----


def test_listen_plays_the_clip_with_the_best_runs(filled: Path) -> None:
    clip = next(entry.key for entry in library.entries() if "chord" in entry.key)
    app = opened("pages/listen.py", clip=clip)
    chosen = {box.label: box.value for box in app.multiselect}
    assert len(chosen["Valence and arousal from"]) == 2 and len(chosen["Instruments from"]) == 1
    (table,) = [block.value for block in app.markdown if block.value.startswith("| run |")]
    assert ["ridge" in row for row in table.splitlines()[2:]] == [True, True]
    offered = listening.choices(made_store(), "emotion")
    assert not any(rundir.read_spec(rundir.find(run)).data == "toy" for run in offered)


def test_a_retrained_run_that_ended_badly_is_said_once(filled: Path) -> None:
    for run, sentence in (("20200101-000000-toy-gone", "There is no run"), (run_in("failed", "cues"), "ended failed")):
        app = AppTest.from_file(str(APP), default_timeout=60).run()
        app.session_state["retrained"] = run
        app = seen(app.run())
        assert app.session_state["retrained"] is None  # nothing ticks any more
        (told,) = [box.value for box in app.error]
        assert sentence in told


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), ValueError("Too little room.")])
def test_a_long_clip_that_failed_once_can_be_tried_again(
    filled: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*about: Any) -> None:
        raise error

    opened_before = library.opened
    clip = next(entry.key for entry in library.entries() if "chord" in entry.key)
    monkeypatch.setattr("pages.clips._is_ready", lambda *about: False)
    monkeypatch.setattr(library, "opened", fails)
    app = opened("pages/listen.py", clip=clip)
    (told,) = [box.value.replace("\\", "") for box in app.error]
    assert told in ("The disk is full: free some space, then try again.", "Too little room.")
    monkeypatch.setattr(library, "opened", opened_before)
    assert [box.value for box in seen(app.run()).error]  # not by itself
    app = seen(next(button for button in app.button if button.label == "Try again").click().run())
    assert not app.error and any(block.value == "The whole clip" for block in app.subheader)


def made_store() -> Any:
    from core.store import memory_store

    return memory_store()
