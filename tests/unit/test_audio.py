"""Decoding: what comes out is what went in, and every bad file is one clear sentence."""

import io
import sys

import numpy as np
import pytest
import soundfile

from core import audio, decoding


def sine(seconds=1.0, rate=44_100, hz=440.0, channels=1, amplitude=0.5):
    tone = amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(tone[:, None], channels, axis=1).astype(np.float32)


def encoded(samples, rate=44_100, kind="WAV", subtype=None):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize(
    ("rate", "channels", "kind", "subtype", "error"),
    [
        (8_000, 1, "WAV", "PCM_U8", 1e-2),
        (22_050, 2, "WAV", "PCM_16", 1e-4),
        (192_000, 6, "WAV", "PCM_24", 1e-6),
        (96_000, 2, "FLAC", "PCM_24", 1e-6),
        (48_000, 2, "AIFF", "PCM_16", 1e-4),
        (44_100, 1, "WAV", "DOUBLE", 1e-7),
        (44_100, 2, "OGG", None, 0.05),
        (44_100, 2, "MP3", None, 0.05),
    ],
)
def test_decode_returns_the_samples_that_were_written(rate, channels, kind, subtype, error):
    written = sine(0.5, rate, channels=channels)
    clip = audio.decode(encoded(written, rate, kind, subtype), f"tone.{kind.lower()}")
    assert (clip.sample_rate_hz, clip.samples.shape, clip.samples.dtype) == (rate, (channels, len(written)), np.float32)
    middle = slice(len(written) // 4, -len(written) // 4)  # lossy coders ring where the tone starts and ends
    assert np.abs(clip.samples.T - written)[middle].max() < error
    assert clip.seconds == 0.5 and clip.warnings == []


def test_mono_is_the_mean_of_the_channels():
    samples = np.stack([np.full(8000, 0.5), np.full(8000, -0.1)], 1)
    clip = audio.decode(encoded(samples, 8000, "WAV", "FLOAT"))
    np.testing.assert_allclose(clip.mono(), 0.2, atol=1e-7)
    assert clip.mono().shape == (8000,)


BAD = {
    "empty.wav": (b"", "is empty"),
    "letter.wav": ("Dear Sir, häufig\n".encode() * 50, "holds text"),
    "noise.mp3": (bytes(range(256)) * 40, "is not a sound file"),
    "zeros.flac": (bytes(5000), "is not a sound file"),
    "none.wav": (encoded(np.zeros((0, 1), np.float32)), "no samples"),
    "click.wav": (encoded(sine(0.05)), "lasts 0.05 s"),
    "header.flac": (encoded(sine(), kind="FLAC")[:100], "nothing can be read"),
    "song.m4a": (b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(500), "MPEG-4"),
    "talk.webm": (b"\x1a\x45\xdf\xa3" + bytes(500), "WebM"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("decode", [audio.decode, decoding.decode_safely])
def test_a_bad_file_is_one_sentence_that_names_it(name, decode):
    data, words = BAD[name]
    with pytest.raises(ValueError, match=words) as caught:
        decode(data, name)
    sentence = str(caught.value)
    assert sentence.startswith(name) and sentence.endswith(".") and "\n" not in sentence


def test_missing_files_and_folders_are_the_users_mistake(tmp_path):
    with pytest.raises(ValueError, match=r"no file gone\.wav"):
        audio.decode(tmp_path / "gone.wav")
    with pytest.raises(ValueError, match="is a folder"):
        audio.decode(tmp_path)


def test_too_long_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(audio, "LONGEST_S", 2.0)
    with pytest.raises(ValueError, match=r"long\.wav lasts 0\.05 min"):
        audio.decode(encoded(sine(3.0)), "long.wav")
    assert audio.decode(encoded(sine(2.0)), "fits.wav").seconds == 2


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "FLAC", "MP3"])
def test_a_truncated_file_says_how_much_could_be_read(kind):
    noise = np.random.default_rng(0).normal(0, 0.1, (4 * 44_100, 1)).astype(np.float32)
    data = encoded(noise, kind=kind)
    clip = audio.decode(data[: len(data) // 2], f"cut.{kind.lower()}")
    assert 1.5 < clip.seconds < 2.3
    assert len(clip.warnings) == 1 and f"{clip.seconds:.3g} s of 4 s could be read" in clip.warnings[0]


def test_streamed_wav_without_a_length_is_not_called_truncated():
    data = bytearray(encoded(sine()))
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    assert audio.decode(bytes(data)).warnings == []


def test_samples_that_are_no_numbers_become_zero_with_a_warning():
    samples = sine()
    samples[100:110] = np.nan
    samples[200] = np.inf
    clip = audio.decode(encoded(samples, subtype="FLOAT"))
    assert np.isfinite(clip.samples).all() and not clip.samples[0, 100:110].any() and clip.samples[0, 200] == 0
    assert clip.warnings == ["11 of 44,100 samples were not numbers (NaN or infinite) and were set to zero."]


@pytest.mark.parametrize(("amplitude", "silent"), [(0.0, True), (0.9e-4, True), (1.1e-4, False)])
def test_silence_is_below_minus_80_db(amplitude, silent):
    clip = audio.decode(encoded(sine(amplitude=amplitude), subtype="FLOAT"))
    assert any("silence" in sentence for sentence in clip.warnings) == silent


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Music\\song.wav", "song.wav"),
        ("🎻 Müller.ogg", "🎻 Müller.ogg"),
        ("a\x00b\nc\u202egpj.wav", "abcgpj.wav"),
        ("..", "clip"),
        ("", "clip"),
    ],
)
def test_names_are_the_last_component_without_control_characters(given, shown):
    assert audio.decode(encoded(sine()), given).name == shown


def test_decode_safely_returns_what_decode_returns():
    samples = sine(channels=2)
    samples[5] = np.nan
    data = encoded(samples, subtype="FLOAT")
    safe, direct = decoding.decode_safely(data, "../🎺.wav"), audio.decode(data, "🎺.wav")
    np.testing.assert_array_equal(safe.samples, direct.samples)
    for name in ("sample_rate_hz", "name", "sha256", "warnings"):
        assert getattr(safe, name) == getattr(direct, name)


def test_a_crashing_or_endless_decoder_is_a_sentence(tmp_path, monkeypatch):
    stub = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(stub))
    stub.write_text("#!/bin/sh\nkill -SEGV $$\n")
    stub.chmod(0o755)
    with pytest.raises(ValueError, match=r"evil\.ogg made the decoder crash"):
        decoding.decode_safely(b"OggS", "evil.ogg")
    stub.write_text("#!/bin/sh\nexec sleep 20\n")
    with pytest.raises(ValueError, match=r"slow\.ogg took more than 0\.2 s"):
        decoding.decode_safely(b"OggS", "slow.ogg", timeout_s=0.2)


