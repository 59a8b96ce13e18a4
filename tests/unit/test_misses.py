"""The worst misses and the largest changes of mind: written down by hand, and asked of a model that is known."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from core import background, misses, rundir, soundpicture
from core.scored import Scored
from tests import made_runs

LABELS = ("cel", "pia", "voi")


def written(scores: list[list[float]], truth: list[list[float]]) -> Scored:
    names = np.array([f"item-{i}" for i in range(len(scores))])
    return Scored(LABELS, names, names, np.array(truth, float), np.array(scores, float))


ONE = written(
    [[0.9, 0.1, 0.2], [0.1, 0.8, 0.3], [0.6, 0.2, 0.1], [0.3, 0.7, 0.6]],
    [[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]],
)


def test_what_is_there_and_scored_low_comes_first() -> None:
    assert misses.missed(ONE, "cel") == [1, 3, 0]
    assert misses.missed(ONE, "cel", most=1) == [1]
    assert misses.missed(ONE, "pia") == [2, 3]
    assert misses.missed(ONE, "voi") == []


def test_what_is_not_there_and_scored_high_comes_first() -> None:
    assert misses.false_alarms(ONE, "cel") == [2]
    assert misses.false_alarms(ONE, "pia") == [1, 0]
    assert misses.false_alarms(ONE, "voi") == [3, 1, 0]


def test_the_item_that_moved_most_comes_first_with_its_class() -> None:
    later = written([[0.9, 0.1, 0.2], [0.5, 0.7, 0.3], [0.55, 0.1, 0.1], [0.3, 0.1, 0.9]], ONE.truth.tolist())
    found = misses.moves(ONE, later)
    assert [(move.row, move.label, move.is_there, move.is_better) for move in found] == [
        (3, "pia", True, False),  # .7 → .1, though it is there
        (1, "cel", True, True),  # .1 → .5
        (2, "pia", True, False),  # .2 → .1
    ]
    assert found[0].change == pytest.approx(-0.6) and (found[1].before, found[1].after) == (0.1, 0.5)
    assert misses.moves(ONE, ONE) == []  # and item 0, which did not move, is no move
    nothing = Scored(LABELS, *[np.zeros(0, str)] * 2, *[np.zeros((0, 3))] * 2)
    assert misses.moves(nothing, nothing) == []


def test_labels_of_an_item() -> None:
    assert misses.best_labels(ONE, 3, most=2) == [("pia", 0.7), ("voi", 0.6)]
    assert misses.true_labels(ONE, 3) == ["cel", "pia"]


def test_asking_the_final_model_again_gives_what_was_scored(cache: Path) -> None:
    """The stored predictions of a run are those of its final model on the same rows."""
    folder, dataset = made_runs.instruments(), made_runs.stand_in("cues", "instruments", "logmel", 3.0)
    kept, split = misses.stored(folder, "test"), rundir.read_spec(folder).split
    model, told = misses.model(folder, None), []
    assert kept is not None and misses.asked_before(model, dataset, split, "test") is None
    asked = misses.ask(model, dataset, split, "test", lambda share, note: told.append(share))
    assert asked.items.tolist() == kept.items.tolist() and asked.labels == kept.labels
    np.testing.assert_allclose(asked.scores, kept.scores, atol=1e-6)
    np.testing.assert_array_equal(asked.truth, kept.truth)
    assert told == sorted(told) and told[-1] == 1.0
    again = misses.ask(model, dataset, split, "test", lambda share, note: pytest.fail("it was kept"))
    np.testing.assert_array_equal(again.scores, asked.scores)
    for path in (cache / "asked").iterdir():
        path.write_bytes(b"PK and no more")
    assert misses.asked_before(model, dataset, split, "test") is None


def test_asking_can_be_ended_and_refuses_what_cannot_be(cache: Path) -> None:
    folder, dataset = made_runs.instruments(), made_runs.stand_in("cues", "instruments", "logmel", 3.0)
    model = misses.model(folder, None)

    def end(share: float, note: str) -> None:
        raise background.Cancelled

    with pytest.raises(background.Cancelled):
        misses.ask(model, dataset, "grouped:0", "test", end)
    assert misses.asked_before(model, dataset, "grouped:0", "test") is None
    with pytest.raises(ValueError, match="has no validation part"):
        misses.ask(model, dataset, "all", "validation", end)
    other = made_runs.stand_in("cues", "instruments", "lib164", 3.0)
    with pytest.raises(ValueError, match=r"offers lib164; run .* eats logmel"):
        misses.ask(model, other, "grouped:0", "test", end)


def test_two_epochs_are_asked_the_same(cache: Path) -> None:
    dataset = made_runs.stand_in("cues", "instruments", "logmel", 3.0)
    folder = made_runs.finished("instrunet", dataset, {"width": 4, "kernel": 3, "epochs": 2, "batch_size": 32})
    assert misses.epochs(folder) == [1, 2]
    first, second = misses.ask_both(folder, (1, 2), dataset, "test", lambda share, note: None)
    assert first.items.tolist() == second.items.tolist() and not np.allclose(first.scores, second.scores)
    moves = misses.moves(first, second, len(first))
    assert [abs(move.change) for move in moves] == sorted((abs(move.change) for move in moves), reverse=True)
    assert abs(moves[0].change) == pytest.approx(np.abs(second.scores - first.scores).max())
    with pytest.raises(ValueError, match="no checkpoint 'epoch-0007'"):
        misses.model(folder, 7)


def test_a_run_without_predictions_has_none(cache: Path) -> None:
    folder = made_runs.instruments()
    (folder / "predictions.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="predictions cannot be read"):
        misses.stored(folder, "test")
    (folder / "predictions.parquet").unlink()
    assert misses.stored(folder, "test") is None


# ---- the picture ----


def pixels(url: str) -> np.ndarray:
    """The colours of a PNG of one palette, read as its specification says: [height, width] indices."""
    blob = base64.b64decode(url.partition(",")[2])
    assert blob[:8] == b"\x89PNG\r\n\x1a\n"
    parts, at = {}, 8
    while at < len(blob):
        (size,) = struct.unpack(">I", blob[at : at + 4])
        kind, body = blob[at + 4 : at + 8], blob[at + 8 : at + 8 + size]
        assert struct.unpack(">I", blob[at + 8 + size : at + 12 + size]) == (zlib.crc32(kind + body),)
        parts[kind], at = body, at + 12 + size
    width, height = struct.unpack(">II", parts[b"IHDR"][:8])
    assert len(parts[b"PLTE"]) == 3 * 256 and parts[b"PLTE"][:3] == bytes((68, 1, 84)) and parts[b"IEND"] == b""
    lines = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not lines[:, 0].any()
    return lines[:, 1:]


@pytest.mark.parametrize("hz", [110.0, 1000.0, 8000.0])
def test_a_tone_is_a_bright_line_at_its_frequency(hz: float) -> None:
    t = np.arange(3 * 22_050) / 22_050
    shown = soundpicture.picture(np.sin(2 * np.pi * hz * t), 22_050)
    image = pixels(shown.url)
    brightest = int(np.bincount(image.argmax(axis=0)).argmax())
    share = 1 - (brightest + 0.5) / len(image)  # of the height, from the bottom
    found_hz = shown.low_hz * (shown.high_hz / shown.low_hz) ** share
    assert found_hz == pytest.approx(hz, rel=0.06)  # a row is 5.7 % of frequency
    assert shown.seconds == pytest.approx(3.0) and image.max() == 255


def test_silence_and_single_samples_are_drawn() -> None:
    assert not pixels(soundpicture.picture(np.zeros(8000), 8000).url).any()
    assert pixels(soundpicture.picture(np.ones(1), 8000).url).shape == (soundpicture.ROWS, 1)


def test_the_drawing_says_whose_it_is_and_has_axes() -> None:
    shown = soundpicture.picture(np.sin(np.arange(22_050)), 22_050)
    chart = soundpicture.drawing(shown, "<b>x</b>").to_dict()
    assert "Spectrogram of <b>x</b>: 1.0 s, 49 to 10283 Hz." in chart["description"]
    image = chart["layer"][0]
    assert image["mark"]["type"] == "image"
    assert image["encoding"]["y"]["scale"]["type"] == "log"
    assert image["encoding"]["x"]["scale"]["domain"] == [0, 1.0]
