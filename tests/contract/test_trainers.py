"""What every trainer of the folder keeps; a new trainer is tested here without an edit."""

from __future__ import annotations

import copy
import functools
import inspect
import os
from unittest import mock

import numpy as np
import pytest

import trainers
from core import checkpoints, config, metrics, rundir
from core.events import Checkpoint, Done, FitData, Inputs, Metrics, Part, Snapshot

NAMES = trainers.names()
SMALL = {"width": 4, "kernel": 3, "batch_size": 16, "patience": 0, "learning_rate": 0.1, "dropout": 0.1}
LABELS = {"emotion": ("valence", "arousal"), "instruments": ("cel", "pia", "voi")}
SHAPES = {"logmel": (128, 20), "pixels": (28, 28), "wave16k": (4800,)}
COLUMNS = 12


def toy_data(module) -> FitData:
    """The first task and input of a trainer by shape, with a signal that is easy to find."""
    task, kind = module.TASKS[0], module.INPUTS[0]
    labels, shape = LABELS.get(task, ("first", "second", "third")), SHAPES.get(kind, (COLUMNS,))
    generator = np.random.default_rng(7)

    def part(n: int, prefix: str) -> Part:
        inputs = generator.standard_normal((n, *shape))
        if task == "emotion":
            targets = 5 + np.clip(generator.standard_normal((n, len(labels))), -3, 3)
            strength = targets - 5
        else:
            targets = np.eye(len(labels))[generator.integers(len(labels), size=n)]
            strength = 2 * targets
        for k in range(len(labels)):  # each label shifts its own stretch of the first axis, or sounds at its own pitch
            if kind == "wave16k":
                inputs += strength[:, k : k + 1] * np.sin(2 * np.pi * 300 * 3**k * np.arange(4800) / 16_000)
                continue
            inputs[:, 4 * k : 4 * k + 4] += strength[:, k].reshape(-1, *[1] * len(shape))
        items = np.array([f"{prefix}{i:03d}" for i in range(n)])
        return Part(inputs.astype(np.float32), targets, items, items, np.zeros(n))

    columns = tuple(f"column_{i}" for i in range(COLUMNS)) if shape == (COLUMNS,) else ()
    unit = "1–9" if task == "emotion" else "probability"
    return FitData(part(96, "t"), part(48, "v"), task, labels, unit, kind, columns, 3.0)


@pytest.fixture(scope="module", autouse=True)
def runs_below(tmp_path_factory):
    """A cache of this file's own for the runs that stand below others."""
    with mock.patch.dict(os.environ, {"EARSHOT_CACHE": str(tmp_path_factory.mktemp("below"))}):
        yield


@functools.cache
def run_below(task: str, kind: str) -> str:
    """The id of a finished run on the toy data of a trainer, for a knob of kind `run`; one of emotion has hardly
    learned, so that something is left to learn on top of it."""
    names = [name for name in NAMES if task in trainers.load(name).TASKS and kind in trainers.load(name).INPUTS]
    module = next(m for m in map(trainers.load, names) if not needed_runs(m))
    done = run(module, settings(module, epochs=1 if task == "emotion" else 12))[-1]
    name = module.__name__.rpartition(".")[2]
    folder = rundir.create(rundir.Spec(f"below-{task}", name, {}, "toy", task, "grouped:0", 0, "cpu"), "done")
    saved = {"model": done.model, "input": done.input, "window_s": 3.0}
    checkpoints.save_state(folder / "checkpoints" / "final.safetensors", saved)
    return folder.name


def needed_runs(module) -> list[str]:
    return [name for name, knob in config.knobs(module.Config).items() if knob.kind == "run" and not knob.optional]


def settings(module, **wanted):
    """A small configuration: the wanted knobs, where the trainer has them, and a run where it needs one."""
    about = config.knobs(module.Config)
    wanted |= {name: run_below(module.TASKS[0], module.INPUTS[0]) for name in needed_runs(module)}
    if "epochs" in wanted and about.get("epochs") and about["epochs"].unit == "rounds":
        wanted["epochs"] *= 9  # a round of boosting is far less than a pass; 27 is no multiple of 10
    return config.make(module.Config, {name: value for name, value in (SMALL | wanted).items() if name in about})


def run(module, knobs, seed=0, state=None, data=None):
    data = data or toy_data(module)
    return list(module.fit(data, knobs, generator=np.random.default_rng(seed), device="cpu", state=state))


@functools.cache
def finished(name: str, seed: int = 0):
    """The events of one short run, made once for all tests that only read them."""
    module = trainers.load(name)
    return run(module, settings(module, epochs=3), seed)


def curve(events) -> list[tuple]:
    return [(e.step, e.epoch, repr(sorted(e.values.items()))) for e in events if isinstance(e, Metrics)]


