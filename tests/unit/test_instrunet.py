"""InstruNet's knobs beyond the published network, and what it tells of itself once per epoch."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core import checkpoints, config, metrics
from core.events import Checkpoint, Done, FitData, Inputs, Metrics, Part
from trainers import _dynamics as dynamics
from trainers import _instrunet as network
from trainers import instrunet

CLASSES = ("cel", "cla", "flu", "gac", "gel", "org", "pia", "sax", "tru", "vio", "voi")
PUBLISHED = (388, 505, 451, 637, 760, 682, 721, 626, 577, 580, 778)
"""Clips of each class in IRMAS's training part (Bosch et al. 2012), in the order of the codes."""
TINY = {"width": 2, "kernel": 3, "batch_size": 11, "patience": 0}
EVERYTHING = {
    "mix": 4, "gain_db": 9.0, "time_shift": 0.1, "noise_db": -10.0, "spec_augment": 0.3, "label_smoothing": 0.1,
    "block_dropout": 0.1, "dropout": 0.3, "weight_decay": 1e-3,
}  # fmt: skip
PENALISED = ("convolution_1", "convolution_2", "convolution_3", "dense")


def excerpts(targets: np.ndarray | None = None, frames: int = 16, bands: int = 16) -> FitData:
    """Noise with one of eleven labels each, equally often, unless told otherwise."""
    generator = np.random.default_rng(3)
    targets = np.eye(11)[np.arange(33) % 11] if targets is None else targets

    def part() -> Part:
        inputs = generator.standard_normal((len(targets), bands, frames)).astype(np.float32)
        items = np.array([f"item {i}" for i in range(len(inputs))])
        return Part(inputs, targets, items, items, np.zeros(len(inputs)))

    return FitData(part(), part(), "instruments", CLASSES, "probability", "logmel", (), 3.0)


def run(data: FitData, seed: int = 0, state: dict | None = None, **knobs: object) -> list:
    made = config.make(instrunet.Config, TINY | {"epochs": 1} | knobs)
    return list(instrunet.fit(data, made, generator=np.random.default_rng(seed), device="cpu", state=state))


def logged(events: list, name: str) -> list[float]:
    return [e.values[name] for e in events if isinstance(e, Metrics) and name in e.values]


def states(events: list) -> list[dict]:
    return [event.state for event in events if isinstance(event, Checkpoint)]


# knobs


def test_what_the_ablation_varies_combines_freely_and_each_has_an_effect() -> None:
    """Batch normalisation, dropout in the blocks, dropout at the head and L2, each on and off."""
    data, losses = excerpts(), {}
    for norm, blocks, head, decay in itertools.product((True, False), (0.0, 0.3), (0.0, 0.4), (0.0, 0.02)):
        knobs = {"batch_norm": norm, "block_dropout": blocks, "dropout": head, "weight_decay": decay}
        events = run(data, learning_rate=0.3, **knobs)
        assert isinstance(events[-1], Done) and bool(events[-1].model["running"]) is norm
        assert all((value > 0) is (decay > 0) for value in logged(events, "optim/l2_pull_dense"))
        weights, _ = instrunet._start(config.make(instrunet.Config, knobs), 11, np.random.default_rng(0), "cpu")
        assert sum(tensor.numel() for tensor in weights.values()) == (1_080_267 if norm else 1_079_307)
        losses[tuple(knobs.values())] = logged(events, "validation/loss")[-1]
    assert len(losses) == 16 == len({round(loss, 7) for loss in losses.values()})


def test_everything_on_goes_on_exactly_where_it_stood(tmp_path) -> None:
    data, knobs = excerpts(), EVERYTHING | {"epochs": 3}
    events = run(data, **knobs)
    assert [e for e in run(data, **knobs) if isinstance(e, Metrics)] == [e for e in events if isinstance(e, Metrics)]
    for number, state in enumerate(states(events)):
        checkpoints.save_state(tmp_path / "state.safetensors", state)
        again = run(data, 9, checkpoints.load_state(tmp_path / "state.safetensors"), **knobs)
        place = [i for i, event in enumerate(events) if isinstance(event, Checkpoint)][number]
        assert [e for e in again if isinstance(e, Metrics)] == [
            e for e in events[place + 1 :] if isinstance(e, Metrics)
        ]


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_of_them_changes_the_curve(name: str) -> None:
    data = excerpts()
    below = {"mix": 3} if name == "gain_db" else {}
    first, second = (run(data, **(below | knobs)) for knobs in ({}, {name: EVERYTHING[name]}))
    assert logged(first, "optim/loss") != logged(second, "optim/loss")


