"""SQL: ask the index of all runs anything; read-only, with an end, and every question is a link."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core import charts, sqlbox
from core.sql_examples import EXAMPLES
from core.tables import TABLES
from pages import drawing, palette, shared

NONE = "—"
FIRST = EXAMPLES[0].statement


def _take_example() -> None:
    chosen = st.session_state.get("example")
    found = next((example for example in EXAMPLES if example.question == chosen), None)
    if found is not None:
        st.session_state["sql"] = found.statement
        for key, value in (("x", found.x), ("y", found.y), ("colour", found.colour)):
            st.session_state[key] = value or NONE


def _ask() -> sqlbox.Answer | None:
    """The answer to what stands in the box; asked again only where it is another, or Run was pressed."""
    statement = st.text_area(
        "Statement", key="sql", bind="query-params", height=210, help="One SELECT. Ctrl-Enter runs it, and so does Run."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        is_pressed = st.button("Run", type="primary", icon=":material/play_arrow:")
        st.caption(f"Read-only; at most {sqlbox.TIME_LIMIT_S:g} s and {sqlbox.ROW_LIMIT:,} rows.")
    kept = st.session_state.get("sql.answer")
    if is_pressed or kept is None or kept[0] != statement:
        try:
            with st.spinner("Asking the index …"):
                kept = (statement, sqlbox.ask(shared.store(), statement))
        except ValueError as error:
            st.session_state.pop("sql.answer", None)
            shared.failed(error)
            return None
        st.session_state["sql.answer"] = kept
    return kept[1]


def _show(answer: sqlbox.Answer) -> None:
    frame = sqlbox.as_frame(answer.table)
    count = f"{len(frame):,} rows" if len(frame) != 1 else "1 row"
    cut = f", cut at {sqlbox.ROW_LIMIT:,}: there are more" if answer.is_cut else ""
    st.caption(f"{count} × {len(frame.columns)} columns in {shared.duration(answer.seconds)}{cut}.")
    st.dataframe(frame, hide_index=True, width="stretch", placeholder=NONE)
    with st.container(horizontal=True):
        icon = ":material/download:"
        # The files are made when they are asked for.
        st.download_button("CSV", lambda: sqlbox.as_csv(answer.table), "earshot.csv", "text/csv", icon=icon)
        parquet = "application/vnd.apache.parquet"
        st.download_button("Parquet", lambda: sqlbox.as_parquet(answer.table), "earshot.parquet", parquet, icon=icon)
    if len(frame):
        _chart(frame)


def _chart(frame: pd.DataFrame) -> None:
    names = [NONE, *map(str, frame.columns)]
    example = next((example for example in EXAMPLES if example.statement == st.session_state.get("sql")), None)
    fitting = (example.x, example.y, example.colour) if example else charts.answer_choice(frame)
    for key, value in zip(("x", "y", "colour"), fitting, strict=True):
        if st.session_state.get(key, st.query_params.get(key)) not in names:
            st.session_state[key] = value or NONE
    columns = st.columns(3)
    labels = {"x": "Across", "y": "Up", "colour": "Colour"}
    chosen = [
        box.selectbox(label, names, key=key, bind="query-params")
        for box, (key, label) in zip(columns, labels.items(), strict=True)
    ]
    x, y, colour = ("" if name == NONE else str(name) for name in chosen)
    if not x or not y:
        st.caption("Choose what goes across and up to draw it.")
        return
    table = charts.answer_table(frame, x, y, colour)
    if table.empty:
        st.caption("There are no numbers in the column that goes up; choose another.")
        return
    st.subheader(shared.plain(f"{y} by {x}"), anchor=False)
    marks = charts.answer_marks(table)
    drawing.draw(charts.answer_drawing, marks, (x, y, colour), palette.ROLES[shared.theme()]["runs"])
    which = "One mark per row of the answer"
    if len(marks) < len(table):
        part = "each colour" if colour else "the answer"
        which = f"{len(marks):,} of {len(table):,} rows, the lowest and the highest of each part of {part}"
    st.caption(f"{which}, in the order of the rows; hover shows its values.")


def _tables() -> None:
    st.subheader("Tables", anchor=False)
    name = st.segmented_control(
        "Table", list(TABLES), default="runs", required=True, key="table", label_visibility="collapsed"
    )
    st.caption(TABLES[name].sentence)
    rows = [{"column": c.name, "type": c.type, "unit": c.unit, "meaning": c.sentence} for c in TABLES[name].columns]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")


st.title("SQL", anchor=False)
st.caption("Ask all runs anything. The address of this page is the question: send it, or keep it.")
if "sql" not in st.session_state and not st.query_params.get("sql"):
    st.session_state["sql"] = FIRST
questions = [example.question for example in EXAMPLES]
st.selectbox(
    "Examples", questions, index=None, key="example", on_change=_take_example, placeholder="Questions worth asking"
)
if not shared.has_runs():
    st.info(
        "Your runs, their knobs, numbers and scores will be in these tables; there is none yet. Train one first.",
        icon=":material/database:",
    )
    st.page_link("pages/train.py", label="Train a first run", icon=":material/tune:")
else:
    answer = _ask()
    if answer is not None:
        _show(answer)
_tables()
