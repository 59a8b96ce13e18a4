"""What instrument_net does to sounds against physics and torchaudio's filters; its networks and what it is asked."""

import math

import numpy as np
import pytest
import timm
import torch
import torchaudio.functional as AF

from core import config
from core.events import Checkpoint, FitData, Inputs, Metrics, Part
from trainers import _waves, instrument_net

CLASSES = ("cel", "cla", "flu", "gac", "gel", "org", "pia", "sax", "tru", "vio", "voi")
RATE_HZ = 16_000
OFF = instrument_net.PRESETS["nothing disturbed"]


def dice(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sine(hertz, n=1, seconds=1.0, amplitude=0.1):
    time_s = torch.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return amplitude * torch.sin(2 * math.pi * hertz * time_s).repeat(n, 1)


def db(power):
    return 10 * torch.log10(power)


def excerpts(n=22, samples=4800) -> FitData:
    """Noise with one of eleven labels each, equally often."""
    generator = np.random.default_rng(3)

    def part():
        waves = generator.standard_normal((n, samples)).astype(np.float32)
        items = np.array([f"item {i}" for i in range(n)])
        return Part(waves, np.eye(11)[np.arange(n) % 11], items, items, np.zeros(n))

    return FitData(part(), part(), "instruments", CLASSES, "probability", "wave16k", (), 3.0)


def run(data, seed=0, state=None, **knobs):
    made = config.make(instrument_net.Config, {"epochs": 2, "batch_size": 8} | knobs)
    return list(instrument_net.fit(data, made, generator=np.random.default_rng(seed), state=state))


def test_a_mix_has_the_union_of_the_labels_and_the_sum_of_the_sounds():
    """Each excerpt is a tone of its own, so that the spectrum tells which ones were summed."""
    tones = torch.cat([sine(200 * (k + 1)) for k in range(11)])
    rows = torch.arange(11).repeat(30)
    waves, wanted = _waves.mix(tones, torch.eye(11), rows, 0.6, 6.0, 0, dice())
    power = torch.fft.rfft(waves).abs()[:, 200:2201:200] ** 2
    heard = power > power.amax(dim=1, keepdim=True) / 1e4
    assert torch.equal(heard, wanted > 0)
    assert wanted[torch.arange(330), rows].eq(1).all() and wanted.max() == 1
    sizes = wanted.sum(dim=1)
    assert set(sizes.tolist()) == {1, 2, 3}
    # 0.6 of 330 are mixed; in 1 of 11 the other is the same class: 180 expected, sd 9
    assert 150 < int((sizes > 1).sum()) < 210
    # one draw of each level: no more than 12 dB between the parts, but for a class drawn twice
    loudest = db(power.amax(dim=1) / torch.where(heard, power, math.inf).amin(dim=1))
    assert 8 < loudest[sizes == 2].max() < 12 + 6


def test_mixing_with_silence_stays_finite():
    inputs = torch.stack([torch.zeros(3200), sine(300, seconds=0.2)[0]])
    for seed in range(5):
        waves, _ = _waves.mix(inputs, torch.eye(2), torch.tensor([0, 1] * 8), 1.0, 6.0, 100, dice(seed))
        waves = _waves.hiss(waves, 0.0, dice(seed))
        assert torch.isfinite(waves).all() and torch.isfinite(instrument_net._Picture(64, "cpu")(waves)).all()


def test_nothing_changes_where_all_is_off():
    knobs, data = config.make(instrument_net.Config, OFF), excerpts()
    inputs, targets = torch.from_numpy(data.train.inputs), torch.from_numpy(data.train.targets)
    rows = torch.tensor([4, 1, 7])
    waves, wanted = _waves.mix(inputs, targets, rows, knobs.mix, knobs.gain_db, round(knobs.time_shift), dice())
    assert torch.equal(waves, inputs[rows]) and torch.equal(wanted, targets[rows])
    assert torch.equal(_waves.rooms(waves, knobs.reverberation, RATE_HZ, dice()), waves)
    assert torch.equal(_waves.played(waves, knobs.pitch_shift, dice()), waves)
    assert torch.equal(_waves.hiss(waves, knobs.noise_db, dice()), waves)
    picture = instrument_net._Picture(64, "cpu")
    plain = picture(waves)
    assert torch.equal(picture(waves, knobs.equaliser_db, dice()), plain)
    assert torch.equal(_waves.stripes(plain, knobs.spec_augment, dice()), plain)


def test_a_shift_moves_and_does_not_wrap():
    click = torch.zeros(200, 1000)
    click[:, 500] = 1.0
    moved = _waves.placed(click, 0.0, 300, dice())
    places = moved.argmax(dim=1)
    assert moved.sum(dim=1).eq(1).all() and 200 <= places.min() < 220 and 780 < places.max() <= 800
    ramp = torch.arange(1.0, 1001.0).repeat(50, 1)
    for row in _waves.placed(ramp, 0.0, 10_000, dice()):  # half of an excerpt is always left
        heard = row[row > 0]
        assert len(heard) >= 500 and heard.diff().eq(1).all() and (row[0] == 0 or row[-1] == 0 or len(heard) == 1000)


def test_what_is_played_faster_is_higher_and_ends_sooner():
    """A tone of 440 Hz by up to 3 semitones: its frequency tells the speed, which tells where it ends."""
    tones = sine(440, n=60)
    heard = _waves.played(tones, 3.0, dice())
    assert torch.equal(_waves.played(tones, 0.0, dice()), tones)
    crossings = (heard[:, :8000].sign().diff(dim=1) == 2).sum(dim=1)  # in the first half second, which all fill
    speed = crossings / 220
    assert 2 ** (-3 / 12) - 0.01 < speed.min() < 0.88 and 1.14 < speed.max() < 2 ** (3 / 12) + 0.01
    last = torch.stack([row.nonzero().max() for row in heard.double()]) + 1
    assert torch.allclose(last.double(), (RATE_HZ / speed).clamp(max=RATE_HZ).double(), rtol=0.01)


def test_gain_stays_within_its_decibels():
    gains_db = db(_waves.placed(torch.ones(2000, 8), 6.0, 0, dice())[:, 0] ** 2)
    assert -6.0 <= gains_db.min() < -5.9 and 5.9 < gains_db.max() <= 6.001


def test_noise_has_the_stated_level():
    clean = sine(440, n=400)
    ratios_db = db((_waves.hiss(clean, -20.0, dice()) - clean).square().mean(dim=1) / clean.square().mean(dim=1))
    # between 40 dB below the loudest and the loudest; a level over 16,000 samples is known to 0.05 dB
    assert ratios_db.max() == pytest.approx(-20, abs=0.4) and ratios_db.min() == pytest.approx(-60, abs=0.4)
    assert ratios_db.mean() == pytest.approx(-40, abs=1.8)  # three sd of the mean of 400


@pytest.mark.parametrize(("kind", "reference"), [
    ("low", AF.bass_biquad), ("high", AF.treble_biquad), ("peak", AF.equalizer_biquad),
])  # fmt: skip
@pytest.mark.parametrize("gain_db", [-9.0, 6.0])
def test_filters_are_those_of_torchaudio(kind, reference, gain_db):
    impulse = torch.zeros(1, 16_384, dtype=torch.float64)
    impulse[:, 0] = 0.1
    for centre_hz in (150.0, 1000.0, 4000.0):
        arguments = (centre_hz, gain_db, 0.707) if kind == "peak" else (gain_db, centre_hz, 0.707)
        expected = db((torch.fft.rfft(reference(impulse, RATE_HZ, *arguments)) / 0.1).abs() ** 2)
        found = _waves.filter_power(kind, torch.tensor([gain_db]), torch.tensor([centre_hz]), 8193, RATE_HZ)
        torch.testing.assert_close(db(found), expected.float(), atol=0.02, rtol=0)


def test_a_sine_changes_by_the_decibels_of_its_filter():
    """At its centre a shelf gives half of its decibels and a peak all; far inside a shelf's side it gives all."""
    bins, place = 513, 64  # 1,000 Hz
    tone = torch.stft(sine(1000)[0], 1024, window=torch.hann_window(1024), return_complex=True).abs() ** 2
    for kind, centre_hz, expected_db in [
        ("high", 1000.0, 3.0), ("high", 60.0, 6.0), ("high", 7900.0, 0.0),
        ("low", 1000.0, 3.0), ("low", 7900.0, 6.0), ("low", 60.0, 0.0), ("peak", 1000.0, 6.0),
    ]:  # fmt: skip
        power = _waves.filter_power(kind, torch.tensor([6.0]), torch.tensor([centre_hz]), bins, RATE_HZ)[0]
        change_db = db((tone * power[:, None])[place, 5:-5].mean() / tone[place, 5:-5].mean())
        assert change_db == pytest.approx(expected_db, abs=0.1), (kind, centre_hz)


def test_equalisers_stay_within_three_filters():
    response_db = db(_waves.equalisers(300, 513, 10.0, RATE_HZ, dice()))
    assert -30 <= response_db.min() < -10.5 and 10.5 < response_db.max() <= 30  # more than one filter, at most three


def test_a_room_answers_by_falling_60_db():
    length = RATE_HZ * 3
    answers = _waves.room_responses(40, length, 0.5, RATE_HZ, dice())
    assert answers[:, 0].eq(1).all() and length + answers.shape[1] - 1 == _waves._smooth(length + 8000)
    energy = answers[:, 1:].square().sum(dim=1)
    assert 0.1 <= energy.min() < 0.2 and 0.8 < energy.max() <= 1.0001
    # Schroeder's backward integral falls by 60 dB in the decay time: between 0.1 s and 0.5 s
    remaining_db = db(answers[:, 1:].square().flip(1).cumsum(1).flip(1) / energy[:, None])
    fall_s = 2 * ((remaining_db > -35).sum(dim=1) - (remaining_db > -5).sum(dim=1)) / RATE_HZ
    assert 0.08 < fall_s.min() < 0.15 and 0.4 < fall_s.max() < 0.56


def test_only_a_room_smears_time():
    click = torch.zeros(40, 8000)
    click[:, 3000] = 1.0
    smeared = _waves.rooms(click, 0.3, RATE_HZ, dice())
    is_smeared = (smeared.abs() > 1e-4).sum(dim=1) > 500
    assert 8 < int(is_smeared.sum()) < 32 and smeared[:, :3000].abs().max() < 1e-5  # nothing sounds before its cause
    torch.testing.assert_close(smeared[:, 3000], torch.ones(40))
    torch.testing.assert_close(smeared[~is_smeared], click[~is_smeared])


def test_stripes_stay_within_their_share():
    hidden = _waves.stripes(torch.ones(400, 1, 50, 40), 0.2, dice())[:, 0] == 0
    bands, frames = hidden.all(dim=2).sum(dim=1), hidden.all(dim=1).sum(dim=1)
    assert int(bands.max()) == 10 and int(frames.max()) == 8 and int(bands.min()) == 0


def test_smooth_lengths():
    assert [_waves._smooth(n) for n in (1, 7, 11, 59_999, 60_001)] == [1, 8, 12, 60_000, 60_750]


@pytest.mark.parametrize("n_mels", [40, 64, 96, 128])
def test_pictures_are_standardised_one_by_one(n_mels, recwarn):
    """A quiet excerpt looks the same alone and beside a loud one, and a tone stands in its band."""
    picture = instrument_net._Picture(n_mels, "cpu")
    waves = torch.cat(
        [1e-4 * sine(3000), sine(3000), torch.zeros(1, RATE_HZ), torch.rand(1, RATE_HZ, generator=dice())]
    )
    made = picture(waves)
    assert made.shape == (4, 1, n_mels, 32) and not recwarn.list
    torch.testing.assert_close(made[:1], picture(waves[:1]))
    assert made[2].eq(0).all()
    torch.testing.assert_close(made[[1, 3]].mean(dim=(2, 3)), torch.zeros(2, 1), atol=1e-4, rtol=0)
    torch.testing.assert_close(made[[1, 3]].square().mean(dim=(2, 3)), torch.ones(2, 1), atol=1e-3, rtol=0)
    mel = 2595 * math.log10(1 + 3000 / 700) / (2595 * math.log10(1 + 8000 / 700)) * (n_mels + 1) - 1
    assert abs(int(made[1, 0, :, 16].argmax()) - mel) < 1


@pytest.mark.parametrize("backbone", instrument_net.BACKBONES)
def test_every_network_is_small_and_says_its_logits(backbone):
    net = instrument_net._network({"backbone": backbone, "labels": CLASSES}, seed=1)
    assert sum(weight.numel() for weight in net.parameters()) <= 2_000_000
    again = instrument_net._network({"backbone": backbone, "labels": CLASSES}, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    other = instrument_net._network({"backbone": backbone, "labels": CLASSES}, seed=2)
    assert not torch.equal(other.get_classifier().weight, net.get_classifier().weight)
    pictures = torch.randn(2, 1, 64, 94, generator=dice())
    with torch.no_grad():
        torch.testing.assert_close(instrument_net._logits(net.eval(), pictures), net(pictures))
    assert backbone in timm.list_models() or net.num_classes == 11


def test_the_rate_rises_and_falls_along_half_a_cosine(monkeypatch):
    monkeypatch.setattr(instrument_net, "WARM_UP", 0.25)
    events = run(excerpts(n=32, samples=2048), epochs=2, batch_size=4, learning_rate=0.01, **OFF)
    rates = [event.values["optim/learning_rate"] for event in events[1:] if isinstance(event, Metrics)]
    cosine = [0.01 * (1 + math.cos(math.pi * step / 16)) / 2 for step in range(16)]
    assert rates == pytest.approx([cosine[0] / 4, cosine[1] / 2, cosine[2] * 3 / 4, *cosine[3:]])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_every_optimizer_goes_on_exactly(optimizer):
    knobs = {"optimizer": optimizer, "learning_rate": 1e-3, "label_smoothing": 0.1, "epochs": 3, "reverberation": 0.3}
    events = run(excerpts(), **knobs)
    place = next(i for i, event in enumerate(events) if isinstance(event, Checkpoint))
    again = run(excerpts(), 9, events[place].state, **knobs)
    rest = [event for event in events[place + 1 :] if isinstance(event, Metrics)]
    assert len(rest) == 6 and rest == [event for event in again if isinstance(event, Metrics)]


def test_says_what_it_cannot_use():
    data = excerpts()
    model = run(data, epochs=1)[-1].model

    def said(waves):
        return instrument_net.predict(model, Inputs("wave16k", waves, np.zeros(len(waves))))

    assert not said(data.validation.inputs).warnings
    assert "0.3 s; these have 0.5 s" in said(np.zeros((2, 8000), np.float32)).warnings[0]
    with pytest.raises(ValueError, match="2,048 samples"):
        said(np.zeros((2, 2047), np.float32))
    assert said(np.zeros((0, 4800), np.float32)).values.shape == (0, 11)
    alone = np.concatenate([said(data.validation.inputs[i : i + 1]).values for i in range(5)])
    np.testing.assert_allclose(said(data.validation.inputs[:5]).values, alone, atol=1e-5)
