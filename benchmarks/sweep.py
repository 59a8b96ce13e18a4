"""What a sweep costs besides training: making 1,000 runs, the supervisor's share of a core, runs per second.

    python benchmarks/sweep.py [--runs 1000] [--apart 40]

The same toy runs in groups (`fit_many`, up to 128 in a process) and, fewer of them, in a process each. Prints one JSON
object per part. The machine's other work counts against the times, not against the supervisor's share.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.soak import sweeps


def main() -> None:
    """Run the campaign and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--apart", type=int, default=40)
    given = parser.parse_args()
    for name, counts in (("in groups", (given.runs, 0)), ("a process each", (0, given.apart))):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["EARSHOT_CACHE"] = str(Path(folder).resolve())
            report = sweeps.go(*counts, n_kills=0, n_supervisors=0)
            for process in sweeps.processes("core.supervisor"):
                process.kill()
        rate = round(report["runs"] / (report["seconds"] - report["made_s"]), 2)
        print(json.dumps({"part": name, "runs_per_s": rate, **report}))


if __name__ == "__main__":
    main()
