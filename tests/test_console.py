"""Progress where there is no terminal."""

import re

import pytest

from facelime_cli import console
from facelime_cli.console import Console


@pytest.fixture
def lines(monkeypatch):
    said = []
    monkeypatch.setattr(console, "PLAIN_SECONDS", 0.0)
    monkeypatch.setattr(Console, "_line", lambda _, text: said.append(text))
    return said


def test_what_came_for_free_says_nothing_of_the_rate(lines, monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(console.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(console.sys.stderr, "isatty", lambda: False, raising=False)
    with Console().progress("predict", 1000, unit="evaluations") as advance:
        advance(900, free=True)
        advance(10)
    assert lines[0] == "predict: 900 of 1000 evaluations"
    assert lines[1].startswith("predict: 910 of 1000 evaluations, 0.")
    assert "left" in lines[1]


def test_a_line_now_and_then_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr("facelime_cli.console.PLAIN_SECONDS", 0.0)
    with Console().progress("work", 10) as advance:
        advance(4)
    said = capsys.readouterr().err
    assert re.match(r"work: 4 of 10 pictures, [\d.]+ pictures/s, about \d+ s left\n", said)
