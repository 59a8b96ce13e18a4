"""The statements behind the page of one run."""

from __future__ import annotations

EVENTS = "SELECT n, t, kind, step, detail FROM events WHERE run = ? ORDER BY n"

BRANCHES = """SELECT run, step, detail FROM events WHERE kind = 'branched'
    QUALIFY row_number() OVER (PARTITION BY run ORDER BY n) = 1"""
"""Who began from whom: the first event of every branch says it."""

RELATIVES = "SELECT run, trainer, data, seed, state, config_id FROM runs WHERE run IN (SELECT unnest(?))"

NAMED = "SELECT run, trainer, data, seed, sweep, config, created_at FROM runs WHERE run IN (SELECT unnest(?))"
"""What a run is called by."""

SAME_CONFIGURATION = """SELECT run, seed, state, created_at FROM runs
    WHERE config_id = (SELECT config_id FROM runs WHERE run = $1) AND run <> $1 ORDER BY seed, created_at LIMIT 50"""

USED_BY = "SELECT run, name FROM configs WHERE value = ? ORDER BY run DESC LIMIT 50"
"""Runs that were given this one as an input; its name stands there as JSON."""

SCORES = """
SELECT data, split, part, metric,
    any_value(value) FILTER (kind = 'model') AS value,
    any_value(low) FILTER (kind = 'model') AS low, any_value(high) FILTER (kind = 'model') AS high,
    any_value(value) FILTER (kind = 'baseline') AS baseline, any_value(value) FILTER (kind = 'ceiling') AS ceiling,
    any_value(n_items) FILTER (kind = 'model') AS n_items, any_value(labels_per_item) AS labels_per_item
FROM evaluations WHERE run = ? GROUP BY ALL HAVING count(*) FILTER (kind = 'model') > 0
ORDER BY data, split, part, metric
"""

SNAPSHOTS = "SELECT n, step, name, kind, file FROM snapshots WHERE run = ? ORDER BY step, n"

FIGURES = "SELECT epochs, seconds, items_per_s, peak_memory_mb, stopped_because FROM runs WHERE run = ?"
