"""The built-in corpus: the model of listeners against hand-made sums and DEAM's moments, scores, rendering, cache."""

import json
import sys

import numpy as np
import pytest
import soundfile

from core import audio as sound
from core import windows
from core.datasets import IRMAS_CLASSES, _effects, _listeners, _notes, _phrases, _render, _score, cues
from core.datasets._audio_rows import _starts, audio_rows
from core.datasets._workers import render_all
from core.stats import rater_ceiling

TINY = cues.Corpus("cues-test", songs=6, song_seconds=6.0, recordings=1, takes=1, mixes=2)


def quiet(fraction: float, sentence: str) -> None:
    """A progress function that shows nothing."""


@pytest.fixture(scope="module")
def songs():
    return {s: [_listeners.draw_song(0, i, 45.0, s) for i in range(2000)] for s in _listeners.SAMPLINGS}


def test_the_response_is_the_published_sum():
    """Worked by hand: all cues at 1, a minor and fast one, and a single cue."""
    assert _listeners.respond([1, 1, 1, 1, 1, 1]) == pytest.approx([1.25, 0.65])
    assert _listeners.respond([-1, 0, 2, 0, 0, 0]) == pytest.approx([-0.38, 1.08])
    assert _listeners.respond([0, 0, 0, 0, 0, 1]) == pytest.approx([0.14, -0.25])
    assert _listeners.respond([0, 2, 0, 1, 1, 0]) == pytest.approx([0.64, 0.27])


@pytest.mark.parametrize(("sampling", "correlation"), [("DEAM-like", 0.57), ("factorial", 0.0)])
def test_labels_have_the_moments_of_deam(songs, sampling, correlation):
    labels = np.array([song.label for song in songs[sampling]])
    assert labels.mean(axis=0) == pytest.approx([4.90, 4.81], abs=0.06)
    assert labels.std(axis=0) == pytest.approx([1.17, 1.28], abs=0.05)
    assert np.corrcoef(labels.T)[0, 1] == pytest.approx(correlation, abs=0.06)


def test_cues_stay_standardised_and_factorial_cues_independent(songs):
    for sampling in _listeners.SAMPLINGS:
        drawn = np.array([song.cues[0] for song in songs[sampling]])
        assert drawn.mean(axis=0) == pytest.approx(np.zeros(6), abs=0.08)
        assert drawn.std(axis=0) == pytest.approx(np.ones(6), abs=0.05)
        assert set(np.unique(drawn[:, 0])) == {-1.0, 1.0}
    between = np.corrcoef(np.array([song.cues[0] for song in songs["factorial"]]).T)
    assert np.abs(between - np.eye(6)).max() < 0.07


def test_the_ceiling_is_what_ten_noisy_raters_allow(songs):
    names = np.array([str(number) for number in range(len(songs["DEAM-like"]))])
    ceiling = rater_ceiling(_listeners.rater_table(songs["DEAM-like"], names))
    reached = [ceiling["r2_valence"], ceiling["r2_arousal"]]
    assert reached == pytest.approx([0.82, 0.86], abs=0.03)
    truth = np.array([song._truth_over_time().mean(axis=0) for song in songs["DEAM-like"]])
    labels = np.array([song.label for song in songs["DEAM-like"]])
    squared = [np.corrcoef(truth[:, k], labels[:, k])[0, 1] ** 2 for k in range(2)]
    assert reached == pytest.approx(squared, abs=0.02)


def test_raters_differ_as_much_as_deams(songs):
    ratings = np.stack([song.ratings for song in songs["DEAM-like"]])
    spread = np.sqrt(ratings.var(axis=1, ddof=1).mean(axis=0))
    assert spread == pytest.approx([1.50, 1.46], abs=0.1)
    assert ratings.min() >= 1 and ratings.max() <= 9 and (ratings == ratings.round()).all()


def test_only_changing_songs_move_and_their_trace_averages_to_the_label(songs):
    changing = [song for song in songs["DEAM-like"] if song.change_s is not None]
    assert len(changing) / 2000 == pytest.approx(0.15, abs=0.03)
    for song in changing:
        trace, before = song.trace(), song.times_s() < song.change_s
        assert trace.mean(axis=0) == pytest.approx(song.label, abs=1e-9)
        assert trace.min() >= 1 - 1e-9 and trace.max() <= 9 + 1e-9
        assert np.ptp(trace[before], axis=0).max() < 1e-9 and np.ptp(trace[~before], axis=0).max() < 1e-9
        assert not np.allclose(song.cues[0], song.cues[1])
    still = next(song for song in songs["DEAM-like"] if song.change_s is None)
    assert np.ptp(still.trace(), axis=0).max() < 1e-9


