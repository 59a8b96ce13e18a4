"""Clips too long for the memory: unpacked once into a folder, then read stretch by stretch.

`cache/long/<sha256>/` holds mono.i16 (mean of the channels at 22,050 Hz, 16 bits), sound.ogg (what the player
streams), picture.npz (waveform and spectrogram to draw) and, written last, about.json. All of it can be made again.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from core import audio, paths, spectrogram

FROM_S = 600.0
FROM_BYTES = 256 * 10**6
"""A clip is long from 10 min on, or where its samples as float32 take more than this."""

LONGEST_S = 6 * 3600.0
RATE_HZ = 22_050  # that of the features; the log-mel pictures need 16 kHz
BLOCK_FRAMES = 2**17
VERSION = 1
PEAKS = 4800
PICTURE = (1800, 96)
SPARE_BYTES = 10**8
ENCODER_BLOCK = 2**15  # libsndfile's Vorbis encoder keeps a block on its stack
AHEAD = 8
KEPT_FOLDERS = 6
UNFINISHED = ".unpacking-"

Tell = Callable[[float], None]


@dataclass(frozen=True)
class LongClip:
    """A clip of which only a part is ever in memory; like `audio.Clip` but without `samples`."""

    folder: Path
    sample_count: int
    name: str
    sha256: str
    warnings: list[str] = field(default_factory=list)
    sample_rate_hz: int = RATE_HZ

    @property
    def seconds(self) -> float:
        return self.sample_count / RATE_HZ

    @property
    def sound(self) -> Path:
        """The file that the player streams: Ogg Vorbis, mono, 22,050 Hz."""
        return self.folder / "sound.ogg"

    def part(self, first: int, end: int) -> audio.Clip:
        """Samples `first` … `end` − 1 as a mono clip at 22,050 Hz; what lies outside the clip is left out."""
        first, end = max(0, first), min(end, self.sample_count)
        samples = np.fromfile(self.folder / "mono.i16", "<i2", max(0, end - first), offset=2 * first)
        return audio.Clip((samples.astype(np.float32) / 32767.0)[None], RATE_HZ, self.name, "")

    def picture(self) -> dict[str, np.ndarray]:
        """`peaks` [n, 2], `spectrogram_db` [rows, columns] and `spectrogram_hz` [rows], as the player draws them."""
        with np.load(self.folder / "picture.npz", allow_pickle=False) as file:
            return {key: file[key] for key in file.files}


def is_long(source: Path) -> bool:
    """Whether a file announces more than is taken into memory; False where that cannot be told."""
    import soundfile

    try:
        known = soundfile.info(str(source))
    except (soundfile.LibsndfileError, RuntimeError, TypeError):
        return False
    if known.frames >= 2**62 or known.samplerate <= 0:
        return False
    return known.frames / known.samplerate > FROM_S or known.frames * known.channels * 4 > FROM_BYTES


def root() -> Path:
    """Where long clips are unpacked."""
    return paths.cache() / "long"


def find(sha256: str, name: str) -> LongClip | None:
    """The unpacked clip with this hash, None where there is none or it is damaged."""
    folder = root() / sha256
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        whole = about["version"] == VERSION and (folder / "mono.i16").stat().st_size == 2 * about["sample_count"]
        if not whole or not (folder / "sound.ogg").exists() or not (folder / "picture.npz").exists():
            return None
        os.utime(folder)  # the ones looked at last are kept
        return LongClip(folder, int(about["sample_count"]), name, sha256, list(about["warnings"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def unpack(source: Path, name: str, parent: Path, tell: Tell = lambda fraction: None) -> LongClip:
    """Read a file block by block and leave its folder in `parent`; the memory it takes does not grow with the clip.

    `tell` is called with the share that is done and may raise to end it. ValueError, one sentence, where the file is
    too long, cannot be read, or the disk has no room for it.
    """
    sha256 = audio.file_hash(source)
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=f"{UNFINISHED}{os.getpid()}-"))
    try:
        count, warnings = _stream(source, name, folder, lambda fraction: tell(0.95 * fraction))
        if count < audio.SHORTEST_S * RATE_HZ:
            raise ValueError(f"{name} is cut off or damaged so that nothing can be read; copy it again.")
        clip = LongClip(folder, count, name, sha256, warnings)
        peak = _draw(clip)
        if peak < 10 ** (audio.SILENCE_DB / 20):
            warnings.append(audio.SILENT)
        about = {"version": VERSION, "sample_count": count, "warnings": warnings}
        (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
        final = parent / sha256
        shutil.rmtree(final, ignore_errors=True)
        os.replace(folder, final)
    except OSError as error:
        raise ValueError(f"{name} cannot be unpacked ({error.strerror or error}); is the disk full?") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    tell(1.0)
    return LongClip(final, count, name, sha256, warnings)


def tidy() -> None:
    """Remove all but the few long clips looked at last, and what processes that are gone left unfinished."""
    if not root().is_dir():
        return
    folders = sorted(root().iterdir(), key=lambda folder: -folder.stat().st_mtime)
    for folder in [one for one in folders if not one.name.startswith(".")][KEPT_FOLDERS:]:
        shutil.rmtree(folder, ignore_errors=True)
    for folder in [one for one in folders if one.name.startswith(UNFINISHED)]:
        owner = folder.name.removeprefix(UNFINISHED).partition("-")[0]
        if not owner.isdecimal() or not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def forget_unfinished(owner: int) -> None:
    """Remove what the process with this number, which was ended, left unfinished."""
    for folder in root().glob(f"{UNFINISHED}{owner}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _stream(source: Path, name: str, folder: Path, tell: Tell) -> tuple[int, list[str]]:
    """Decode, mix and resample into `folder`; how many samples there are, and warnings."""
    import soundfile
    import soxr

    read, bad, total, is_damaged = 0, 0, 0, False
    try:
        file = soundfile.SoundFile(str(source))
    except soundfile.LibsndfileError:
        raise ValueError(f"{name} is cut off or damaged so that nothing can be read; copy it again.") from None
    with file, _Outputs(folder) as outputs:
        rate, promised = file.samplerate, file.frames if file.frames < 2**62 else 0
        if promised / rate > LONGEST_S:
            raise ValueError(_too_long(name, promised / rate))
        _refuse_without_room(name, folder, promised / rate)
        stream = soxr.ResampleStream(rate, RATE_HZ, 1, dtype="float32")
        while True:
            try:
                block = file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:
                is_damaged, block = True, np.zeros((0, file.channels), np.float32)
            finite = np.isfinite(block)
            if not finite.all():
                bad += int(finite.size - np.count_nonzero(finite))
                block = np.where(finite, block, np.float32(0))
            read, total = read + len(block), total + block.size
            if read / rate > LONGEST_S:
                raise ValueError(_too_long(name, read / rate))
            is_last = len(block) == 0
            outputs.write(stream.resample_chunk(block.mean(1, dtype=np.float32), last=is_last))
            if is_last:
                break
            tell(min(1.0, read / promised) if promised else 0.5)
        with source.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] in (b"RIFF", b"FORM"):
                promised = max(promised, audio.promised_frames(data, file.channels, file.subtype))
            warnings = audio.shortfall(data, read, promised or read, rate, is_damaged)
    if bad:
        warnings.append(audio.not_numbers(bad, total))
    return outputs.count, warnings


class _Outputs:
    """mono.i16, and beside it sound.ogg, which a thread encodes: that takes as long as all the rest."""

    def __init__(self, folder: Path) -> None:
        import soundfile

        self.count = 0
        self._mono = (folder / "mono.i16").open("wb")
        self._sound = soundfile.SoundFile(str(folder / "sound.ogg"), "w", RATE_HZ, 1, "VORBIS", format="OGG")
        self._pool, self._waiting = ThreadPoolExecutor(1), list[Future[None]]()

    def write(self, samples: np.ndarray) -> None:
        whole = np.clip(np.rint(samples * 32767.0), -32767, 32767).astype("<i2")
        self._mono.write(whole.tobytes())
        self.count += len(whole)
        self._waiting.append(self._pool.submit(self._encode, whole))
        while len(self._waiting) > AHEAD:
            self._waiting.pop(0).result()

    def _encode(self, samples: np.ndarray) -> None:
        for first in range(0, len(samples), ENCODER_BLOCK):
            self._sound.write(samples[first : first + ENCODER_BLOCK])

    def __enter__(self) -> _Outputs:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        self._mono.close()
        self._sound.close()
        if kind is None:
            for one in self._waiting:
                one.result()


def _draw(clip: LongClip) -> float:
    """Make picture.npz; returns the highest sample. Reads the clip in pieces."""
    cells = min(PEAKS, clip.sample_count)
    edges = np.arange(cells + 1) * clip.sample_count // cells
    found = np.zeros((cells, 2), np.float32)
    for first in range(0, cells, 16):
        end = min(first + 16, cells)
        some = clip.part(int(edges[first]), int(edges[end])).samples[0]
        starts = edges[first:end] - edges[first]
        found[first:end, 0] = np.minimum.reduceat(some, starts)
        found[first:end, 1] = np.maximum.reduceat(some, starts)

    def framed(starts: np.ndarray, size: int) -> np.ndarray:
        pieces = np.zeros((len(starts), size), np.float32)
        for piece, start in zip(pieces, starts, strict=True):  # read, not mapped: mapped pages would count as ours
            part = clip.part(int(start), int(start) + size).samples[0]
            before = max(0, -int(start))
            piece[before : before + len(part)] = part
        return pieces

    levels, hertz, _ = spectrogram.of_frames(framed, clip.sample_count, RATE_HZ, *PICTURE)
    np.savez(clip.folder / "picture.npz", peaks=found, spectrogram_db=levels, spectrogram_hz=hertz)
    return float(np.abs(found).max(initial=0.0))


def _refuse_without_room(name: str, folder: Path, seconds: float) -> None:
    needed, free = int(seconds * RATE_HZ * 2.3) + SPARE_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        have, wanted = f"{free / 1e9:.2g} GB", f"{needed / 1e9:.2g} GB"
        raise ValueError(f"{name} needs {wanted} to be unpacked and the disk has {have} left; make room and try again.")


def _too_long(name: str, seconds: float) -> str:
    return f"{name} lasts {seconds / 3600:.3g} h; at most {LONGEST_S / 3600:g} h can be heard, so cut it first."
