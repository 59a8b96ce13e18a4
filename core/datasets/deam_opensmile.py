"""DEAM's released openSMILE features: 260 per half second, as mean and standard deviation over time, 1,050 songs.

For 405 songs the released file covers the rated 45 s (`excerpt-only`), for the others the whole song, of which the
ratings saw a part (`whole-song`): the two are marked as sources.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from core.datasets import Dataset, Progress
from core.datasets._deam import ADDRESS, LICENCE, PARTS, locate, read_feature_csv, read_table, table_set
from core.datasets._deam import LAYOUT as LABELS_LAYOUT

__all__ = ["LICENCE", "PARTS", "TASKS", "load", "read_feature_csv", "read_songs"]

TASKS = ("emotion",)
TABLE = "opensmile_song_level_1050.csv.gz"
EXPECTED = ("song_id", "n_frames", "F0final_sma_stddev__mean", "F0final_sma_amean__mean")
EXCERPT_FRAMES = 92  # 46 s: no more than the rated excerpt
EXCERPT_S = 45.0
HOMEPAGE, PLACE = ADDRESS, "deam"
SIZE = "labels about 3 MB; the table 2.5 MB, made from 1 GB of released features"
LAYOUT = f"{LABELS_LAYOUT}└─ {TABLE}"


def read_songs() -> tuple[Path, pd.DataFrame, tuple[str, ...], np.ndarray]:
    """The table's file, the table by song id, the names of its 520 features, and each song's source."""
    file = locate(TABLE, f"openSMILE table ({TABLE}, from the released features)", "features about 1 GB, table 2.5 MB")
    table = read_table(file, EXPECTED).sort_values("song_id")
    columns = tuple(column for column in table.columns if column not in ("song_id", "n_frames"))
    sources = np.where(table["n_frames"] <= EXCERPT_FRAMES, "excerpt-only", "whole-song")
    return file, table, columns, sources


def load(task: str, progress: Progress) -> Dataset:
    """The songs with `opensmile260`; Missing where labels or table are not here, ValueError where they are wrong."""
    file, table, columns, sources = read_songs()
    about = (
        f"{len(table):,} songs as DEAM's own openSMILE features (260 per half second, mean and sd over time); "
        f"for {int((sources == 'excerpt-only').sum())} of them over just the rated excerpt."
    )
    return table_set("deam-opensmile", file, table, "opensmile260", columns, 0.0, about, sources)  # lengths differ