def test_an_unknown_sampling_is_refused():
    with pytest.raises(ValueError, match="factorial, DEAM-like"):
        _listeners.draw_song(0, 0, 15.0, "random")


def test_every_note_stays_inside_its_instruments_range():
    """Far above it the renderer never returns, so this holds for every octave that is ever tried."""
    for index in range(80):
        song = _listeners.draw_song(1, index, 30.0, "factorial")
        for octave in (0, -1):
            voices = _score.compose((1, 3, index), song.cues[0], 0.0, 30.0, octave)
            assert list(_score.outside_range(voices)) == []
            assert all(voice.notes[:, 0].min() >= 0 and len(voice.notes) for voice in voices)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        for label, programs in _phrases.PROGRAMS.items():
            voice = _phrases.phrase(rng, label, int(rng.choice(programs)), 3.0)
            assert list(_score.outside_range([voice])) == [] and len(voice.notes)
        assert list(_score.outside_range(_phrases.backing(rng, 8.0))) == []


def test_tempo_register_and_articulation_reach_the_score():
    def lead(**moved):
        drawn = np.array([moved.get(name, 0.0) for name in _listeners.CUES])
        drawn[0] = moved.get("mode", 1.0)
        found = [_score.compose((5, 3, i), drawn, 0.0, 40.0)[0].notes for i in range(12)]
        return np.mean([len(n) for n in found]), np.mean([n[:, 2].mean() for n in found]), found

    slow, _, _ = lead(tempo=-1.0)
    fast, _, _ = lead(tempo=1.0)
    assert np.log2(fast / slow) == pytest.approx(1.5, abs=0.25)
    low, high = lead(register=-1.0)[1], lead(register=1.0)[1]
    assert high - low == pytest.approx(14.0, abs=4.0)
    legato, staccato = (np.mean([n[:, 1].mean() for n in lead(staccato=s)[2]]) for s in (-1.0, 1.0))
    assert legato / staccato == pytest.approx(0.86 / 0.36, rel=0.15)


def test_mode_decides_the_third_of_the_tonic_chord():
    assert all((_score._TRIADS[p[0][1]][1] == 4) or p[0][0] != 0 for p in _score.PROGRESSIONS[1])
    assert all(_score._TRIADS[p[0][1]][1] == 3 for p in _score.PROGRESSIONS[-1])


def test_a_song_is_the_same_whatever_was_rendered_before():
    alone = _render.emotion(_notes.NoteBank(), 0, 4, 6.0, "DEAM-like")
    bank = _notes.NoteBank()
    for other in (9, 2, 7):
        _render.emotion(bank, 0, other, 12.0, "DEAM-like")
    np.testing.assert_array_equal(alone, _render.emotion(bank, 0, 4, 6.0, "DEAM-like"))
    assert not np.array_equal(alone, _render.emotion(bank, 1, 4, 6.0, "DEAM-like"))


def test_the_level_cue_is_heard(monkeypatch):
    """Three standard deviations of level are 13.5 dB of gain, whatever else the song has."""

    def at(level):
        song = _listeners.Song(
            0, 0, 6.0, None, np.array([[1, 0, 0, level, 0, 0.0]]), np.zeros((1, 2)), np.zeros((1, 2))
        )
        monkeypatch.setattr(_listeners, "draw_song", lambda *_: song)
        return 20 * np.log10(np.sqrt(np.square(_render.emotion(_notes.NoteBank(), 0, 0, 6.0, "x")).mean()))

    soft, middle, loud = at(-1.5), at(0.0), at(1.5)
    assert loud - soft == pytest.approx(13.5, abs=1.5) and soft < middle < loud


def test_the_shelf_has_its_gain_high_up_and_none_low_down():
    t = np.arange(22_050) / 22_050
    for hz, gain_db in ((50, 0.0), (10_500, -6.0)):
        sine = np.sin(2 * np.pi * hz * t).astype(np.float32)
        changed = _effects.shelf(sine, 1000.0, -6.0)[2000:]
        assert 20 * np.log10(changed.std() / sine[2000:].std()) == pytest.approx(gain_db, abs=0.2)


