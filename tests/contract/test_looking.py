"""What a run of the script costs and sees of the run directories."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from unittest import mock

import pytest
from streamlit.testing.v1 import AppTest

from core import rundir
from core.store import Store
from pages import shared
from tests.conftest import eventually
from tests.unit.test_rundir import spec


@pytest.fixture
def fresh(cache: Path) -> Path:
    """A cache that the app has not seen yet."""
    shared._store.clear()
    shared._last_look.clear()
    return cache


def script() -> None:
    """A page that asks for the index twice, and between the two makes the run that its address names."""
    import streamlit as st

    from core import rundir
    from pages import shared
    from tests.unit.test_rundir import spec

    shared._look()
    shared.store()
    if st.query_params.get("make"):
        rundir.create(spec(st.query_params["make"]))
    st.write(f"{len(shared.store().runs())} runs")
    shared.warm()


def told(app: AppTest) -> str:
    assert not app.exception, app.exception
    return str(app.markdown[0].value)


def test_run_directories_are_looked_at_once_per_run_of_the_script(fresh: Path) -> None:
    with mock.patch.object(Store, "sync", autospec=True, side_effect=Store.sync) as looks:
        app = AppTest.from_function(script).run(timeout=60)
        assert (told(app), looks.call_count) == ("0 runs", 1)
        rundir.set_status(rundir.create(spec("run-a")), rundir.Status("done"))
        assert (told(app.run()), looks.call_count) == ("1 runs", 2)


def test_a_run_made_by_the_page_itself_is_seen_by_it(fresh: Path) -> None:
    app = AppTest.from_function(script)
    app.query_params["make"] = "run-a"
    assert told(app.run(timeout=60)) == "1 runs"


def test_after_the_script_what_ticks_looks_for_itself(fresh: Path) -> None:
    app = AppTest.from_function(script).run(timeout=60)
    assert shared.LOOKED not in app.session_state


@pytest.fixture
def each_look_is_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any look holds for minutes, on however fast a machine."""
    monkeypatch.setattr(shared, "DEAR_S", 0.0)
    monkeypatch.setattr(shared, "HOLDS_TIMES", 1e9)
    monkeypatch.setattr(shared, "HOLDS_AT_MOST_S", 600.0)


def test_a_look_that_took_long_is_not_repeated_at_once(fresh: Path, each_look_is_dear: None) -> None:
    folder = rundir.create(spec("run-a"))
    with mock.patch.object(Store, "sync", autospec=True, side_effect=Store.sync) as looks:
        app = AppTest.from_function(script).run(timeout=60)
        rundir.set_status(folder, rundir.Status("done"))
        app.run(timeout=60)
        assert looks.call_count == 1, "it holds"
        rundir.create(spec("run-b"))
        assert told(app.run(timeout=60)) == "2 runs", "but where a run came"
        shared.look_again()
        app.run(timeout=60)
        assert looks.call_count == 3, "or where somebody asks"