def test_mixing_without_gain_is_no_knob_of_a_run_that_does_not_mix() -> None:
    data = excerpts()
    assert logged(run(data, gain_db=20.0), "train/loss") == logged(run(data), "train/loss")


def test_smoothed_labels_are_minimised_and_the_loss_that_is_told_is_plain() -> None:
    """Cross-entropy is linear in the label y, with slope −logit."""
    generator = torch.Generator().manual_seed(0)
    logits, wanted = torch.randn(7, 11, generator=generator), torch.eye(11)[:7]
    plain, minimised = instrunet._losses(logits, wanted, 0.2)
    torch.testing.assert_close(plain, F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(dim=1))
    torch.testing.assert_close(minimised - plain, (-0.2 * (0.5 - wanted) * logits).mean(dim=1))
    events = run(excerpts(), label_smoothing=0.5, weight_decay=0.0, class_weights=False, learning_rate=1e-6)
    told, untouched = (logged(e, "train/loss")[0] for e in (events, run(excerpts(), learning_rate=1e-6)))
    assert told == untouched and logged(events, "optim/loss")[0] != pytest.approx(told, rel=1e-3)


def test_half_precision_takes_other_steps_to_nearly_the_same_place() -> None:
    data = excerpts()
    full, half = (run(data, epochs=2, dropout=0.0, precision=name) for name in ("float32", "bfloat16"))
    losses = [logged(events, "train/loss") for events in (full, half)]
    assert losses[0] != losses[1] and losses[1] == pytest.approx(losses[0], rel=0.02)
    assert all(value.dtype == torch.float32 for value in half[-1].model["weights"].values())
    said = instrunet.predict(half[-1].model, Inputs("logmel", data.validation.inputs, data.validation.times_s))
    assert np.isfinite(said.values).all() and said.values.dtype == np.float32


# class weights


def test_weights_on_the_published_counts() -> None:
    targets = np.repeat(np.eye(11), PUBLISHED, axis=0)
    weights = instrunet._row_weights(targets, instrunet._class_weights(targets, CLASSES))
    assert len(targets) == 6705 and weights.sum() == pytest.approx(6705)
    for code, count in enumerate(PUBLISHED):
        assert weights[targets[:, code] == 1] == pytest.approx(np.full(count, 6705 / (11 * count)))


def test_a_class_without_a_clip_is_refused_where_classes_are_weighted() -> None:
    lacking = np.eye(11)[np.arange(30) % 10]
    with pytest.raises(ValueError, match="The training part has no item of voi, so no weight can balance it; choose"):
        run(excerpts(lacking))
    assert isinstance(run(excerpts(lacking), class_weights=False)[-1], Done)
    several = lacking.copy()
    several[::3, 1] = 1  # recordings in which several instruments sound: what never does has no row to weigh
    assert isinstance(run(excerpts(several))[-1], Done)


def test_a_mix_counts_as_the_mean_of_its_classes() -> None:
    random = np.random.default_rng(0)
    targets = (random.random((50, 11)) < 0.25).astype(float)
    of_class = random.random(11)
    made = instrunet._mean_weights(torch.from_numpy(targets), torch.from_numpy(of_class)).numpy()
    assert made == pytest.approx(instrunet._row_weights(targets, of_class))
    assert (targets.sum(axis=1) == 0).any()


# what it tells of itself


