"""A large sweep while its runs log side by side: of 1,000 each look takes a second of a core, so looks are kept."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from streamlit.testing.v1 import AppTest

from core import paths, rundir, sweepboard, sweeps
from pages import shared, sweep_found, sweep_read
from tests.contract.test_pages import opened, seen
from tests.contract.test_sweeps_page import filled, made, told  # noqa: F401 (fixtures)


class Half:
    """The sweep "half" with a run under way, counted as large; who computes what is written down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.id = sweeps.read("half").id
        self.place = paths.runs() / sweeps.read("half").runs[0]
        self.status = rundir.read_status(self.place)
        alive = psutil.Process()
        about = {"pid": alive.pid, "pid_started": alive.create_time(), "host": socket.gethostname()}
        rundir.set_status(self.place, rundir.Status("running", **about))
        self.made: list[tuple[str, threading.Thread]] = []
        self.may_find = threading.Event()
        self.may_find.set()
        self.patch = monkeypatch
        for name in ("fingerprint", "find", "board"):
            monkeypatch.setattr(sweepboard, name, self.watched(name, getattr(sweepboard, name)))
        monkeypatch.setattr(sweep_found, "LARGE_RUNS", 12)
        monkeypatch.setattr(sweep_found, "BEGIN_AFTER_S", 0.0)
        self.n_told = 10_000

    def watched(self, name: str, make: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*given: Any, **more: Any) -> Any:
            self.made.append((name, threading.current_thread()))
            if name == "find":
                assert self.may_find.wait(60)
            return make(*given, **more)

        return instead

    def n(self, name: str) -> int:
        return sum(one == name for one, _ in self.made)

    def tell(self) -> None:
        """The run says something new, and the index has read it."""
        self.n_told += 1
        about = {"n": self.n_told, "t": 1.0, "kind": "metrics", "step": self.n_told, "epoch": float(self.n_told)}
        with (self.place / "events.jsonl").open("a") as log:
            log.write(json.dumps(about | {"values": {"validation/ccc": 0.5}}) + "\n")
        shared.store().sync()

    def click(self, app: AppTest, view: str) -> AppTest:
        return seen(app.segmented_control(key="view").set_value(view).run())

    def click_late(self, app: AppTest, view: str) -> AppTest:
        """A click when the look is older than it should be."""
        self.patch.setattr(sweep_found, "HALF_WAY_S", 0.0)
        app = self.click(app, view)
        self.patch.setattr(sweep_found, "HALF_WAY_S", 60.0)
        return app

    @property
    def look(self) -> Any:
        return sweep_found._half_way()[self.id]

    @property
    def coming(self) -> threading.Thread:
        return sweep_found._coming()[self.id]


@pytest.fixture
def half(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Half]:  # noqa: F811
    one = Half(monkeypatch)
    yield one
    one.may_find.set()
    if one.id in sweep_found._coming():
        one.coming.join(60)


def again(app: AppTest) -> AppTest:
    (button,) = [button for button in app.button if button.label == "Look again"]
    return seen(button.click().run())


def test_it_is_looked_at_again_when_asked_and_not_at_each_click(half: Half) -> None:
    app = opened("pages/sweeps.py", sweep="half", view="Results")
    half.tell()
    for view in ("Knobs", "Results"):
        app = half.click(app, view)
    assert half.n("fingerprint") == 1
    app = again(app)
    assert half.n("fingerprint") == 2 and "this is a look half-way." in told(app)
    rundir.set_status(half.place, half.status)
    shared.store().sync()
    half.click(half.click(app, "Knobs"), "Results")
    assert half.n("fingerprint") == 4  # what ended is looked at anew


def test_the_next_look_is_made_behind_the_page_and_asks_streamlit_for_nothing(half: Half) -> None:
    app = opened("pages/sweeps.py", sweep="half", view="Results")
    for view in (*sweep_read.VIEWS, "Results"):
        app = half.click(app, view)
    before, n_before = half.look, len(half.made)
    half.tell()
    page = shared.theme

    def theme() -> str:
        assert threading.current_thread() is not half.coming
        return page()

    half.patch.setattr(shared, "theme", theme)
    app = half.click_late(app, "Knobs")
    assert "; the next click shows a newer one." in told(app)
    half.coming.join(60)
    assert half.look is not before and half.look.mark != before.mark
    assert {(name, thread is half.coming) for name, thread in half.made[n_before:]} == {
        (name, True) for name in ("fingerprint", "find", "board")
    }
    n_made = len(half.made)
    for view in sweep_read.VIEWS:
        app = half.click(app, view)
    assert len(half.made) == n_made and "newer one" not in told(app)


def test_a_look_that_was_asked_for_is_not_replaced_by_one_that_began_before(half: Half) -> None:
    app = opened("pages/sweeps.py", sweep="half", view="Results")
    half.tell()
    half.may_find.clear()
    app = half.click_late(app, "Knobs")
    assert half.coming.is_alive()
    first = half.coming
    app = half.click_late(app, "Results")
    assert half.coming is first  # one at a time
    half.tell()
    sweep_found.Look.again(sweeps.read("half"))
    mark = sweepboard.fingerprint(shared.known(), sweeps.read("half"))
    half.may_find.set()
    app = half.click(app, "Knobs")
    first.join(60)
    assert half.look.mark == mark


def test_a_look_that_is_too_old_is_made_anew_at_once(half: Half) -> None:
    app = opened("pages/sweeps.py", sweep="half", view="Results")
    half.tell()
    half.patch.setattr(sweep_found, "OLDEST_S", 0.0)
    before = half.look
    app = half.click(app, "Knobs")
    assert half.look.mark != before.mark and half.id not in sweep_found._coming()
    assert "this is a look half-way." in told(app)
