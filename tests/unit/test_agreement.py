"""Agreement against closed forms, and the labels that a file is known to have."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from core import agreement, audio


def view(values: list[float], shift: float = 0.0) -> dict[str, tuple[float, float]]:
    return {f"clip-{i}": (value + shift, 10 - value) for i, value in enumerate(values)}


def test_a_constant_shift_leaves_r_at_one_and_lowers_ccc_as_lin_says() -> None:
    values = [2.0, 3.0, 5.0, 6.0] * 3  # mean 4, variance 2.5
    rows = agreement.over_clips(view(values, shift=1.0), {"other": view(values)}).set_index("label")
    assert rows.loc["valence", "r"] == pytest.approx(1.0)
    assert rows.loc["valence", "ccc"] == pytest.approx(2 * 2.5 / (2.5 + 2.5 + 1.0))
    assert rows.loc["valence", "difference"] == pytest.approx(1.0)
    assert rows.loc["arousal", ["r", "ccc", "difference"]].tolist() == pytest.approx([1.0, 1.0, 0.0])
    assert (rows["n"] == 12).all() and rows["r_low"].notna().all()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_below_three_clips_there_is_no_number(n: int) -> None:
    rows = agreement.over_clips(view([2.0, 7.0, 4.0]), {"other": view([2.0, 7.0, 4.0][:n])})
    assert rows["n"].tolist() == [n, n]
    assert rows[["r", "ccc", "difference", "r_low", "ccc_low"]].isna().all(axis=None)


@pytest.mark.parametrize(("n", "has_interval"), [(3, False), (4, False), (5, True), (9, True)])
def test_below_ten_clips_there_is_a_difference_and_no_correlation(n: int, has_interval: bool) -> None:
    values = [float(i % 7 + 1) for i in range(n)]
    rows = agreement.over_clips(view(values, shift=0.5), {"other": view(values)}).set_index("label")
    assert rows[["r", "ccc", "r_low", "ccc_low"]].isna().all(axis=None)
    assert rows.loc["valence", "difference"] == pytest.approx(0.5)
    assert rows["difference_low"].notna().all() == has_interval
    ten = [*map(float, range(1, 11))]
    assert agreement.over_clips(view(ten), {"other": view(ten)})["r"].notna().all()


def test_the_odds_told_of_three_clips_are_those_of_the_arcsine_law() -> None:
    assert 1 - 2 / math.pi * math.asin(0.9) == pytest.approx(0.29, abs=0.005)
    r = np.corrcoef(np.random.default_rng(0).standard_normal((2, 4000, 3)).reshape(8000, 3))[:4000, 4000:].diagonal()
    assert np.mean(np.abs(r) > 0.9) == pytest.approx(0.29, abs=0.03)
    p = 2 * stats.t.sf(0.5 * math.sqrt(8 / (1 - 0.25)), 8)
    assert p == pytest.approx(0.14, abs=0.005)


def test_five_clips_have_intervals_around_their_numbers() -> None:
    random = np.random.default_rng(0)
    mine = {f"{i}": tuple(pair) for i, pair in enumerate(random.uniform(1, 9, (12, 2)))}
    theirs = {clip: (v + random.normal(), a + random.normal()) for clip, (v, a) in mine.items()}
    rows = agreement.over_clips(mine, {"other": theirs})
    for name in ("r", "ccc", "difference"):
        assert (rows[f"{name}_low"] < rows[name]).all() and (rows[name] < rows[f"{name}_high"]).all()


def test_moments_are_compared_where_both_have_some() -> None:
    times_s = np.arange(1, 17) / 2
    mine = times_s, np.column_stack([times_s, 9 - times_s])
    other_s = np.arange(15, 80) / 10  # from 1.5 to 7.9 s, ten a second
    values = np.column_stack([2 * other_s, 9 - other_s])
    values[0] = np.nan  # silence at 1.5 s
    a, b = agreement.at_same_moments(mine, (other_s, values))
    assert a[:, 0].tolist() == [2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5]
    np.testing.assert_allclose(b, np.column_stack([2 * a[:, 0], 9 - a[:, 0]]), atol=1e-12)
    rows = agreement.over_moments(mine, {"other": (other_s, values)}).set_index("label")
    assert rows.loc["arousal", ["n", "r", "ccc", "difference"]].tolist() == pytest.approx([12, 1, 1, 0])
    assert rows.loc["valence", "difference"] == pytest.approx(-4.75)
    few = mine[0][:8], mine[1][:8]
    assert agreement.over_moments(few, {"other": (other_s, values)})["r"].isna().all()
    assert agreement.over_moments(mine, {"none": (np.zeros(0), np.zeros((0, 2)))})["n"].tolist() == [0, 0]


def test_the_mean_is_over_those_who_rated_the_clip() -> None:
    views = {"a": {"x": (2.0, 4.0), "y": (1.0, 1.0)}, "b": {"x": (4.0, 8.0)}}
    assert agreement.mean_of(views) == {"x": (3.0, 6.0), "y": (1.0, 1.0)}


def test_a_file_is_known_by_its_bytes_not_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = tmp_path / "data" / "clips"
    clips.mkdir(parents=True)
    for name, hertz in (("low.wav", 200), ("high.wav", 400)):  # the same size in bytes
        sound = np.sin(2 * np.pi * hertz * np.arange(8000) / 8000).astype(np.float32)
        (clips / name).write_bytes(audio.wav_bytes(sound, 8000))
    (clips / "labels.csv").write_text("path,valence,arousal\nlow.wav,2,3\nhigh.wav,7,8\n")
    monkeypatch.setenv("EARSHOT_DATA", str(tmp_path / "data"))
    copy = tmp_path / "low.wav"
    shutil.copy(clips / "high.wav", copy)
    known = agreement.known_labels(copy)
    assert known is not None and (known.item, known.song, known.trace) == ("high.wav", (7.0, 8.0), None)
    (clips / "labels.csv").write_text("path,valence,arousal\nlow.wav,2,3\nhigh.wav,6.5,8\n")  # corrected meanwhile
    known = agreement.known_labels(copy)
    assert known is not None and known.song == (6.5, 8.0)
    copy.write_bytes(copy.read_bytes()[:-2] + b"\0\1")
    assert agreement.known_labels(copy) is None
    assert agreement.known_labels(tmp_path / "nothing.wav") is None
    assert math.isclose(agreement.ONE_LISTENER_R["valence"], 0.51)
