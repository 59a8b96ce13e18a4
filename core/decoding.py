"""Foreign bytes are decoded in a child process with limits, so that a decoder's crash is never the app's.

    python -m core.decoding < a line of JSON [name, samples file], then the sound      the child; not for people

Starting the child takes most of the time of a short clip, so an app keeps one ready (`prepare`): it has imported what
it needs and waits for its one file. Without an owner its input ends, and so does it.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from core import audio, paths

MEMORY_LIMIT_BYTES = 6 * 2**30  # address space of a decoder: 30 minutes of 48 kHz stereo need 0.7 GB

_lock = threading.Lock()
_ready: list[subprocess.Popen[bytes]] = []


def decode_safely(data: bytes, name: str, timeout_s: float = 60.0) -> audio.Clip:
    """`audio.decode` in a child process with limits on memory and time.

    Raises ValueError as `decode` does, and for a crash, too much memory, or more than `timeout_s` seconds.
    """
    name = audio.clean_name(name)
    with tempfile.TemporaryDirectory(prefix="earshot-") as folder, _taken() as child:
        target = Path(folder) / "samples.f32"
        told = json.dumps([name, str(target)]).encode() + b"\n"
        try:
            said, _ = child.communicate(told + data, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            message = (
                f"{name} took more than {timeout_s:g} s to decode and was given up; convert it to wav and try again."
            )
            raise ValueError(message) from None
        try:
            answer = json.loads(said)
        except ValueError:
            raise ValueError(f"{name} made the decoder crash; it is probably damaged, so copy or convert it.") from None
        if "error" in answer:
            raise ValueError(answer["error"])
        samples = np.fromfile(target, np.float32).reshape(answer.pop("shape"))
        return audio.Clip(samples=samples, **answer)


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

    try:
        import resource  # not on Windows: there the time limit alone guards

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError):
        pass
    line = sys.stdin.buffer.readline()
    if not line:  # the app ended
        return {}
    name, target = json.loads(line)
    try:
        clip = audio.decode(sys.stdin.buffer.read(), name)
    except ValueError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": f"{name} needs too much memory; cut it, or save it with fewer channels or a lower rate."}
    clip.samples.tofile(target)
    empty = replace(clip, samples=np.zeros((0, 0), np.float32))
    return {k: v for k, v in asdict(empty).items() if k != "samples"} | {"shape": clip.samples.shape}


if __name__ == "__main__":
    print(json.dumps(_child()))