def test_an_epoch_tells_few_numbers_and_all_are_explained() -> None:
    events = run(excerpts(), epochs=2)
    first, *_, last = [event.values for event in events if isinstance(event, Metrics)]
    own = {name for name in last if name.startswith("optim/")} - {
        "optim/loss", "optim/learning_rate", "optim/gradient_norm",
    }  # fmt: skip
    layers = [f"convolution_{block}" for block in (1, 2, 3, 4)] + ["dense"]
    expected = {f"weight_norm_{layer}" for layer in layers} | {f"l2_pull_{layer}" for layer in PENALISED}
    for block in (1, 2, 3, 4):
        expected |= {f"norm_mean_{block}", f"norm_variance_{block}", f"zero_share_{block}"}
    assert own == {f"optim/{name}" for name in expected} and len(own) == 21
    assert {name for name in first if name.startswith("optim/")} == {name for name in own if "l2_pull" not in name}
    for name in own:
        about = metrics.about(name)
        assert about.name not in ("weight_norm", "weight_norm_squared") and about.better == "neither"
    # Steps within an epoch carry none of them.
    inner = [e for e in events if isinstance(e, Metrics) and e.epoch != int(e.epoch)]
    assert inner and not own & set().union(*(event.values for event in inner))
    assert {f"validation/f1_{label}" for label in CLASSES} <= last.keys()
    plain = run(excerpts(), batch_norm=False, optimizer="adamw", learning_rate=1e-3)[-3].values
    assert not [name for name in plain if "optim/norm_" in name or "l2_pull" in name]


def test_norms_and_statistics_are_those_of_the_weights_that_are_kept() -> None:
    events = run(excerpts(), epochs=2)
    model = states(events)[-1]["model"]
    for layer in (*PENALISED, "convolution_4"):
        length = float(np.sqrt((model["weights"][f"{layer}.weight"].double() ** 2).sum()))
        assert logged(events, f"optim/weight_norm_{layer}")[-1] == pytest.approx(length, rel=1e-5)
    for block, name in itertools.product((1, 2, 3, 4), ("mean", "variance")):
        expected = float(model["running"][f"norm_{block}.{name}"].mean())
        assert logged(events, f"optim/norm_{name}_{block}")[-1] == pytest.approx(expected, rel=1e-5)


def test_the_pull_of_l2_is_its_gradient_against_that_of_the_data() -> None:
    """One step over all excerpts, whose two gradients are taken here one by one."""
    data, seed, decay = excerpts(), 4, 0.03
    knobs = {"dropout": 0.0, "weight_decay": decay, "batch_size": 33}
    events = run(data, seed, **knobs)
    generator = np.random.default_rng(seed)
    generator.integers(2**63 - 1)
    weights, running = instrunet._start(config.make(instrunet.Config, TINY), 11, generator, "cpu")
    logits = instrunet._forward(weights, running, torch.from_numpy(data.train.inputs), noise=torch.Generator())
    wanted = torch.from_numpy(data.train.targets).float()
    F.binary_cross_entropy_with_logits(logits, wanted).backward()
    for layer in PENALISED:
        weight = weights[f"{layer}.weight"]
        from_data = weight.grad.norm().item()
        weight.grad = None
        (decay * (weight**2).sum()).backward()
        expected = weight.grad.norm().item() / from_data
        assert logged(events, f"optim/l2_pull_{layer}") == pytest.approx([expected], rel=1e-3)


def test_zeros_are_counted_after_each_relu_of_the_network_in_use() -> None:
    data = excerpts()
    events = run(data, batch_norm=False, epochs=1)
    weights = states(events)[-1]["model"]["weights"]
    x = dynamics.watched(torch.from_numpy(data.train.inputs))[:, None]
    for block in (1, 2, 3, 4):
        x = torch.conv2d(x, weights[f"convolution_{block}.weight"], weights[f"convolution_{block}.bias"], padding=1)
        expected = float((x <= 0).double().mean())
        assert logged(events, f"optim/zero_share_{block}")[-1] == pytest.approx(expected, abs=2e-3)
        x = F.max_pool2d(x.clamp_min(0), 2) if block < 4 else x
    assert 0.05 < expected < 0.95


@pytest.mark.parametrize(("n", "count"), [(3, 4), (150, 4), (1000, 20), (6705, 64)])
def test_few_fixed_excerpts_are_watched(n: int, count: int) -> None:
    found = dynamics.watched(torch.arange(n).float()[:, None])[:, 0]
    assert len(found) == count and found[0] == 0 and found[-1] == n - 1


def test_dropout_hides_its_share_and_keeps_the_mean() -> None:
    x = torch.ones(200, 500)
    hidden = network.hide(x, 0.3, torch.Generator().manual_seed(1))
    assert float((hidden == 0).float().mean()) == pytest.approx(0.3, abs=0.01)  # three sd of a share of 100,000: .004
    assert float(hidden.mean()) == pytest.approx(1.0, abs=0.01)
    assert network.hide(x, 0.3, None) is x
