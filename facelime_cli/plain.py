"""Text from outside that is only shown: no terminal obeys it, no spreadsheet computes it, and no JSON breaks on it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OBEYED = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, the escape character among them
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"  # what turns the direction of text, or is not seen
    "\u2028\u2029"  # what ends a line beside the line feed
    "\ud800-\udfff]"  # bytes of a name that are no UTF-8; no encoding can write them
)
"""Characters that a terminal obeys or hides, or that cannot be written."""
RAW_BYTES = range(0xDC80, 0xDD00)
"""Where Python puts the bytes of a file name that are no UTF-8 (PEP 383)."""
FORMULA = re.compile(r"(^|;)(\s*)(?=[=+\-@＝＋－＠])")
"""Where a spreadsheet begins to compute, at the wide signs too. Many of them divide a line at semicolons."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def shown(text: str, keep: str = "") -> str:
    r"""Return a text as people may see it: what a terminal would obey is written out.

    Parameters
    ----------
    text : str
    keep : str
        Characters that stay, such as the line feeds of a text of several lines.

    Returns
    -------
    str

    Examples
    --------
    >>> print(shown("red\x1b[31m\nline"))
    red\x1b[31m\nline
    """
    # Most texts hold nothing of the kind, and printable ASCII never does.
    if text.isascii() and text.isprintable():
        return text
    return OBEYED.sub(lambda found: found[0] if found[0] in keep else _written_out(found[0]), text)


def _written_out(character: str) -> str:
    if ord(character) in RAW_BYTES:
        return f"\\x{ord(character) & 0xFF:02x}"
    return character.encode("unicode_escape").decode()


def json_text(value: Any, indent: int | None = None) -> str:
    r"""Return a value as JSON that is readable in every script, and that a terminal and any encoding can take.

    Parameters
    ----------
    value : JSON value
    indent : int, optional
        Spaces a level; None for one line.

    Returns
    -------
    str
        What reads it gets the very same value.

    Raises
    ------
    ValueError
        When a number is NaN or infinite, for which JSON has no word.

    Examples
    --------
    >>> print(json_text({"name": "Ω\x9b\udcff"}))
    {"name": "Ω\u009b\udcff"}
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    # Control characters below 32 are written out already; a line feed here is the indentation.
    return OBEYED.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


def cells(rows: Iterable[Sequence[Any]]) -> Iterable[list[Any]]:
    """Return rows of a CSV table that a spreadsheet shows as they are.

    Parameters
    ----------
    rows : iterable of sequence
        Texts and numbers.

    Yields
    ------
    list
        A text that a spreadsheet would compute begins with an apostrophe; a number stays a number.
    """
    for row in rows:
        yield [cell(each) for each in row]


def cell(value: Any) -> Any:
    r"""Return a value for a cell of a CSV table.

    Parameters
    ----------
    value : object

    Returns
    -------
    object
        Numbers, and texts that are written as one, are unchanged.

    Examples
    --------
    >>> cell("=1+1"), cell("-3.5"), cell(-3.5), cell("a;@b"), cell("\tx")
    ("'=1+1", '-3.5', -3.5, "a;'@b", '\\tx')
    """
    if not isinstance(value, str) or NUMBER.fullmatch(value):
        return value
    return FORMULA.sub(r"\1\2'", shown(value))
