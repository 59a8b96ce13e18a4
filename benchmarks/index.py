"""The index against its targets: ingest, boards, rebuilding, and looking when nothing changed. One table, one run.

    python benchmarks/index.py [--repeats 5] [--small] [--beside /path/to/python]

Wall time is what is compared with a target; CPU seconds stand beside it, since another process on the machine makes
the first longer and not the second. `ratio` is target ÷ measured: 1 or more meets it. `--small` makes a tenth of it.

The app pools boards in the background, once the run directories were read; "first look" comes after that, and what it
took stands in a row of its own. "first look, nothing pooled" is what who comes before waits, or uses a terminal.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from core import boards, paths, rundir, standings
from core.keeping import Keeper
from core.store import Store

WRITERS, EVENTS, PER_EVENT = 10, 1000, 10
"""100,000 scalars from 10 processes."""

SHOWN = 300
"""Rows of a board that the page asks for."""

WRITER = """
import sys, time
from pathlib import Path
from core import rundir
folder, start, events, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
writer = rundir.Writer(folder)
(start.parent / f"ready-{folder.name}").touch()
while not start.exists():
    time.sleep(0.001)
for step in range(events):
    values = {f"train/loss_{k}": 1 / (step + k + 1) for k in range(count)}
    writer.event("metrics", step=step, epoch=step / 100, values=values)
