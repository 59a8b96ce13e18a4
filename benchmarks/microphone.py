"""How often the live microphone answers, and how late: both pinned models on sound that comes at its own pace.

    python benchmarks/microphone.py [--seconds 30] [--clip FILE]

A real clip is handed to the session in blocks of 25 ms, as a device would. Of every answer it is noted how long after
the newest sound it is about it came; the models were asked once before (that imports and warms). Prints one JSON object
per window length and input, then the share of a core that all of it took: on a busy machine that tells more.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from core import audio, listening, live, microphone  # noqa: E402
from core.store import memory_store  # noqa: E402

BLOCK_S = 0.025
CLIP = PROJECT / "starter" / "clips"


def models() -> list[Any]:
    """Those that the page asks at first: two for emotion, one for instruments."""
    store = memory_store()
    chosen = listening.choices(store, "emotion")[:2] + listening.choices(store, "instruments")[:1]
    return [listening.load(run) for run in chosen]


def feed(session: microphone.Session, samples: np.ndarray, seconds: float) -> float:
    """Hand over `samples` [channels, n] over and over at the pace of sound; when the first sample was due (s)."""
    rate, begun = session.sample_rate_hz, time.perf_counter()
    block, sent = round(BLOCK_S * rate), 0
    while sent < seconds * rate:
        places = np.arange(sent, sent + block) % samples.shape[1]
        sent += block
        time.sleep(max(0.0, begun + sent / rate - time.perf_counter()))
        session.receive(samples[:, places].T)
    return begun


class Noted(live.Analyst):
    """An analyst that notes when each answer came."""

    def step(self) -> bool:
        """As the analyst's, with the moment of the answer."""
        if not super().step():
            return False
        self.__dict__.setdefault("answers", []).append((self.moments()[-1].end_s, time.perf_counter()))
        return True


def measure(path: Path, seconds: float) -> list[dict[str, Any]]:
    """One row per input and window length."""
    clip = audio.decode(path)
    samples = np.tile(clip.samples, (1, 2 if clip.samples.shape[0] == 1 else 1))[:2]
    session = microphone.Session(clip.name, clip.sample_rate_hz, samples.shape[0])
    live.Analyst = Noted  # type: ignore[misc]
    asked = models()
    for model in asked:
        length = round(live.window_of(model) * clip.sample_rate_hz)
        live.hear(np.resize(samples[0], length)[None], clip.sample_rate_hz, [model])
    session.follow(asked)
    used_s = time.process_time()
    begun = feed(session, samples, seconds)
    used_s = time.process_time() - used_s
    rows: list[dict[str, Any]] = []
    for one in session.analysts:
        answers = getattr(one, "answers", [])[1:]  # the first imports and warms
        late_ms = [1000 * (when - begun - end_s) for end_s, when in answers]
        gaps_s = np.diff([when for _, when in answers])
        rows.append(
            {
                "models": [f"{model.trainer} on {model.data}" for model in one.models],
                "window_s": one.window_s,
                "answers": len(answers),
                "per_second": round(len(gaps_s) / float(gaps_s.sum()), 2) if len(gaps_s) else None,
                "longest_gap_s": round(float(gaps_s.max()), 2) if len(gaps_s) else None,
                "late_ms_median": round(float(np.median(late_ms))) if late_ms else None,
                "late_ms_p95": round(float(np.percentile(late_ms, 95))) if late_ms else None,
                "took_ms_median": round(1000 * one.took_s) if one.took_s else None,
                "skipped": one.skipped,
            }
        )
    session.close()
    for thread in threading.enumerate():  # an interpreter that ends under a thread in torch aborts
        if thread.name == "live analysis":
            thread.join(30)
    return [*rows, {"share_of_a_core": round(used_s / (time.perf_counter() - begun), 2)}]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--clip", type=Path, default=sorted(CLIP.glob("*.ogg"))[0])
    given = parser.parse_args()
    print(json.dumps({"load_before": os.getloadavg()[0], "cores": os.cpu_count(), "clip": given.clip.name}))
    for row in measure(given.clip, given.seconds):
        print(json.dumps(row))
    print(json.dumps({"load_after": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
