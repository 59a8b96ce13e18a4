"""Model state on disk: nested dicts of arrays, JSON scalars and bytes in one safetensors file, no pickle.

The shape of the dict lies as JSON in the file's metadata, its arrays as tensors. One file, so that a replace is
atomic: a reader sees the old state or the new one, never half of each.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

BUDGET_BYTES = 200_000_000
"""What the per-epoch weights of one run may take; beyond it they are thinned to log-spaced epochs."""


class Damaged(ValueError):
    """A checkpoint cannot be read; the text names the file."""


def save_state(path: Path, state: dict[str, Any]) -> int:
    """Write `state` to `path`, all or nothing, synced to the disk; returns the bytes written."""
    arrays: dict[str, np.ndarray] = {}
    tree = _flatten(state, "", arrays)
    text = json.dumps(tree)
    blob = save(arrays, metadata={"tree": text, "digest": _digest(text, arrays)})
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return len(blob)


def load_state(path: Path) -> dict[str, Any]:
    """The nested dict back, arrays as NumPy. Raises Damaged where the file is torn, flipped or not ours."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if _digest(metadata["tree"], arrays) != metadata["digest"]:
            raise ValueError("its contents do not match their digest")
        return _unflatten(json.loads(metadata["tree"]), arrays.__getitem__)
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise Damaged(
            f"The checkpoint {path.name} of run {path.parent.parent.name} cannot be read ({error})."
        ) from error


def _digest(tree: str, arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 over the tree and every array: safetensors itself would hand out flipped weights without a word."""
    found = hashlib.sha256(tree.encode())
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _flatten(value: Any, place: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, dict):
        for key in value:
            assert isinstance(key, str) and not key.startswith("__"), f"bad key {key!r} at {place}"
        return {key: _flatten(part, f"{place}/{key}", arrays) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_flatten(part, f"{place}/{number}", arrays) for number, part in enumerate(value)]
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


def thin(folder: Path, budget_bytes: int = BUDGET_BYTES) -> list[Path]:
    """Delete per-epoch weights (`epoch-*.safetensors`) until they fit the budget; returns what went.

    The file whose two neighbours lie closest on a logarithmic axis goes first, so what stays is log-spaced; the
    first and the last epoch stay.
    """
    files = sorted(folder.glob("epoch-*.safetensors"), key=_epoch)  # epoch-10000 comes after epoch-9999
    gone = []
    while len(files) > 2 and sum(file.stat().st_size for file in files) > budget_bytes:
        epochs = np.log([1 + _epoch(file) for file in files])
        crowded = int(np.argmin(epochs[2:] - epochs[:-2])) + 1
        files[crowded].unlink()
        gone.append(files.pop(crowded))
    return gone


def _epoch(file: Path) -> float:
    return float(file.stem.removeprefix("epoch-"))
