"""Sound files in, samples out: decoding, resampling, levels, WAV bytes. Foreign files go through core/decoding.py."""

from __future__ import annotations

import hashlib
import io
import re
import unicodedata
from dataclasses import dataclass, field
from mmap import mmap
from pathlib import Path

import numpy as np

from core import foreign

READABLE = "wav, flac, ogg, mp3 and aiff"
SHORTEST_S = 0.1
LONGEST_S = 30 * 60.0
SILENCE_DB = -80.0
SILENT = f"This is silence: no sample reaches −{-SILENCE_DB:g} dB of full scale."
BLOCK_FRAMES = 2**18
LOWEST_RATE_HZ = 1000
DIRECTIONS = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@dataclass(frozen=True)
class Clip:
    """A decoded sound. `samples` [channels, n] float32 at `sample_rate_hz`, nominally −1 … 1; `sha256` (hex) of the
    file's bytes; `warnings` are sentences for the user."""

    samples: np.ndarray
    sample_rate_hz: int
    name: str
    sha256: str
    warnings: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.samples.shape[1] / self.sample_rate_hz

    def mono(self) -> np.ndarray:
        """Mean of the channels, float32 [n]."""
        return self.samples.mean(0, dtype=np.float32)


def clean_name(name: str) -> str:
    """The last component of a path from anywhere (/ or \\), without control and direction characters."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    kept = "".join(c for c in last if unicodedata.category(c) not in ("Cc", "Cs") and c not in DIRECTIONS)
    return "clip" if kept.strip() in ("", ".", "..") else kept.strip()[:200]


def file_hash(source: str | Path | bytes) -> str:
    """SHA-256 of a file or of bytes, 64 hexadecimal digits."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with open(source, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def decode(source: str | Path | bytes, name: str | None = None) -> Clip:
    """A sound file as samples, read in this process: wav, flac, ogg, mp3 or aiff, any rate, depth and channels.

    Raises ValueError, one sentence that names the file, for a file that is missing, empty, not audio, in a format that
    is not read, damaged from the start, sampled below 1,000 Hz, shorter than 0.1 s or longer than 30 min. What can be
    used with a loss is returned with a warning: a file that ends early, samples that are no numbers (set to zero),
    silence.
    """
    data, name = _bytes(source, name)
    refuse_by_content(data, name)
    samples, rate, warnings = _read(data, name)
    if rate < LOWEST_RATE_HZ:
        raise ValueError(f"{name} has a sample rate of {rate:,} Hz; at least {LOWEST_RATE_HZ:,} Hz are needed.")
    seconds = samples.shape[1] / rate
    if samples.shape[1] == 0:
        raise ValueError(f"{name} holds no samples; check that it was exported or copied completely.")
    if seconds < SHORTEST_S:
        raise ValueError(f"{name} lasts {seconds:.3g} s; at least {SHORTEST_S:g} s are needed.")
    finite = np.isfinite(samples)
    if not finite.all():
        bad = int(finite.size - np.count_nonzero(finite))
        samples = np.where(finite, samples, np.float32(0))
        warnings.append(not_numbers(bad, finite.size))
    peak = max(float(samples.max()), -float(samples.min()))
    if peak < 10 ** (SILENCE_DB / 20):
        warnings.append(SILENT)
    return Clip(np.ascontiguousarray(samples), rate, name, file_hash(data), warnings)


def _bytes(source: str | Path | bytes, name: str | None) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        return source, clean_name(name or "clip")
    name = clean_name(name or str(source))
    try:
        return Path(source).read_bytes(), name
    except IsADirectoryError:
        raise ValueError(f"{name} is a folder; choose a sound file in it.") from None
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"There is no file {name} at the place given; check the path.") from None
    except OSError as error:
        raise ValueError(f"{name} cannot be opened ({error.strerror or error}); check its permissions.") from None


