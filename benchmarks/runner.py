"""What the lab costs a training: steps per second of `core.runner` against a bare loop, in interleaved pairs.

    python benchmarks/runner.py [--pairs 9] [--threads 1]

Each pair is two processes one after the other, in turn which first: a run of `instrunet`, started as the supervisor
starts it (events, heartbeat, control, checkpoints and all), and a plain loop over the same weights, batches, loss,
gradient norm and validation that writes nothing. Both are timed from the first validation to the last step, without
imports and data. One setting is the small preset, the other a network so small that it makes many steps a second.
Data: generated excerpts of 3 s (`folder:`). The interval is the percentile bootstrap of the median ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from core import audio, config, datasets, rundir
from core.datasets import IRMAS_CLASSES, no_progress, splits

RATE_HZ, EXCERPTS, CLASSES = 22_050, 480, len(IRMAS_CLASSES)  # a class without excerpts cannot be weighted
SMALL = {"width": 16, "kernel": 3, "batch_size": 64, "learning_rate": 0.03, "patience": 0, "plateau_patience": 0}
SETTINGS: dict[str, dict[str, Any]] = {
    "small preset": {**SMALL, "epochs": 4},
    "many steps a second": {**SMALL, "width": 1, "batch_size": 4, "window_seconds": 0.5, "epochs": 8},
}


def make_folder(folder: Path) -> None:
    """Excerpts of all classes, each a harmonic tone of its own with noise."""
    noise = np.random.default_rng(0)
    t = np.arange(3 * RATE_HZ) / RATE_HZ
    lines = ["path,label,group"]
    for number in range(EXCERPTS):
        kind = number % CLASSES
        tone = sum(np.sin(2 * np.pi * noise.uniform(200, 600) * k * t) / k ** (1 + kind) for k in (1, 2, 3, 4))
        samples = (0.2 * tone + 0.02 * noise.standard_normal(len(t))).astype(np.float32)
        (folder / f"{number}.wav").write_bytes(audio.wav_bytes(samples, RATE_HZ))
        lines.append(f"{number}.wav,{IRMAS_CLASSES[kind]},{number}")
    (folder / "manifest.csv").write_text("\n".join(lines))


def new_run(data: str, values: dict[str, Any], seed: int) -> Path:
    """A run directory of `instrunet` on this data."""
    run = rundir.new_id("instrunet")
    return rundir.create(rundir.Spec(run, "instrunet", values, data, "instruments", "grouped:0", seed, "cpu"))


def ran(folder: Path) -> float:
    """Steps per second of a run, by its own summary."""
    subprocess.run([sys.executable, "-m", "core.runner", str(folder)], check=True, stdout=subprocess.DEVNULL)
    events, _ = rundir.read_events(folder)
    seconds = next(event["seconds"] for event in events if event["kind"] == "summary")
    return max(event["step"] for event in events if event["kind"] == "metrics") / seconds


def looped(folder: Path) -> float:
    """Steps per second of the bare loop with that run's configuration, in a process of its own."""
    command = [sys.executable, __file__, "--bare", str(folder)]
    return float(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))


def bare(folder: Path) -> float:
    """Train as `instrunet.fit` does and tell nobody; returns steps per second."""
    import torch
    import torch.nn.functional as F

    from core.events import FitData
    from trainers import instrunet as net

    spec = rundir.read_spec(folder)
    setting = config.make(net.Config, spec.config)
    dataset = datasets.load(spec.data, spec.task, no_progress)
    assignment = splits.assign(dataset, spec.split)
    window_s = float(dataset.window_s.get("logmel", setting.window_seconds))
    train, validation = (
        dataset.rows("logmel", np.flatnonzero(assignment == part), window_s, no_progress)
        for part in ("train", "validation")
    )
    data = FitData(train, validation, dataset.task, dataset.labels, dataset.unit, "logmel", (), window_s)
    started, steps = time.monotonic(), 0
    inputs = torch.from_numpy(np.require(train.inputs, np.float32, ["C", "W"]))
    targets = torch.from_numpy(np.asarray(train.targets, np.float32))
    row_weights = torch.from_numpy(np.asarray(net._row_weights(train.targets), np.float32))
    generator, noise = np.random.default_rng(spec.seed), torch.Generator()
    noise.manual_seed(int(generator.integers(2**63 - 1)))
    weights, running = net._start(setting, len(data.labels), generator, "cpu")
    optimizer = net._optimizer(setting, weights)
    net._validate(weights, running, data, "cpu")
    batches = -(-len(inputs) // setting.batch_size)
    for _ in range(setting.epochs):
        for chosen in np.array_split(generator.permutation(len(inputs)), batches):
            rows = torch.from_numpy(chosen)
            logits = net._forward(weights, running, inputs[rows], (setting.dropout, setting.block_dropout), noise)
            loss = F.binary_cross_entropy_with_logits(logits, targets[rows], reduction="none").mean(dim=1)
            penalty = sum((weights[f"{name}.weight"] ** 2).sum() for name in net.PENALISED)
            objective = (row_weights[rows] * loss).mean() + setting.weight_decay * penalty
            optimizer.zero_grad(set_to_none=True)
            objective.backward()
            norms = [weight.grad.norm() for weight in weights.values() if weight.grad is not None]
            optimizer.step()
            steps += 1
            _ = loss.mean().item(), objective.item(), torch.stack(norms).norm().item()
        net._validate(weights, running, data, "cpu")
    return steps / (time.monotonic() - started)


def interval(ratios: np.ndarray) -> tuple[float, float]:
    """95 % percentile bootstrap of the median."""
    draws = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return float(low), float(high)


def compare(name: str, data: str, values: dict[str, Any], pairs: int) -> None:
    """Print the ratio for one setting."""
    looped(new_run(data, values, 0))  # what is computed once, the excerpts' log-mels, is computed here
    found = []
    for pair in range(pairs):
        folder = new_run(data, values, pair)
        both = {}
        for which in (ran, looped) if pair % 2 == 0 else (looped, ran):
            both[which] = which(folder)
        found.append((both[ran], both[looped]))
        print(f"  {name}, pair {pair + 1}: runner {both[ran]:.2f}, bare {both[looped]:.2f} steps/s", flush=True)
    speeds = np.array(found)
    ratios = speeds[:, 0] / speeds[:, 1]
    low, high = interval(ratios)
    middle = np.median(speeds, axis=0)
    print(
        f"{name}: runner / bare loop {np.median(ratios):.3f} [{low:.3f}, {high:.3f}], n = {pairs} pairs; "
        f"medians {middle[0]:.2f} and {middle[1]:.2f} steps/s",
        flush=True,
    )


def main() -> None:
    """Compare in each setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=list(SETTINGS))
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.bare:
        print(json.dumps(bare(words.bare)))
        return
    with tempfile.TemporaryDirectory() as place:
        os.environ |= {"EARSHOT_CACHE": f"{place}/cache", "OMP_NUM_THREADS": str(words.threads)}
        sounds = Path(place) / "sounds"
        sounds.mkdir()
        make_folder(sounds)
        for name, values in SETTINGS.items():
            if words.only in (None, name):
                compare(name, f"folder:{sounds}", values, words.pairs)
    print("load over 1, 5, 15 minutes:", ", ".join(f"{value:.1f}" for value in os.getloadavg()))


if __name__ == "__main__":
    main()