def test_what_a_page_did_not_look_for_is_shown_by_the_next_tick(
    fresh: Path, each_look_is_dear: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = rundir.create(spec("run-a"))
    rundir.set_status(folder, rundir.Status("running", pid=os.getpid(), heartbeat=time.time()))
    app = AppTest.from_function(opened)
    app.query_params["page"] = "first"
    with mock.patch("streamlit.page_link"):  # there is one page here
        assert told(app.run(timeout=60)) == "running"
        rundir.set_status(folder, rundir.Status("done"))
        grow_old()
        monkeypatch.setattr(shared, "LATER_AFTER_S", 0.0)
        app.query_params["page"] = "second"
        assert told(app.run(timeout=60)) == "running", "the last look holds"
        later = app.session_state[shared.LATER]
        later.join(60)
        assert later.n_changed == 1


def opened() -> None:
    """The page that the address names, which tells the states of all runs; or, without a name, the sidebar's tick."""
    import streamlit as st

    from pages import shared

    if not st.query_params.get("page"):
        shared._activity()
    shared.frame(st.query_params.get("page", "tick"))
    st.write(" ".join(shared.store().runs()["state"]))
    shared.warm()


@pytest.fixture
def one_at_rest(fresh: Path) -> tuple[AppTest, Path]:
    """A page that has shown one finished run, and the run's directory."""
    folder = rundir.create(spec("run-a"))
    rundir.set_status(folder, rundir.Status("done"))
    app = AppTest.from_function(opened)
    app.query_params["page"] = "first"
    assert told(app.run(timeout=60)) == "done"
    return app, folder


def grow_old() -> None:
    """Have the last look be older than what opening a page trusts without another one."""
    shared._last_look().began_s -= shared.FRESH_S + 1.0


def test_opening_a_page_does_not_wait_for_the_runs_at_rest(one_at_rest: tuple[AppTest, Path]) -> None:
    app, folder = one_at_rest
    rundir.set_status(folder, rundir.Status("failed"))
    with mock.patch.object(shared._LookLater, "start"):
        app.query_params["page"] = "second"
        assert told(app.run()) == "done"
        assert told(app.run()) == "failed", "the same page again looks at all"


@pytest.mark.parametrize("changes", [True, False])
def test_the_next_tick_shows_what_the_look_after_opening_found(
    one_at_rest: tuple[AppTest, Path], changes: bool
) -> None:
    app, folder = one_at_rest
    if changes:
        rundir.set_status(folder, rundir.Status("failed"))
    grow_old()
    app.query_params["page"] = "second"
    with mock.patch.object(shared, "LATER_AFTER_S", 0.0):
        app.run()
    later = app.session_state[shared.LATER]
    later.join(60)
    assert later.n_changed == changes
    app.session_state["activity.ticks"] = 0
    del app.query_params["page"]
    with mock.patch("streamlit.rerun") as shown_again:
        app.run()
    assert shown_again.call_count == changes


def test_whoever_goes_from_page_to_page_is_not_held_up_by_looks(one_at_rest: tuple[AppTest, Path]) -> None:
    app, _ = one_at_rest
    with mock.patch.object(shared, "LATER_AFTER_S", 60.0), mock.patch.object(Store, "sync", autospec=True) as looks:
        left = []
        for page in ("second", "third"):
            app.query_params["page"] = page
            app.run()
            left.append(app.session_state[shared.LATER])
            assert left[-1].is_alive()
        left[0].join(10)
        assert not left[0].is_alive() and not looks.called
        assert left[1].leave()


def test_a_look_that_has_begun_is_waited_for_by_the_page_that_is_opened_next(one_at_rest: tuple[AppTest, Path]) -> None:
    app, _ = one_at_rest
    grow_old()
    may_end, sync = threading.Event(), Store.sync

    def slow(index: Store, only: object = None) -> int:
        return sync(index) if may_end.wait(60) else 0

    with mock.patch.object(shared, "LATER_AFTER_S", 0.0):
        app.query_params["page"] = "second"
        with mock.patch.object(Store, "sync", autospec=True, side_effect=slow):
            app.run()
            later = app.session_state[shared.LATER]
            eventually(lambda: later._has_begun)
            app.query_params["page"] = "third"
            app.run()
            assert app.session_state[shared.LATER] is later
            may_end.set()
            later.join(60)


@pytest.mark.parametrize("age_s", [0.0, 60.0])
def test_opening_a_page_leads_to_a_look_once_the_last_one_is_old(fresh: Path, age_s: float) -> None:
    last = shared._last_look()
    last.began_s = time.monotonic() - age_s
    later = shared._LookLater(shared._store(), last, is_shown=True)
    assert later._after_s == pytest.approx(max(shared.LATER_AFTER_S, shared.FRESH_S - age_s), abs=1.0)


def test_opening_a_page_sees_runs_that_came_and_those_under_way(one_at_rest: tuple[AppTest, Path]) -> None:
    app, _ = one_at_rest
    folder = rundir.create(spec("run-b"))
    rundir.set_status(folder, rundir.Status("running", pid=os.getpid(), heartbeat=time.time()))
    app.query_params["page"] = "second"
    with mock.patch.object(shared._LookLater, "start"), mock.patch("streamlit.page_link"):  # there is one page here
        assert sorted(told(app.run()).split()) == ["done", "running"]
        rundir.set_status(folder, rundir.Status("stopped"))
        app.query_params["page"] = "third"
        assert sorted(told(app.run()).split()) == ["done", "stopped"]


def test_beside_the_page_a_sweep_is_one_line_and_single_runs_are_few(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links: list[str] = []
    monkeypatch.setattr("streamlit.page_link", lambda page, label, **more: links.append(label))
    for number in range(9):
        one = spec(f"run-{number}", **({"sweep": "20260101-000000-depth"} if number < 3 else {}))
        state = rundir.Status("running", pid=os.getpid(), heartbeat=time.time(), fraction=0.5)
        rundir.set_status(rundir.create(one), state)
    app = AppTest.from_function(opened)
    app.query_params["page"] = "first"
    app.run(timeout=60)
    assert not app.exception
    assert links == ["Watch it"] * 4 + ["Watch them together (6 runs)", "Watch it"]
    assert [bar.proto.text for bar in app.get("progress")][-1] == "depth\\: 3 runs at work"


def test_a_time_without_a_zone_is_read_as_universal() -> None:
    assert shared.ago("2026-01-01T00:00:00").split()[1:] == shared.ago("2026-01-01T00:00:00+00:00").split()[1:]
    assert shared.ago("yesterday") == ""
