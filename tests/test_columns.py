"""Tables on a terminal: nothing is cut off, numbers stand in line, and no line is longer than the terminal is wide."""

import io
import re

import pytest

from facelime_cli.columns import is_numeric
from facelime_cli.console import Answer, Console, Table

NAMES = (
    "actinic keratosis",
    "basal cell carcinoma",
    "benign keratosis-like lesions",
    "dermatofibroma",
    "melanoma",
    "melanocytic nevi",
    "皮膚血管病変",
)
COUNTS = [[(13 * row + 7 * column) ** 2 for column in range(7)] for row in range(7)]
CONFUSION = Table(
    ("true class", *(f"called {name}" for name in NAMES)),
    [(name, *map(str, counts)) for name, counts in zip(NAMES, COUNTS, strict=True)],
    "a [bold]title",
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def printed(monkeypatch):
    """Print tables as on a terminal of some width, and return the lines."""
    for name in ("FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    # Rich takes a dumb terminal for one of 80 columns.
    monkeypatch.setenv("TERM", "xterm")

    def lines(width, *tables):
        monkeypatch.setenv("COLUMNS", str(width))
        terminal = Terminal()
        Console(_results=terminal).answer(Answer({}, tables=tables))
        return re.sub(r"\x1b\[[\d;]*m", "", terminal.getvalue()).splitlines()

    return lines


@pytest.mark.parametrize("width", [40, 60, 80, 120, 300])
def test_a_confusion_matrix_fits_the_terminal_and_keeps_every_word_and_number(printed, width):
    from rich.cells import cell_len

    lines = printed(width, CONFUSION)
    assert max(map(cell_len, lines)) <= width
    words = set(" ".join(lines).split())
    assert {word for name in NAMES for word in name.split()} <= words
    assert {str(count) for counts in COUNTS for count in counts} <= words


def test_columns_that_have_no_room_go_below_with_the_classes_again(printed):
    narrow, wide = printed(60, CONFUSION), printed(300, CONFUSION)
    heads = [sum("true class" in line for line in lines) for lines in (narrow, wide)]
    assert heads[1] == 1 < heads[0]
    assert sum("a [bold]title" in line for line in narrow) == 1
    # Each block has a row for each class.
    assert sum(line.strip().startswith("dermatofibroma") for line in narrow) == heads[0]


def test_numbers_stand_under_each_other_by_their_last_digit(printed):
    lines = printed(80, Table(("figure", "value", "of"), [("a", "1", "1 of 4"), ("b", "1,000.5", "4 of 4")]))
    heading, first, second = (next(line for line in lines if name in line) for name in ("figure", " a ", " b "))
    ends = [re.search(r"value|1(?= )|1,000\.5", line).end() for line in (heading, first, second)]
    assert len(set(ends)) == 1
    # Words begin under each other.
    assert first.index("1 of 4") == second.index("4 of 4") == heading.index("of")


def test_a_text_is_broken_between_words_before_a_number_is(printed):
    lines = printed(40, Table(("name", "n"), [("a text of several words that has no room", "1234567890")]))
    assert any(line.rstrip().endswith("1234567890") for line in lines)
    assert max(map(len, lines)) <= 40


@pytest.mark.parametrize(
    ("column", "numeric"),
    [
        (["0.250 to 0.500"], False),
        (["+12", "−3", "none"], True),
        (["1,000", "98.4 %", ""], True),
        (["14.5 MiB", "900 B"], True),
        (["< .001", ".05"], True),
        (["2026-12-01"], False),
        (["1e-05", "12"], True),
        (["none", ""], False),
        (["yes", "1"], False),
    ],
)
def test_which_columns_hold_numbers(column, numeric):
    assert is_numeric(column) is numeric


def test_a_table_without_rows_or_with_one_column_is_printed(printed):
    assert any("nothing" in line for line in printed(80, Table(("nothing", "here"), [])))
    lines = printed(10, Table(("one",), [("abcdefghijklmnopqrstuvwxyz",)]))
    assert "".join(line.strip() for line in lines if "─" not in line) == "oneabcdefghijklmnopqrstuvwxyz"
