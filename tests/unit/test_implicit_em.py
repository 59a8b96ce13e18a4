"""The decoder-free encoder against autograd, closed forms, scikit-learn, and itself in company."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
import torch

from core import config, datasets
from core.datasets import no_progress, splits
from core.events import Checkpoint, Done, FitData, Inputs, Metrics, Part
from trainers import _encoders, _probe, implicit_em

LABELS = ("first", "second", "third")


def part(n: int, seed: int, columns: int = 40) -> Part:
    """Pictures in three classes, each bright in a stretch of its own."""
    random = np.random.default_rng(seed)
    classes = random.integers(3, size=n)
    inputs = random.random((n, columns)).astype(np.float32)
    inputs[np.arange(n)[:, None], 8 * classes[:, None] + np.arange(8)] += 0.7
    items = np.array([f"{seed}-{i}" for i in range(n)])
    return Part(inputs, np.eye(3)[classes], items, items, np.zeros(n))


def small(n: int = 160, n_validation: int = 30) -> FitData:
    return FitData(part(n, 1), part(n_validation, 2), "digits", LABELS, "probability", "pixels")


def made(**knobs) -> implicit_em.Config:
    return config.make(implicit_em.Config, {"hidden_units": 16, "batch_size": 32, "epochs": 3, **knobs})


def alone(data: FitData, settings: implicit_em.Config, seed: int, state=None) -> list:
    return list(implicit_em.fit(data, settings, generator=np.random.default_rng(seed), device="cpu", state=state))


def company(data: FitData, settings, seeds, states=None, messages=None) -> dict[int, list]:
    """Events by member; `messages` (member, epoch) → what is sent in answer to that member's metrics of that epoch."""
    training = implicit_em.fit_many(data, settings, [np.random.default_rng(s) for s in seeds], states=states)
    found: dict[int, list] = {i: [] for i in range(len(settings))}
    answer = None
    try:
        while True:
            i, event = training.send(answer)
            found[i].append(event)
            at = (i, event.epoch) if isinstance(event, Metrics) else None
            answer = (messages or {}).get(at)
    except StopIteration:
        return found


def curve(events: list) -> list:
    return [(e.step, e.epoch, e.values) for e in events if isinstance(e, Metrics)]


def published(active: torch.Tensor, lse=1.0, variance=1.0, correlation=1.0, term="log") -> torch.Tensor:
    """The loss of activations [K, B] as the source writes it."""
    total = -torch.logsumexp(-active, dim=0).sum() * lse
    if term == "log":
        total = total - variance * torch.log(active.var(dim=1) + 1e-6).sum()
    else:
        total = total + variance * torch.relu(1 - active.std(dim=1)).sum()
    spread = active.std(dim=1) + 1e-8
    correlations = torch.cov(active) / spread[:, None] / spread[None, :]
    off = correlations - torch.diag(torch.diag(correlations))
    return total + correlation * off.square().sum()


@pytest.mark.parametrize("term", ["log", "hinge"])
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (1.0, 0.0, 0.0), (0.5, 2.0, 0.0), (0.0, 0.3, 4.0)])
def test_loss_and_gradient_are_autograds(term: str, weights: tuple) -> None:
    settings = made(
        lse_weight=weights[0], variance_weight=weights[1], correlation_weight=weights[2], variance_term=term
    )
    before = (0.6 * torch.randn(2, 6, 32, generator=torch.Generator().manual_seed(0)) + 0.3).double()
    before.requires_grad_()
    wanted = torch.stack([published(a, *weights, term) for a in before.relu()])
    wanted.sum().backward()
    terms = _encoders.Terms(before.detach().relu())
    assert _encoders.loss_of(terms, [settings] * 2) == pytest.approx(wanted.tolist(), rel=1e-9)
    scales = tuple(s.double() if s.is_floating_point() else s for s in _encoders.scales_of([settings] * 2, "cpu"))
    torch.testing.assert_close(_encoders.slopes_of(terms, scales), before.grad, rtol=1e-6, atol=1e-7)


def test_the_gradient_of_the_explaining_term_is_the_responsibility() -> None:
    active = 3 * torch.rand(1, 64, 128, generator=torch.Generator().manual_seed(1)) + 0.01
    only = _encoders.scales_of([made(variance_weight=0.0, correlation_weight=0.0)], "cpu")
    found = _encoders.slopes_of(_encoders.Terms(active), only)
    torch.testing.assert_close(found, torch.softmax(-active, dim=1), rtol=0, atol=1e-6)


def test_collapse_is_minus_532_05() -> None:
    """All activations 0 on 60,000 items in batches of 128: −(60000 / 469) · ln 64."""
    settings = made(variance_weight=0.0, correlation_weight=0.0)
    sizes = [128] * 468 + [96]
    losses = [_encoders.loss_of(_encoders.Terms(torch.zeros(1, 64, size)), [settings])[0] for size in sizes]
    assert np.mean(losses) == pytest.approx(-532.05, abs=0.005)


