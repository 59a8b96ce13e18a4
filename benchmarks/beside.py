"""MLflow (SQLite) and trackio on this machine, beside benchmarks/index.py; run by an interpreter that has them.

    uv venv /tmp/beside && uv pip install --python /tmp/beside/bin/python mlflow trackio
    /tmp/beside/bin/python benchmarks/beside.py [--events 100] [--runs 10000]

Ten processes log `--events` × 10 scalars each: MLflow by log_batch, one call an event, which is its way to say what is
known at a step; trackio by log. Timed from the moment when all have begun their run until the last has ended, all of it
stored. Then MLflow's search_runs for the best 300 of `--runs` finished runs, which were written into its database
straight.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WRITERS, PER_EVENT = 10, 10

MLFLOW = """
import sys, time
from pathlib import Path
from mlflow import MlflowClient
from mlflow.entities import Metric
client = MlflowClient(sys.argv[4])
run = client.create_run("0").info.run_id
Path(sys.argv[1], "ready-" + sys.argv[3]).touch()
while not Path(sys.argv[1], "start").exists():
    time.sleep(0.001)
for step in range(int(sys.argv[2])):
    now = int(time.time() * 1000)
    client.log_batch(run, metrics=[Metric(f"loss_{k}", 1 / (step + k + 1), now, step) for k in range(10)])
client.set_terminated(run)
"""

TRACKIO = """
import sys, time
from pathlib import Path
import trackio
trackio.init(project="speed", name=sys.argv[3])
Path(sys.argv[1], "ready-" + sys.argv[3]).touch()
while not Path(sys.argv[1], "start").exists():
    time.sleep(0.001)
for step in range(int(sys.argv[2])):
    trackio.log({f"loss_{k}": 1 / (step + k + 1) for k in range(10)})
trackio.finish()
"""


def written(code: str, n_events: int, place: Path, address: str, environment: dict[str, str]) -> float:
    """Wall seconds from the moment when ten processes have begun their runs until the last has ended."""
    place.mkdir()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(place), str(n_events), str(k), address], env=environment, **quiet
        )
        for k in range(WRITERS)
    ]
    while len(list(place.glob("ready-*"))) < WRITERS:
        assert all(writer.poll() is None for writer in writers), "a writer ended before it began"
        time.sleep(0.01)
    began = time.perf_counter()
    (place / "start").touch()
    assert all(writer.wait() == 0 for writer in writers), "a writer failed"
    return time.perf_counter() - began


def fill(address: str, n_runs: int) -> None:
    """`n_runs` finished runs with one metric each, straight into MLflow's tables."""
    import sqlite3
    import uuid

    with sqlite3.connect(address.removeprefix("sqlite:///")) as connection:
        names = [uuid.uuid4().hex for _ in range(n_runs)]
        columns = "run_uuid, name, source_type, user_id, status, start_time, end_time, lifecycle_stage, experiment_id"
        rows = [(name, name, "LOCAL", "x", "FINISHED", 1, 2, "active", 0) for name in names]
        connection.executemany(f"INSERT INTO runs ({columns}) VALUES (?,?,?,?,?,?,?,?,?)", rows)
        scores = [("ccc", k / n_runs, 1, name, 0, 0) for k, name in enumerate(names)]
        marks = "(key, value, timestamp, run_uuid, step, is_nan) VALUES (?,?,?,?,?,?)"
        connection.executemany(f"INSERT INTO latest_metrics {marks}", scores)
        connection.executemany(f"INSERT INTO metrics {marks}", scores)


def main() -> None:
    """Measure what is installed and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--runs", type=int, default=10_000)
    chosen = parser.parse_args()
    scalars, load = WRITERS * chosen.events * PER_EVENT, os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="earshot-beside-") as name:
        environment = {**os.environ, "TRACKIO_DIR": f"{name}/trackio", "HOME": name}
        for tool, code in {"mlflow": MLFLOW, "trackio": TRACKIO}.items():
            if importlib.util.find_spec(tool) is None:
                print(f"{tool} is not installed here.")
                continue
            address = f"sqlite:///{Path(name) / 'mlflow.db'}"
            if tool == "mlflow":
                from mlflow import MlflowClient

                client = MlflowClient(address)
                client.search_experiments()  # makes the tables
            seconds = written(code, chosen.events, Path(name) / f"{tool}-writers", address, environment)
            version = importlib.metadata.version(tool)
            print(f"{tool} {version}: {scalars:,} scalars in {seconds:.1f} s, {scalars / seconds:,.0f} scalars/s")
            if tool == "mlflow":
                fill(address, chosen.runs)
                times = []
                for _ in range(5):
                    began = time.perf_counter()
                    found = client.search_runs(["0"], order_by=["metrics.ccc DESC"], max_results=300)
                    times.append(time.perf_counter() - began)
                    assert len(found) == 300
                print(
                    f"mlflow search_runs, best 300 of {chosen.runs:,}: median {sorted(times)[2] * 1000:.0f} ms, n = 5"
                )
    print(f"load {load:.1f} before and {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
