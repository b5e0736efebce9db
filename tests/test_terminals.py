"""Pictures in a terminal: how it is asked what it can show, and what it is sent."""

import io
import json
import os
import re
import select
import signal
import sys
import time
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facelime_cli import terminals
from facelime_cli.drawing import inline, overlay
from facelime_cli.reporting.explanations import Explanations

pty = pytest.importorskip("pty")

ROOT = Path(__file__).parent.parent
QUESTION_OF_KITTY, QUESTION_OF_ALL = b"\x1b_Gi=31,", b"\x1b[c"
YES_OF_KITTY = b"\x1b_Gi=31;OK\x1b\\"
VT340, VT100 = b"\x1b[?63;1;2;4;6c", b"\x1b[?1;2c"
ASK = "import sys; from facelime_cli.terminals import protocol; print('it is', protocol(sys.stdout))"
FOREIGN = ("TERM", "TERM_PROGRAM", "LC_TERMINAL", "TMUX", "STY", "NO_COLOR", "FORCE_COLOR", "COLORTERM")


def in_terminal(words, answers=b"", seconds=60, **environment):
    """Run words in a terminal that answers questions with some bytes, and return what they have written."""
    child, master = pty.fork()
    if child == 0:
        known = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        os.execvpe(words[0], words, {**known, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **environment})  # noqa: S606
    written, answered, until = b"", False, time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            if not select.select([master], [], [], 0.1)[0]:
                continue
            try:
                read = os.read(master, 1 << 16)
            except OSError:  # its end, on Linux
                break
            written += read
            if not answered and QUESTION_OF_ALL in written and answers:
                answered = True
                os.write(master, answers)
        else:
            os.kill(child, signal.SIGKILL)
            pytest.fail(f"{words} did not end: {written[-2000:]!r}")
    finally:
        _, status = os.waitpid(child, 0)
        os.close(master)
    return os.waitstatus_to_exitcode(status), written


@pytest.mark.parametrize(
    ("answers", "environment", "found"),
    [
        (YES_OF_KITTY + VT100, {}, "kitty"),
        (YES_OF_KITTY + VT340, {}, "kitty"),
        (VT340, {}, "sixel"),
        (b"\x1b[?4c", {}, "sixel"),
        (b"\x1b[?64;14;44c", {}, "None"),
        (VT100, {}, "None"),
        (b"", {}, "None"),
        (VT100, {"TERM_PROGRAM": "iTerm.app"}, "iterm"),
        (VT100, {"LC_TERMINAL": "iTerm2"}, "iterm"),
        (VT100, {"TERM_PROGRAM": "WezTerm"}, "iterm"),
        # What stands between hands on pictures of neither.
        (VT100, {"TERM_PROGRAM": "iTerm.app", "TMUX": "a socket"}, "None"),
        (YES_OF_KITTY + VT100, {"TMUX": "a socket"}, "None"),
        (VT340, {"TMUX": "a socket"}, "sixel"),
        (VT340, {"TERM": "dumb"}, "None"),
    ],
)
def test_a_terminal_says_what_it_shows(answers, environment, found):
    code, written = in_terminal([sys.executable, "-c", ASK], answers, **environment)
    assert code == 0, written
    assert f"it is {found}\r\n".encode() in written
    # The answer is not seen: nothing of it is echoed.
    assert not answers or answers not in written.replace(QUESTION_OF_KITTY, b"")


def test_what_is_no_terminal_is_not_asked():
    assert terminals.protocol(io.StringIO(), {"TERM": "xterm-kitty", "TERM_PROGRAM": "iTerm.app"}) is None


PICTURE = np.random.default_rng(3).integers(0, 4, (23, 40, 3), dtype=np.uint8) * 85


def test_kitty_is_sent_the_picture_in_pieces():
    noise = np.random.default_rng(4).integers(0, 255, (80, 90, 3), dtype=np.uint8)
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", inline.kitty(noise, 48))
    assert pieces[0][0] == "a=T,f=100,c=48,q=2,m=1"
    assert [how for how, _ in pieces[1:]] == ["m=1"] * (len(pieces) - 2) + ["m=0"]
    assert all(len(piece) <= 4096 and len(piece) % 4 == 0 for _, piece in pieces[:-1])
    with Image.open(io.BytesIO(b64decode("".join(piece for _, piece in pieces)))) as sent:
        assert np.array_equal(np.asarray(sent), noise)


def test_iterm_is_sent_the_picture_with_its_size():
    found = re.fullmatch(
        r"\x1b]1337;File=inline=1;size=(\d+);width=48;preserveAspectRatio=1:(.*)\x07", inline.iterm(PICTURE, 48)
    )
    content = b64decode(found[2])
    assert len(content) == int(found[1])
    with Image.open(io.BytesIO(content)) as sent:
        assert np.array_equal(np.asarray(sent), PICTURE)


