"""Checkpoints: what goes in comes out, and what was damaged on the way is said to be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core import checkpoints

INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
DTYPES = ("bool", "float16", "float32", "float64", *INTEGERS)


def assert_same(left: Any, right: Any) -> None:
    """Equal in value and in type, arrays to the bit."""
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    elif isinstance(left, np.ndarray):
        assert (left.dtype, left.shape) == (right.dtype, right.shape)
        assert left.tobytes() == right.tobytes()
    else:
        assert left == right


def test_a_nested_dict_comes_back_as_it_went(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    state = {
        "arrays": {name: (10 * random.standard_normal((2, 3))).astype(name) for name in DTYPES},
        "nan": np.array([np.nan, np.inf, -0.0]),
        "scalar array": np.array(3.5),
        "empty": np.zeros((0, 4), dtype=np.float32),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "bytes": b"\x00\xff raw",
        "no bytes": b"",
        "big": str(2**127 + 1),
        "integer": 2**60,
        "nothing": None,
        "yes": True,
        "text": "Größe 音",
        "list": [1, 2.5, {"deep": np.arange(3)}, []],
        "empty dict": {},
    }
    path = tmp_path / "last.safetensors"
    written = checkpoints.save_state(path, state)
    assert written == path.stat().st_size
    assert_same(checkpoints.load_state(path), state)


def test_tuples_and_numpy_scalars_become_plain(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    checkpoints.save_state(path, {"pair": (1, 2), "mean": np.float32(0.5), "n": np.int64(3)})
    assert_same(checkpoints.load_state(path), {"pair": [1, 2], "mean": 0.5, "n": 3})


def test_torch_tensors_come_back_as_arrays(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    weights = torch.arange(6.0).reshape(2, 3).requires_grad_()
    checkpoints.save_state(path, {"weights": weights, "step": torch.tensor(7), "strided": weights.t()})
    expected = weights.detach().numpy()
    assert_same(checkpoints.load_state(path), {"weights": expected, "step": np.array(7), "strided": expected.T.copy()})


def test_what_cannot_be_stored_is_our_mistake(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="at /model/layer"):
        checkpoints.save_state(tmp_path / "last.safetensors", {"model": {"layer": object()}})
    assert not list(tmp_path.iterdir())


def test_a_tree_too_deep_to_read_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "run-1" / "checkpoints" / "last.safetensors"
    path.parent.mkdir(parents=True)
    tree, weights = "[" * 100_000 + "]" * 100_000, {"w": np.arange(3.0)}
    path.write_bytes(checkpoints.save(weights, metadata={"tree": tree, "digest": checkpoints._digest(tree, weights)}))
    for read in (checkpoints.load_state, checkpoints.header):
        with pytest.raises(checkpoints.Damaged, match="cannot be read"):
            read(path)


def test_a_truncated_file_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "run-1" / "checkpoints" / "last.safetensors"
    path.parent.mkdir(parents=True)
    checkpoints.save_state(path, {"weights": np.arange(100.0)})
    whole = path.read_bytes()
    for length in (0, 1, 7, 8, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(checkpoints.Damaged, match=r"last\.safetensors of run run-1 cannot be read"):
            checkpoints.load_state(path)
    with pytest.raises(checkpoints.Damaged):
        checkpoints.load_state(path.with_name("best.safetensors"))


def test_no_flipped_bit_goes_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    state = {"weights": np.arange(8.0), "mask": np.array([True, False]), "note": "fine", "raw": b"abc"}
    checkpoints.save_state(path, state)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    damaged = 0
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(random.integers(8))
        path.write_bytes(flipped)
        try:
            found = checkpoints.load_state(path)
        except checkpoints.Damaged:
            damaged += 1
            continue
        assert_same(found, state)  # a flip in padding may pass; a flipped weight may not
    assert damaged > 0.9 * len(whole)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.safetensors"
    checkpoints.save_state(path, {"step": 1})

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    for name in ("replace", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="No space left"):
                checkpoints.save_state(path, {"step": 2})
        assert [file.name for file in tmp_path.iterdir()] == ["last.safetensors"]
        assert checkpoints.load_state(path) == {"step": 1}


def test_nothing_in_the_file_is_a_pickle(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    checkpoints.save_state(path, {"weights": np.arange(3.0), "raw": b"abc"})
    blob = path.read_bytes()
    # safetensors: 8 bytes little-endian length, a JSON header of that length, then raw numbers and nothing else.
    length = int.from_bytes(blob[:8], "little")
    assert blob[8:9] == b"{"
    assert len(blob) == 8 + length + 3 * 8 + 3
    with pytest.raises(checkpoints.Damaged):
        torch.save({"weights": torch.zeros(3)}, path)
        checkpoints.load_state(path)


def test_thinning_keeps_the_ends_and_spreads_the_rest_by_logarithm(tmp_path: Path) -> None:
    for epoch in range(1, 101):
        (tmp_path / f"epoch-{epoch:04d}.safetensors").write_bytes(bytes(1000))
    (tmp_path / "last.safetensors").write_bytes(bytes(50_000))  # not per-epoch, not counted, not touched
    gone = checkpoints.thin(tmp_path, budget_bytes=10_000)
    left = sorted(int(file.stem[6:]) for file in tmp_path.glob("epoch-*"))
    assert len(left) == 10
    assert len(gone) == 90
    assert (left[0], left[-1]) == (1, 100)
    ratios = np.diff(np.log(np.array(left) + 1.0))
    assert ratios.max() < 3 * ratios.min()  # evenly spaced would give 0.05 to 1.8 here
    assert (tmp_path / "last.safetensors").exists()
    assert checkpoints.thin(tmp_path, budget_bytes=10_000) == []


def test_thinning_orders_epochs_by_number(tmp_path: Path) -> None:
    for epoch in (9998, 9999, 10_000, 10_001):
        (tmp_path / f"epoch-{epoch:04d}.safetensors").write_bytes(bytes(10))
    checkpoints.thin(tmp_path, budget_bytes=0)
    assert {file.stem for file in tmp_path.iterdir()} == {"epoch-9998", "epoch-10001"}
