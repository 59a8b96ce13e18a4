"""Model state on disk: nested dicts of arrays, JSON scalars and bytes in one safetensors file, no pickle.

The shape of the dict lies as JSON in the file's metadata, its arrays as tensors. One file, so that a replace is
atomic: a reader sees the old state or the new one, never half of each.

In a run's `checkpoints/`: `last` and `best` (full state), `final` (weights), `epoch-NNNN` (weights of every epoch,
within a budget), `state-NNNN` (full state of log-spaced epochs, for branches), `start` (what a branch began from);
`….broken` is what was found to be damaged.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from core import disk

BUDGET_BYTES = 200_000_000
"""What the per-epoch weights of one run may take, and its states once more; beyond it both are thinned."""

MOST_STATES = 24
"""Full states kept per run; after 1,000 epochs those are 1, 2, 3, 4, 5, 7, 9 … 430, 602, 868, 1,000."""


FULL = ("last.", "best.", "start.", "state-")
"""How the names of files begin that hold a full state."""

BROKEN = ".broken"
"""Stands behind the name of a checkpoint that was found to be damaged."""


class Damaged(ValueError):
    """A checkpoint cannot be read; the text names the file."""


def save_state(path: Path, state: dict[str, Any]) -> int:
    """Write `state` to `path`, all or nothing, synced to the disk; returns the bytes written."""
    arrays: dict[str, np.ndarray] = {}
    tree = _flatten(state, "", arrays, {})
    text = json.dumps(tree)
    blob = save(arrays, metadata={"tree": text, "digest": _digest(text, arrays)})
    disk.replace(path, blob, is_synced=True)
    return len(blob)


def load_state(path: Path, *, named: Path | None = None) -> dict[str, Any]:
    """The nested dict back, arrays as NumPy. Raises Damaged where the file is torn, flipped or not ours, which tells of
    `named` where `path` is a copy of that checkpoint."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if _digest(metadata["tree"], arrays) != metadata["digest"]:
            raise ValueError("its contents do not match their digest")
        handed: set[str] = set()

        def array(name: str) -> np.ndarray:
            """An array; where it stands in several places, each has its own: one may be trained on in place."""
            is_first = name not in handed
            handed.add(name)
            return arrays[name] if is_first else arrays[name].copy()

        return _unflatten(json.loads(metadata["tree"]), array)
    except (SafetensorError, KeyError, ValueError, OSError, RecursionError) as error:
        raise Damaged(_damaged(named or path, error)) from error