def from_sixels(text):
    """Read sixels as a terminal does, by the manual of the VT340."""
    width, height, body = re.fullmatch(r'\x1bPq"1;1;(\d+);(\d+)(.*)\x1b\\', text, re.DOTALL).groups()
    pixels = np.zeros((int(height) + 6, int(width), 3))
    colours, row, column, colour = {}, 0, 0, None
    for each in re.finditer(r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)(.)|([$-])|([?-~])", body):
        if each[1]:
            colours[int(each[1])] = [int(share) * 255 / 100 for share in each.group(2, 3, 4)]
        elif each[5]:
            colour = colours[int(each[5])]
        elif each[8]:
            row, column = row + 6 * (each[8] == "-"), 0
        else:
            count, letter = (int(each[6]), each[7]) if each[6] else (1, each[9])
            for bit in range(6):
                if (ord(letter) - 63) >> bit & 1:
                    pixels[row + bit, column : column + count] = colour
            column += count
    assert not pixels[int(height) :].any()
    return pixels[: int(height)]


def test_sixels_are_read_as_the_picture():
    read = from_sixels(inline.sixel(PICTURE, 4))
    assert read.shape == (23, 40, 3)
    # Colours are told in percent.
    assert np.abs(read - PICTURE).max() <= 255 / 200 + 0.01


def test_sixels_are_as_wide_as_the_columns_that_are_asked_for():
    assert from_sixels(inline.sixel(PICTURE, 12)).shape == (69, 120, 3)


@pytest.mark.long
class TestCommands:
    @pytest.fixture
    def words(self, chain):
        surrogates = chain.reference("fit-surrogate")
        return [sys.executable, "-m", "facelime_cli", "show", surrogates, "--store", str(chain.facelime.store)]

    def test_show_sends_kitty_the_map(self, chain, words):
        code, written = in_terminal([*words, "--terminal", "--classes", "rosacea"], YES_OF_KITTY + VT100, 300)
        assert code == 0
        pieces = re.findall(rb"\x1b_G[^;]*m=\d;([^\x1b]*)\x1b\\", written)
        explanations = Explanations(chain["fit-surrogate"])
        image, segments = (of(0).repeat(10, 0).repeat(10, 1) for of in (explanations.image, explanations.segments))
        marked = overlay.towards_against(image, segments, explanations.coefficients(0, 1), 10)
        with Image.open(io.BytesIO(b64decode(b"".join(pieces)))) as sent:
            assert np.array_equal(np.asarray(sent), marked)

    def test_show_draws_half_blocks_where_a_terminal_shows_no_pictures(self, words):
        code, written = in_terminal([*words, "--terminal"], VT100, 300)
        assert code == 0
        assert "▀".encode() in written
        assert b"\x1bP" not in written

    def test_format_text_asks_nothing(self, words):
        code, written = in_terminal([*words, "--format", "text"], YES_OF_KITTY + VT340, 300)
        assert (code, QUESTION_OF_KITTY in written) == (0, False)
        assert "▀".encode() in written


def test_render_draws_beside_its_reference(chain):
    run, report = chain.facelime, chain["render"]
    result = run("render", chain.reference("fit-surrogate"), "--terminal")
    assert (result.exit_code, result.stdout) == (0, f"{report.id}\n")
    explanations = Explanations(chain["fit-surrogate"])
    for row, picture in enumerate(explanations.ids[:3]):
        assert f"{picture}: {explanations.names[explanations.said(row)[0]]} " in result.stderr
    quiet = run("render", chain.reference("fit-surrogate"), "--terminal", "--quiet")
    assert (quiet.stdout, quiet.stderr) == (f"{report.id}\n", "")
    assert json.loads(run("render", chain.reference("fit-surrogate"), "--terminal", "--json").stdout)["reused"]


def test_show_draws_letters_into_a_pipe(chain):
    drawn = chain.facelime("show", chain.reference("fit-surrogate"), "--terminal")
    assert drawn.exit_code == 0
    assert drawn.stdout == chain.facelime("show", chain.reference("fit-surrogate"), "--format", "text").stdout
    assert "+" in drawn.stdout


@pytest.mark.parametrize(("option", "value"), [("--png", "x.png"), ("--format", "json")])
def test_two_ways_at_once_are_refused(chain, option, value):
    words = ("show", chain.reference("fit-surrogate"), "--terminal", option, value)
    assert "--terminal draws in the terminal" in chain.facelime.fails(*words, code=2)