def refuse_by_content(source: bytes | Path, name: str) -> None:
    """ValueError for what is known not to be readable from its first bytes."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            data = file.read(4096)
    else:
        data = source
    head = data[:4096]
    if not data:
        raise ValueError(f"{name} is empty (0 bytes); check that it was copied completely.")
    other = None
    if head[4:8] == b"ftyp":
        other = "an MPEG-4 file (m4a, mp4, aac)"
    elif head[:4] == b"\x1a\x45\xdf\xa3":
        other = "a WebM or Matroska file"
    elif head[:4] == b"\x30\x26\xb2\x75":
        other = "a Windows Media file"
    if other:
        raise ValueError(f"{name} is {other}; {READABLE} are read here, so convert it to one of them.")
    text = not any(byte < 9 or 13 < byte < 32 for byte in head)
    if text:
        raise ValueError(f"{name} holds text, not sound; {READABLE} files are read here{foreign.as_well()}.")


def _read(data: bytes, name: str) -> tuple[np.ndarray, int, list[str]]:
    """Samples [channels, n], rate in Hz, warnings; block by block, so that what precedes any damage is kept."""
    import soundfile

    blocks: list[np.ndarray] = []
    damaged = False
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate, channels, promised = file.samplerate, file.channels, file.frames
            known = promised < 2**62  # libsndfile says 2^63 - 1 where a header has no length
            if known and promised / rate > LONGEST_S:
                raise ValueError(_too_long(name, promised / rate))
            if data[:4] in (b"RIFF", b"FORM"):
                promised = max(promised, promised_frames(data, file.channels, file.subtype))
            frames = 0
            while frames <= LONGEST_S * rate:
                try:
                    block = file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
                except soundfile.LibsndfileError:
                    damaged = True
                    break
                if len(block) == 0:
                    break
                blocks.append(block)
                frames += len(block)
    except soundfile.LibsndfileError:
        if data[:4] in (b"RIFF", b"FORM", b"fLaC", b"OggS") or data[:3] == b"ID3":
            raise ValueError(f"{name} is cut off or damaged so that nothing can be read; copy it again.") from None
        raise ValueError(
            f"{name} is not a sound file that can be read; {READABLE} files are{foreign.as_well()}."
        ) from None
    if frames > LONGEST_S * rate:
        raise ValueError(_too_long(name, frames / rate))
    if damaged and not blocks:
        blocks, frames = _read_before_damage(data, channels)
        if not frames:
            raise ValueError(f"{name} is cut off or damaged so that nothing can be read; copy it again.")
    return _joined(blocks, channels), rate, shortfall(data, frames, promised if known else frames, rate, damaged)


def _joined(blocks: list[np.ndarray], channels: int) -> np.ndarray:
    """The blocks [n, channels] as one array [channels, n]; each is let go once it is in: half an hour is 0.6 GB."""
    samples = np.empty((channels, sum(map(len, blocks))), np.float32)
    end = samples.shape[1]
    while blocks:
        block = blocks.pop()
        samples[:, end - len(block) : end] = block.T
        end -= len(block)
    return samples


def _read_before_damage(data: bytes, channels: int) -> tuple[list[np.ndarray], int]:
    """The same again in small blocks: a decoder that fails inside a block hands over none of it."""
    import soundfile

    blocks: list[np.ndarray] = []
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        while True:
            try:
                block = file.read(1024, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:
                break
            if len(block) == 0:
                break
            blocks.append(block)
    return blocks, sum(map(len, blocks))


def shortfall(data: bytes | mmap, frames: int, promised: int, rate: int, damaged: bool) -> list[str]:
    """A warning where less could be read than the file promises (2 % and 0.1 s are an encoder's padding)."""
    read_s, promised_s = frames / rate, promised / rate
    if promised_s - read_s > max(0.1, 0.02 * promised_s) or (data[:4] == b"RIFF" and promised > frames):
        return [f"The file ends early or is damaged: {read_s:.3g} s of {promised_s:.3g} s could be read."]
    return [f"The file is damaged: only the first {read_s:.3g} s could be read."] if damaged else []


def not_numbers(bad: int, total: int) -> str:
    """The warning for `bad` of `total` samples that were no numbers."""
    return f"{bad:,} of {total:,} samples were not numbers (NaN or infinite) and were set to zero."


def promised_frames(data: bytes | mmap, channels: int, subtype: str) -> int:
    """Frames that the header of a WAV or AIFF file announces; 0 where it cannot be told.

    libsndfile silently takes the file's own length for the truth.
    """
    depth = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}.get(subtype)
    order, place = ("little" if data[:4] == b"RIFF" else "big"), 12
    while depth and place + 8 <= len(data):
        size = int.from_bytes(data[place + 4 : place + 8], order)  # type: ignore[arg-type]
        if data[place : place + 4] in (b"data", b"SSND"):
            return 0 if size >= 2**31 - 2**16 else size // (depth * channels)  # streamed: the size was never filled in
        place += 8 + size + size % 2
    return 0


def _too_long(name: str, seconds: float) -> str:
    return f"{name} lasts {seconds / 60:.3g} min; at most {LONGEST_S / 60:g} min can be read, so cut it first."


def resample(samples: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """`samples` [..., n] at another rate, float32, by soxr in high quality."""
    import soxr

    samples = np.asarray(samples, np.float32)
    if from_hz == to_hz:
        return samples
    flat = samples.reshape(-1, samples.shape[-1])
    done = soxr.resample(np.ascontiguousarray(flat.T), from_hz, to_hz)
    return np.ascontiguousarray(done.T).reshape(*samples.shape[:-1], -1)


def wav_bytes(samples: np.ndarray, sample_rate_hz: int) -> bytes:
    """A 16-bit WAV file of `samples` [n] or [channels, n], neither normalised nor dithered; what exceeds ±1 clips."""
    import soundfile

    whole = np.clip(np.rint(np.atleast_2d(samples).T * 32767.0), -32767, 32767).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, whole, sample_rate_hz, format="WAV", subtype="PCM_16")
    return file.getvalue()


def loudness_db(mono: np.ndarray) -> float:
    """Root mean square of `mono` [n] in dB of full scale (a full-scale sine: −3.01), −120 for silence."""
    return float(10 * np.log10(max(1e-12, np.mean(np.square(mono, dtype=np.float64)))))


def peaks(mono: np.ndarray, n: int) -> np.ndarray:
    """Lowest and highest sample in each of `n` equal stretches of `mono`, float32 [n, 2], for drawing a waveform."""
    assert mono.ndim == 1 and len(mono) > 0 and n > 0, (mono.shape, n)
    starts = np.arange(n) * len(mono) // n  # where there are fewer samples than stretches, a stretch shows one sample
    return np.stack([np.minimum.reduceat(mono, starts), np.maximum.reduceat(mono, starts)], axis=1).astype(np.float32)
