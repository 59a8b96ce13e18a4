"""The trainers against closed forms, the libraries they stand on, and the published network."""

import json
import math

import numpy as np
import pytest
import torch
import xgboost as xgb
from sklearn.linear_model import Ridge
from sklearn.svm import SVR

from core import config
from core.events import Checkpoint, Done, FitData, Inputs, Metrics, Part
from trainers import _common as common
from trainers import boosted_trees, instrunet, ridge, svr, toy

CLASSES = ("cel", "cla", "flu", "gac", "gel", "org", "pia", "sax", "tru", "vio", "voi")


def part_of(inputs, targets) -> Part:
    items = np.array([f"item {i}" for i in range(len(inputs))])
    return Part(inputs, targets, items, items, np.zeros(len(inputs)))


def table(n=200, columns=6, seed=0) -> FitData:
    """Two labels that depend on the columns linearly, with noise of 0.3."""
    generator = np.random.default_rng(seed)
    weights = 0.4 * generator.standard_normal((columns, 2))

    def part(rows):
        inputs = 3 + 2 * generator.standard_normal((rows, columns))
        return part_of(inputs, 5 + (inputs - 3) / 2 @ weights + 0.3 * generator.standard_normal((rows, 2)))

    names = tuple(f"column_{k}" for k in range(columns))
    return FitData(part(n), part(n // 2), "emotion", ("valence", "arousal"), "1–9", "lib73", names)


def excerpts(n=33, frames=16, bands=16) -> FitData:
    """Noise with one of eleven labels each, equally often."""
    generator = np.random.default_rng(3)

    def part():
        return part_of(generator.standard_normal((n, bands, frames)).astype(np.float32), np.eye(11)[np.arange(n) % 11])

    return FitData(part(), part(), "instruments", CLASSES, "probability", "logmel", (), 3.0)


def run(module, data, seed=0, state=None, **knobs):
    made = config.make(module.Config, knobs)
    return list(module.fit(data, made, generator=np.random.default_rng(seed), device="cpu", state=state))


def logged(events, name):
    return [e.values[name] for e in events if isinstance(e, Metrics) and name in e.values]


def said(module, events, inputs, name="lib73"):
    assert isinstance(events[-1], Done)
    return module.predict(events[-1].model, Inputs(name, inputs, np.zeros(len(inputs))))


# shared helpers


def test_moments_keep_a_constant_column_harmless():
    rows = np.stack([np.arange(5.0), np.full(5, 0.1)], axis=1)
    mean, sd = common.moments(rows)
    assert mean == pytest.approx([2, 0.1]) and sd == pytest.approx([math.sqrt(2), 1])
    with pytest.raises(ValueError, match="1 of 5 training rows"):
        common.moments(np.where(rows == 3, np.nan, rows))


def test_a_clip_unlike_the_training_data_gets_a_warning():
    model = {"mean": np.zeros(4), "sd": np.ones(4), "input": "lib73"}
    for z, warned in ((2.9, False), (-3.1, True)):
        _, warnings = common.standardise_foreign(Inputs("lib73", np.full((2, 4), z), np.zeros(2)), model)
        assert any("far outside" in text for text in warnings) is warned
    with pytest.raises(ValueError, match="4 columns and was given 3"):
        common.standardise_foreign(Inputs("lib73", np.zeros((2, 3)), np.zeros(2)), model)


def test_missing_values_become_the_training_mean():
    model = {"mean": np.full(2, 7.0), "sd": np.ones(2), "input": "lib73"}
    z, warnings = common.standardise_foreign(Inputs("lib73", np.array([[8.0, np.nan]]), np.zeros(1)), model)
    assert z.tolist() == [[1.0, 0.0]] and "50.0% of the inputs" in warnings[0]


def test_clipping_is_told():
    values, warnings = common.clip_to_unit(np.array([[0.5, 5.0], [2.0, 3.0]]), "1–9")
    assert values.tolist() == [[1, 5], [2, 3]] and "1 of 2 predictions" in warnings[0]
    assert common.clip_to_unit(np.array([[0.5]]), "probability")[1] == []


def test_early_stopping_counts_from_the_last_real_improvement():
    stopping = common.EarlyStopping(patience=2, min_delta=0.1)
    is_best = [stopping.update(loss, epoch) for epoch, loss in enumerate([1.0, 0.95, 0.85, 0.84, 0.80], start=1)]
    # .95 is the best so far but falls by too little to count; .85 counts against 1.0; .84 and .80 do not against .85
    assert is_best == [True] * 5 and stopping.is_over and stopping.best_epoch == 5
    again = common.EarlyStopping(patience=2, min_delta=0.1)
    again.restore(json.loads(json.dumps(stopping.state())))
    assert again == stopping
    assert stopping.reason(5) == (
        "early stopping after epoch 5: no improvement of validation/loss by more than 0.1 for 2 epochs"
    )


def test_early_stopping_never_fires_at_patience_0_and_ignores_nan():
    stopping = common.EarlyStopping(patience=0, min_delta=0.0)
    assert not any(stopping.update(float("nan"), epoch) for epoch in range(50))
    assert not stopping.is_over and stopping.reason(50) == "all 50 epochs done"
    json.dumps(stopping.state(), allow_nan=False)


def test_a_generator_goes_on_from_json():
    generator = np.random.default_rng(5)
    generator.random(3)
    text = json.dumps(common.generator_state(generator))
    expected, other = generator.random(4), np.random.default_rng(0)
    common.restore_generator(other, json.loads(text))
    assert other.random(4).tolist() == expected.tolist()


# toy


def test_toy_reaches_least_squares():
    data = table()
    events = run(toy, data, epochs=200, batch_size=200, learning_rate=0.5, momentum=0.5)
    design = np.column_stack([data.train.inputs, np.ones(len(data.train))])
    solution = np.linalg.lstsq(design, data.train.targets, rcond=None)[0]
    expected = np.column_stack([data.validation.inputs, np.ones(len(data.validation))]) @ solution
    np.testing.assert_allclose(toy.predict(events[-2].state["model"], Inputs("lib73", data.validation.inputs,
                               np.zeros(len(expected)))).values, expected, atol=1e-3)  # fmt: skip


def test_toy_starts_at_the_entropy_of_eleven_equal_classes():
    loss = logged(run(toy, excerpts(), epochs=1), "validation/loss")[0]
    assert loss == pytest.approx(-(math.log(1 / 11) / 11 + 10 / 11 * math.log(10 / 11)), abs=2e-3)  # .3046 nats


def test_toy_stops_early_and_keeps_the_best():
    data = table(n=20, columns=6)
    events = run(toy, data, epochs=500, patience=5, learning_rate=0.3)
    losses = logged(events, "validation/loss")
    assert "early stopping" in events[-1].reason and len(losses) < 400
    best = int(np.argmin(losses[1:]))
    kept = [event.state["model"] for event in events if isinstance(event, Checkpoint)][best]
    np.testing.assert_array_equal(kept["weights"], events[-1].model["weights"])
    assert best < len(losses) - 2


def test_toy_weight_decay_shrinks_the_weights():
    norms = [np.linalg.norm(run(toy, table(), weight_decay=decay)[-1].model["weights"]) for decay in (0.0, 1.0)]
    assert norms[1] < 0.8 * norms[0]


# ridge and support vectors


def test_ridge_is_its_closed_form():
    data = table()
    mean, sd = data.train.inputs.mean(axis=0), data.train.inputs.std(axis=0)
    z, centre = (data.train.inputs - mean) / sd, data.train.targets.mean(axis=0)
    weights = np.linalg.solve(z.T @ z + 30 * np.eye(6), z.T @ (data.train.targets - centre))
    expected = (data.validation.inputs - mean) / sd @ weights + centre
    np.testing.assert_allclose(said(ridge, run(ridge, data, alpha=30), data.validation.inputs).values, expected)
    fitted = Ridge(alpha=30).fit(z, data.train.targets).predict((data.validation.inputs - mean) / sd)
    np.testing.assert_allclose(fitted, expected)


@pytest.mark.parametrize("module", [ridge, svr, boosted_trees])
def test_step_0_predicts_the_training_mean(module):
    data = table(n=40)
    expected = np.mean((data.train.targets.mean(axis=0) - data.validation.targets) ** 2)
    assert logged(run(module, data), "validation/loss")[0] == pytest.approx(expected)


def test_svr_predicts_as_scikit_learn_does():
    data = table()
    events = run(svr, data, C=3.0, gamma_factor=0.5)
    mean, sd = common.moments(data.train.inputs)
    z, z_validation = (data.train.inputs - mean) / sd, (data.validation.inputs - mean) / sd
    expected = [SVR(C=3.0, gamma=0.5 / 6).fit(z, y).predict(z_validation) for y in data.train.targets.T]
    found = said(svr, events, data.validation.inputs).values
    np.testing.assert_allclose(found, np.stack(expected, axis=1), atol=1e-9)


def test_svr_learns_from_no_more_rows_than_it_may():
    machines = run(svr, table(), most_rows=50, epsilon=0.0)[-1].model["machines"]
    assert all(len(machine["support_vectors"]) <= 50 for machine in machines.values())


# boosted trees


def test_boosted_trees_without_sampling_are_xgboost():
    data = table()
    plain = {"row_sample": 1.0, "column_sample": 1.0, "patience": 0, "min_child_weight": 1.0}
    found = said(boosted_trees, run(boosted_trees, data, epochs=40, **plain), data.validation.inputs).values
    mean, sd = common.moments(data.train.inputs)
    rows, new = (xgb.DMatrix(((p.inputs - mean) / sd).astype(np.float32)) for p in (data.train, data.validation))
    for column, target in enumerate(data.train.targets.T):
        rows.set_label(target)
        settings = {"max_depth": 3, "learning_rate": 0.05, "base_score": float(target.mean()), "tree_method": "hist"}
        expected = xgb.train(settings | {"nthread": 2}, rows, 40).predict(new)
        np.testing.assert_allclose(found[:, column], expected, atol=2e-4)


def test_a_tree_sees_only_its_share_of_the_columns():
    events = run(boosted_trees, table(columns=20), epochs=6, column_sample=0.1, depth=6, patience=0)
    used = []
    for raw in events[-1].model["boosters"].values():
        trees = xgb.Booster(model_file=bytearray(raw)).trees_to_dataframe()
        splits = trees[trees.Feature != "Leaf"]
        used += [frozenset(group) for _, group in splits.groupby("Tree").Feature]
    assert max(map(len, used)) == 2 and len(set(used)) > 3, "not two columns, or always the same two"


def test_boosting_stops_early_and_keeps_its_best_rounds():
    data = table(n=40)
    events = run(boosted_trees, data, learning_rate=0.5, patience=5, min_child_weight=1.0)
    losses = logged(events, "validation/loss")
    assert events[-1].reason.startswith("early stopping after round")
    loss = np.mean((said(boosted_trees, events, data.validation.inputs).values - data.validation.targets) ** 2)
    assert loss == pytest.approx(min(losses), rel=1e-5) and loss < losses[-1]


def test_a_learning_rate_moved_while_boosting_scales_the_next_tree():
    data, tiny = table(), 1e-4
    made = config.make(boosted_trees.Config, {"epochs": 3, "patience": 0})
    training = boosted_trees.fit(data, made, generator=np.random.default_rng(0))
    first = [next(training), next(training)]
    second = training.send({"learning_rate": tiny})
    falls = -np.diff([event.values["train/loss"] for event in (*first, second)])
    assert falls[1] < falls[0] * 0.01


# instrunet


def test_instrunet_is_the_published_network():
    weights, running = instrunet._start(instrunet.Config(), 11, np.random.default_rng(0), "cpu")
    trained, moving = (sum(tensor.numel() for tensor in part.values()) for part in (weights, running))
    dropout_state = 2  # Keras counts the two numbers of its dropout layer's seed among the weights
    assert trained == 1_080_267 and trained + moving + dropout_state == 1_081_229
    plain = config.make(instrunet.Config, {"batch_norm": False})
    weights, running = instrunet._start(plain, 11, np.random.default_rng(0), "cpu")
    assert sum(tensor.numel() for tensor in weights.values()) == 1_079_307 and not running


def test_instrunet_forward_is_the_same_network_in_torch_modules():
    from torch import nn

    knobs = config.make(instrunet.Config, {"width": 2, "kernel": 3})
    weights, running = instrunet._start(knobs, 11, np.random.default_rng(0), "cpu")
    layers, channels = [], 1
    for block, filters in enumerate((2, 4, 8, 16), start=1):
        convolution, norm = nn.Conv2d(channels, filters, 3, padding="same"), nn.BatchNorm2d(filters, eps=1e-3)
        convolution.load_state_dict({k: weights[f"convolution_{block}.{k}"] for k in ("weight", "bias")})
        layers += [convolution, nn.ReLU(), norm] + ([nn.MaxPool2d(2)] if block < 4 else [])
        channels = filters
    reference = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 11))
    reference[-1].load_state_dict({k: weights[f"dense.{k}"] for k in ("weight", "bias")})
    x = torch.randn(5, 24, 17, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for noise in (torch.Generator(), None):  # as in training, then with the statistics that this left
            reference.train(noise is not None)
            torch.testing.assert_close(instrunet._forward(weights, running, x, (0, 0), noise), reference(x[:, None]))
    torch.testing.assert_close(running["norm_4.variance"], layers[-1].running_var)


def test_the_objective_is_the_loss_and_the_penalty():
    data, seed = excerpts(), 4
    knobs = {"width": 2, "kernel": 3, "dropout": 0.0, "class_weights": False, "weight_decay": 0.01, "epochs": 1}
    events = run(instrunet, data, seed, batch_size=33, **knobs)
    generator = np.random.default_rng(seed)
    generator.integers(2**63 - 1)
    weights, _ = instrunet._start(config.make(instrunet.Config, knobs), 11, generator, "cpu")
    squares = sum((weights[f"{name}.weight"] ** 2).sum().item() for name in instrunet.PENALISED)
    penalty = logged(events, "optim/loss")[0] - logged(events, "train/loss")[0]
    assert penalty == pytest.approx(0.01 * squares, rel=1e-4)


def test_rows_count_by_the_inverse_frequency_of_their_class():
    targets = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [1, 1], [0, 0]])
    first, second = 6 / (2 * 4), 6 / (2 * 2)
    expected = [first] * 3 + [second, (first + second) / 2, 1]
    assert instrunet._row_weights(targets) == pytest.approx(expected)


