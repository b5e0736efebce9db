"""What the console writes: progress where there is no terminal, drawings with and without colours."""

import os
import re
import subprocess
import sys
import time

import pytest

from facelime_cli import console
from facelime_cli.console import Console, Drawing


@pytest.fixture
def lines(monkeypatch):
    said = []
    monkeypatch.setattr(console, "PLAIN_SECONDS", 0.02)
    monkeypatch.setattr(Console, "_line", lambda _, text: said.append(text))
    return said


def wait_until(happened):
    until = time.monotonic() + 20
    while not happened() and time.monotonic() < until:
        time.sleep(0.01)
    assert happened()


def test_what_came_for_free_says_nothing_of_the_rate(lines):
    with Console().progress("predict", 1000, unit="evaluations") as advance:
        advance(900, free=True)
        wait_until(lambda: "predict: 90 % (900 of 1000 evaluations)" in lines)
        advance(10)
        wait_until(lambda: lines[-1].startswith("predict: 91 % (910 of 1000 evaluations), "))
    assert re.search(r", [\d.]+ evaluations/s, about \d+ s left$", lines[-1])


def test_a_line_now_and_then_where_there_is_no_terminal(lines):
    """Lines come by the clock: a long call does not leave a log file silent. Nothing comes after the end."""
    with Console().progress("work", 10):
        wait_until(lambda: len(lines) >= 2)
    ended = len(lines)
    time.sleep(0.1)
    assert len(lines) - ended <= 1
    assert set(lines) == {"work: 0 % (0 of 10 pictures)"}


def test_a_short_task_says_nothing_where_there_is_no_terminal(capsys):
    with Console().progress("work", 10) as advance:
        advance(10)
    assert capsys.readouterr().err == ""


def test_not_everything_is_done_before_it_is(lines):
    with Console().progress("work", 1000) as advance:
        advance(999)
        wait_until(lambda: lines)
    assert lines[-1].startswith("work: 99 % (999 of 1000 pictures)")


def test_colours_only_where_the_terminal_has_them(monkeypatch, capsys):
    drawing = Drawing([[(255, 0, 0)], [(0, 0, 255)]], ["+"], "a [bold]title")
    Console()._print_drawing(drawing)
    assert capsys.readouterr().out == "a [bold]title\n+\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    Console()._print_drawing(drawing)
    told = capsys.readouterr().out
    assert "a [bold]title" in told
    assert "\x1b[38;2;255;0;0;48;2;0;0;255m▀" in told


TALK = """
from facelime_cli.console import Answer, Console
console = Console()
with console.results_alone():
    console.note("a note")
    console.warn("a doubt")
    console.error("a mistake")
    console.trace("Traceback\\n  of two lines")
    console.answer(Answer({"an": 1}, ["a reference"], said=["a sentence"]))
    Console(as_json=True).answer(Answer({"an": 1}))
    console.flush()
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_every_line_is_one_write(unbuffered):
    """A pipe in packet mode gives back each write on its own: no other process can write into the middle of a line."""
    if not hasattr(os, "O_DIRECT") or sys.platform != "linux":
        pytest.skip("only Linux has pipes in packet mode")
    read, write = os.pipe2(os.O_DIRECT)
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run([sys.executable, "-c", TALK], stdout=write, stderr=write, env=environment, check=False)
    assert done.returncode == 0
    os.close(write)
    written = []
    while packet := os.read(read, 1 << 16):
        written.append(packet.decode())
    os.close(read)
    assert len(written) >= 6
    assert [each for each in written if not each.endswith("\n")] == []
    assert "a reference\n" in written
