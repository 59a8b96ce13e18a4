"""DEAM's ratings beside a table of librosa features: 1,802 songs, so that real listeners can teach a small model.

The table holds 74 statistics over 45 s; tempo is left out, because 73 of them can be made from any upload. Published
experiments on 1,744 songs used the ids up to 2000; all 1,802 are kept here.
"""

from __future__ import annotations

from core.datasets import Dataset, Progress
from core.datasets._deam import ADDRESS, LICENCE, PARTS, locate, read_table, table_set
from core.datasets._deam import LAYOUT as LABELS_LAYOUT

__all__ = ["LICENCE", "PARTS", "TASKS", "load"]

TASKS = ("emotion",)
TABLE = "librosa74_song_level_1802.csv.gz"
LEFT_OUT = ("song_id", "tempo")
EXPECTED = ("song_id", "mfcc1_mean", "mfcc1_std", "zcr_mean", "tempo")
WINDOW_S = 45.0
HOMEPAGE, PLACE = ADDRESS, "deam"
SIZE = "labels about 3 MB; the table 0.8 MB, made from 1.3 GB of audio"
LAYOUT = f"{LABELS_LAYOUT}└─ {TABLE}"


def load(task: str, progress: Progress) -> Dataset:
    """The 1,802 songs with `lib73`; Missing where labels or table are not here, ValueError where they are wrong."""
    file = locate(TABLE, f"librosa table ({TABLE}, made from DEAM's audio)", "audio about 1.3 GB, table 0.8 MB")
    table = read_table(file, EXPECTED).sort_values("song_id")
    columns = tuple(column for column in table.columns if column not in LEFT_OUT)
    about = (
        f"{len(table):,} songs of 45 s, each rated by about ten listeners on valence and arousal, as 73 librosa "
        "statistics. DEAM's label files name no artist, so each song is its own group."
    )
    return table_set("deam", file, table, "lib73", columns, WINDOW_S, about)
