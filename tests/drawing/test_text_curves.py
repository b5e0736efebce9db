"""A learning curve in letters: each value stands where it belongs."""

import pytest

from facelime_cli.drawing import text_curves

LOSSES = ((1.0, 0.8), (0.5, 0.4), (0.2, 0.6))
ROWS = [
    {"phase": 1, "epoch": place + 1, "learning_rate": 0.1, "loss": loss, "val_loss": validated}
    for place, (loss, validated) in enumerate(LOSSES)
]


def places(lines, letter):
    """Return line and column of a letter."""
    return [(y, x) for y, line in enumerate(lines) for x, each in enumerate(line) if each == letter]


def test_training_and_validation_by_epoch_with_the_probe_as_a_line():
    title, *lines, legend = text_curves.history({"history": ROWS, "probe": {"validation": {"loss": 0.4}}})
    assert title == "loss by epoch"
    assert lines[0].startswith("1.000 |")
    assert lines[-1].startswith("0.200 |")
    assert sorted(x - 7 for _, x in places(lines, "t")) == [0, 30, 59]
    heights = {x: y for y, x in places(lines, "t")}
    assert [heights[7], heights[66]] == [0, text_curves.HEIGHT - 1]
    ((level, _), *_) = places(lines, "-")
    assert {y for y, x in places(lines, "-")} == {level}
    assert (level, 37) in places(lines, "v")  # the second epoch's loss is the probe's
    assert legend == "t training, v validation, * both, - probe (0.400), kept: epoch 2 of 3"


def test_without_validation_and_probe():
    rows = [{"phase": 1, "epoch": 1, "learning_rate": 0.1, "loss": 0.3}]
    _, *lines, legend = text_curves.history({"history": rows})
    assert len(places(lines, "t")) == 1
    assert legend == "t training, kept: epoch 1 of 1"


def test_curves_that_meet_share_a_letter():
    _, *lines, _ = text_curves.history(
        {"history": [ROWS[0] | {"loss": 0.5, "val_loss": 0.5}, ROWS[1] | {"loss": 0.2, "val_loss": 0.1}]}
    )
    assert len(places(lines, text_curves.BOTH)) == 1


def test_every_line_fits_a_terminal():
    rows = [ROWS[0] | {"epoch": n, "loss": 100.0 / (n + 1), "val_loss": 1.0} for n in range(1000)]
    lines = text_curves.history({"history": rows, "probe": {"validation": {"loss": 0.1}}})
    assert max(map(len, lines)) <= 80
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(("epochs", "words"), [(0, "the probe"), (2, "epoch 2 of phase 2")])
def test_what_the_recipe_auto_kept_need_not_be_the_least_loss(epochs, words):
    probe = {**ROWS[0], "learning_rate": 0.0}
    rows = [probe, *({**row, "phase": 2} for row in ROWS)]
    *_, legend = text_curves.history({"history": rows, "kept": {"epochs": epochs}})
    assert legend.endswith(f"kept: {words}")
    assert text_curves.kept_row({"history": rows}) == 2
