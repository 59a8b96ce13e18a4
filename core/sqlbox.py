"""A user's own statement on the index: read-only, alone, with an end.

It runs on a cursor of its own inside a read-only transaction; the index itself is locked (no files, no extensions, no
settings). What DuckDB cannot interrupt, one function making one huge value, is refused beforehand as far as it is
known; texts joined to themselves over and over are not, and take seconds and memory until DuckDB's own limit of 4 GB.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from core.store import Store
from core.tables import TABLES

TIME_LIMIT_S = 10.0
ROW_LIMIT = 10_000
LONGEST = 20_000
"""Characters of a statement."""

HUGE = {"repeat", "lpad", "rpad", "range", "generate_series", "list_resize", "array_resize", "bitstring"}
"""Outside FROM: one call can make gigabytes, and DuckDB looks up from a call only when it has ended (75 s measured)."""

HIDING = {"query", "query_table"}
"""They run text that was not looked at."""

LENGTHENING = {"replace", "regexp_replace"}
MOST_LENGTHENED = 100.0
"""A few of them, one inside the other, make gigabytes of a short text (29 s measured): how many times longer all of a
statement's together may make one."""

ANSWER_LIMIT_BYTES = 100_000_000
"""One cell can hold all rows of a table joined; the page copies an answer several times."""

FORMATTING = {"printf", "format"}
"""A width in their pattern makes a text of any length."""


@dataclass(frozen=True)
class Answer:
    """What a statement gave: the rows, whether more were left out, and how long it took (s)."""

    table: pa.Table
    is_cut: bool
    seconds: float


def ask(store: Store, statement: str, *, seconds: float = TIME_LIMIT_S, rows: int = ROW_LIMIT) -> Answer:
    """The rows that one SELECT gives, at most `rows` of them, found within `seconds`.

    Raises ValueError with one sentence for anything but a single SELECT, for what DuckDB cannot do with it (with the
    position), and where the time is over.
    """
    cursor = store.cursor()
    is_over = threading.Event()
    timer = threading.Thread(target=_interrupt, args=(cursor, seconds, is_over), daemon=True)
    started = time.monotonic()
    try:
        _check(cursor, statement)
        timer.start()
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        relation: Any = cursor.sql(statement)
        found = relation.limit(rows + 1).project(_plainly(relation)).to_arrow_table()
        found = _whole_numbers(found, relation.types).rename_columns(relation.columns)
    except duckdb.InterruptException:
        raise ValueError(
            f"Stopped after {seconds:g} s. Ask for less: a condition on run or name, or fewer joins."
        ) from None
    except duckdb.OutOfMemoryException:
        raise ValueError(
            "It needs more memory than a statement may have. Ask for less, or group before joining."
        ) from None
    except duckdb.Error as error:
        raise ValueError(sentence(_placed(cursor, statement, error))) from None
    finally:
        is_over.set()
        if timer.ident is not None:
            timer.join()
        cursor.close()  # and with it the transaction
    if found.nbytes > ANSWER_LIMIT_BYTES:
        size_mb, most_mb = found.nbytes // 10**6, ANSWER_LIMIT_BYTES // 10**6
        raise ValueError(
            f"The answer has {size_mb} MB, and at most {most_mb} can be shown. Ask for fewer columns or rows."
        )
    return Answer(found.slice(0, rows), found.num_rows > rows, time.monotonic() - started)


def _interrupt(cursor: duckdb.DuckDBPyConnection, seconds: float, is_over: threading.Event) -> None:
    """After so many seconds interrupt until it is over: an interrupt between two steps of a statement is lost."""
    wait_s = seconds
    while not is_over.wait(wait_s):
        cursor.interrupt()
        wait_s = 0.2


def _check(cursor: duckdb.DuckDBPyConnection, statement: str) -> None:
    """ValueError where it is not one SELECT, or calls what cannot be interrupted."""
    if len(statement) > LONGEST:
        raise ValueError(f"A statement may have {LONGEST:,} characters; this one has {len(statement):,}.")
    parsed = cursor.extract_statements(statement)
    if not parsed:
        raise ValueError("There is no statement. Try: SELECT * FROM runs")
    if len(parsed) > 1:
        kinds = {str(one.type).rpartition(".")[2] for one in parsed}
        pivot = " (PIVOT counts as several: count with FILTER instead)" if "MULTI" in kinds else ""
        raise ValueError(f"One statement at a time; there are {len(parsed)}{pivot}.")
    kind = str(parsed[0].type).rpartition(".")[2]
    if kind == "MULTI":
        raise ValueError("PIVOT makes several statements of one; count with FILTER (WHERE …) instead.")
    if kind != "SELECT":
        raise ValueError(f"Only SELECT is possible here, not {kind}: the index is read, never written or set.")
    row = cursor.execute("SELECT json_serialize_sql(?)", [statement]).fetchone()
    assert row is not None
    try:
        tree = json.loads(row[0])
    except RecursionError:
        raise ValueError("The statement is nested too deeply; write it with fewer brackets or operators.") from None
    if tree.get("error"):
        raise ValueError(f"This SELECT cannot be looked through before it runs: {tree.get('error_message')}")
    longer = 1.0
    for name, arguments, is_in_from in _calls(tree):
        if name in HIDING:
            raise ValueError(f"{name}() is not possible here; write the statement itself.")
        if name in HUGE and not is_in_from:
            hint = "; as a table (FROM range(10)) it is" if name in ("range", "generate_series") else ""
            raise ValueError(f"{name}() is not possible here, since one call can fill the memory{hint}.")
        if name in LENGTHENING:
            longer *= _times_longer(name, arguments)
        if longer > MOST_LENGTHENED:
            raise ValueError(
                f"{name}() is possible only with plain texts that make what they are in at most "
                f"{MOST_LENGTHENED:g} times longer{'; a pattern may only be deleted' if name != 'replace' else ''}."
            )
        if name in FORMATTING:
            raise ValueError(f"{name}() is not possible here; use round(value, 3) and ||.")


