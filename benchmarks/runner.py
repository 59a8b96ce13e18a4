"""What the lab costs a training: speed of `core.runner` against a bare loop, in interleaved pairs; memory; inference.

    python benchmarks/runner.py [--pairs 9] [--threads 1] [--device cuda] [--only "published network"]

Each pair is two processes one after the other, in turn which first: a run of `instrunet`, started as the supervisor
starts it (events, heartbeat, control, checkpoints and all), and a plain loop over the same weights, batches, loss,
gradient norm and validation that writes nothing. Both are timed from the first validation to the last step, without
imports and data. One setting is the small preset, the second a network so small that it makes many steps a second, the
third, on a GPU or where it is asked for, the published network. Data: generated excerpts of 3 s (`folder:`). The
interval is the percentile bootstrap of the median ratio.

Then the finished model predicts windows, in a process of its own. Memory is the most that a process held at once; on a
GPU also what torch had allocated there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
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
    "published network": {"patience": 0, "plateau_patience": 0, "epochs": 4},
}
SLOW_ON_CPU = ("published network",)
WINDOWS, REPEATS = 512, 5


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


def new_run(data: str, values: dict[str, Any], seed: int, device: str) -> Path:
    """A run directory of `instrunet` on this data."""
    run = rundir.new_id("instrunet")
    return rundir.create(rundir.Spec(run, "instrunet", values, data, "instruments", "grouped:0", seed, device))


def process(command: list[str]) -> tuple[bytes, float]:
    """What a process printed, and the most memory it held at once, in GB."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return said, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def ran(folder: Path) -> dict[str, Any]:
    """Steps per second of a run, by its own summary, and its memory."""
    _, memory_gb = process([sys.executable, "-m", "core.runner", str(folder)])
    events, _ = rundir.read_events(folder)
    seconds = next(event["seconds"] for event in events if event["kind"] == "summary")
    steps = max(event["step"] for event in events if event["kind"] == "metrics")
    return {"steps_per_s": steps / seconds, "memory_gb": memory_gb}


def looped(folder: Path) -> dict[str, Any]:
    """The same of the bare loop with that run's configuration, in a process of its own; also what `bare` returns."""
    said, memory_gb = process([sys.executable, __file__, "--bare", str(folder)])
    return {**json.loads(said), "memory_gb": memory_gb}


def heard(folder: Path) -> dict[str, Any]:
    """What `predicted` returns of a finished run, and the memory of its process."""
    said, memory_gb = process([sys.executable, __file__, "--predict", str(folder)])
    return {**json.loads(said), "memory_gb": memory_gb}


def predicted(folder: Path) -> dict[str, Any]:
    """Windows per second of the finished model: of several repeats the median, the slowest and the fastest."""
    from core import evaluation
    from core.events import Inputs
    from trainers import instrunet as net

    device, model = rundir.read_spec(folder).device, evaluation.load_model(folder)
    shape = WINDOWS, 128, int(model.model["frames"])
    windows = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    given, seconds = Inputs(model.input, windows, np.zeros(WINDOWS)), []
    for _ in range(1 + REPEATS):  # the first is not counted
        started = time.perf_counter()
        net.predict(model.model, given, device=device)
        seconds.append(time.perf_counter() - started)
    speeds = [WINDOWS / one for one in seconds[1:]]
    return {"windows_per_s": [float(np.median(speeds)), min(speeds), max(speeds)], **gpu(device)}


def gpu(device: str) -> dict[str, Any]:
    """The name of the GPU and the most that torch had allocated on it, in GB; nothing on a processor."""
    import torch

    if device != "cuda":
        return {}
    return {"gpu": torch.cuda.get_device_name(), "gpu_gb": torch.cuda.max_memory_allocated() / 1e9}


