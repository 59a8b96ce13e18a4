"""A microphone without hardware: ALSA's file device reads a pipe that a process fills at the pace of real sound."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

NAME = "fakemicrophone"
RATE_HZ = 44_100
BLOCK = (
    1102  # a quarter of the 0.1 s asked for, the blocks PortAudio reads: a block that is cut is filled with old sound
)
CONFIGURATION = """
</usr/share/alsa/alsa.conf>
pcm.NAME {
  type file
  slave.pcm { type null }
  file "/dev/null"
  infile "PIPE"
  format "raw"
}
"""


@contextlib.contextmanager
def playing(folder: Path, mono: np.ndarray) -> Iterator[dict[str, str]]:
    """The environment in which PortAudio finds a microphone that hears `mono` over and over, taken as 44.1 kHz."""
    pipe, sound = folder / "microphone.pipe", folder / "microphone.f32"
    os.mkfifo(pipe)
    np.asarray(mono, "<f4").tofile(sound)
    configuration = folder / "asound.conf"
    configuration.write_text(CONFIGURATION.replace("NAME", NAME).replace("PIPE", str(pipe)))
    feeder = subprocess.Popen([sys.executable, __file__, str(pipe), str(sound)])
    try:
        yield {"ALSA_CONFIG_PATH": str(configuration)}
    finally:
        feeder.kill()
        feeder.wait()


def readers(folder: Path) -> int:
    """How many processes of ours, other than the one that plays, have the microphone in `folder` open."""
    pipe, count = str(folder / "microphone.pipe"), 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            files = [os.readlink(link) for link in Path(f"/proc/{process.pid}/fd").iterdir()]
            count += pipe in files and __file__ not in process.cmdline()
    return count


def _feed(pipe: str, sound: str) -> None:
    mono = np.fromfile(sound, "<f4")
    out = os.open(pipe, os.O_RDWR)  # so that opening waits for no reader, and a reader that goes ends nothing
    begun, sent = time.monotonic(), 0
    while True:
        places = np.arange(sent, sent + 4 * BLOCK) % len(mono)
        os.write(out, np.repeat(mono[places, None], 2, 1).tobytes())
        sent += 4 * BLOCK
        time.sleep(max(0.0, begun + sent / RATE_HZ - time.monotonic()))


if __name__ == "__main__":
    _feed(*sys.argv[1:])