PLAIN = {"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
PLAIN |= {"FLOAT", "DOUBLE", "VARCHAR", "DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}
"""Types that a table, a chart, CSV and Parquet all hold as they are."""

DOUBLE_DIGITS = 15


def _plainly(relation: Any) -> str:
    """A projection that keeps plain columns, makes short decimals floats, and gives all else as DuckDB's own text.

    Handed over as they are, a UHUGEINT comes out as another number, and pandas or Parquet refuse unions and intervals.
    """
    columns = []
    for number, (name, type) in enumerate(zip(relation.columns, map(str, relation.types), strict=True), 1):
        digits = re.match(r"DECIMAL\((\d+)", type)
        is_short = digits is not None and int(digits[1]) <= DOUBLE_DIGITS
        wanted = type if type in PLAIN else "DOUBLE" if is_short else "VARCHAR"
        quoted = name.replace('"', '""')
        columns.append(f'CAST(#{number} AS {wanted}) AS "{quoted}"')
    return ", ".join(columns)


def _whole_numbers(table: pa.Table, types: list[Any]) -> pa.Table:
    """Sums of whole numbers (HUGEINT) as 64 bits where these hold them, so that they can be drawn; else as text."""
    for number, type in enumerate(types):
        if str(type) == "HUGEINT":
            with contextlib.suppress(pa.ArrowInvalid):
                table = table.set_column(number, table.field(number).name, table.column(number).cast(pa.int64()))
    return table


def _calls(tree: Any) -> Iterator[tuple[str, list[Any], bool]]:
    """Every function that a parsed statement calls, its arguments, and whether it stands in FROM as a table."""
    left = [(tree, False)]
    while left:
        node, is_in_from = left.pop()
        if isinstance(node, list):
            left += [(part, False) for part in node]
        elif isinstance(node, dict):
            if "function_name" in node:
                yield (
                    str(node["function_name"]).lower(),
                    node.get("arguments") or node.get("children") or [],
                    is_in_from,
                )
            is_table = node.get("type") == "TABLE_FUNCTION"
            left += [(part, is_table and key == "function") for key, part in node.items()]


def _times_longer(name: str, arguments: list[Any]) -> float:
    """How many times longer a replacement can make its text; infinity where it cannot be seen from the statement."""
    old, new = ([_text(argument) for argument in arguments[1:3]] + [None, None])[:2]
    if old is None or new is None or (name == "regexp_replace" and new):
        return math.inf
    return max(1.0, len(new.encode()) / max(len(old.encode()), 1))


def _text(argument: Any) -> str | None:
    """The text of a plain literal; None for anything else."""
    expression = argument.get("expression", argument)
    literal = expression.get("literal") or expression.get("value") or {}
    text = literal.get("text", literal.get("value")) if expression.get("class") == "CONSTANT" else None
    return text if isinstance(text, str) else None


def _placed(cursor: duckdb.DuckDBPyConnection, statement: str, error: duckdb.Error) -> str:
    """What DuckDB said, with the line and the mark below it, which a relation leaves out: preparing tells them."""
    if "\nLINE " in str(error):
        return str(error)
    try:
        cursor.execute("ROLLBACK")
        cursor.execute(f"PREPARE box AS\n{statement}")
    except duckdb.Error as again:
        return re.sub(r"\nLINE (\d+)(?=: )", lambda found: f"\nLINE {int(found.group(1)) - 1}", str(again))
    return str(error)


def sentence(error: str) -> str:
    """DuckDB's error as one line: what, and where ("line 2, column 8")."""
    text, _, _ = error.partition("\n\nLINE ")
    where = re.search(r"\nLINE (\d+): (.*)\n( *)\^", error)
    said = " ".join(text.split())
    if "read-only mode" in said:
        return "Only SELECT is possible here: the index is read, never written."
    if "operations are disabled by configuration" in said or "disabled through configuration" in said:
        return "Files, folders and the network are closed here; only the tables of the index can be read" + _place(
            where
        )
    unknown = re.match(r"Catalog Error: Table with name (.+?) does not exist", said)
    if unknown:
        return f"There is no table {unknown.group(1)}; there are {', '.join(TABLES)}" + _place(where)
    return said.rstrip(".") + _place(where)


def _place(where: re.Match[str] | None) -> str:
    if where is None:
        return "."
    column = len(where.group(3)) - len(f"LINE {where.group(1)}: ") + 1
    return f" (line {where.group(1)}, column {column})."


def as_parquet(table: pa.Table) -> bytes:
    """The rows as a Parquet file."""
    from pyarrow import parquet

    target = pa.BufferOutputStream()
    parquet.write_table(_named_once(table), target)
    return target.getvalue().to_pybytes()


def as_frame(table: pa.Table) -> pd.DataFrame:
    """The rows as a frame, each column under a name of its own; days as times, since pandas has no others that far."""
    return _named_once(table).to_pandas(date_as_object=False)


def as_csv(table: pa.Table) -> bytes:
    """The rows as CSV with a header; lists and structures as text."""
    return as_frame(table).to_csv(index=False).encode()


def _named_once(table: pa.Table) -> pa.Table:
    """Columns of one name told apart: a file keeps a name once."""
    names: list[str] = []
    for name in table.column_names:
        own, count = name, 0
        while own in names:
            count += 1
            own = f"{name}_{count}"
        names.append(own)
    return table.rename_columns(names)
