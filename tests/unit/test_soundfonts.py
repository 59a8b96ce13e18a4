"""Notes from a sound font of sines against what their frequencies, levels and lengths must be."""

import numpy as np
import pytest

from core.datasets import _soundfonts
from core.datasets._notes import SAMPLE_RATE_HZ
from tests.synthetic import soundfont


def hertz(samples):
    """Frequency of the strongest tone, by the peak of a windowed spectrum and a parabola through it."""
    power = np.log(np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 2**17)) + 1e-9)
    top = int(power.argmax())
    left, middle, right = power[top - 1 : top + 2]
    return (top + (left - right) / (2 * (left - 2 * middle + right))) * SAMPLE_RATE_HZ / 2**17


def level(samples):
    return float(np.sqrt(np.mean(np.square(samples, dtype=float))))


@pytest.fixture
def font(tmp_path):
    """Programs that differ in one thing each; in 1 the upper half of the keys sounds an octave too high."""
    zones = {
        0: [{"hertz": 441, "looped": 1}],  # 100 samples a period, so that the loop is exact
        1: [{"hertz": 440, "high": 69, "looped": 1}, {"hertz": 880, "low": 70, "looped": 1}],
        2: [{"hertz": 440, "loud": 63}, {"hertz": 550, "soft": 64}],
        3: [{"hertz": 440, "decay_s": 10.0, "sustain_db": 20.0, "looped": 1}],
        4: [{"hertz": 440, "fine": 50, "looped": 1}],
        5: [{"hertz": 440, "seconds": 0.5}],
    }
    return _soundfonts.SoundFont(soundfont.write(tmp_path / "sines.sf2", zones))


@pytest.mark.parametrize(("pitch", "expected"), [(69, 441.0), (57, 220.5), (76, 660.75), (69.5, 453.92)])
def test_a_note_has_the_pitch_asked_for(font, pitch, expected):
    assert hertz(font.note(0, pitch, 90, 1.0)) == pytest.approx(expected, rel=3e-4)


def test_tuning_of_a_zone_is_heeded(font):
    assert hertz(font.note(4, 69, 90, 1.0)) == pytest.approx(440 * 2 ** (50 / 1200), rel=3e-4)


def test_a_looped_sample_sounds_as_long_as_it_is_held_and_without_a_seam(font):
    held = font.note(0, 69, 90, 4.0)
    assert len(held) == 4 * SAMPLE_RATE_HZ
    assert level(held[-SAMPLE_RATE_HZ:]) == pytest.approx(level(held[:SAMPLE_RATE_HZ]), rel=0.01)
    steepest = 16_000 / 32_768 * 2 * np.pi * 441 / SAMPLE_RATE_HZ
    assert np.abs(np.diff(held)).max() < 1.1 * steepest


def test_a_sample_without_a_loop_ends(font):
    note = font.note(5, 69, 90, 1.0)
    assert level(note[: SAMPLE_RATE_HZ // 2 - 50]) > 0.3 and not note[SAMPLE_RATE_HZ // 2 + 50 :].any()


def test_a_shift_takes_the_neighbour_s_samples_at_the_same_pitch(font):
    """Program 1's upper samples sound an octave above their root, so that the zone taken can be heard."""
    assert hertz(font.note(1, 69, 90, 1.0)) == pytest.approx(440, rel=3e-4)
    assert hertz(font.note(1, 69, 90, 1.0, shift=1)) == pytest.approx(880, rel=3e-4)
    assert hertz(font.note(1, 70, 90, 1.0, shift=-1)) == pytest.approx(466.16, rel=3e-4)


def test_velocity_chooses_the_layer(font):
    assert hertz(font.note(2, 69, 40, 0.9)) == pytest.approx(440, rel=3e-4)
    assert hertz(font.note(2, 69, 100, 0.9)) == pytest.approx(550, rel=3e-4)


def test_the_volume_falls_as_the_envelope_says(font):
    """100 dB in 10 s is 10 dB a second, down to 20 dB."""
    note = font.note(3, 69, 90, 4.0)
    levels = [20 * np.log10(level(note[int(t * SAMPLE_RATE_HZ) :][:2000])) for t in (0.0, 1.0, 1.5, 3.0, 3.5)]
    assert levels[0] - levels[1] == pytest.approx(10, abs=0.2) and levels[1] - levels[2] == pytest.approx(5, abs=0.2)
    assert levels[3] == pytest.approx(levels[4], abs=0.05) and levels[0] - levels[3] == pytest.approx(19.5, abs=0.6)


@pytest.mark.parametrize("content", [b"", b"RIFF\x04\0\0\0sfbk", b"not a font at all" * 100])
def test_what_is_no_font_is_refused_in_a_sentence(tmp_path, content):
    path = tmp_path / "broken.sf2"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.sf2 is no sound font"):
        _soundfonts.SoundFont(path)


def test_fonts_are_found_where_the_variable_says(tmp_path, monkeypatch):
    soundfont.write(tmp_path / "mine.sf2", {0: [{"hertz": 440}]})
    (tmp_path / "tiny.sf2").write_bytes(b"RIFF")
    before = {path.name for path in _soundfonts.found()}
    monkeypatch.setenv("EARSHOT_FONTS", str(tmp_path))
    assert {path.name for path in _soundfonts.found()} - before == {"mine.sf2"}
    assert "TimGM6mb.sf2" in before
