"""idx files in torchvision's layout, packed or not: read as torchvision reads them, refused where they are damaged."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from core import catalogue, datasets, metrics, paths, shelf, stats
from core.datasets import _digits, no_progress, splits

TRAIN, TEST = 40, 15


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def write(root: Path, folder: str = "MNIST", *, is_packed: bool = True, seed: int = 0) -> dict[str, np.ndarray]:
    """The four files of a small data set below `root`; returns their arrays by file name."""
    random = np.random.default_rng(seed)
    found, raw = {}, root / folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for part, n in (("train", TRAIN), ("t10k", TEST)):
        found[f"{part}-images-idx3-ubyte"] = random.integers(256, size=(n, 28, 28))
        found[f"{part}-labels-idx1-ubyte"] = np.arange(n) % 10
    for name, array in found.items():
        data = idx(array)
        (raw / (f"{name}.gz" if is_packed else name)).write_bytes(gzip.compress(data) if is_packed else data)
    return found


@pytest.fixture
def place(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EARSHOT_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "mnist"


@pytest.mark.parametrize("is_packed", [True, False])
def test_reads_what_torchvision_reads(place: Path, is_packed: bool) -> None:
    from torchvision.datasets.mnist import read_image_file

    files = write(place, is_packed=is_packed)
    found = datasets.load("mnist")
    part = found.rows("pixels", np.arange(TRAIN + TEST)[::-1], 0.0, no_progress)
    assert part.inputs.shape == (TRAIN + TEST, 784) and part.inputs.dtype == np.float32
    want = np.concatenate([files["train-images-idx3-ubyte"], files["t10k-images-idx3-ubyte"]])[::-1]
    np.testing.assert_allclose(part.inputs, want.reshape(-1, 784) / 255, atol=1e-7)
    assert (part.targets.argmax(axis=1) == np.r_[np.arange(TRAIN) % 10, np.arange(TEST) % 10][::-1]).all()
    assert (part.targets.sum(axis=1) == 1).all()
    if not is_packed:
        theirs = read_image_file(str(place / "MNIST" / "raw" / "train-images-idx3-ubyte")).numpy()
        np.testing.assert_array_equal(np.rint(part.inputs[::-1][:TRAIN] * 255), theirs.reshape(TRAIN, 784))


def test_the_version_is_that_of_the_contents(place: Path) -> None:
    write(place)
    packed = datasets.load("mnist").version
    for file in (place / "MNIST" / "raw").iterdir():
        file.unlink()
    write(place, is_packed=False)
    assert datasets.load("mnist").version == packed
    write(place, is_packed=False, seed=1)
    assert datasets.load("mnist").version != packed


def test_splits(place: Path) -> None:
    write(place)
    found = datasets.load("mnist")
    whole, official = splits.assign(found, "whole"), splits.assign(found, "official")
    assert (whole == np.repeat(["train", "test"], [TRAIN, TEST])).all() and found.default_split == "official"
    assert splits.offered(found)[:2] == ["official", "whole"] and splits.parse("whole").name == "whole"
    assert (official[TRAIN:] == "test").all() and (official == "validation").sum() == round(TRAIN / 9)
    splits.check_for_training(found, whole, "train/loss")
    with pytest.raises(ValueError, match="validation part of mnist is empty"):
        splits.check_for_training(found, whole)
    with pytest.raises(ValueError, match="has no whole split"):
        splits.assign(datasets.load("toy"), "whole")


def test_where_it_is_looked_for(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    for name, folder in (("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")):
        with pytest.raises(datasets.Missing) as missing:
            datasets.load(name)
        for part in ("http", "MB", f"{name}/{folder}/raw/", f"data get {name}"):
            assert part in str(missing.value)
        assert catalogue.card(name).state == "missing"
        write(paths.cache() / "data" / name, folder)  # as a download leaves it
        assert len(datasets.load(name).items) == TRAIN + TEST and catalogue.card(name).state == "here"
    assert len(catalogue.problems_with("mnist", str(tmp_path))) == 4
    write(tmp_path / "mine", seed=5)
    before = datasets.load("mnist").version
    assert catalogue.problems_with("mnist", str(tmp_path / "mine")) == []
    shelf.remember("mnist", tmp_path / "mine")
    assert datasets.load("mnist").version != before


def test_damage_is_one_sentence(place: Path) -> None:
    write(place, is_packed=False)
    raw = place / "MNIST" / "raw"
    images, labels = raw / "train-images-idx3-ubyte", raw / "train-labels-idx1-ubyte"
    whole = images.read_bytes(), labels.read_bytes()
    for file, damaged, sentence in (
        (labels, whole[1][:-3], "should hold"),
        (labels, whole[0], "is no idx file of bytes in 1 dimensions"),
        (labels, b"", "is no idx file"),
        (labels, whole[1][:-1] + b"\x0b", "holds the label 11"),
        (labels, idx(np.arange(TRAIN - 1) % 10), "another number of labels"),
        (images, whole[0][:-1], "should hold"),
        (images, idx(np.zeros((TRAIN, 27, 28))), "27 × 28"),
    ):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=sentence):
            datasets.load("mnist").rows("pixels", [0], 0.0, no_progress)
        images.write_bytes(whole[0])
        labels.write_bytes(whole[1])
    packed = gzip.compress(whole[1])
    labels.unlink()
    for damaged in (packed[:-9], packed[:20] + b"xxx" + packed[23:], b"no gzip"):
        (raw / f"{labels.name}.gz").write_bytes(damaged)
        with pytest.raises(ValueError, match="cannot be unpacked"):
            datasets.load("mnist")


def test_a_fetch_that_fails_says_how_else(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets as published

    def offline(root: str, download: bool) -> None:
        raise RuntimeError("Error downloading\nTried https://…")

    monkeypatch.setattr(published, "MNIST", offline)
    with pytest.raises(datasets.Missing, match=r"could not be fetched .*Error downloading Tried.* Get it from http"):
        datasets.module("mnist").fetch(no_progress)


def test_scores_of_single_classes() -> None:
    from sklearn.metrics import f1_score, log_loss

    random = np.random.default_rng(0)
    truth = np.eye(4)[random.integers(4, size=300)]
    said = random.dirichlet(np.ones(4), size=300) + 0.5 * truth
    said /= said.sum(axis=1, keepdims=True)
    found = metrics.score("digits", truth, said, tuple("0123"))
    assert found["accuracy"] == np.mean(truth.argmax(axis=1) == said.argmax(axis=1))
    assert found["macro_f1"] == pytest.approx(f1_score(truth.argmax(1), said.argmax(1), average="macro"))
    assert found["log_loss"] == pytest.approx(log_loss(truth, said))
    intervals = stats.bootstrap_scores("digits", truth, said, tuple("0123"), np.arange(300), np.arange(300))
    low, high = intervals["accuracy"]
    wide = 1.96 * np.sqrt(found["accuracy"] * (1 - found["accuracy"]) / 300)
    assert (high - low) / 2 == pytest.approx(wide, rel=0.1) and low < found["accuracy"] < high
    commonest = metrics.score("digits", truth, metrics.baseline("digits", truth, 300), tuple("0123"))
    assert commonest["accuracy"] == truth.mean(axis=0).max()
    coin = metrics.score("images", np.eye(2), np.full((2, 2), 0.5), ("a", "b"))
    assert coin["log_loss"] == pytest.approx(np.log(2))


@pytest.mark.skipif(not os.environ.get("EARSHOT_DATA"), reason="EARSHOT_DATA is not set: no real MNIST here")
def test_real_mnist_has_its_known_moments() -> None:
    try:
        found = datasets.load("mnist")
    except datasets.Missing as missing:
        pytest.skip(str(missing))
    part = found.rows("pixels", np.arange(60_000), 0.0, no_progress)
    assert part.inputs.mean() == pytest.approx(0.1307, abs=5e-5) and part.inputs.std() == pytest.approx(
        0.3081, abs=5e-5
    )
    assert part.targets.sum(axis=0).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert len(found.labels) == _digits.CLASSES
