"""The tables of the index: every column with its type, unit and meaning, in the one place that also makes them.

The SQL page shows this, `core/store.py` creates the tables from it, and rows go in by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from core.arrow import TYPES, array


class Column(NamedTuple):
    """One column: its name, DuckDB type, unit (empty where it has none) and what it holds."""

    name: str
    type: str
    unit: str
    sentence: str


class Table(NamedTuple):
    """One table: what a row of it is, and its columns in order."""

    sentence: str
    columns: tuple[Column, ...]


_RUN = Column("run", "VARCHAR", "", "Name of the run: its directory.")

TABLES: dict[str, Table] = {
    "runs": Table(
        "One row per run.",
        (
            _RUN,
            Column("trainer", "VARCHAR", "", "What learned."),
            Column("task", "VARCHAR", "", "What was learned: emotion, instruments …"),
            Column("data", "VARCHAR", "", "Data set."),
            Column("data_version", "VARCHAR", "", "Its version; empty until the run has read it."),
            Column("split", "VARCHAR", "", "Named split: official, grouped:S, cv10:S.F …"),
            Column("seed", "BIGINT", "", "Seed of the training; the split has its own."),
            Column("config_id", "VARCHAR", "", "Names the configuration: runs that differ in the seed alone share it."),
            Column("config", "VARCHAR", "JSON", "All knobs; the table configs has them one a row."),
            Column("input", "VARCHAR", "", "What the model eats: lib164, logmel …"),
            Column("device", "VARCHAR", "", "Where it trained: cpu, cuda:0 …"),
            Column("state", "VARCHAR", "", "queued, starting, running, paused, done, stopped, diverged, failed, lost."),
            Column("reason", "VARCHAR", "", "Why it is in this state, in a sentence."),
            Column("created_at", "VARCHAR", "ISO 8601, UTC", "When it was asked for."),
            Column("started_at", "DOUBLE", "s since 1970", "When its process began."),
            Column("ended_at", "DOUBLE", "s since 1970", "When it ended."),
            Column("seconds", "DOUBLE", "s", "Time spent in training, scoring left out."),
            Column("items_per_s", "DOUBLE", "rows/s", "Training rows seen per second."),
            Column("peak_memory_mb", "DOUBLE", "MB", "Most memory that its process (on a GPU: its device) held."),
            Column("epochs", "DOUBLE", "epochs", "Passes over the training data."),
            Column("stopped_because", "VARCHAR", "", "Why training ended, as the trainer says."),
            Column("seeds_pooled", "BOOLEAN", "", "Whether the trainer draws numbers, so that seeds can be pooled."),
            Column("steered", "BOOLEAN", "", "Whether a knob moved while it trained, or it is a branch; else empty."),
            Column("starter", "BOOLEAN", "", "Whether it ships with the project."),
            Column("sweep", "VARCHAR", "", "Id of the sweep it belongs to; empty where it was started on its own."),
            Column("leaky", "BOOLEAN", "", "Whether groups lie on both sides of its split."),
            Column("folder", "VARCHAR", "", "Where its directory is."),
        ),
    ),
    "configs": Table(
        "One row per run and knob.",
        (
            _RUN,
            Column("name", "VARCHAR", "", "Name of the knob."),
            Column("value", "VARCHAR", "JSON", "Its value; value::DOUBLE where it is a number."),
        ),
    ),
    "metrics": Table(
        "One row per number that a run logged.",
        (
            _RUN,
            Column("n", "BIGINT", "", "Number of the event that told it."),
            Column("t", "DOUBLE", "s since 1970", "When it was told."),
            Column("step", "BIGINT", "updates", "Parameter updates so far."),
            Column("epoch", "DOUBLE", "epochs", "Passes over the training data so far."),
            Column("name", "VARCHAR", "", "train/…, validation/…, test/… or optim/…; the Guide explains each."),
            Column("value", "DOUBLE", "see the Guide", "The number; empty where it was not a number."),
        ),
    ),
    "events": Table(
        "One row per thing that happened in a run, numbers left out.",
        (
            _RUN,
            Column("n", "BIGINT", "", "Number of the event in its run."),
            Column("t", "DOUBLE", "s since 1970", "When it happened."),
            Column("kind", "VARCHAR", "", "state, data, checkpoint, snapshot, changed, paused, branched, summary …"),
            Column("step", "BIGINT", "updates", "Parameter updates so far, where the event says it."),
            Column("detail", "VARCHAR", "JSON", "All else that the event says; detail->>'reason' takes one part."),
        ),
    ),
    "snapshots": Table(
        "One row per picture, sound, table or histogram that a run kept.",
        (
            _RUN,
            Column("n", "BIGINT", "", "Number of the event that told it."),
            Column("step", "BIGINT", "updates", "Parameter updates so far."),
            Column("name", "VARCHAR", "", "What it shows, as the trainer calls it."),
            Column("kind", "VARCHAR", "", "image, audio, table or histogram."),
            Column("file", "VARCHAR", "", "Its file in the run's folder snapshots."),
        ),
    ),
    "evaluations": Table(
        "One row per run, scored data and metric, with the baseline and the ceiling beside it.",
        (
            _RUN,
            Column("data", "VARCHAR", "", "Data set it was scored on."),
            Column("data_version", "VARCHAR", "", "Its version."),
            Column("split", "VARCHAR", "", "Split it was scored on."),
            Column("part", "VARCHAR", "", "validation or test."),
            Column("kind", "VARCHAR", "", "model, baseline (knows the training labels only) or ceiling (label noise)."),
            Column("metric", "VARCHAR", "", "Name of the metric; the Guide explains each."),
            Column("value", "DOUBLE", "see the Guide", "The score over all items."),
            Column("low", "DOUBLE", "as value", "Lower end of its 95 % interval: items drawn again, by group."),
            Column("high", "DOUBLE", "as value", "Upper end of the same."),
            Column(
                "n_items",
                "BIGINT",
                "items",
                "Items that count in it; in accuracy those with one label, in a class's recall its own.",
            ),
            Column("labels_per_item", "DOUBLE", "labels", "Labels that an item has on average; empty without classes."),
        ),
    ),
}
"""What a user may ask about."""

INTERNAL: dict[str, Table] = {
    "schema_version": Table("Which tables these are.", (Column("version", "BIGINT", "", "Raised with each change."),)),
    "ingested": Table(
        "How far each run directory has been read.",
        (
            _RUN,
            Column("place", "VARCHAR", "", "Its directory."),
            Column("bytes", "BIGINT", "bytes", "Read so far of its events."),
            Column("evaluated", "DOUBLE", "", "Changes with its reports, heartbeat and state."),
            Column("last_step", "BIGINT", "updates", "Highest step of its numbers so far."),
            Column("signature", "VARCHAR", "", "Times and sizes of its files, once at rest; else empty."),
        ),
    ),
    "standings_kept": Table(
        "Boards whose rows are kept ready, by metric.",
        (
            Column("board", "BIGINT", "", "Its number in standings."),
            Column("task", "VARCHAR", "", "What was learned."),
            Column("data", "VARCHAR", "", "Data set."),
            Column("data_version", "VARCHAR", "", "Its version."),
            Column("split", "VARCHAR", "", "Named split."),
            Column("metric", "VARCHAR", "", "What it is ranked by."),
            Column("newest", "VARCHAR", "", "Version on which runs stand that have not read their data."),
            Column("tick", "BIGINT", "", "Changes up to this one are in it."),
        ),
    ),
    "placed_kept": Table(
        "How far the table placed is up to date; empty where it never was.",
        (Column("tick", "BIGINT", "", "Changes up to this one are in it."),),
    ),
    "placed": Table(
        "One row per configuration and place where its runs can be compared.",
        (
            Column("task", "VARCHAR", "", "What was learned."),
            Column("data", "VARCHAR", "", "Data set."),
            Column("data_version", "VARCHAR", "", "Its version; empty for runs that have not read it."),
            Column("split", "VARCHAR", "", "Named split."),
            Column("config_id", "VARCHAR", "", "The configuration."),
            Column("runs", "BIGINT", "runs", "Its runs there."),
            Column("leaky", "BOOLEAN", "", "Whether groups lie on both sides of the split."),
            Column("newest", "VARCHAR", "ISO 8601, UTC", "When the newest of them was asked for."),
            Column("is_scored", "BOOLEAN", "", "Whether one of them was scored."),
        ),
    ),
    "touched": Table(
        "Configurations of which a run changed.",
        (
            Column("config_id", "VARCHAR", "", "The configuration."),
            Column("tick", "BIGINT", "", "Number of the change, rising."),
        ),
    ),
    "standings": Table(
        "One row per kept board and configuration; a steered run has one of its own.",
        (
            Column("board", "BIGINT", "", "Which board."),
            Column("is_ranked", "BOOLEAN", "", "Whether it has a validation score, ended well and leaks nothing."),
            Column("config_id", "VARCHAR", "", "The configuration."),
            Column("trainer", "VARCHAR", "", "What learned."),
            Column("config", "VARCHAR", "JSON", "All knobs."),
            Column("input", "VARCHAR", "", "What the model eats."),
            Column("metric", "VARCHAR", "", "What it is ranked by."),
            Column("n", "BIGINT", "runs", "Runs pooled."),
            Column("seeds", "BIGINT[]", "", "Their seeds."),
            Column("runs", "VARCHAR[]", "", "Their names, in order of their seeds."),
            Column("validation", "DOUBLE", "see the Guide", "Mean over the runs."),
            Column(
                "validation_low",
                "DOUBLE",
                "as validation",
                "Lower end of its 95 % interval, not cut where the score ends.",
            ),
            Column("validation_high", "DOUBLE", "as validation", "Upper end of the same."),
            Column("test", "DOUBLE", "see the Guide", "Mean over the runs."),
            Column("test_low", "DOUBLE", "as test", "Lower end of its 95 % interval, as computed."),
            Column("test_high", "DOUBLE", "as test", "Upper end of the same."),
            Column("varied", "VARCHAR", "", "What the intervals are over: training seed or items."),
            Column("seconds", "DOUBLE", "s", "Mean training time."),
            Column("items_per_s", "DOUBLE", "rows/s", "Mean training rows seen per second."),
            Column("peak_memory_mb", "DOUBLE", "MB", "Most memory of any."),
            Column("epochs", "DOUBLE", "epochs", "Mean passes over the training data."),
            Column("states", "VARCHAR[]", "", "The states that its runs are in."),
            Column("stopped_because", "VARCHAR", "", "Why training of one of them ended."),
            Column("steered", "BOOLEAN", "", "Whether one was steered."),
            Column("starter", "BOOLEAN", "", "Whether one ships with the project."),
            Column("leaky", "BOOLEAN", "", "Whether groups lie on both sides of the split."),
        ),
    ),
    "t_quantiles": Table(
        "Half-widths of 95 % intervals over seeds.",
        (
            Column("n", "BIGINT", "runs", "Number of runs."),
            Column("t", "DOUBLE", "standard errors", "97.5 % quantile of Student's t with n - 1 degrees of freedom."),
        ),
    ),
}
"""What the index keeps for itself."""


def create() -> str:
    """The statements that make all tables, and the numbers that boards get."""
    statements = []
    for name, table in (TABLES | INTERNAL).items():
        columns = ", ".join(f"{column.name} {column.type}" for column in table.columns)
        statements.append(f"CREATE TABLE IF NOT EXISTS {name} ({columns});")
    statements.append("CREATE SEQUENCE IF NOT EXISTS board_numbers;")  # no two connections are given one twice
    return "\n".join(statements)


def of_runs() -> list[str]:
    """The tables whose rows belong to a run."""
    return [name for name, table in (TABLES | INTERNAL).items() if table.columns[0] == _RUN]


def arrow(name: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as an Arrow table with the columns of table `name`; what is not a number becomes empty."""
    rows = list(rows)
    columns = (TABLES | INTERNAL)[name].columns
    return pa.table({column.name: _array([row[column.name] for row in rows], column.type) for column in columns})


def _array(values: list[Any], kind: str) -> pa.Array:
    plain = array(values, kind)
    if plain is not None:
        return plain
    try:
        return pa.array(values, TYPES[kind], from_pandas=True)
    except (pa.ArrowException, UnicodeError, OverflowError, TypeError, ValueError):
        # Files that nobody of us wrote: a name that is a number or half a character, a number that is a word.
        return pa.array([_mended(value, kind) for value in values], TYPES[kind], from_pandas=True)


def _mended(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "VARCHAR":
        return str(value).encode("utf-8", "replace").decode()
    if kind == "BOOLEAN":
        return bool(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and (kind == "DOUBLE" or (value == int(value) and abs(value) < 2**63)) else None
