"""Class names as --classes gives them."""

from __future__ import annotations

from pathlib import Path

from facelime_cli.core.opening import opened, reason_of
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.plain import shown

FEWEST_CLASSES = 2


def class_names(text: str) -> list[str]:
    """Return the class names that --classes gives.

    Parameters
    ----------
    text : str
        `a,b,c`, or `@FILE` with a name on each line, where commas belong to the name.

    Returns
    -------
    list of str

    Raises
    ------
    NotFoundError
        Where there is no such file.
    CommandLineError
        For fewer than two names, an empty one, equal ones outside a file, or one that no line can show.
    """
    names = _lines_of(Path(text[1:])) if text.startswith("@") else [name.strip() for name in text.split(",")]
    if len(names) < FEWEST_CLASSES or not all(names):
        n_named = len([name for name in names if name])
        raise CommandLineError(
            f"--classes {text!r} names {n_named} classes; name every output, two or more, and leave none empty."
        )
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    # ImageNet has two cranes: a whole list of names in a file is kept as it is.
    if twice is not None and not text.startswith("@"):
        raise CommandLineError(
            f"--classes names {twice!r} twice; give every output a name of its own, or name a file with @FILE "
            "where two outputs are called the same."
        )
    hidden = next((name for name in names if shown(name) != name), None)
    if hidden is not None:
        raise CommandLineError(
            f"--classes names {shown(hidden)!r}, which holds a control character; use names of one line of plain text."
        )
    return names


def _lines_of(path: Path) -> list[str]:
    """Return the lines of a file without the empty ones at its end."""
    try:
        with opened(path) as stream:
            text = stream.read().decode("utf-8-sig")
    except OSError as why:
        raise NotFoundError(
            f"the class names in {path} cannot be read ({reason_of(why)}); give --classes @FILE with one name per line."
        ) from why
    except ValueError as why:
        raise FacelimeError(f"{path} is not UTF-8 text; save the class names as UTF-8, one per line.") from why
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return lines