def test_a_plateau_halves_the_learning_rate_down_to_a_millionth():
    knobs = {"width": 1, "kernel": 3, "batch_size": 64, "learning_rate": 4e-6, "plateau_patience": 2, "patience": 0}
    rates = logged(run(instrunet, excerpts(), epochs=9, batch_norm=False, **knobs), "optim/learning_rate")
    # Nothing falls by 1e-4 at this rate: the first epoch counts as an improvement, then every second one halves it.
    assert rates == pytest.approx([4e-6] * 3 + [2e-6] * 2 + [1e-6] * 4)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_every_optimizer_goes_on_exactly(optimizer):
    knobs = {"width": 2, "kernel": 3, "batch_size": 11, "epochs": 3, "optimizer": optimizer}
    knobs |= {"spec_augment": 0.3, "block_dropout": 0.2, "learning_rate": 1e-3}
    events = run(instrunet, excerpts(), **knobs)
    place = next(i for i, event in enumerate(events) if isinstance(event, Checkpoint))
    again = run(instrunet, excerpts(), 9, events[place].state, **knobs)
    rest = [event for event in events[place + 1 :] if isinstance(event, Metrics)]
    assert len(rest) == 6 and rest == [event for event in again if isinstance(event, Metrics)]


def test_instrunet_says_what_it_cannot_use():
    data = excerpts()
    events = run(instrunet, data, width=1, kernel=3, epochs=1)
    assert not said(instrunet, events, data.validation.inputs, "logmel").warnings
    longer = np.zeros((2, 16, 30), dtype=np.float32)
    assert "16 frames; these have 30" in said(instrunet, events, longer, "logmel").warnings[0]
    with pytest.raises(ValueError, match="8 × 8 or more"):
        said(instrunet, events, longer[:, :, :7], "logmel")
    assert said(instrunet, events, longer[:0, :, :16], "logmel").values.shape == (0, 11)
