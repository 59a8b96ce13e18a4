"""Foreign bytes are decoded in a child process with limits, so that a decoder's crash is never the app's.

    python -m core.decoding < a line of JSON, then the sound where it is no file      the child; not for people

The line is [name, samples file, path of the sound or null, folder for long clips or null]. The child says how far a
long clip is, a line of JSON each, and last what became of the file.

Starting the child takes most of the time of a short clip, so an app keeps one ready (`prepare`): it has imported what
it needs and waits for its one file. Without an owner its input ends, and so does it.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from core import audio, longclip, paths

MEMORY_LIMIT_BYTES = 6 * 2**30  # address space of a decoder: 30 minutes of 48 kHz stereo need 0.7 GB

Tell = Callable[[float], None]

_lock = threading.Lock()
_ready: list[subprocess.Popen[bytes]] = []


def decode_safely(
    data: bytes | Path, name: str, timeout_s: float = 60.0, tell: Tell = lambda fraction: None
) -> audio.Clip | longclip.LongClip:
    """`audio.decode` in a child process with limits on memory and time.

    `data` is the file or its path. From a path a long clip can come, too, which is unpacked into the cache; `tell` then
    hears how much of it is done, and may raise to end the child. Raises ValueError as `decode` does, and for a crash,
    too much memory, or where nothing new is heard of the file for `timeout_s` seconds.
    """
    name = audio.clean_name(name)
    with tempfile.TemporaryDirectory(prefix="earshot-") as folder, _taken() as child:
        target = Path(folder) / "samples.f32"
        source, place = (None, None) if isinstance(data, bytes) else (str(data.absolute()), str(longclip.root()))
        told = json.dumps([name, str(target), source, place]).encode() + b"\n"
        answer = _answer(child, told + data if isinstance(data, bytes) else told, timeout_s, tell)
        if answer is None:
            raise ValueError(
                f"{name} took more than {timeout_s:g} s to decode and was given up; convert it to wav and try again."
            )
        if "error" in answer:
            raise ValueError(answer["error"])
        if "sample_count" in answer:
            return longclip.LongClip(**answer | {"folder": Path(answer["folder"])})
        if "shape" not in answer:
            raise ValueError(f"{name} made the decoder crash; it is probably damaged, so copy or convert it.")
        samples = np.fromfile(target, np.float32).reshape(answer.pop("shape"))
        return audio.Clip(samples=samples, **answer)


def _answer(child: subprocess.Popen[bytes], told: bytes, timeout_s: float, tell: Tell) -> dict[str, Any] | None:
    """The child's last line, {} where it died before it, None where it was silent for too long."""
    lines: queue.Queue[bytes] = queue.Queue()

    def listen() -> None:
        with contextlib.suppress(OSError, ValueError):  # the pipe of a child that was ended
            for line in child.stdout or ():
                lines.put(line)
        lines.put(b"")

    def feed() -> None:
        with contextlib.suppress(OSError, ValueError):
            child.stdin.write(told)  # type: ignore[union-attr]
            child.stdin.close()  # type: ignore[union-attr]

    for work in (listen, feed):
        threading.Thread(target=work, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if not line:
            return {}
        try:
            said = json.loads(line)
        except ValueError:
            return {}
        if "fraction" not in said:
            return said
        tell(said["fraction"])


def prepare() -> None:
    """Have a decoder ready for the next file; costs nothing where one waits already."""
    with _lock:
        if not any(child.poll() is None for child in _ready):
            _ready[:] = [_start()]


@contextlib.contextmanager
def _taken():
    """The decoder that waits, or a new one; ended and reaped afterwards, whatever happened."""
    with _lock:
        waiting = [child for child in _ready if child.poll() is None]
        _ready.clear()
    child = waiting[0] if waiting else _start()
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        longclip.forget_unfinished(child.pid)
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):  # unsent bytes of a child that is gone
                pipe.close()


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "core.decoding"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=paths.PROJECT,
    )


def _child() -> dict[str, Any]:
    """What the child does: name, place and bytes from stdin, samples to the place, the rest as a JSON object."""
    import soundfile  # noqa: F401 (while it waits)

    limit()
    line = sys.stdin.buffer.readline()
    if not line:  # the app ended
        return {}
    name, target, source, place = [*json.loads(line), None, None][:4]
    return reply(name, target, source, place)


def limit() -> None:
    """Take from this process what a decoder may not have: much memory, and leaving a core behind."""
    try:
        import resource  # not on Windows: there the time limit alone guards

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError):
        pass


def reply(name: str, target: str, source: str | None, place: str | None) -> dict[str, Any]:
    """What the child says of a file: an error in one sentence, or all of a clip but its samples, which `target` has."""
    try:
        return _decoded(name, target, source, place)
    except ValueError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": f"{name} needs too much memory; cut it, or save it with fewer channels or a lower rate."}


def _decoded(name: str, target: str, source: str | None, place: str | None) -> dict[str, Any]:
    if source and place and longclip.is_long(Path(source)):
        audio.refuse_by_content(Path(source), name)
        long = longclip.unpack(Path(source), name, Path(place), _say)
        return asdict(long) | {"folder": str(long.folder)}
    clip = audio.decode(Path(source) if source else sys.stdin.buffer.read(), name)
    clip.samples.tofile(target)
    empty = replace(clip, samples=np.zeros((0, 0), np.float32))
    return {k: v for k, v in asdict(empty).items() if k != "samples"} | {"shape": clip.samples.shape}


def _say(fraction: float) -> None:
    print(json.dumps({"fraction": round(fraction, 4)}), flush=True)


if __name__ == "__main__":
    print(json.dumps(_child()))
