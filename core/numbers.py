"""Lines of numbers into the table `metrics`: DuckDB parses them, several times faster than json does."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from core import arrow
from core.ingest import Found

_SHAPE = '{"n": "BIGINT", "t": "DOUBLE", "step": "BIGINT", "epoch": "DOUBLE", "values": "MAP(VARCHAR, VARCHAR)"}'
_STAGE = f"""
CREATE OR REPLACE TEMP TABLE staged AS
SELECT run, place, said.n AS n, said.t AS t, said.step AS step, said.epoch AS epoch, said."values" AS told
FROM (SELECT run, place, TRY(from_json(line, '{_SHAPE}')) AS said FROM lines)
"""
_ROWS = """
SELECT run, n, t, step, epoch, name, CASE WHEN NOT isnan(value) THEN value END AS value FROM (
    SELECT run, place, n, t, step, epoch, unnest(map_keys(told)) AS name,
        TRY_CAST(unnest(map_values(told)) AS DOUBLE) AS value FROM staged)
"""
_TOLD_TWICE = "SELECT DISTINCT run FROM (SELECT run FROM staged GROUP BY run, step HAVING count(*) > 1)"


def take(connection: duckdb.DuckDBPyConnection, changed: list[Found]) -> dict[str, int]:
    """Insert the numbers of these runs, inside the caller's transaction; returns the highest step that came, by run.

    Lines that cannot be read are left out and counted as broken.

    The newest (run, step, name) stays: epochs tell a step again, and test scores are told again after a resume. What
    a rewind undid within the same lines does not come in.
    """
    if not any(one.lines for one in changed):
        return {}
    lines = {
        "run": arrow.repeated([one.row["run"] for one in changed], [len(one.lines) for one in changed]),
        "place": arrow.numbers([place for one in changed for place, _ in one.lines]),
        "line": arrow.texts([line for one in changed for _, line in one.lines]),
    }
    connection.register("lines", pa.table(lines))
    connection.execute(_STAGE)
    connection.unregister("lines")
    for run, _, place, step in [rewind for one in changed for rewind in one.rewinds]:
        connection.execute("DELETE FROM staged WHERE run = ? AND place < ? AND step > ?", [run, place, step])
    broken = connection.execute(
        "SELECT run, count(*) FROM staged WHERE n IS NULL OR t IS NULL OR step IS NULL OR told IS NULL GROUP BY run"
    ).fetchall()
    if broken:
        counts = dict(broken)
        for one in changed:
            one.n_broken += counts.get(one.row["run"], 0)
        connection.execute("DELETE FROM staged WHERE n IS NULL OR t IS NULL OR step IS NULL OR told IS NULL")
    steps = connection.execute("SELECT run, min(step), max(step) FROM staged GROUP BY run").fetchall()
    lowest = {run: low for run, low, _ in steps}
    older = {one.row["run"]: one.seen.last_step for one in changed if not one.from_start}
    overlapping = [run for run, last in older.items() if last is not None and lowest.get(run, last + 1) <= last]
    if overlapping:
        connection.execute(
            f"""DELETE FROM metrics USING ({_ROWS}) AS newer WHERE metrics.run IN (SELECT unnest(?))
                AND metrics.run = newer.run AND metrics.step = newer.step AND metrics.name = newer.name""",
            [overlapping],
        )
    twice = [run for (run,) in connection.execute(_TOLD_TWICE).fetchall()]
    if twice:
        last = "QUALIFY row_number() OVER (PARTITION BY run, step, name ORDER BY place DESC) = 1"
        connection.execute(f"INSERT INTO metrics {_ROWS} WHERE run IN (SELECT unnest(?)) {last}", [twice])
    connection.execute(f"INSERT INTO metrics {_ROWS} WHERE run NOT IN (SELECT unnest(?::VARCHAR[]))", [twice])
    connection.execute("DROP TABLE staged")
    return {run: highest for run, _, highest in steps}