def bare(folder: Path) -> dict[str, Any]:
    """Train as `instrunet.fit` does and tell nobody; returns steps and excerpts per second, and the GPU's memory."""
    import torch
    import torch.nn.functional as F

    from core.events import FitData
    from trainers import instrunet as net

    spec = rundir.read_spec(folder)
    setting, device = config.make(net.Config, spec.config), spec.device
    dataset = datasets.load(spec.data, spec.task, no_progress)
    assignment = splits.assign(dataset, spec.split)
    window_s = float(dataset.window_s.get("logmel", setting.window_seconds))
    train, validation = (
        dataset.rows("logmel", np.flatnonzero(assignment == part), window_s, no_progress)
        for part in ("train", "validation")
    )
    data = FitData(train, validation, dataset.task, dataset.labels, dataset.unit, "logmel", (), window_s)
    started, steps = time.monotonic(), 0
    inputs = torch.from_numpy(np.require(train.inputs, np.float32, ["C", "W"])).to(device)
    targets = torch.from_numpy(np.asarray(train.targets, np.float32)).to(device)
    row_weights = torch.from_numpy(np.asarray(net._row_weights(train.targets), np.float32)).to(device)
    generator, noise = np.random.default_rng(spec.seed), torch.Generator(device)
    noise.manual_seed(int(generator.integers(2**63 - 1)))
    weights, running = net._start(setting, len(data.labels), generator, device)
    optimizer = net._optimizer(setting, weights)
    net._validate(weights, running, data, device)
    batches = -(-len(inputs) // setting.batch_size)
    for _ in range(setting.epochs):
        for chosen in np.array_split(generator.permutation(len(inputs)), batches):
            rows = torch.from_numpy(chosen).to(device)
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
        net._validate(weights, running, data, device)
    seconds = time.monotonic() - started
    return {"steps_per_s": steps / seconds, "clips_per_s": setting.epochs * len(inputs) / seconds, **gpu(device)}


def interval(ratios: np.ndarray) -> tuple[float, float]:
    """95 % percentile bootstrap of the median."""
    draws = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return float(low), float(high)


def compare(name: str, data: str, values: dict[str, Any], pairs: int, device: str) -> None:
    """Print the ratio for one setting, the speeds, and what memory it took."""
    looped(new_run(data, values, 0, device))  # what is computed once, the excerpts' log-mels, is computed here
    found: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for pair in range(pairs):
        folder = new_run(data, values, pair, device)
        both = {}
        for which in (ran, looped) if pair % 2 == 0 else (looped, ran):
            both[which] = which(folder)
        found.append((both[ran], both[looped]))
        speeds = [one["steps_per_s"] for one in found[-1]]
        print(f"  {name}, pair {pair + 1}: runner {speeds[0]:.2f}, bare {speeds[1]:.2f} steps/s", flush=True)
    steps = np.array([[one["steps_per_s"] for one in pair] for pair in found])
    clips = steps * np.array([[loop["clips_per_s"] / loop["steps_per_s"]] for _, loop in found])
    memory = np.array([[one["memory_gb"] for one in pair] for pair in found]).max(axis=0)
    ratios, middle = steps[:, 0] / steps[:, 1], np.median(clips, axis=0)
    low, high = interval(ratios)
    where = found[0][1].get("gpu", f"{platform.machine()}, {os.environ['OMP_NUM_THREADS']} threads")
    on_gpu = [loop["gpu_gb"] for _, loop in found if "gpu_gb" in loop]
    print(
        f"{name} on {where}: runner / bare loop {np.median(ratios):.3f} [{low:.3f}, {high:.3f}], n = {pairs} pairs; "
        f"medians {middle[0]:.1f} and {middle[1]:.1f} training clips/s; {memory_text(memory, on_gpu)}",
        flush=True,
    )
    told = heard(folder)
    median, slowest, fastest = told["windows_per_s"]
    memory = np.array([told["memory_gb"]])
    print(
        f"{name}: predicts {median:.1f} windows/s ({slowest:.1f} to {fastest:.1f}, n = {REPEATS} times {WINDOWS}); "
        f"{memory_text(memory, [told['gpu_gb']] if 'gpu_gb' in told else [])}",
        flush=True,
    )


def memory_text(gigabytes: np.ndarray, on_gpu: list[float]) -> str:
    """ "peak memory 0.81 and 0.74 GB, on the GPU 0.52 GB"."""
    gpu_text = f", on the GPU {max(on_gpu):.2f} GB" if on_gpu else ""
    return f"peak memory {' and '.join(f'{one:.2f}' for one in gigabytes)} GB{gpu_text}"


def main() -> None:
    """Compare in each setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=list(SETTINGS))
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--predict", type=Path, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.bare or words.predict:
        print(json.dumps(bare(words.bare) if words.bare else predicted(words.predict)))
        return
    with tempfile.TemporaryDirectory() as place:
        os.environ |= {"EARSHOT_CACHE": f"{place}/cache", "OMP_NUM_THREADS": str(words.threads)}
        sounds = Path(place) / "sounds"
        sounds.mkdir()
        make_folder(sounds)
        for name, values in SETTINGS.items():
            is_wanted = words.only == name or (
                words.only is None and (words.device == "cuda" or name not in SLOW_ON_CPU)
            )
            if is_wanted:
                compare(name, f"folder:{sounds}", values, words.pairs, words.device)
    print("load over 1, 5, 15 minutes:", ", ".join(f"{value:.1f}" for value in os.getloadavg()))


if __name__ == "__main__":
    main()
