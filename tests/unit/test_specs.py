"""Specs say everything a run needs, and refuse what a user gets wrong; which devices there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core import supervisor
from tests.unit.test_supervisor import new


def test_a_spec_says_everything(cache: Path) -> None:
    spec = new(values={"epochs": "3"}, seed=5)
    assert (spec.trainer, spec.data, spec.task, spec.split, spec.seed) == ("toy", "toy", "emotion", "grouped:0", 5)
    assert spec.config["epochs"] == 3
    assert set(spec.config) >= {"learning_rate", "momentum", "batch_size"}
    assert spec.device == "cpu"
    assert {"python", "numpy"} <= set(spec.versions)


@pytest.mark.parametrize(
    ("about", "sentence"),
    [
        ({"split": "sometimes"}, "no split 'sometimes'"),
        ({"split": "grouped:x"}, "must be a whole number"),
        ({"seed": -1}, r"must be 0 to 4294967295, not -1"),
        ({"seed": 2**32}, r"must be 0 to 4294967295"),
        ({"device": "tpu"}, "no device 'tpu'; choose auto, cpu, cuda or mps"),
        ({"device": "cuda"}, "runs on cpu, not on cuda"),
        ({"device": "cpu:7"}, "This machine has no cpu:7; it has"),
        ({"values": {"epochs": 0}}, "epochs must be 1 to"),
    ],
)
def test_a_spec_refuses_what_a_user_gets_wrong(cache: Path, about: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        new(**about)


def test_two_spellings_of_a_split_are_one_board(cache: Path) -> None:
    assert new(split="cv10:0").config_id == new(split="cv10:0.0").config_id


@pytest.mark.parametrize(("shown", "count"), [(None, 2), ("1", 1), ("", 0), ("-1", 0), ("0,1,2", 2)])
def test_hidden_gpus_do_not_count(monkeypatch: pytest.MonkeyPatch, shown: str | None, count: int) -> None:
    import pynvml

    answers = {
        "nvmlInit": None,
        "nvmlDeviceGetCount": 2,
        "nvmlShutdown": None,
        "nvmlSystemGetCudaDriverVersion": 13_000,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, lambda answer=answer: answer)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if shown is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert [device for device in supervisor.devices() if device.startswith("cuda")] == [
        f"cuda:{number}" for number in range(count)
    ]


def test_a_driver_too_old_for_torch_counts_as_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    answers = {
        "nvmlInit": None,
        "nvmlDeviceGetCount": 1,
        "nvmlShutdown": None,
        "nvmlSystemGetCudaDriverVersion": 12_080,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, lambda answer=answer: answer)
    assert [device for device in supervisor.devices() if device.startswith("cuda")] == []