def test_a_decoder_that_waits_is_used_once_and_never_left_behind(monkeypatch):
    decoding.prepare()
    (waiting,) = decoding._ready
    decoding.prepare()
    assert decoding._ready == [waiting]
    data = encoded(sine())
    monkeypatch.setattr(sys, "executable", "/nowhere/python")  # a new one could not start
    assert decoding.decode_safely(data, "a.wav").seconds == audio.decode(data).seconds
    assert waiting.poll() is not None and decoding._ready == []
    with pytest.raises(FileNotFoundError):
        decoding.decode_safely(data, "a.wav")


def test_a_waiting_decoder_that_died_is_replaced():
    decoding.prepare()
    (waiting,) = decoding._ready
    waiting.kill()
    waiting.wait()
    assert decoding.decode_safely(encoded(sine()), "a.wav").name == "a.wav"


def test_a_waiting_decoder_ends_with_its_owner():
    decoding.prepare()
    (waiting,) = decoding._ready
    waiting.stdin.close()  # what the system does for a process that ends
    assert waiting.wait(60) == 0


def test_the_child_loads_no_torch():
    import subprocess

    code = "import sys, core.decoding as d; d._child(); print('torch' in sys.modules, 'soundfile' in sys.modules)"
    told = b'["x", "y"]\n' + encoded(sine(0.01))
    run = subprocess.run([sys.executable, "-c", code], input=told, capture_output=True)
    assert run.stdout.split() == [b"False", b"True"], run.stderr


def test_resampling_keeps_a_tone_and_removes_what_cannot_be_kept():
    kept = audio.resample(sine(1.0, 48_000, 1000)[:, 0], 48_000, 16_000)
    np.testing.assert_allclose(kept[2000:-2000], sine(1.0, 16_000, 1000)[2000:-2000, 0], atol=1e-3)
    gone = audio.resample(sine(1.0, 48_000, 12_000).T, 48_000, 16_000)
    assert gone.shape == (1, 16_000) and np.abs(gone[0, 2000:-2000]).max() < 1e-3


def test_wav_bytes_keep_the_level_and_clip_at_one():
    samples = np.array([[0.0, 0.25, -0.5, 1.0, 2.0, -3.0] * 2000, [0.1] * 12_000])
    clip = audio.decode(audio.wav_bytes(samples, 22_050))
    np.testing.assert_allclose(clip.samples, np.clip(samples, -1, 1), atol=1e-4)


def test_levels():
    tone = sine(amplitude=1.0)[:, 0]
    assert audio.loudness_db(tone) == pytest.approx(-3.0103, abs=1e-3)
    assert audio.loudness_db(tone * 10 ** (-6 / 20)) == pytest.approx(-9.0103, abs=1e-3)
    assert audio.loudness_db(np.zeros(10)) == -120
    assert np.abs(tone * 10 ** (-6 / 20)).max() == pytest.approx(0.5012, abs=1e-4)


def test_peaks_hold_the_extremes_of_each_stretch():
    mono = np.array([0, 1, -2, 3, 0.5, -0.5], np.float32)
    np.testing.assert_array_equal(audio.peaks(mono, 3), [[0, 1], [-2, 3], [-0.5, 0.5]])
    np.testing.assert_array_equal(audio.peaks(mono[:2], 4), [[0, 0], [0, 0], [1, 1], [1, 1]])


def test_file_hash_is_sha256_of_the_bytes(tmp_path):
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, "abc"
    (tmp_path / "abc").write_bytes(b"abc")
    assert audio.file_hash(b"abc") == audio.file_hash(tmp_path / "abc") == known


def test_a_rate_too_low_for_sound_is_refused() -> None:
    with pytest.raises(ValueError, match=r"slow\.wav has a sample rate of 2 Hz; at least 1,000 Hz are needed\."):
        audio.decode(audio.wav_bytes(np.zeros(100, np.float32), 2), "slow.wav")
