"""Arrow arrays made without pandas: what pyarrow itself would make, or nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from core import arrow, paths

VALUES: dict[str, list[Any]] = {
    "VARCHAR": ["a", None, "", "Ä🎻", "x" * 300],
    "BIGINT": [1, None, -(2**63), 2**63 - 1, 0],
    "DOUBLE": [1.5, float("nan"), None, float("-inf"), 3],
    "BOOLEAN": [True, None, False, True, False],
}


@pytest.mark.parametrize("kind", arrow.TYPES)
@pytest.mark.parametrize("n", [0, 1, 5, 45])
def test_an_array_is_the_one_of_pyarrow(kind: str, n: int) -> None:
    for values in ((VALUES[kind] * 9)[:n], [None] * n, [VALUES[kind][0]] * n):
        made = arrow.array(values, kind)
        assert made is not None
        made.validate(full=True)
        assert made.equals(pa.array(values, arrow.TYPES[kind], from_pandas=True))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1], "VARCHAR"),
        (["half a character \ud800"], "VARCHAR"),
        ([2**63], "BIGINT"),
        ([1.0], "BIGINT"),
        ([True], "BIGINT"),
        (["1"], "DOUBLE"),
        ([2**53 + 1], "DOUBLE"),
        ([True], "DOUBLE"),
        ([1], "BOOLEAN"),
    ],
)
def test_what_is_no_plain_value_of_its_type_is_left_to_others(values: list[Any], kind: str) -> None:
    assert arrow.array(values, kind) is None


def test_names_are_repeated_and_lines_kept() -> None:
    assert arrow.repeated(["run ä", "b", "c"], [2, 0, 1]).to_pylist() == ["run ä", "run ä", "c"]
    assert arrow.texts([b"one", b"", "zwö".encode()]).to_pylist() == ["one", "", "zwö"]


def test_the_index_is_filled_without_pandas(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its import is half a second, and the first page waits for the index."""
    monkeypatch.setenv("EARSHOT_STARTER", str(paths.PROJECT / "starter"))
    script = "import sys\nfrom core.store import Store\nprint(Store().sync() > 0, 'pandas' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=paths.PROJECT, check=True
    )
    assert found.stdout.split() == ["True", "False"]
