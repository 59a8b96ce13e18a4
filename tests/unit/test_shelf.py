"""Names for folders: kept, refused, forgotten, and never lost to a second process or a damaged file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core import paths, shelf


def test_a_name_is_kept_and_forgotten_and_the_folder_stays(cache: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    shelf.remember("mine", mine)
    shelf.remember("mine", mine)  # again is no mistake
    assert shelf.added() == {"mine": mine}
    assert shelf.forget("mine") == mine and shelf.added() == {} and mine.is_dir()
    with pytest.raises(ValueError, match="No data set was added under the name 'mine'; nothing has been added"):
        shelf.forget("mine")


@pytest.mark.parametrize("name", ["", "Ä", "folder:x", "../x", "a b", "-a", "A", "x" * 41, "<b>", "a\n"])
def test_a_name_that_could_be_taken_for_something_else_is_refused(cache: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a data set"):
        shelf.remember(name, tmp_path)
    assert shelf.added() == {}


def test_a_name_stands_for_one_folder(cache: Path, tmp_path: Path) -> None:
    shelf.remember("mine", tmp_path)
    with pytest.raises(ValueError, match=r"stands for .* already"):
        shelf.remember("mine", tmp_path / "other")


def test_a_damaged_file_is_put_aside_not_written_over(cache: Path, tmp_path: Path) -> None:
    file = paths.cache() / "data" / "added.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    for damage in ('{"a": "/tm', "[1]"):
        file.write_text(damage)
        assert shelf.added() == {}
        shelf.remember("mine", tmp_path)
        assert shelf.added() == {"mine": tmp_path} and file.with_suffix(".damaged").read_text() == damage


def test_four_processes_that_add_at_once_lose_nothing(cache: Path, tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from core import shelf\n"
    script += "for i in range(15): shelf.remember(f'{sys.argv[1]}{i}', Path(sys.argv[2]))"
    writers = [subprocess.Popen([sys.executable, "-c", script, f"p{n}-", str(tmp_path)]) for n in range(4)]
    assert [writer.wait(120) for writer in writers] == [0] * 4
    assert set(shelf.added()) == {f"p{n}-{i}" for n in range(4) for i in range(15)}
