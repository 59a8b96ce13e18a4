"""Charts that are made once and shown again."""

from __future__ import annotations

import json

from streamlit.testing.v1 import AppTest


def script() -> None:
    import altair as alt
    import pandas as pd
    import streamlit as st

    from pages import drawing

    def points(table: pd.DataFrame, colour: str) -> alt.Chart:
        st.session_state["made"] = st.session_state.get("made", 0) + 1
        return alt.Chart(table).mark_point(color=colour).encode(x=alt.X("x:Q"))

    left, _ = st.columns(2)
    with left:
        table = pd.DataFrame({"x": [1.0, float(st.query_params["x"])]})
        drawing.draw(points, table, st.query_params["colour"])


def shown(app: AppTest) -> tuple[int, str, bytes]:
    """How many charts were made, and the only one that stands there: its drawing and its data."""
    assert not app.exception, app.exception
    (chart,) = app.columns[0].get("vega_lite_chart")
    return app.session_state["made"], chart.proto.spec, chart.proto.datasets[0].data.data


def test_a_chart_is_made_again_only_where_its_data_or_colours_are_others() -> None:
    app = AppTest.from_function(script)
    app.query_params["x"], app.query_params["colour"] = "2", "red"
    first = shown(app.run(timeout=60))
    assert first[0] == 1
    assert shown(app.run()) == first, "kept, and in the same column"
    app.query_params["x"] = "3"
    made, _, data = shown(app.run())
    assert made == 2
    assert data != first[2]
    app.query_params["colour"] = "blue"
    made, spec, _ = shown(app.run())
    assert made == 3
    assert "blue" in spec


def test_labels_stay_at_what_they_name_and_signs_of_a_legend_are_no_blots() -> None:
    app = AppTest.from_function(script)
    app.query_params["x"], app.query_params["colour"] = "5", "green"  # not yet kept
    config = json.loads(shown(app.run(timeout=60))[1])["config"]
    assert config["axis"]["labelFlush"] is False
    assert config["legend"]["symbolOpacity"] == 1 and config["legend"]["symbolStrokeWidth"] <= 2
