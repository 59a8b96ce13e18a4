"""What a killed app leaves behind goes when the next one starts; what is being made stays."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from core import branching, decoding, leftovers, library, paths, rundir, supervisor
from tests.unit.test_rundir import spec


def gone() -> int:
    """The number of a process that was."""
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_what_the_dead_left_goes_and_what_the_living_make_stays(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead, alive = gone(), os.getppid()
    kept = rundir.create(spec())
    (library.folder() / "0123-tone.wav").write_bytes(b"RIFF")
    (cache / "ratings" / ("a" * 64)).mkdir(parents=True)
    left = [
        "clips/.upload-x",
        "clips/.upload-x.flac",
        ".branching-run",
        ".starting-1-run",
        "ratings/" + "a" * 64 + "/.c",
    ]
    for name in left:
        for pid in (dead, alive):
            (cache / f"{name}.{pid}").write_bytes(b"half")
    for pid in (dead, alive):
        making = paths.runs() / f".run.making.{pid}"
        making.mkdir()
        (making / "spec.json").write_text("{")
    monkeypatch.delenv("EARSHOT_DATA", raising=False)  # its clips are in the library, too
    leftovers.sweep()
    hidden = {str(path.relative_to(cache)) for path in cache.rglob(".*")}
    assert hidden == {f"{name}.{alive}" for name in [*left, "runs/.run.making"]}
    assert kept.is_dir() and [entry.title for entry in library.entries()] == ["tone.wav"]


def test_what_is_unfinished_names_its_process(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the midst of it, each of them leaves what the sweep finds."""
    seen: list[str] = []

    def die(*_: object, **__: object) -> None:
        seen.extend(path.name for path in cache.rglob(".*") if path.name.endswith(f".{os.getpid()}"))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(decoding, "decode_safely", die)
        with pytest.raises(KeyboardInterrupt):
            library.keep(b"RIFF....WAVE....", "tone.wav")
    with monkeypatch.context() as patch:
        patch.setattr(rundir, "set_status", die)
        with pytest.raises(KeyboardInterrupt):
            rundir.create(spec())
    assert [name.partition("-")[0] for name in seen] == [".upload", ".20260101"]
    seen.clear()
    folder = rundir.create(spec("20260101-000000-toy-0001"))
    with monkeypatch.context() as patch:
        patch.setattr(branching, "_point", lambda *_: folder / "spec.json")
        patch.setattr(branching.checkpoints, "load_state", die)
        with pytest.raises(KeyboardInterrupt):
            branching.branch(folder)
    assert [name.partition("-")[0] for name in seen] == [".branching"]


def test_the_supervisor_sweeps_as_it_starts(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = cache / f".branching-run.{gone()}"
    left.write_bytes(b"half")
    monkeypatch.setattr(supervisor, "_tick", lambda _: False)
    supervisor.main()
    assert not left.exists()


def test_the_library_does_not_look_at_what_comes_and_goes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    (library.folder() / "0123-tone.wav").write_bytes(b"RIFF")
    (library.folder() / "0124-gone.wav").symlink_to(cache / "nowhere")  # listed, and then not there any more
    (library.folder() / ".upload-x.1").symlink_to(cache / "nowhere")
    assert [entry.key for entry in library.entries()] == ["0123-tone.wav"]