writer.set(state="done")
writer.close()
"""


def spec(number: int) -> rundir.Spec:
    """Run `number`: four seeds to a configuration."""
    config = {"learning_rate": 1e-4 * (1 + number // 4), "epochs": 50}
    return rundir.Spec(
        id=f"20260101-{number:06d}-toy-0000", trainer="toy", config=config, data="toy", task="emotion",
        split="grouped:0", seed=number % 4, device="cpu", created_at=f"2026-01-01T00:00:00.{number:06d}+00:00",
    )  # fmt: skip


def make_runs(n: int, n_steps: int = 50) -> None:
    """`n` finished run directories of 4 × `n_steps` numbers and one report each, an hour old."""
    status = json.dumps(rundir.Status("done", heartbeat=1.0).__dict__)
    hour_ago = time.time() - 3600
    for number in range(n):
        about = spec(number)
        folder = paths.runs() / about.id
        (folder / "evaluations").mkdir(parents=True)
        (folder / "spec.json").write_text(json.dumps(about.__dict__))
        (folder / "status.json").write_text(status)
        lines = [{"n": 1, "t": 1.0, "kind": "data", "version": "1", "input": "toy12"}]
        for step in range(n_steps):
            names = ("train/loss", "train/ccc", "validation/loss", "validation/ccc")
            values = {name: (number % 97 + 1) / (step + k + 1) for k, name in enumerate(names)}
            lines.append(
                {"n": step + 2, "t": 1.0 + step, "kind": "metrics", "step": step, "epoch": step / 10, "values": values}
            )
        (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        score = {"value": number % 89 / 89, "low": 0.1, "high": 0.9}
        part = {"n_items": 24, "metrics": {"ccc": score, "r2_valence": score}, "baseline": {"ccc": 0.0}}
        report = {"data": "toy", "data_version": "1", "split": "grouped:0", "is_leaky": False, "ceiling": {"ccc": 0.9}}
        parts = {"validation": part, "test": part}
        (folder / "evaluations" / "toy.json").write_text(json.dumps({**report, "parts": parts}))
        for place in (folder / "evaluations", folder / "events.jsonl", folder):
            os.utime(place, (hour_ago, hour_ago))


def timed(work: Callable[[], object], repeats: int) -> tuple[np.ndarray, float]:
    """Wall times (s) of `repeats` goes, and CPU seconds of one (this process, all its threads)."""
    walls, cpu = [], time.process_time()
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        walls.append(time.perf_counter() - start)
    return np.array(walls), (time.process_time() - cpu) / repeats


def ingest(place: Path) -> tuple[float, float, int]:
    """Seconds from the first write of ten processes to the last scalar in an answer, CPU s of the reader, scalars."""
    folders = [rundir.create(spec(900_000 + number), state="starting") for number in range(WRITERS)]
    start = place / "start"
    words = [str(start), str(EVENTS), str(PER_EVENT)]
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(folder), *words]) for folder in folders]
    while len(list(place.glob("ready-*"))) < WRITERS:
        time.sleep(0.01)
    store, wanted, count = Store(), WRITERS * EVENTS * PER_EVENT, 0
    store.sync()
    Keeper(store)  # as the app has it
    cpu, began = time.process_time(), time.perf_counter()
    start.touch()
    while count < wanted:
        store.sync()
        count = int(store.query("SELECT count(*) FROM metrics").iloc[0, 0])
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert count == wanted and all(writer.wait() == 0 for writer in writers)
    store.close()
    return seconds, cpu, wanted


def synthetic(n_runs: int, n_boards: int) -> Store:
    """An index of `n_runs` runs on `n_boards` boards, validation and test scores each; no directories."""
    store = Store()
    store.query(f"""INSERT INTO runs BY NAME SELECT 'run-' || lpad(i::VARCHAR, 8, '0') AS run, 'toy' AS trainer,
        'emotion' AS task, 'data-' || (i % {n_boards}) AS data, '1' AS data_version, 'grouped:0' AS split,
        (i // {n_boards}) % 4 AS seed, md5((i // {n_boards} // 4)::VARCHAR || (i % {n_boards}))[:12] AS config_id,
        '{{"learning_rate": ' || (i // {n_boards} // 4) || '}}' AS config, 'done' AS state, 2.0 AS seconds,
        '2026-01-01T' || lpad(i::VARCHAR, 8, '0') AS created_at, true AS seeds_pooled, false AS starter
        FROM range({n_runs}) t(i)""")
    store.query("""INSERT INTO evaluations BY NAME SELECT run, data, data_version, split, part, 'model' AS kind,
        'ccc' AS metric, hash(run || part) % 10000 / 10000 AS value, 0.1 AS low, 0.2 AS high, 24 AS n_items
        FROM runs, (VALUES ('validation'), ('test')) p(part)""")
    return store


def million(store: Store, n_runs: int, n_boards: int, repeats: int) -> list[tuple[str, float, float, float, int]]:
    """Rows of the table: pooling in the background, then looks; a whole page's looks after one run changed each time.

    With as many boards as here only what one thread would find first is pooled: the list and each board's first metric.
    """
    place = ("emotion", "data-0", "1", "grouped:0")

    def look() -> object:
        return store.leaderboard(*place, "ccc", limit=SHOWN)

    def page() -> object:
        store.boards()
        store.sizes(*place, "ccc")
        return boards.table(store, "emotion", "data-0", "grouped:0", "ccc", "1", limit=SHOWN)

    def changed(work: Callable[[], object]) -> Callable[[], object]:
        def go() -> None:
            standings.touch(store.cursor(), ["run-00000000"])
            work()

        return go

    looks: list[tuple[str, float, Callable[[], object], int]] = [
        ("pooled in the background", float("nan"), lambda: Keeper(store).wait(), 1),
        ("first look", 0.3, look, 1),
        ("first page", 0.3, page, 1),
        ("later looks", 0.3, look, repeats),
        ("later pages", 0.3, page, repeats),
        ("look, one changed", 0.3, changed(look), repeats),
        ("page, one changed", 0.3, changed(page), repeats),
    ]
    rows = []
    for name, target, work, n in looks:
        walls, cpu = timed(work, n)
        rows.append((f"{n_runs:,} runs, {n_boards} board{'s' * (n_boards > 1)}: {name}", target, median(walls), cpu, n))
    store.query("DELETE FROM standings_kept")
    walls, cpu = timed(look, 1)
    label = f"{n_runs:,} runs, {n_boards} board{'s' * (n_boards > 1)}: first look, nothing pooled"
    return [*rows, (label, float("nan"), median(walls), cpu, 1)]


def median(walls: np.ndarray) -> float:
    """The middle one."""
    return float(np.median(walls))


def tell(rows: list[tuple[str, float, float, float, int]], load: float) -> None:
    """Print the table; the first row is that of ingest."""
    print(f"{os.cpu_count()} cores, load {load:.1f} before and {os.getloadavg()[0]:.1f} after; medians of n")
    print(f"{'what':52} {'target':>9} {'wall':>9} {'CPU':>9} {'ratio':>6} {'n':>3}")
    for what, target, wall, cpu, count in rows:
        aim = f"{target:7.3f} s" if target == target else "        –"
        ratio = f"{target / wall:6.2f}" if target == target else "     –"
        print(f"{what:52} {aim} {wall:7.3f} s {cpu:7.3f} s {ratio} {count:3}")
    print(f"ingest: {WRITERS * EVENTS * PER_EVENT / rows[0][2]:,.0f} scalars/s, the writers on the same cores")


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="A tenth of all sizes; the targets do not apply.")
    parser.add_argument("--beside", metavar="PYTHON", help="An interpreter that has mlflow and trackio.")
    chosen = parser.parse_args()
    scale, n = (10 if chosen.small else 1), chosen.repeats
    rows: list[tuple[str, float, float, float, int]] = []
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="earshot-index-") as name:
        os.environ["EARSHOT_STARTER"] = f"{name}/no-starter"
        found = []
        for k in range(n):
            os.environ["EARSHOT_CACHE"] = f"{name}/ingest-{k}"
            paths.cache()
            found.append(ingest(paths.cache()))
        seconds = float(np.median([one[0] for one in found]))
        rows.append(
            (f"10 writers, {found[0][2]:,} scalars to queryable", found[0][2] / 60_000, seconds, found[0][1], n)
        )
        os.environ["EARSHOT_CACHE"] = f"{name}/many"
        make_runs(5000 // scale)
        walls, cpu = timed(lambda: Store().sync(), n)
        rows.append((f"rebuild from {5000 // scale:,} directories × 200", 5.0, float(np.median(walls)), cpu, n))
        os.environ["EARSHOT_CACHE"] = f"{name}/more"
        make_runs(10_000 // scale)
        store = Store()
        store.sync()
        assert store.sync() == 0
        walls, cpu = timed(store.sync, 40)
        rows.append(
            (f"sync, nothing new, {10_000 // scale:,} runs (p95)", 0.5, float(np.quantile(walls, 0.95)), cpu, 40)
        )

        def one_changed() -> None:
            standings.touch(store.cursor(), [spec(0).id])
            boards.table(store, "emotion", "toy", limit=SHOWN)

        for kind, work in {
            "leaderboard": lambda: store.leaderboard("emotion", "toy", "1", "grouped:0", "ccc"),
            "board as the page shows it, nothing changed": lambda: boards.table(store, "emotion", "toy", limit=SHOWN),
            "the same, one run changed": one_changed,
        }.items():
            work()
            walls, cpu = timed(work, n)
            rows.append((f"{kind}, {10_000 // scale:,} runs × 200", 0.1, float(np.median(walls)), cpu, n))
        store.close()
        for n_boards in (100, 1):
            store = synthetic(1_000_000 // scale, n_boards)
            rows += million(store, 1_000_000 // scale, n_boards, n)
            store.close()
    tell(rows, load[0])
    if chosen.beside:
        subprocess.run([chosen.beside, str(Path(__file__).with_name("beside.py"))], check=False)


if __name__ == "__main__":
    main()