def stored(state, folder):
    """A checkpoint as it comes back from the disk: arrays as numpy, tuples as lists."""
    checkpoints.save_state(folder / "state.safetensors", state)
    return checkpoints.load_state(folder / "state.safetensors")


def validation_inputs(data: FitData) -> Inputs:
    return Inputs(data.input, data.validation.inputs, data.validation.times_s)


def test_there_are_trainers():
    assert {"toy", "ridge", "svr", "boosted_trees", "instrunet"} <= set(NAMES)
    with pytest.raises(ValueError, match="no trainer 'nothing'"):
        trainers.load("nothing")


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_is(name):
    module = trainers.load(name)
    assert module.__doc__ and len(module.__doc__) > 100
    assert module.TASKS and module.INPUTS and "cpu" in module.DEVICES
    assert metrics.about(module.MONITOR).better == "lower"
    assert isinstance(module.ARE_SEEDS_POOLED, bool)


@pytest.mark.parametrize("name", NAMES)
def test_knobs_are_complete_and_presets_valid(name):
    module = trainers.load(name)
    about = config.knobs(module.Config)
    for knob in about.values():
        assert knob.sentence[0].isupper() and knob.sentence.endswith("."), knob
        bounded = knob.low is not None and knob.high is not None
        assert bounded or knob.choices or knob.type is bool or knob.kind == "run", f"{knob.name} has no range"
        assert knob.scale in ("linear", "log") and (knob.scale == "linear" or knob.low > 0), knob
        assert set(knob.when) <= set(about), knob
        if knob.default is not None:
            config.read(module.Config, knob.name, knob.default)
    assert config.make(module.Config) == module.Config()
    assert module.PRESETS
    for preset in module.PRESETS.values():
        config.make(module.Config, preset)


@pytest.mark.parametrize("name", NAMES)
def test_fit_takes_training_and_validation_rows_only(name):
    given = inspect.signature(trainers.load(name).fit).parameters
    assert list(given) == ["data", "config", "generator", "device", "state"]
    assert given["data"].annotation == "FitData" and given["generator"].kind is inspect.Parameter.KEYWORD_ONLY
    assert not [field for field in FitData.__dataclass_fields__ if "test" in field]


@pytest.mark.parametrize("name", NAMES)
def test_order_of_events(name):
    events = finished(name)
    logged = [event for event in events if isinstance(event, Metrics)]
    assert isinstance(events[0], Metrics) and events[0].step == 0 and events[0].epoch == 0
    assert [type(event) for event in events].count(Done) == 1 and isinstance(events[-1], Done)
    assert all(isinstance(event, Metrics | Snapshot | Checkpoint | Done) for event in events)
    assert any(isinstance(event, Checkpoint) for event in events)
    places = [(event.step, event.epoch) for event in logged]
    assert places == sorted(set(places)), "a step was reported twice or went back"
    assert {"validation/loss", "train/loss"} <= logged[-1].values.keys()
    for event in logged:
        for key, value in event.values.items():
            metrics.about(key)
            assert key.split("/")[0] in ("train", "validation", "optim"), key
            assert type(value) is float and np.isfinite(value), (key, value)
    assert events[-1].input == toy_data(trainers.load(name)).input and events[-1].reason


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_curve(name):
    module = trainers.load(name)
    again = run(module, settings(module, epochs=3))
    assert curve(again) == curve(finished(name))
    if module.ARE_SEEDS_POOLED:
        assert curve(finished(name, 1)) != curve(again)
    else:
        assert curve(finished(name, 1)) == curve(again)


@pytest.mark.parametrize("name", NAMES)
def test_resumes_to_the_identical_curve(name, tmp_path):
    module, events = trainers.load(name), finished(name)
    saved = [place for place, event in enumerate(events) if isinstance(event, Checkpoint)]
    for place in saved:
        state = stored(events[place].state, tmp_path)
        again = run(module, settings(module, epochs=3), seed=99, state=state)
        assert curve(again) == curve(events[place + 1 :]), f"resumed at event {place}"
        data = toy_data(module)
        first = module.predict(events[-1].model, validation_inputs(data)).values
        np.testing.assert_array_equal(module.predict(again[-1].model, validation_inputs(data)).values, first)


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_do_not_change_afterwards(name, tmp_path):
    module = trainers.load(name)
    knobs, data = settings(module, epochs=2), toy_data(module)
    training = module.fit(data, knobs, generator=np.random.default_rng(0), device="cpu")
    kept = next(event for event in training if isinstance(event, Checkpoint))
    before = stored(kept.state, tmp_path)
    list(training)
    np.testing.assert_equal(stored(kept.state, tmp_path), before)


