"""What a run of the script costs and sees of the run directories."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest
from streamlit.testing.v1 import AppTest

from core import rundir
from core.store import Store
from pages import shared
from tests.unit.test_rundir import spec


@pytest.fixture
def fresh(cache: Path) -> Path:
    """A cache that the app has not seen yet."""
    shared._store.clear()
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


def test_a_time_without_a_zone_is_read_as_universal() -> None:
    assert shared.ago("2026-01-01T00:00:00").split()[1:] == shared.ago("2026-01-01T00:00:00+00:00").split()[1:]
    assert shared.ago("yesterday") == ""