def test_activations_that_dwarf_exp_stay_finite() -> None:
    terms = _encoders.Terms(torch.full((1, 4, 3), 1e4) + torch.arange(3.0))
    assert np.isfinite(_encoders.loss_of(terms, [made()])).all()
    assert torch.isfinite(_encoders.slopes_of(terms, _encoders.scales_of([made()], "cpu"))).all()


def test_steps_count_the_last_short_batch_but_no_single_item() -> None:
    assert curve(alone(small(150), made(), 0))[-1][0] == 3 * 5  # 4 of 32, one of 22
    assert curve(alone(small(129), made(), 0))[-1][0] == 3 * 4


def test_first_weights_are_uniform_within_one_over_the_root_of_the_inputs() -> None:
    member = implicit_em._Member(0, made(hidden_units=2000), 1, 2)
    model = implicit_em._weights(member, small())["model"]
    limit = 1 / math.sqrt(40)
    for values in (model["weights"], model["biases"]):
        assert np.abs(values).max() <= limit and np.abs(values).max() > 0.99 * limit
        assert values.std() == pytest.approx(limit / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize(
    ("knobs", "theirs"),
    [
        ({"optimizer": "sgd", "weight_decay": 0.01}, lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=0.01)),
        ({"optimizer": "momentum", "momentum": 0.8}, lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.8)),
        ({"optimizer": "adam", "weight_decay": 0.1}, lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1)),
        ({"optimizer": "adamw", "weight_decay": 0.1}, lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1)),
    ],
)
def test_trains_as_the_plain_script_does(knobs: dict, theirs) -> None:
    """Two epochs with autograd and torch.optim from the same weights on the same batches give the same weights."""
    data, settings = small(150), made(hidden_units=6, learning_rate=0.01, epochs=2, **knobs)
    order_seed, weight_seed = implicit_em._seeds(np.random.default_rng(4), None)
    start = implicit_em._weights(implicit_em._Member(0, settings, order_seed, weight_seed), data)["model"]
    weights, biases = (torch.tensor(start[name]).requires_grad_() for name in ("weights", "biases"))
    optimizer, losses = theirs([weights, biases]), []
    for epoch in range(2):
        losses.append([])
        order = torch.from_numpy(np.random.default_rng([order_seed, epoch]).permutation(150))
        for rows in order.split(32):
            active = torch.relu(torch.from_numpy(data.train.inputs)[rows] @ weights.T + biases).T
            loss = published(active)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    events = alone(data, settings, 4)
    assert [v["train/loss"] for _, _, v in curve(events)[1:]] == pytest.approx([np.mean(x) for x in losses], rel=1e-4)
    torch.testing.assert_close(events[-1].model["weights"], weights.detach(), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(events[-1].model["biases"], biases.detach(), rtol=1e-3, atol=1e-5)


MIXED = [
    {"optimizer": "sgd", "learning_rate": 0.01},
    {"optimizer": "adam", "learning_rate": 0.01, "schedule": "cosine"},
    {"optimizer": "momentum", "learning_rate": 0.001, "variance_term": "hinge"},
    {"optimizer": "adamw", "weight_decay": 0.1, "normalise_rows": True},
    {"optimizer": "adam", "correlation_weight": 3.0, "schedule": "step"},
    {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.01},
]
SEEDS = [1, 1, 2, 1, 1, 1]


def test_company_changes_no_bit() -> None:
    data, settings = small(), [made(**knobs) for knobs in MIXED]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = company(data, settings, SEEDS)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    for i, (chosen, seed) in enumerate(zip(settings, SEEDS, strict=True)):
        by_itself = alone(data, chosen, seed)
        assert curve(found[i]) == curve(by_itself), MIXED[i]
        assert [type(event) for event in found[i]] == [type(event) for event in by_itself]
        for name, value in by_itself[-1].model.items():
            np.testing.assert_array_equal(np.asarray(found[i][-1].model[name]), np.asarray(value), err_msg=name)


def test_a_frozen_or_lost_member_leaves_the_others_as_they_are() -> None:
    data, settings = small(), [made(**knobs) for knobs in MIXED]
    undisturbed = company(data, settings, SEEDS)
    lost = [*settings[:3], made(optimizer="sgd", learning_rate=10.0, variance_weight=1000.0), *settings[4:]]
    frozen = company(data, lost, SEEDS, messages={(0, 1.0): {4: None}, (5, 1.0): {5: None}})
    assert curve(frozen[4]) == curve(undisturbed[4])[:1] and not isinstance(frozen[4][-1], Done)
    assert curve(frozen[5]) == curve(undisturbed[5])[:2] and not isinstance(frozen[5][-1], Checkpoint | Done)
    for i in (0, 1, 2):
        assert curve(frozen[i]) == curve(undisturbed[i])
    holed = small()
    holed.train.inputs[5, 3] = 3e38  # a value that makes every member overflow, and none raise
    ends = company(holed, settings[:2], SEEDS[:2])
    assert all(isinstance(events[-1], Done) for events in ends.values())
    assert not np.isfinite(curve(ends[0])[-1][2]["train/loss"])


def test_goes_on_together_to_the_same_bits(tmp_path) -> None:
    from core import checkpoints

    data, settings = small(), [made(**knobs) for knobs in MIXED]
    found = company(data, settings, SEEDS, messages={(1, 1.0): {1: {"learning_rate": 0.003}}})
    states = []
    for i in range(len(MIXED)):
        checkpoints.save_state(
            tmp_path / "state.safetensors", [e for e in found[i] if isinstance(e, Checkpoint)][1].state
        )
        states.append(checkpoints.load_state(tmp_path / "state.safetensors"))
    again = company(data, settings, [9] * len(MIXED), states)
    for i in range(len(MIXED)):
        assert curve(again[i]) == curve(found[i])[3:]
    assert curve(found[1])[2][2]["optim/learning_rate"] == pytest.approx(0.003 * 0.75)  # cosine at a third
    with pytest.raises(ValueError, match="stand at different epochs"):
        company(data, settings, SEEDS, [*states[:5], None])
    with pytest.raises(ValueError, match="same hidden_units"):
        company(data, [made(), made(hidden_units=7)], [1, 1])


def test_schedules_and_remedies() -> None:
    data = small()
    rates = [v["optim/learning_rate"] for _, _, v in curve(alone(data, made(schedule="step", epochs=4), 0))[1:]]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5])
    last = curve(alone(data, made(normalise_rows=True), 0))[-1][2]
    assert last["train/weight_norm"] == pytest.approx(1, abs=1e-5)
    assert last["train/scale_free_loss"] == pytest.approx(last["train/loss"], abs=1e-3)
    free = alone(data, made(), 0)
    norms = np.linalg.norm(np.asarray(free[-1].model["weights"], dtype=float), axis=1)
    told = curve(free)[-1][2]
    assert told["train/scale_free_loss"] == pytest.approx(told["train/loss"] + 2 * np.log(norms).sum(), rel=1e-6)
    assert told["train/weight_norm_squared"] == pytest.approx(np.mean(norms**2), rel=1e-6)