@pytest.mark.parametrize("name", NAMES)
def test_learns_and_keeps_its_best_model(name):
    module = trainers.load(name)
    data = toy_data(module)
    events = run(module, settings(module, epochs=12))
    prediction = module.predict(events[-1].model, validation_inputs(data))
    truth, primary = data.validation.targets, metrics.primary(data.task)
    found = metrics.score(data.task, truth, prediction.values, data.labels, data.validation.items)
    mean_row = metrics.baseline(data.task, data.train.targets, len(truth))
    base = metrics.score(data.task, truth, mean_row, data.labels, data.validation.items)
    assert found[primary] > base.get(primary, 0.0) + 0.4
    logged = [e.values for e in events if isinstance(e, Metrics) and e.step and module.MONITOR in e.values]
    best = min(logged, key=lambda values: values[module.MONITOR])
    assert best[f"validation/{primary}"] == pytest.approx(found[primary], abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_predicts_in_the_range_of_its_unit(name):
    module, data = trainers.load(name), toy_data(trainers.load(name))
    events = finished(name)
    low, high = (1, 9) if data.unit == "1–9" else (0, 1)
    states = [event.state["model"] for event in events if isinstance(event, Checkpoint)]
    for model in (*states, events[-1].model):
        for rows in (slice(None), slice(0, 1)):
            part = data.validation
            said = module.predict(model, Inputs(data.input, part.inputs[rows], part.times_s[rows]))
            assert said.values.shape == (len(part.inputs[rows]), len(data.labels))
            assert said.labels == data.labels and said.unit == data.unit
            assert np.isfinite(said.values).all() and (said.values >= low).all() and (said.values <= high).all()
            np.testing.assert_array_equal(said.times_s, part.times_s[rows])
            assert not said.warnings, "an ordinary clip got a warning"


@pytest.mark.parametrize("name", NAMES)
def test_odd_inputs_get_a_sentence(name):
    module, data = trainers.load(name), toy_data(trainers.load(name))
    model, values = finished(name)[-1].model, data.validation.inputs
    holed = values.copy()
    holed[:, 0] = np.nan
    try:
        said = module.predict(model, Inputs(data.input, holed, data.validation.times_s))
    except ValueError as error:
        assert len(str(error)) > 20
    else:
        assert said.warnings and np.isfinite(said.values).all()
    with pytest.raises(ValueError, match="was given"):
        module.predict(model, Inputs("something-else", values, data.validation.times_s))
    holed_data = copy.deepcopy(data)
    holed_data.train.inputs[3] = np.nan
    with pytest.raises(ValueError, match="not numbers"):
        run(module, settings(module, epochs=1), data=holed_data)


@pytest.mark.parametrize("name", NAMES)
def test_hot_learning_rate_applies_and_survives_a_resume(name, tmp_path):
    module = trainers.load(name)
    about = config.knobs(module.Config)
    hot = {key: 0.0123 for key in ("learning_rate",) if key in about and about[key].hot}
    if not hot:
        pytest.skip("no hot learning rate")
    knobs, data = settings(module, epochs=3), toy_data(module)
    training = module.fit(data, knobs, generator=np.random.default_rng(0), device="cpu")
    events = [next(training), training.send(hot)]
    assert events[1].values["optim/learning_rate"] == pytest.approx(0.0123)
    events += list(training)
    assert curve(events) != curve(finished(name))
    place = next(i for i, event in enumerate(events) if isinstance(event, Checkpoint))
    again = run(module, knobs, seed=5, state=stored(events[place].state, tmp_path))
    assert curve(again) == curve(events[place + 1 :])


@pytest.mark.parametrize("name", NAMES)
def test_touches_nothing_global(name, capsys):
    import torch

    module = trainers.load(name)
    data = toy_data(module)
    before = copy.deepcopy(data)
    numpy_state, torch_state = repr(np.random.get_state()), torch.get_rng_state()
    run(module, settings(module, epochs=1), data=data)
    assert repr(np.random.get_state()) == numpy_state and torch.equal(torch.get_rng_state(), torch_state)
    for part in ("train", "validation"):
        np.testing.assert_equal(vars(getattr(data, part)), vars(getattr(before, part)))
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""


@pytest.mark.parametrize("name", NAMES)
def test_can_be_closed_at_any_yield(name):
    module = trainers.load(name)
    kinds = [type(event) for event in finished(name)]
    for place in sorted({kinds.index(kind) for kind in kinds} | {0, 1}):
        data, knobs = toy_data(module), settings(module, epochs=3)
        training = module.fit(data, knobs, generator=np.random.default_rng(0), device="cpu")
        for _ in range(place + 1):
            event = next(training)
        training.close()
        assert type(event) is kinds[place]
        with pytest.raises(StopIteration):
            next(training)
