"""The statements behind sweeps."""

from __future__ import annotations

RUNS = "SELECT run, config_id, state, seconds, epochs FROM runs WHERE run IN (SELECT unnest(?))"

FINAL = """SELECT run, name, arg_max_null(value, (step, n)) AS value FROM metrics WHERE run IN (SELECT unnest(?))
    GROUP BY run, name"""
"""The last of every number a run logged, empty where that was not a number. A window over 421,000 rows took 5 times as
long."""

CURVES = (
    """SELECT run, step, epoch, value FROM metrics WHERE name = ? AND run IN (SELECT unnest(?)) ORDER BY run, step"""
)

TASK = "SELECT DISTINCT task FROM runs WHERE run IN (SELECT unnest(?)) AND task IS NOT NULL ORDER BY task"

OVER_TIME = """SELECT name FROM metrics WHERE run IN (SELECT unnest(?)) GROUP BY name
    HAVING max(epoch) > min(epoch) ORDER BY name"""
"""Numbers that were logged at more than one moment."""

FINGERPRINT = """SELECT (SELECT sum(hash(run, bytes, last_step) % 1000000007) FROM ingested
                         WHERE run IN (SELECT unnest(?)))::VARCHAR AS told,
    sum(hash(run, state, seconds) % 1000000007)::VARCHAR AS stood FROM runs WHERE run IN (SELECT unnest(?))"""
"""Two numbers that change with whatever the runs say."""
