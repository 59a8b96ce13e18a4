"""The live microphone on Listen: without PortAudio, without a device, ready, running, kept, and given back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core import library, microphone, paths
from tests import made_runs
from tests.conftest import eventually

APP = paths.PROJECT / "app.py"
RATE_HZ = 16_000
HOSTILE = "<b>x</b> [a](javascript:b) *c* `d` $e$ :red[f]"


class Stream:
    """PortAudio's stream, as far as a session knows it."""

    latency = 0.04

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def page(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A new cache, one microphone with a hostile name, and no session before or after."""
    monkeypatch.delenv("EARSHOT_DATA", raising=False)
    device = microphone.Device(3, HOSTILE, "ALSA", 2, RATE_HZ, True)
    monkeypatch.setattr(microphone, "devices", lambda **_: [device])
    monkeypatch.setattr(microphone, "start", start)
    st.cache_resource.clear()
    yield cache
    if (session := microphone.current()) is not None:
        session.close()
    microphone._sessions.clear()
    st.cache_resource.clear()


def start(device: microphone.Device) -> microphone.Session:
    """A session that is fed by the test in place of the device."""
    session = microphone.Session(device.name, device.sample_rate_hz, 2)
    session.attach(Stream())
    microphone._sessions[:] = [session]
    return session


def opened(**query: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.query_params = {name: [value] for name, value in {"live": "1", **query}.items()}
    return seen(app.run())


def seen(app: AppTest) -> AppTest:
    assert [box.message for box in app.exception] == []
    return app


def press(app: AppTest, label: str) -> AppTest:
    return seen(next(button for button in app.button if button.label == label).click().run())


def labels(app: AppTest) -> set[str]:
    return {button.label for button in app.button} & {"Start", "Stop", "Keep this take", "Look again"}


def sound(seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tone = sum(0.1 * np.sin(2 * np.pi * hertz * t) for hertz in (220.0, 277.2, 329.6))
    return np.repeat(np.asarray(tone, np.float32)[:, None], 2, 1)


@pytest.mark.parametrize("sentence", [microphone.NO_PORTAUDIO, microphone.NO_PACKAGE])
def test_what_is_not_installed_is_one_sentence(page: Path, monkeypatch: pytest.MonkeyPatch, sentence: str) -> None:
    def missing(**_: Any) -> None:
        raise ValueError(sentence)

    monkeypatch.setattr(microphone, "devices", missing)
    app = opened()
    assert [box.value for box in app.info] == [sentence]
    assert labels(app) == set()


def test_no_device_is_one_sentence_and_a_look_again(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    monkeypatch.setattr(microphone, "devices", lambda **words: looks.append(words) or [])
    app = opened()
    assert [box.value for box in app.info] == [microphone.NO_DEVICE]
    assert labels(app) == {"Look again"}
    press(app, "Look again")
    assert {"is_looked_up_again": True} in looks


def test_nothing_starts_by_itself(page: Path) -> None:
    app = opened(microphone=f"{HOSTILE} (ALSA)")
    assert labels(app) == {"Start", "Look again"}
    assert microphone.newest() is None
    assert "Nothing is stored unless you keep the take." in app.info[0].value


def test_it_runs_and_shows_its_state(page: Path) -> None:
    made_runs.emotion()
    made_runs.instruments()
    app = press(opened(), "Start")
    session = microphone.current()
    assert session is not None and labels(app) == {"Stop", "Keep this take"}
    told = [caption.value.replace("\\", "") for caption in app.caption]
    assert any("will speak after 3 s of sound: 0 s so far" in text for text in told)
    session.receive(sound(4.0))
    eventually(lambda: all(one.moments() for one in session.analysts))
    told = [caption.value for caption in seen(app.run()).caption]
    (state,) = [text for text in told if "latency" in text]
    assert "device 40 ms" in state and "0 overruns" in state and "kept 0:04 min of at most 5:00 min" in state
    for markup in ("<b>", "[a](", "*c*", "`d`", ":red["):
        assert markup not in state.replace(f"\\{markup[0]}", "")
    assert not any("will speak after" in text.replace("\\", "") for text in told)
    press(app, "Stop")
    assert not session.is_open


def test_the_panel_draws_what_was_heard(page: Path) -> None:
    from core import listening
    from pages.microphone import payload

    session = start(microphone.devices()[0])
    session.follow([listening.load(made_runs.emotion().name), listening.load(made_runs.instruments().name)])
    session.receive(sound(4.0))
    eventually(lambda: all(one.moments() for one in session.analysts))
    shown = payload(session)
    assert shown["now"] == 4.0
    assert shown["level"]["rms"] == pytest.approx(
        10 * np.log10(3 * 0.1**2 / 2), abs=0.1
    )  # three sines add their powers
    (trail,) = shown["trails"]
    (point,) = trail["moments"]
    assert point[0] == 4.0 and all(1 <= value <= 9 for value in point[1:])
    assert len(shown["strip"]["names"]) == len(shown["strip"]["scores"][0]) == 11
    session.receive(np.zeros((35 * RATE_HZ, 2), np.float32))
    eventually(lambda: session.analysts[0].moments()[-1].end_s > 30)
    (trail,) = payload(session)["trails"]
    assert trail["moments"][-1][1:] == [None, None]  # silence is a gap, not a value


def test_a_kept_take_opens_on_listen(page: Path) -> None:
    app = press(opened(), "Start")
    session = microphone.current()
    assert session is not None
    session.receive(sound(2.0))
    app = press(app, "Keep this take")
    assert not session.is_open
    (entry,) = [one for one in library.entries() if one.shelf == "yours"]
    assert entry.title.startswith("take ")
    assert [box.value for box in app.selectbox if box.label == "Clip"] == [entry.key]
    assert "live" not in app.query_params and labels(app) == set()


def test_a_take_of_nothing_is_a_sentence(page: Path) -> None:
    app = press(press(opened(), "Start"), "Keep this take")
    assert [box.value.replace("\\", "") for box in app.error] == ["Nothing was heard yet, so there is no take to keep."]


def test_turned_off_it_gives_the_device_back(page: Path) -> None:
    app = press(opened(), "Start")
    session = microphone.current()
    assert session is not None
    app = seen(next(one for one in app.toggle if one.label == "Live microphone").set_value(False).run())
    assert not session.is_open
    assert next(box for box in app.toggle if box.label == "Live microphone").value is False


def test_a_session_that_ended_unseen_is_told(page: Path) -> None:
    app = press(opened(), "Start")
    session = microphone.current()
    assert session is not None
    session.receive(sound(1.0))
    session.close("The microphone was released: for 20 s no page showed it.")
    app = seen(app.run())
    assert labels(app) == {"Start", "Look again", "Keep this take"}
    assert any("was released" in caption.value for caption in app.caption)
