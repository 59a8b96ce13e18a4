"""Seconds per epoch of the 24-run encoder grid (2 optimisers × 4 rates × 3 seeds) on real MNIST, three ways.

    python benchmarks/implicit_em.py [--epochs 1] [--repeats 3] [--threads 2] [--sample 4]

together      all 24 through fit_many
one by one    the same runs through fit, one after another
usual script  torchvision's MNIST, a DataLoader with ToTensor, autograd and torch.optim, one process

The three are taken in turn, `repeats` times; medians are told. Of the latter two only `sample` runs (one per optimiser
and seed, in order) are timed and scaled to 24. Nothing but training counts: no loading, no probe. The share of the
arithmetic limit is the time of the matrix products alone (4 · items · pixels · units a run and epoch) at the speed of a
large product on the same threads, over the time taken. EARSHOT_DATA must hold mnist/.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from core import datasets, paths
from core.datasets import no_progress, splits
from core.events import FitData
from trainers import _encoders, implicit_em

GRID = list(itertools.product(("sgd", "adam"), (1e-4, 1e-3, 1e-2, 1e-1), (1, 2, 3)))
UNITS, PIXELS, BATCH = 64, 784, 128

Run = tuple[str, float, int]


def training_part() -> FitData:
    """MNIST's whole training part."""
    mnist = datasets.load("mnist")
    where = splits.assign(mnist, "whole")
    parts = [mnist.rows("pixels", np.flatnonzero(where == part), 0.0, no_progress) for part in ("train", "validation")]
    return FitData(parts[0], parts[1], "digits", mnist.labels, mnist.unit, "pixels")


def engine_epochs(data: FitData, runs: Sequence[Run], epochs: int) -> float:
    """Seconds of `epochs` epochs of these runs as one batched model: as `fit_many` and `fit` train them."""
    configs = [implicit_em.Config(optimizer=optimizer, learning_rate=rate) for optimizer, rate, _ in runs]
    drawn = [implicit_em._seeds(np.random.default_rng(seed), None) for *_, seed in runs]
    members = [implicit_em._Member(i, config, *drawn[i]) for i, config in enumerate(configs)]
    engine = _encoders.Engine(data, [member.order_seed for member in members], configs[0], "cpu")
    engine.start([implicit_em._weights(member, data) for member in members], configs)
    begin = time.perf_counter()
    for epoch in range(epochs):
        engine.epoch(epoch, dict(enumerate(configs)), {i: rate for i, (_, rate, _) in enumerate(runs)})
    seconds = time.perf_counter() - begin
    engine.close()
    return seconds


def unpacked(root: Path, place: Path) -> Path:
    """A copy of MNIST as torchvision's own class wants it: it looks for the files without .gz."""
    raw = place / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for packed in (root / "MNIST" / "raw").glob("*.gz"):
        (raw / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return place


def script_epochs(root: Path, run: Run, epochs: int) -> float:
    """Seconds of `epochs` epochs of one run in the usual script."""
    from torchvision import datasets as published
    from torchvision import transforms

    optimizer_name, rate, seed = run
    torch.manual_seed(seed)
    kept = published.MNIST(root, train=True, transform=transforms.ToTensor())
    loader = torch.utils.data.DataLoader(kept, batch_size=BATCH, shuffle=True)
    layer = torch.nn.Linear(PIXELS, UNITS)
    optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer_name](layer.parameters(), lr=rate)
    off = ~torch.eye(UNITS, dtype=torch.bool)
    begin = time.perf_counter()
    for _ in range(epochs):
        for pictures, _ in loader:
            active = torch.relu(layer(pictures.flatten(1)))
            centred = active - active.mean(dim=0)
            spread = active.std(dim=0) + 1e-8
            correlation = centred.T @ centred / (len(active) - 1) / spread[:, None] / spread[None, :]
            loss = -torch.logsumexp(-active, dim=1).sum() - torch.log(active.var(dim=0) + 1e-6).sum()
            loss = loss + correlation[off].square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
    return time.perf_counter() - begin


def peak_flops() -> float:
    """Floating-point operations a second of a large matrix product on torch's threads: the best of several."""
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    times = []
    for _ in range(8):
        begin = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - begin)
    return 2 * 2048**3 / min(times)


def main() -> None:
    """Time all three in turn and print a table."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("--epochs", type=int, default=1)
    words.add_argument("--repeats", type=int, default=3)
    words.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    words.add_argument("--sample", type=int, default=4, help="runs timed of the two sequential ways, scaled to 24")
    asked = words.parse_args()
    torch.set_num_threads(asked.threads)
    root = paths.data()
    if root is None:
        words.error("EARSHOT_DATA is not set")
    place = tempfile.TemporaryDirectory(prefix="earshot-mnist-")
    mnist = unpacked(root / "mnist", Path(place.name))
    data, flops, load = training_part(), peak_flops(), os.getloadavg()[0]
    few = [GRID[i * len(GRID) // asked.sample] for i in range(asked.sample)]
    scale = len(GRID) / len(few)
    ways: dict[str, Callable[[], float]] = {
        "together": lambda: engine_epochs(data, GRID, asked.epochs),
        "one by one": lambda: scale * sum(engine_epochs(data, [run], asked.epochs) for run in few),
        "usual script": lambda: scale * sum(script_epochs(mnist, run, asked.epochs) for run in few),
    }
    engine_epochs(data, GRID[:2], 1)  # warm: the first products of a process are slow
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(asked.repeats):
        for name, work in ways.items():
            taken[name].append(work() / asked.epochs)
        flops = max(flops, peak_flops())
    limit = 4.0 * len(data.train) * PIXELS * UNITS * len(GRID) / flops
    _tell(taken, limit, flops, asked, load)
    place.cleanup()


def _tell(taken: dict[str, list[float]], limit: float, flops: float, asked: Any, load: float) -> None:
    together = statistics.median(taken["together"])
    loads = f"load {load:.1f} at the start, {os.getloadavg()[0]:.1f} now"
    print(f"torch {torch.__version__}, {asked.threads} threads, {loads}")
    print(f"product {flops / 1e9:.0f} GFLOP/s; limit {limit:.2f} s an epoch of {len(GRID)} runs")
    for name, seconds in taken.items():
        middle = statistics.median(seconds)
        spread = f"{min(seconds):.2f}–{max(seconds):.2f}"
        print(f"{name:13} {middle:8.2f} s an epoch ({spread}, n = {len(seconds)})  × {middle / together:5.2f}  "
              f"{limit / middle:4.0%} of the limit")  # fmt: skip


if __name__ == "__main__":
    main()
