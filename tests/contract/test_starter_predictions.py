"""The predictions that ship are those of the runs and clips that ship, and the first page is drawn from them alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core import audio, listening, paths

STARTER = paths.PROJECT / "starter"
CLIPS = sorted((STARTER / "clips").glob("*.ogg"))
RUNS = sorted(folder.name for folder in (STARTER / "runs").iterdir() if (folder / "checkpoints").is_dir())
"""Those of studies ship without weights."""
AGAIN = "make them again with `python -m starter.make predictions`"


@pytest.fixture(autouse=True)
def shipped(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARSHOT_STARTER", str(STARTER))


def kept_as(clip: audio.Clip, run: str) -> Path:
    model = listening.load(run)
    return listening.shipped() / listening.key(clip.sha256, model, model.window_s, listening.HOP_S)


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.stem)
def test_what_ships_is_what_the_code_computes_now(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = audio.decode(path)
    read = {run: listening.listen(clip, listening.load(run)) for run in RUNS}
    assert not (paths.cache() / "predictions").exists(), f"something was not found among what ships: {AGAIN}"
    monkeypatch.setattr(listening, "shipped", lambda: tmp_path / "nothing")
    for run in RUNS:
        now = listening.listen(clip, listening.load(run)).prediction
        found = read[run].prediction
        assert (found.labels, found.unit, found.warnings) == (now.labels, now.unit, now.warnings), AGAIN
        assert found.times_s == pytest.approx(now.times_s)
        # A tree's leaf may change where another processor rounds otherwise; a version behind would move all values.
        is_far = np.abs(found.values - now.values) > 1e-4
        assert is_far.mean() < 0.02, f"{run} says something else now: {AGAIN}"


def test_nothing_lies_there_that_nobody_reads() -> None:
    read = {kept_as(audio.decode(path), run) for path in CLIPS for run in RUNS}
    assert set((STARTER / "predictions").iterdir()) == read, AGAIN


def test_all_that_ships_is_small() -> None:
    assert sum(file.stat().st_size for file in (STARTER / "predictions").iterdir()) < 300_000


LOADED = """
import sys, trainers
from streamlit.testing.v1 import AppTest
from core import listening
from pages import shared
shared.warm = lambda: None
app = AppTest.from_file(sys.argv[1], default_timeout=120).run()
assert not app.exception, [box.stack_trace for box in app.exception]
assert [len(box.value) for box in app.multiselect] == [2, 1], [box.value for box in app.multiselect]
(table,) = [block.value for block in app.markdown if block.value.startswith("| run |")]
arousal = [float(row.split(" | ")[2]) for row in table.splitlines()[2:]]
assert len(arousal) == 2 and all(1 <= value <= 9 for value in arousal), table
print(*{name.partition(".")[0] for name in sys.modules})
"""


def test_the_first_page_needs_neither_torch_nor_pandas() -> None:
    """Their imports take seconds, or half a second; a page that draws curves from what ships comes without them."""
    found = subprocess.run(
        [sys.executable, "-c", LOADED, str(paths.PROJECT / "app.py")], capture_output=True, text=True, cwd=paths.PROJECT
    )
    assert found.returncode == 0, found.stderr
    assert not {"torch", "xgboost", "sklearn", "scipy", "pandas"} & set(found.stdout.split())
