"""What a configuration is called in a sentence, and what a chart says its names are."""

from __future__ import annotations

from core import boardcharts, sweepboard, sweepfigures
from tests.unit.test_sweepreport import made


def test_a_configuration_is_named_so_that_one_sees_which_number_is_which() -> None:
    values: dict[tuple[str, int], float | None] = {("a", 1): 0.1, ("a", 2): 0.11, ("b", 1): 0.9, ("b", 2): 0.91}
    results = made(values).assign(learning_rate=[0.1, 0.1, 0.9, 0.9], momentum=[0.9, 0.9, 0.1, 0.1])
    board = sweepboard.board(results, "test/accuracy", ["learning_rate", "momentum"])
    told = sweepboard.best_sentence(board, "test/accuracy")
    assert told.startswith("Learning rate 0.9 · momentum 0.1 has the highest")
    drawn = boardcharts.board_drawing(boardcharts.board_table(board), "test/accuracy", {"train": "black"})
    assert drawn.to_dict()["title"] == "Test accuracy by learning rate · momentum"
    assert "Test accuracy by learning rate · momentum" in sweepfigures.board(board, "test/accuracy")
