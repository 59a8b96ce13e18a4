"""What the player sends to the browser: arrays that decode to what went in, small, and a hash that decides."""

import base64
import io
import json
import wave
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.testing.v1 import AppTest

from pages.deck import INSTRUMENT_NAMES, SPECTROGRAM_COLUMNS_MAX, Point, Series, Strip, payload


def wav(value: int = 0) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.full(8000, value, dtype="<i2").tobytes())
    return buffer.getvalue()


def made(**changes):
    arguments = {
        "audio": wav(),
        "seconds": 1.0,
        "peaks": np.array([[-0.25, 0.5], [-0.5, 0.125]]),
        "spectrogram_db": np.array([[0.0, -40.0, -80.0], [-120.0, np.nan, -20.0]]),
        "spectrogram_hz": [100.0, 200.0],
        "series": [],
        "strip": None,
        "song": [],
        "title": "a clip",
    }
    return payload(**(arguments | changes))


def decoded(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=kind)


def test_audio_is_fetched_unchanged_from_the_server(monkeypatch, tmp_path):
    """A WAV by its bytes, an Ogg file by its path; not within the payload, which waits for nothing."""
    kept = MemoryMediaFileStorage("/media")
    server = SimpleNamespace(media_file_mgr=MediaFileManager(kept))
    monkeypatch.setattr("pages.deck.runtime", SimpleNamespace(exists=lambda: True, get_instance=lambda: server))
    ogg = tmp_path / "ä long clip.ogg"
    ogg.write_bytes(b"OggS and so on")
    for audio, kind, content in ((wav(123), "audio/wav", wav(123)), (ogg, "audio/ogg", ogg.read_bytes())):
        data = made(audio=audio)
        file = kept.get_file(data["audio_url"].rpartition("/")[2])
        assert (file.content, file.mimetype) == (content, kind)
        assert len(json.dumps(data)) < 5000


def test_spectrogram_is_the_upper_eighty_decibels():
    shown = made()["spectrogram"]
    assert (shown["rows"], shown["columns"], shown["high_db"], shown["low_db"]) == (2, 3, 0.0, -80.0)
    # 255 is the loudest, 0 is 80 dB below and everything under it, halfway (-40 dB) is 127.5, which rounds to even.
    assert decoded(shown["values"], "u1").tolist() == [255, 128, 0, 0, 0, 191]


def test_long_spectrogram_keeps_its_loudest_moments():
    columns = 3 * SPECTROGRAM_COLUMNS_MAX + 1
    levels = np.full((4, columns), -80.0)
    levels[2, [5, columns - 1]] = 0.0
    shown = made(spectrogram_db=levels, spectrogram_hz=[1, 2, 3, 4])["spectrogram"]
    picture = decoded(shown["values"], "u1").reshape(shown["rows"], shown["columns"])
    assert shown["columns"] <= SPECTROGRAM_COLUMNS_MAX
    assert (picture[2] == 255).sum() == 2 and picture[2, -1] == 255
    assert picture[[0, 1, 3]].max() == 0


@pytest.mark.parametrize("levels", [np.zeros((0, 0)), np.full((2, 3), np.nan), np.full((2, 3), -np.inf)])
def test_a_spectrogram_of_nothing_is_none(levels):
    assert made(spectrogram_db=levels, spectrogram_hz=[100, 200][: len(levels)])["spectrogram"] is None


def test_peaks_are_scaled_to_their_largest_and_say_how_loud_it_was():
    shown = made()["peaks"]
    assert decoded(shown["values"], "i1").tolist() == [-64, 127, -127, 32]
    assert shown["peak_db"] == pytest.approx(-6.02, abs=0.005)
    assert made(peaks=np.zeros((3, 2)))["peaks"]["peak_db"] is None