def test_a_note_sounds_at_its_pitch_and_detuned_by_its_cents():
    """A 4 is 440 Hz (the sound font's flute is 12 cents sharp); 25 cents up are a ratio of 2^(25/1200)."""
    found_hz = {}
    for cents in (-25, 0, 25):
        flute = _score.Voice(73, np.array([[0.0, 1.5, 69, 90]]))
        samples = _render.render_voices(_notes.NoteBank(), [flute], 2.0, cents)
        spectrum = np.abs(np.fft.rfft(samples[4000:26_000] * np.hanning(22_000), 2**18))
        low, high = (int(hz / 22_050 * 2**18) for hz in (400, 480))
        found_hz[cents] = (low + spectrum[low:high].argmax()) * 22_050 / 2**18
        assert np.abs(samples[int(1.65 * 22_050) :]).max() == 0 < np.abs(samples[int(1.45 * 22_050) :]).max()
    assert abs(1200 * np.log2(found_hz[0] / 440.0)) < 15
    for cents in (-25, 25):
        assert 1200 * np.log2(found_hz[cents] / found_hz[0]) == pytest.approx(cents, abs=1)


@pytest.mark.parametrize("cents", [-25, 25])
def test_retuned_sines_are_those_of_the_ratio(cents):
    """Below 9 kHz a sine played 69/68 times as fast is the sine of that frequency, to 0.1 dB."""
    t, ratio = np.arange(30_000) / 22_050, (69 / 68) ** np.sign(cents)
    for hz in (100.0, 3000.0, 9000.0):
        made = _effects.retuned(np.sin(2 * np.pi * hz * t).astype(np.float32), cents)
        expected = np.sin(2 * np.pi * hz * ratio * t)
        assert len(made) == int(30_000 / ratio)
        np.testing.assert_allclose(made[50:29_000], expected[50:29_000], atol=0.01)


def test_the_convolution_in_blocks_is_the_convolution():
    rng = np.random.default_rng(0)
    samples, response = rng.normal(size=90_000), rng.normal(size=20_000) * np.exp(-np.arange(20_000) / 3000)
    spectrum = np.fft.rfft(samples, 2**17) * np.fft.rfft(response, 2**17)
    expected = np.fft.irfft(spectrum)[:90_000]
    made = _effects.convolved(samples.astype(np.float32), response.astype(np.float32))
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected, atol=1e-4 * expected.std())


def test_the_noise_floor_is_white_and_lies_45_to_75_db_down():
    t = np.arange(10 * 22_050) / 22_050
    tone = (0.1 * np.sin(2 * np.pi * 441 * t)).astype(np.float32)
    for seed in range(3):
        noise = _effects.finish(tone, np.random.default_rng(seed)) - tone
        assert 45 <= 20 * np.log10(_effects.loudness(tone) / noise.std()) <= 75
        power = np.abs(np.fft.rfft(noise)) ** 2
        thirds = [part.mean() for part in np.array_split(power[10:], 3)]
        np.testing.assert_allclose(thirds, np.mean(thirds), rtol=0.03)
    loud = _effects.finish(np.float32([0.5, 3.0, -3.0]).repeat(2000), np.random.default_rng(0))
    assert loud[2000:4000].min() > 0.97 and loud[2000:4000].max() <= 0.98 and loud[4000:].max() < -0.97


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("EARSHOT_CACHE", str(tmp_path_factory.mktemp("cache")))
    made = {task: cues.build(TINY, task) for task in cues.TASKS}
    assert not any(TINY.folder(task).exists() for task in cues.TASKS)  # labels alone render nothing
    for data in made.values():
        data.audio(0)
    yield made
    patch.undo()


def test_the_emotion_side_keeps_the_contract(rendered):
    data = rendered["emotion"]
    assert len(data.items) == 6 and len(set(data.groups)) == 6
    assert "not from listeners" in data.about and {"r2_valence", "ccc_arousal", "ccc"} <= set(data.ceiling)
    means = data.raters.groupby("item")[["valence", "arousal"]].mean().loc[list(data.items)]
    np.testing.assert_allclose(means.to_numpy(), data.targets)
    samples, rate = soundfile.read(data.audio(3))
    assert rate == 22_050 and len(samples) == 6 * 22_050 and 0.001 < samples.std() < 0.5


def test_the_instrument_side_trains_on_excerpts_and_tests_on_mixes(rendered):
    data = rendered["instruments"]
    assert data.labels == IRMAS_CLASSES and data.default_split == "official"
    part = np.array([data.official[item] for item in data.items])
    assert (data.targets[part == "train"].sum(axis=1) == 1).all()
    assert (part == "test").sum() == 2 and set(data.targets.sum(axis=1)) <= {1.0, 2.0, 3.0, 4.0}
    assert not set(data.groups[part == "train"]) & set(data.groups[part == "test"])
    assert soundfile.info(data.audio(0)).duration == pytest.approx(3.0, abs=0.01)


