"""The statements behind a board: configurations with seeds pooled, 95 % intervals, and what stands beside them."""

from __future__ import annotations

# A run that has not read its data yet stands on the newest board of its data set and split.
_PLACED = """SELECT task, data, coalesce(data_version, last, '') AS data_version, split, {columns}
FROM {table} JOIN (SELECT task, data, split, arg_max(data_version, {time}) AS last FROM {table} GROUP BY ALL)
    USING (task, data, split)"""

NEWEST = "SELECT arg_max(data_version, created_at) FROM runs WHERE task = $task AND data = $data AND split = $split"

_POOLED = """
WITH placed AS (
    SELECT * FROM runs WHERE task = $task AND data = $data AND split = $split AND {which}
        AND $version = coalesce(data_version, $newest, '')  -- see _PLACED
), told AS (  -- filtered before it is grouped: of a million runs one board is a small part
    SELECT run, part, value, low, high FROM evaluations
    WHERE data = $data AND split = $split AND kind = 'model' AND metric = $metric AND {whose}
), scores AS (
    SELECT run,
        any_value(value) FILTER (part = 'validation') AS v, any_value(low) FILTER (part = 'validation') AS v_low,
        any_value(high) FILTER (part = 'validation') AS v_high, any_value(value) FILTER (part = 'test') AS s,
        any_value(low) FILTER (part = 'test') AS s_low, any_value(high) FILTER (part = 'test') AS s_high
    FROM told GROUP BY run
), scored AS (
    SELECT placed.*, v, v_low, v_high, s, s_low, s_high FROM placed LEFT JOIN scores USING (run)
), last_told AS (
    SELECT run, arg_max(value, step) AS v FROM metrics
    WHERE name = 'validation/' || $metric AND run IN (SELECT run FROM scored WHERE v IS NULL) GROUP BY run
), filled AS (  -- a run that was stopped has no evaluation; its last logged value stands in
    SELECT scored.* REPLACE (coalesce(scored.v, last_told.v) AS v) FROM scored LEFT JOIN last_told USING (run)
), chosen AS (
    SELECT *, CASE WHEN coalesce(steered, false) THEN run ELSE config_id END AS row_id,
        v IS NOT NULL OR s IS NOT NULL AS has_score FROM filled
    -- the same seed twice, or another seed of a trainer without randomness, is the same number twice
    QUALIFY row_number() OVER (PARTITION BY row_id, CASE WHEN seeds_pooled THEN seed END
        ORDER BY s IS NULL, v IS NULL, created_at DESC, run DESC) = 1
), pooled AS (  -- a run that did not end, or has no score, is no observation where others did; its end is told
    SELECT *, coalesce(list(state) FILTER (has_score OR state = 'diverged') OVER seeds_of, list(state) OVER seeds_of)
        AS all_states FROM chosen WINDOW seeds_of AS (PARTITION BY row_id)
    QUALIFY CASE WHEN bool_or(has_score AND state = 'done') OVER seeds_of THEN has_score AND state = 'done'
        ELSE has_score OR NOT bool_or(has_score) OVER seeds_of END
), rows AS (
    SELECT any_value(config_id) AS config_id, any_value(trainer) AS trainer, any_value(config) AS config,
        any_value(input) AS input, $metric AS metric, count(*) AS n, list(seed ORDER BY seed) AS seeds,
        list(run ORDER BY seed) AS runs,
        avg(v) AS validation, avg(s) AS test, count(v) AS n_v, count(s) AS n_s,
        coalesce(stddev_samp(v), 0) AS v_sd, coalesce(stddev_samp(s), 0) AS s_sd,
        any_value(v_low) AS v_low, any_value(v_high) AS v_high, any_value(s_low) AS s_low, any_value(s_high) AS s_high,
        avg(seconds) AS seconds, avg(items_per_s) AS items_per_s, max(peak_memory_mb) AS peak_memory_mb,
        avg(epochs) AS epochs, list_distinct(any_value(all_states)) AS states,
        any_value(stopped_because) AS stopped_because,
        bool_or(steered) AS steered, bool_or(starter) AS starter, bool_or(leaky) AS leaky
    FROM pooled GROUP BY row_id
)
SELECT $board AS board, coalesce(validation IS NOT NULL AND NOT coalesce(leaky, false)
        AND list_has_all(['done', 'stopped'], states), false) AS is_ranked,
    config_id, trainer, config, input, metric, rows.n, seeds, runs, validation,
    CASE WHEN n_v > 1 THEN validation - tv.t * v_sd / sqrt(n_v) ELSE v_low END AS validation_low,
    CASE WHEN n_v > 1 THEN validation + tv.t * v_sd / sqrt(n_v) ELSE v_high END AS validation_high,
    test,
    CASE WHEN n_s > 1 THEN test - ts.t * s_sd / sqrt(n_s) ELSE s_low END AS test_low,
    CASE WHEN n_s > 1 THEN test + ts.t * s_sd / sqrt(n_s) ELSE s_high END AS test_high,
    CASE WHEN n_v > 1 OR n_s > 1 THEN 'training seed' WHEN v_low IS NOT NULL THEN 'items' ELSE NULL END AS varied,
    seconds, items_per_s, peak_memory_mb, epochs, states, stopped_because, steered, starter, leaky
FROM rows LEFT JOIN t_quantiles tv ON tv.n = n_v LEFT JOIN t_quantiles ts ON ts.n = n_s
"""