def _digest(tree: str, arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 over the tree and every array: safetensors itself would hand out flipped weights without a word."""
    found = hashlib.sha256(tree.encode())
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _flatten(value: Any, place: str, arrays: dict[str, np.ndarray], seen: dict[int, str]) -> Any:
    """The shape of `value`; its arrays go to `arrays`, one that stands in several places (`seen`, by id) only once."""
    if isinstance(value, dict):
        for key in value:
            assert isinstance(key, str) and not key.startswith("__"), f"bad key {key!r} at {place}"
        return {key: _flatten(part, f"{place}/{key}", arrays, seen) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_flatten(part, f"{place}/{number}", arrays, seen) for number, part in enumerate(value)]
    if hasattr(value, "detach") or isinstance(value, np.ndarray):
        place = seen.setdefault(id(value), place)  # the model is also in the state, and often the best one
    if isinstance(value, bytes | bytearray):
        arrays[place] = np.frombuffer(bytes(value), dtype=np.uint8)
        return {"__bytes__": place}
    if hasattr(value, "detach"):  # a torch tensor, without importing torch
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        arrays[place] = np.ascontiguousarray(value).reshape(value.shape)  # ascontiguousarray makes 0-d arrays 1-d
        return {"__array__": place}
    if isinstance(value, np.generic):
        value = value.item()
    assert value is None or isinstance(value, bool | int | float | str), f"{type(value)} at {place} cannot be stored"
    return value


def _unflatten(value: Any, array: Any) -> Any:
    if isinstance(value, dict):
        if "__array__" in value:
            return array(value["__array__"])
        if "__bytes__" in value:
            return array(value["__bytes__"]).tobytes()
        return {key: _unflatten(part, array) for key, part in value.items()}
    if isinstance(value, list):
        return [_unflatten(part, array) for part in value]
    return value


class Stored(NamedTuple):
    """A moment of a run that is on the disk. `names` are the files that hold it, the fullest first."""

    epoch: float
    step: int
    has_full_state: bool
    names: tuple[str, ...]


def stored(folder: Path) -> list[Stored]:
    """The moments of the run in `folder` that have a checkpoint, by step; damaged files are left out.

    Only those with the full state can be branched from; any can be listened to.
    """
    found: dict[int, list[tuple[bool, float, str]]] = {}
    for path in sorted((folder / "checkpoints").glob("*.safetensors")):
        if path.stem == "final":  # the best model or the last: no moment of its own
            continue
        try:
            about = header(path)
            epoch = about["epoch"] if "epoch" in about else _epoch(path)
            found.setdefault(int(about["step"]), []).append(("state" in about, float(epoch), path.stem))
        except (Damaged, KeyError, TypeError, ValueError):
            continue
    moments = []
    for step in sorted(found):
        files = sorted(found[step], key=lambda file: not file[0])
        moments.append(Stored(files[0][1], step, files[0][0], tuple(name for _, _, name in files)))
    return moments


def full_states(folder: Path) -> list[Path]:
    """The files of the run in `folder` that it can go on from: `last`, then the others, newest first.

    Files that can be seen to be damaged come at the end, so that whoever tries them all can say which they were.
    """
    found = []
    for path in (folder / "checkpoints").glob("*.safetensors"):
        if path.name.startswith(FULL):
            try:
                step = int(header(path)["step"])
            except (Damaged, KeyError, TypeError, ValueError):
                step = -1
            found.append((path.stem != "last", -step, path.stem != "best", path))
    return [path for *_, path in sorted(found)]


def newest_whole(folder: Path, tell: Callable[..., None]) -> tuple[Path, dict[str, Any]] | None:
    """The newest full state of the run in `folder` that is whole, and its file; None where none was ever written.

    What is found to be damaged is moved aside as `….broken`, and `tell` is given file, reason and moved_to. Raises
    Damaged where states were written and none is whole, then and ever after: such a run must not begin anew.
    """
    found, failure = None, None
    for path in full_states(folder):
        try:
            if found is None:
                found = path, load_state(path)
            else:
                header(path)
        except Damaged as error:
            failure = error
            aside = path.with_name(f"{path.name}{BROKEN}")
            is_readable = not isinstance(error.__cause__, OSError)  # else the disk is at fault, perhaps only just now
            if is_readable:
                os.replace(path, aside)
            tell(file=path.name, reason=str(error), moved_to=aside.name if is_readable else "")
    if found is None and failure is not None:
        raise failure
    if found is None and (broken := broken_states(folder)):
        raise Damaged(
            f"No checkpoint from which run {folder.name} could go on is whole ({', '.join(broken)} were moved aside); "
            "clone it to begin anew."
        )
    return found


def broken_states(folder: Path) -> list[str]:
    """The names of full states of the run in `folder` that were moved aside as damaged."""
    names = sorted(path.name for path in (folder / "checkpoints").glob(f"*{BROKEN}"))
    return [name for name in names if name.startswith(FULL)]


def header(path: Path) -> dict[str, Any]:
    """A checkpoint's scalars; empty arrays stand for its arrays. Raises Damaged, but does not check the digest."""
    try:
        with safe_open(path, framework="numpy") as file:
            return _unflatten(json.loads((file.metadata() or {})["tree"]), _nothing)
    except (SafetensorError, KeyError, ValueError, TypeError, OSError, AttributeError, RecursionError) as error:
        raise Damaged(_damaged(path, error)) from error


def _nothing(name: str) -> np.ndarray:
    return np.zeros(0, np.uint8)


def _damaged(path: Path, error: Exception) -> str:
    return f"The checkpoint {path.name} of run {path.parent.parent.name} cannot be read ({error})."


def thin(folder: Path, budget_bytes: int = BUDGET_BYTES, *, kind: str = "epoch", most: int | None = None) -> list[Path]:
    """Delete per-epoch files (`<kind>-*.safetensors`) until they fit the budget and are no more than `most`.

    Returns what went.

    The file whose two neighbours lie closest on a logarithmic axis goes first, so what stays is log-spaced; the
    first and the last epoch stay.
    """
    files = sorted(folder.glob(f"{kind}-*.safetensors"), key=_epoch)  # epoch-10000 comes after epoch-9999
    sizes = {file: file.stat().st_size for file in files}
    gone = []
    while len(files) > 2 and (sum(sizes[file] for file in files) > budget_bytes or len(files) > (most or len(files))):
        epochs = np.log([1 + _epoch(file) for file in files])
        crowded = int(np.argmin(epochs[2:] - epochs[:-2])) + 1
        files[crowded].unlink()
        gone.append(files.pop(crowded))
    return gone


def _epoch(file: Path) -> float:
    return float(file.stem.rpartition("-")[2])
