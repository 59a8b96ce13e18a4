"""What this machine has: device, memory, sound, data sets, disk, versions. Each absence is a sentence."""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import PackageNotFoundError, version

import psutil
import soundfile

from core import datasets, foreign, microphone, paths, rundir, supervisor
from core.datasets import _soundfonts as soundfonts
from core.store import memory_store

PACKAGES = (
    "streamlit",
    "torch",
    "torchvision",
    "torchaudio",
    "timm",
    "librosa",
    "xgboost",
    "scikit-learn",
    "altair",
    "duckdb",
    "sounddevice",
    "numpy",
    "pandas",
)


def examine() -> dict[str, list[str]]:
    """Topic → lines for a person."""
    return {
        "Machine": _machine(),
        "Audio": _audio(),
        "Data sets": _data_sets(),
        "Cache": _cache(),
        "Versions": [f"Python {platform.python_version()}", *(_version(name) for name in PACKAGES)],
    }


def _machine() -> list[str]:
    memory = psutil.virtual_memory()
    lines = [f"{psutil.cpu_count(logical=True)} cores, {memory.total / 2**30:.0f} GiB memory"]
    lines.append(f"devices: {', '.join(supervisor.devices())}")
    if not any(device.startswith("cuda") for device in supervisor.devices()):
        lines.append("No NVIDIA GPU was found: training runs on the CPU.")
    return lines


def _audio() -> list[str]:
    formats = [name for name in ("WAV", "FLAC", "OGG", "MP3") if name in soundfile.available_formats()]
    lines = [f"reads {', '.join(formats)} (libsndfile {soundfile.__libsndfile_version__})"]
    named = ", ".join(suffix[1:] for suffix in foreign.SUFFIXES)
    if foreign.is_there():
        lines.append(f"reads {named} through FFmpeg")
    else:
        lines.append(f"FFmpeg is not installed: without it {named} are not read; all else works.")
    lines.append(_microphone())
    if shutil.which("chromium") is None and shutil.which("google-chrome") is None:
        lines.append("Chromium is not installed: the browser tests are skipped; the app itself needs any browser.")
    return lines


def _microphone() -> str:
    try:
        found = microphone.devices()
    except ValueError as error:
        return str(error)
    if not found:
        return "No microphone on this machine; browsers still record."
    named = (
        f"{one.name} ({one.channels} channels, {one.sample_rate_hz:,} Hz{', default' if one.is_default else ''})"
        for one in found
    )
    return f"microphones: {', '.join(named)}"


def _data_sets() -> list[str]:
    root = paths.data()
    lines = [f"EARSHOT_DATA: {root}" if root else "EARSHOT_DATA is not set: only built-in data sets are found."]
    for name in datasets.names():
        if datasets.is_made_here(name):
            fonts = ", ".join(path.stem for path in soundfonts.found()) if name == "cues-fonts" else ""
            lines.append(f"{name}: built in, made on first use{' from the sound fonts ' if fonts else ''}{fonts}")
            continue
        if name == "folder":
            lines.append("folder: any folder of audio with a CSV of labels, as folder:PATH")
            continue
        try:
            found = datasets.load(name)
            lines.append(f"{name}: {len(found.items):,} items, {found.licence}")
        except ValueError as error:
            lines.append(f"{name}: not here. {error}")
    return lines


def _cache() -> list[str]:
    disk = shutil.disk_usage(paths.cache())
    count = sum(1 for _ in rundir.directories())
    place = f"{paths.cache()}: {disk.free / 2**30:.0f} GiB free on its disk, {count} runs (starter runs included)"
    return [place, *memory_store().damaged.values()]


def _version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} is not installed: run `make run`, or pip install -r requirements.txt."
