"""The instruments of `cues-fonts`: what is rendered, from which fonts, and what a split keeps apart."""

import dataclasses
import json

import numpy as np
import pytest
import soundfile

from core import datasets
from core.datasets import IRMAS_CLASSES, Missing, _fontphrases, _render, _soundfonts, cues_fonts, no_progress, splits
from core.datasets._fontphrases import PROGRAMS
from core.datasets._notes import SAMPLE_RATE_HZ
from tests.synthetic import soundfont

ALL = sorted({program for programs in PROGRAMS.values() for program in programs})


@pytest.fixture
def fonts(tmp_path):
    """Two fonts with every program: sines at the keys' own pitch, and sines an octave higher."""
    made = []
    for name, factor in (("low", 1), ("high", 2)):
        zones = {program: [{"hertz": 441 * factor, "looped": 1, "seconds": 0.2}] for program in ALL}
        made.append(str(soundfont.write(tmp_path / f"{name}.sf2", zones)))
    return tuple(made)


@pytest.fixture
def tiny(fonts):
    return cues_fonts.Corpus("fonts-test", recordings=2, takes=2, mixes=3, fonts=fonts)


def test_an_excerpt_is_the_same_whichever_other_fonts_are_here(fonts, tmp_path):
    one = _fontphrases.excerpt(fonts[0], 0, "flu", 1, 0)
    assert len(one) == 3 * SAMPLE_RATE_HZ and 0.001 < np.abs(one).max() <= 1
    assert np.array_equal(one, _fontphrases.excerpt(fonts[0], 0, "flu", 1, 0))
    assert not np.array_equal(one, _fontphrases.excerpt(fonts[1], 0, "flu", 1, 0))
    assert not np.array_equal(one, _fontphrases.excerpt(fonts[0], 0, "flu", 1, 1))


def test_another_font_is_another_version(tiny):
    assert dataclasses.replace(tiny, fonts=tiny.fonts[:1]).version() != tiny.version()


def test_every_font_plays_every_class_and_is_a_source_of_its_own(tiny):
    found = cues_fonts._dataset(tiny, cues_fonts.jobs_of(tiny))
    is_mix = np.char.startswith(found.items.astype(str), "mix-")
    assert len(found.items) == 2 * 11 * 2 * 2 + 3 and is_mix.sum() == 3
    assert set(found.sources[~is_mix]) == {"low", "high"}
    for source in ("low", "high"):
        assert (found.targets[found.sources == source].sum(axis=0) == 4).all()
    held_out = splits.assign(found, "leave-source:low")
    assert set(found.sources[held_out == "test"]) == {"low"}
    assert "low" not in set(found.sources[np.isin(held_out, ["train", "validation"])])
    official = splits.assign(found, "official")
    assert (official[is_mix] == "test").all() and not (official[~is_mix] == "test").any()
    learned, validated = (set(found.groups[official == part]) for part in ("train", "validation"))
    assert validated and not learned & validated


def test_it_is_rendered_where_its_rows_are_asked_for(tiny, monkeypatch):
    jobs = cues_fonts.jobs_of(tiny)
    found = cues_fonts._dataset(tiny, jobs)
    chosen = np.flatnonzero(found.sources == "high")[:3]
    part = found.rows("wave16k", chosen, 3.0, no_progress)
    assert part.inputs.shape == (3, 48_000) and part.targets.sum() == 3
    manifest = json.loads((tiny.folder() / "manifest.json").read_text())
    assert len(manifest["items"]) == len(jobs) == len(list(tiny.folder().glob("*.flac")))
    samples, rate_hz = soundfile.read(jobs[0]["path"])
    assert rate_hz == SAMPLE_RATE_HZ and np.abs(samples).max() > 0.001


def test_a_hole_in_a_font_is_played_elsewhere_and_silence_is_refused(tmp_path):
    """Cello without sound above C 4; then without any."""
    zones = {42: [{"hertz": 441, "high": 60, "looped": 1}, {"hertz": 0, "low": 61, "looped": 0}]}
    holed = str(soundfont.write(tmp_path / "holed.sf2", zones))
    for recording in range(6):
        assert np.abs(_fontphrases.excerpt(holed, 0, "cel", recording, 0)).max() > 1e-3
    mute = str(soundfont.write(tmp_path / "mute.sf2", {42: [{"hertz": 0}]}))
    with pytest.raises(ValueError, match="no sound for cel"):
        _fontphrases.excerpt(mute, 0, "cel", 0, 0)


def test_a_font_without_all_instruments_is_left_out_and_none_is_said(tmp_path, fonts, monkeypatch):
    half = soundfont.write(tmp_path / "half.sf2", {42: [{"hertz": 441}]})
    (tmp_path / "broken.sf2").write_bytes(b"RIFF" * 200_000)
    everything = [half, tmp_path / "broken.sf2", *map(type(half), fonts)]
    monkeypatch.setattr(_soundfonts, "found", lambda: everything)
    assert cues_fonts.corpus().fonts == fonts
    monkeypatch.setattr(_soundfonts, "found", lambda: everything[:2])
    with pytest.raises(Missing, match="EARSHOT_FONTS"):
        datasets.load("cues-fonts", "instruments")


def test_jobs_are_done_by_the_renderer_s_process(tiny, tmp_path):
    job = cues_fonts.jobs_of(tiny)[0] | {"path": str(tmp_path / "one.flac")}
    _render.work(None, job)
    expected = _fontphrases.excerpt(job["font"], 0, IRMAS_CLASSES[0], 0, 0)
    assert np.allclose(soundfile.read(tmp_path / "one.flac")[0], expected, atol=2 / 32_768)