WHOLE = _POOLED.format(which="true", whose="true")
"""All configurations of a board."""

TOUCHED = _POOLED.format(
    which="config_id IN (SELECT config_id FROM touched WHERE tick > $tick)", whose="run IN (SELECT run FROM placed)"
)
"""Those of which a run changed since `$tick`."""

_CONFIGURATIONS = """
INSERT INTO placed BY NAME
SELECT task, data, data_version, split, config_id, count(*) AS runs, bool_or(leaky) AS leaky,
    max(created_at) AS newest, bool_or(scored.run IS NOT NULL) AS is_scored
FROM runs LEFT JOIN (SELECT DISTINCT run FROM evaluations WHERE {whose}) scored USING (run) WHERE {which}
GROUP BY task, data, data_version, split, config_id
"""

PLACED_WHOLE = _CONFIGURATIONS.format(which="true", whose="true")
"""Fills the table placed, which is four times shorter than runs where each configuration has four seeds."""

_SINCE = "config_id IN (SELECT config_id FROM touched WHERE tick > $tick)"
PLACED_TOUCHED = _CONFIGURATIONS.format(which=_SINCE, whose=f"run IN (SELECT run FROM runs WHERE {_SINCE})")
"""Brings in the configurations of which a run changed since `$tick`."""

_BOARDS_FROM = _PLACED.format(table="placed", time="newest", columns="runs, config_id, leaky, newest, is_scored")
BOARDS = f"""
SELECT task, data, data_version, split, sum(runs)::BIGINT AS runs, count(DISTINCT config_id) AS configurations,
    bool_or(leaky) AS leaky, max(newest) AS newest, bool_or(is_scored) AS is_scored
FROM ({_BOARDS_FROM}) GROUP BY task, data, data_version, split ORDER BY newest DESC, data, split, data_version DESC
"""

TOLD_BOARDS = f"""
SELECT DISTINCT task, data, data_version, split
FROM ({_PLACED.format(table="runs", time="created_at", columns="run")})
WHERE run IN (SELECT run FROM metrics WHERE name LIKE 'validation/%'
    AND run IN (SELECT run FROM runs WHERE run NOT IN (SELECT run FROM evaluations)))
"""
"""Boards of which a run without a report told a validation score while it trained."""

OWN = """
SELECT task, data, split, max(created_at) AS own FROM runs WHERE NOT coalesce(starter, false) GROUP BY task, data, split
"""
"""Where the user has runs of their own, and when the newest was asked for."""

ANCHORS = """
SELECT kind, part, metric, arg_max(value, created_at) AS value FROM (
    SELECT run, kind, part, metric, value FROM evaluations
    WHERE kind IN ('baseline', 'ceiling') AND data = $data AND data_version = $version AND split = $split
) JOIN (
    SELECT run, created_at FROM runs
    WHERE task = $task AND data = $data AND data_version = $version AND split = $split
) USING (run) GROUP BY kind, part, metric
"""

MEAN_SCORES = """
SELECT place, metric, avg(value) AS value FROM pooled JOIN (
    SELECT run, metric, value FROM evaluations WHERE kind = 'model' AND data = ? AND split = ? AND part = ?
        AND metric IN (SELECT unnest(?))
) USING (run) GROUP BY place, metric
"""

BEST_RUNS = """
SELECT r.run, r.trainer, r.data, r.split, r.input, r.starter, r.state, r.created_at, e.value AS validation,
    coalesce(r.leaky, false) AS is_leaky
FROM runs r LEFT JOIN evaluations e ON e.run = r.run AND e.data = r.data AND e.split = r.split
    AND e.part = 'validation' AND e.kind = 'model' AND e.metric = ?
WHERE r.task = ? AND r.state IN ('done', 'stopped')
ORDER BY is_leaky, validation DESC NULLS LAST, r.created_at DESC
"""