def test_series_keep_gaps_and_the_primary_comes_first():
    times = np.array([0.5, 1.0])
    compared = Series("old", times, np.array([5.0, np.nan]), np.array([1.0, 9.0]))
    first = Series("new", times, np.array([2.5, 3.5]), np.array([4.5, 5.5]), is_primary=True)
    shown = made(series=[compared, first])["series"]
    assert [one["name"] for one in shown] == ["new", "old"]
    np.testing.assert_array_equal(decoded(shown[1]["valence"], "<f4"), np.array([5.0, np.nan], dtype="f4"))
    np.testing.assert_array_equal(decoded(shown[0]["times"], "<f4"), times.astype("f4"))


def test_strip_rows_are_named_in_plain_words():
    scores = np.linspace(0, 1, 33).reshape(3, 11)
    shown = made(strip=Strip(list(INSTRUMENT_NAMES), None, np.arange(3.0), scores))["strip"]
    assert shown["names"][:4] == ["cello", "clarinet", "flute", "acoustic guitar"] and shown["names"][-1] == "voice"
    np.testing.assert_allclose(decoded(shown["scores"], "<f4").reshape(3, 11), scores, rtol=1e-6)
    own = Strip(["a"], ["first row"], np.arange(2.0), np.zeros((2, 1)))
    assert made(strip=own)["strip"]["names"] == ["first row"]


def test_song_points_that_are_no_numbers_are_left_out():
    song = [Point("whole", 5.0, 6.0), Point("unknown", float("nan"), 6.0)]
    assert [point["name"] for point in made(song=song)["song"]] == ["whole"]


def test_new_predictions_keep_the_audio_hash_and_change_the_data_hash():
    before, after = made(), made(song=[Point("whole", 5.0, 6.0)])
    assert before["audio_hash"] == after["audio_hash"] and before["data_hash"] != after["data_hash"]
    assert made(audio=wav(1))["audio_hash"] != before["audio_hash"]
    assert made()["data_hash"] == before["data_hash"]


def test_pictures_of_a_long_clip_stay_small():
    rng = np.random.default_rng(0)
    data = made(
        seconds=300.0,
        peaks=rng.uniform(-1, 1, (2000, 2)),
        spectrogram_db=rng.uniform(-80, 0, (96, 13000)),
        spectrogram_hz=np.geomspace(50, 10000, 96),
    )
    pictures = sum(len(data[part]["values"]) for part in ("peaks", "spectrogram"))
    assert pictures < 250_000  # 1,248,000 values as JSON text would take ten megabytes


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(AssertionError, match="differ in length"):
        made(series=[Series("x", np.arange(3.0), np.zeros(2), np.zeros(3))])
    with pytest.raises(AssertionError, match="scores have shape"):
        made(strip=Strip(["a", "b"], None, np.arange(2.0), np.zeros((2, 3))))
    with pytest.raises(AssertionError, match="WAV"):
        made(audio=b"ID3")


def page():
    import numpy as np

    from pages.deck import deck
    from tests.unit.test_deck import wav

    deck(
        key="clip",
        audio=wav(),
        seconds=1.0,
        peaks=np.zeros((4, 2)),
        spectrogram_db=np.zeros((2, 2)),
        spectrogram_hz=[100, 200],
        series=[],
        strip=None,
        song=[],
        title="a clip",
    )


def test_it_mounts_in_a_second_app_of_the_same_process():
    for _ in range(2):
        app = AppTest.from_function(page).run()
        assert not app.exception
        assert [element.type for element in app.main.children.values()] == ["bidi_component"]


def test_strip_says_its_threshold_and_how_scores_become_probabilities():
    scores = np.array([[0.2, np.nan]])
    plain = made(strip=Strip(["a", "b"], ["a", "b"], np.arange(1.0), scores))["strip"]
    assert (plain["threshold"], plain["calibration"]) == (None, None)
    full = made(strip=Strip(["a", "b"], ["a", "b"], np.arange(1.0), scores, 0.37, (np.float64(0.5), np.float64(-1))))
    assert (full["strip"]["threshold"], full["strip"]["calibration"]) == (0.37, [0.5, -1.0])
    assert json.loads(json.dumps(full))["strip"] == full["strip"]
    assert np.isnan(decoded(full["strip"]["scores"], "<f4")[1])  # a gap stays a gap