def test_a_half_made_cache_goes_on(rendered, monkeypatch):
    folder = TINY.folder("emotion")
    jobs = cues.emotion_jobs(TINY)
    kept, lost = folder / "song-0001.flac", folder / "song-0004.flac"
    before, sound = kept.stat().st_mtime_ns, soundfile.read(lost)[0]
    lost.unlink()
    (folder / "manifest.json").unlink()
    (folder / "song-0004.flac.123.part").write_bytes(b"torn")
    told = []
    cues.ensure_rendered(TINY, "emotion", jobs, lambda fraction, sentence: told.append(fraction))
    assert told == [1.0] and kept.stat().st_mtime_ns == before and not list(folder.glob("*.part"))
    np.testing.assert_array_equal(sound, soundfile.read(lost)[0])
    assert json.loads((folder / "manifest.json").read_text())["version"] == TINY.version("emotion")


STUCK = """
import json, sys, time
for line in sys.stdin:
    job = json.loads(line)
    if job.get("octave") == 0 and "stuck" in job["path"] or "always" in job["path"]:
        time.sleep(60)
    print(json.dumps({"ok": True, "error": ""}), flush=True)
"""


def test_a_render_that_never_returns_is_killed_and_tried_an_octave_lower(monkeypatch):
    monkeypatch.setattr("core.datasets._workers.START_LIMIT_S", 0.0)
    jobs = [{"path": name, "octave": 0} for name in ("a.flac", "stuck.flac", "b.flac", "c.flac")]
    counts = []
    again = render_all(jobs, counts.append, limit_s=3.0, command=(sys.executable, "-c", STUCK))
    assert again == ["stuck.flac"] and counts == [1, 2, 3, 4]
    with pytest.raises(ValueError, match=r"always\.flac .*could not be rendered"):
        render_all([{"path": "always.flac"}], counts.append, limit_s=1.0, command=(sys.executable, "-c", STUCK))


def test_windows_cover_a_clip():
    np.testing.assert_allclose(_starts(15.0, 5.0, 5.0, None), [0, 5, 10])
    np.testing.assert_allclose(_starts(2.999, 3.0, 1.5, None), [0])
    np.testing.assert_allclose(_starts(9.0, 3.0, 1.5, None), [0, 1.5, 3, 4.5, 6])
    np.testing.assert_allclose(_starts(60.0, 5.0, 5.0, 3), [0, 25, 55], atol=5.01)
    np.testing.assert_allclose(_starts(45.0, 0.0, 0.0, None), [0])


def test_rows_take_the_trace_inside_each_window_and_come_from_the_cache(rendered):
    data = rendered["emotion"]
    times_s = np.arange(0, 6, 0.5)
    ramp = np.stack([times_s, 10 - times_s], axis=1)
    calls = []

    def audio(index):
        calls.append(index)
        return data.audio(index)

    def rows(indices):
        return audio_rows("test", data.items, data.groups, data.targets, {str(data.items[2]): (times_s, ramp)}, audio,
                          "lib164", indices, 3.0, quiet)  # fmt: skip

    part = rows([2, 0])
    assert list(part.items) == [data.items[2]] * 2 + [data.items[0]] * 2 and part.inputs.shape == (4, 164)
    np.testing.assert_allclose(part.targets[:2], [[1.25, 8.75], [4.25, 5.75]])
    np.testing.assert_allclose(part.targets[2:], data.targets[[0, 0]])
    np.testing.assert_allclose(part.times_s, [1.5, 4.5, 1.5, 4.5], atol=0.01)
    again = rows([0])
    assert len(calls) == 6, "the second call must not read a file"
    np.testing.assert_array_equal(again.inputs, part.inputs[2:])


def test_waves_come_from_the_cache_as_they_were_made_but_for_16_bits(rendered):
    data = rendered["instruments"]
    part = data.rows("wave16k", [3], 3.0, quiet)
    assert part.inputs.shape == (1, 48_000) and part.inputs.dtype == np.float32
    clip = sound.decode(data.audio(3))
    expected = windows.inputs(clip, "wave16k", np.array([1.5]), 3.0).values
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(part.inputs, np.clip(expected, -1, 1), atol=0.51 / 32_767)
    np.testing.assert_array_equal(data.rows("wave16k", [3], 3.0, quiet).inputs, part.inputs)
    with pytest.raises(ValueError, match="wave16k need a length"):
        data.rows("wave16k", [3], 0.0, quiet)