def test_trains_without_a_validation_part() -> None:
    events = alone(small(n_validation=0), made(), 0)
    names = {name for _, _, values in curve(events) for name in values}
    assert isinstance(events[-1], Done) and not any(name.startswith("validation/") for name in names)
    assert curve(events)[-1][2].keys() >= {"train/loss", "train/dead_units", "train/responsibility_change"}


def test_the_probe_is_scikit_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr(_probe, "TOLERANCE", 1e-8)

    data = part(400, 3)
    features = torch.from_numpy(np.maximum(data.inputs[:, :12] - 0.4, 0))
    features[:, 5] = 0.0  # a dead unit
    classes = torch.from_numpy(data.targets.argmax(axis=1))
    found = _probe.logistic(features, classes, 3)
    z = (features.numpy() - found["feature_mean"]) / found["feature_sd"]
    theirs = LogisticRegression(max_iter=5000, tol=1e-9).fit(z, classes.numpy())
    np.testing.assert_allclose(_probe.probabilities(features.numpy(), found), theirs.predict_proba(z), atol=2e-4)
    z_spread = z.std(axis=0)
    assert z_spread[5] == 0 and np.delete(z_spread, 5) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("EARSHOT_DATA"), reason="EARSHOT_DATA is not set: no real MNIST here")
def test_real_digits_follow_the_law_of_the_weights() -> None:
    """‖w‖² = 1/3 + 4 · rate · steps for gradient descent; at 0.001 it takes some 50 epochs to come within 10 %."""
    try:
        mnist = datasets.load("mnist")
    except datasets.Missing as missing:
        pytest.skip(str(missing))
    where = splits.assign(mnist, "whole")
    train = mnist.rows("pixels", np.flatnonzero(where == "train"), 0.0, no_progress)
    empty = mnist.rows("pixels", [], 0.0, no_progress)
    data = FitData(train, empty, "digits", mnist.labels, "probability", "pixels")
    settings = [
        config.make(implicit_em.Config, {"optimizer": "sgd", "learning_rate": r, "epochs": 3}) for r in (1e-3, 1e-2)
    ]
    found = company(data, settings, [1, 1])
    for rate, tolerance, events in zip((1e-3, 1e-2), (0.2, 0.1), found.values(), strict=True):
        for step, _, values in curve(events)[1:]:
            assert values["train/weight_norm_squared"] == pytest.approx(1 / 3 + 4 * rate * step, rel=tolerance)
    test = mnist.rows("pixels", np.flatnonzero(where == "test"), 0.0, no_progress)
    said = implicit_em.predict(found[1][-1].model, Inputs("pixels", test.inputs, test.times_s)).values
    assert np.mean(said.argmax(axis=1) == test.targets.argmax(axis=1)) > 0.9
