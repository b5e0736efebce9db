"""What the small files of a store may hold. A store may be a stranger's, so that nothing of it is taken as it comes."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Form = Callable[[Any, str], None]

DEPTH = 64
"""How deep objects and lists may lie in each other."""
LONGEST_NAME = 100
NAME = re.compile(rf"[^\W_][\w.+-]{{0,{LONGEST_NAME - 1}}}")
"""What may be a name: part of an id, and so of a folder."""
ID_DIGITS = 8
"""How many digits of its fingerprint are in an artifact's id."""
ID = re.compile(rf"{NAME.pattern}-[0-9a-f]{{{ID_DIGITS}}}")
"""What may be the id of an artifact: a name and the first digits of its fingerprint."""
DIGEST = re.compile(r"[0-9a-f]{64}")
MOST_PICTURES = 10**8
"""More pictures than any store will hold; a larger number is damage."""
LARGEST = 2**53
"""Up to here every JSON reader has the same whole numbers."""
LONGEST_FILE_NAME = 255
"""Bytes; file systems allow no more."""


class FormError(ValueError):
    """A value that is not what its file should hold; the text names the place and the value."""


def relative_name(text: str) -> bool:
    """Return whether a text names a file below a folder, and cannot lead out of it.

    Parameters
    ----------
    text : str
        As a file of a store gives it, with `/` between folders.

    Returns
    -------
    bool
    """
    parts = text.split("/")
    if "\0" in text or "\\" in text:
        return False
    return all(part not in {"", ".", ".."} and len(part.encode()) <= LONGEST_FILE_NAME for part in parts)


def check_depth(value: Any) -> None:
    """Raise where a JSON value lies too deep, or holds a number that is not finite.

    Parameters
    ----------
    value : JSON value

    Raises
    ------
    FormError
    """
    # Level by level: a recursion would end where the nesting ends it.
    level, depth = [value], 0
    while level:
        if depth > DEPTH:
            raise FormError(f"lies more than {DEPTH} levels deep")
        below: list[Any] = []
        for each in level:
            if isinstance(each, float) and not math.isfinite(each):
                raise FormError(f"holds the number {each}")
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, list):
                below += each
        level, depth = below, depth + 1


# What a value may be. Each function returns a check that takes the value and its place in the file.


def text(pattern: re.Pattern[str] | None = None, *, longest: int = 10_000) -> Form:
    """Return the check of a text, of a pattern where one is given."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, str) or len(value) > longest or (pattern and not pattern.fullmatch(value)):
            raise _wrong(value, place)

    return check


def whole(least: int = 0, most: int = LARGEST) -> Form:
    """Return the check of a whole number within bounds."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _wrong(value, place)

    return check


def number(value: Any, place: str) -> None:
    """Check a number that is not negative."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise _wrong(value, place)


def name_of_file(value: Any, place: str) -> None:
    """Check a name that stays inside its folder."""
    if not isinstance(value, str) or not relative_name(value):
        raise _wrong(value, place)


def anything(value: Any, place: str) -> None:
    """Check nothing: what a stage notes is its own."""
    del value, place


def one_of(*values: Any) -> Form:
    """Return the check of a value that is one of some."""

    def check(value: Any, place: str) -> None:
        if value not in values:
            raise _wrong(value, place)

    return check


def either(*forms: Form) -> Form:
    """Return the check of a value that has one of some forms."""

    def check(value: Any, place: str) -> None:
        for form in forms:
            try:
                return form(value, place)
            except FormError:
                continue
        raise _wrong(value, place)

    return check


def each(form: Form, *, count: int | None = None) -> Form:
    """Return the check of a list of one form, of a length where one is given."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, list) or count not in {None, len(value)}:
            raise _wrong(value, place)
        for index, item in enumerate(value):
            form(item, f"{place}[{index}]")

    return check


def table(keys: Form, values: Form) -> Form:
    """Return the check of an object whose keys have one form and whose values have another."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise _wrong(value, place)
        for key, item in value.items():
            keys(key, place)
            values(item, f"{place}.{key}")

    return check


def record(forms: Mapping[str, Form], optional: Mapping[str, Form] | None = None) -> Form:
    """Return the check of an object with known keys; unknown ones are left alone, for later versions."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise _wrong(value, place)
        missing = sorted(set(forms) - set(value))
        if missing:
            raise FormError(f"{place} lacks {', '.join(missing)}".strip())
        for name, form in {**forms, **(optional or {})}.items():
            if name in value:
                form(value[name], f"{place}.{name}".lstrip("."))

    return check


def _wrong(value: Any, place: str) -> FormError:
    return FormError(f"has {value!r:.60} as {place}")


# The files

NUMBERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = ("float16", "float32", "float64")
ARRAY = record(
    {
        "dtype": one_of("string", *NUMBERS, *FLOATS),
        "shape": each(whole()),
        "dimensions": each(text()),
        "unit": text(),
    },
    {"digest": text(DIGEST)},
)
IDENTITY = {
    "schema": whole(1),
    "stage": text(NAME),
    "stage_version": whole(),
    "id": text(ID),
    "name": text(NAME),
    "fingerprint": text(DIGEST),
    "parameters": table(text(), anything),
    "inputs": table(text(), record({"digest": text()}, {"kind": text(NAME), "id": text(ID)})),
    "n": whole(0, MOST_PICTURES),
    "unit_pictures": whole(1, MOST_PICTURES),
}
"""What a manifest repeats of the layout, word by word."""
LAYOUT = record(
    {
        **IDENTITY,
        "arrays": table(name_of_file, ARRAY),
        "facts": table(text(), anything),
        "execution": table(text(), anything),
        "begun": text(),
    },
    {"digest": text(DIGEST), "metadata": table(name_of_file, text())},
)
FILES = table(name_of_file, text(DIGEST))
UNIT = record(
    {
        "rows": each(whole(), count=2),
        "seconds": number,
        "digests": table(name_of_file, text(DIGEST)),
        "files": FILES,
        "facts": table(text(), anything),
    }
)
MANIFEST = record(
    {
        **IDENTITY,
        "digest": text(DIGEST),
        "content": text(DIGEST),
        "arrays": table(name_of_file, ARRAY),
        "files": FILES,
        "units": each(UNIT),
        "facts": table(text(), anything),
        "software": table(text(), anything),
        "seconds": number,
    },
    {"layout": text(DIGEST)},
)
RECORD = record(
    {
        "unit": whole(),
        "rows": each(whole(), count=2),
        "seconds": number,
        "pictures": table(name_of_file, each(text(DIGEST))),
        "files": FILES,
        "facts": table(text(), anything),
    },
    {"digest": text(DIGEST)},
)
CLAIM = record(
    {
        "host": text(longest=1000),
        "pid": whole(1),
        "start": either(text(longest=100), one_of(None)),
        "counter": whole(),
    },
    {"digest": text(DIGEST)},
)
