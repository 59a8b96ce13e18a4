"""The statements behind sweeps."""

from __future__ import annotations

RUNS = "SELECT run, config_id, state, seconds, epochs FROM runs WHERE run IN (SELECT unnest(?))"

FINAL = """SELECT run, name, value FROM metrics WHERE run IN (SELECT unnest(?))
    QUALIFY row_number() OVER (PARTITION BY run, name ORDER BY step DESC, n DESC) = 1"""
"""The last of every number a run logged, empty where that was not a number."""

CURVES = (
    """SELECT run, step, epoch, value FROM metrics WHERE name = ? AND run IN (SELECT unnest(?)) ORDER BY run, step"""
)
