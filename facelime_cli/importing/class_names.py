"""Names of a model's outputs as --classes and --names give them."""

from __future__ import annotations

from pathlib import Path

from facelime_cli.core import class_lists
from facelime_cli.core.opening import opened, reason_of
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.plain import shown

FEWEST_CLASSES = 2


def class_names(text: str) -> list[str]:
    """Return the class names that --classes gives, two or more; see `value_names` for the errors.

    Parameters
    ----------
    text : str
        `a,b,c`, or `@FILE`: .json and .csv as `core.class_lists` reads them, any other with a name on each line,
        where commas belong to the name.

    Returns
    -------
    list of str
    """
    names = _names(text, "--classes", "class")
    if len(names) < FEWEST_CLASSES or not all(names):
        n_named = len([name for name in names if name])
        raise CommandLineError(
            f"--classes {text!r} names {n_named} classes; name every output, two or more, and leave none empty."
        )
    # ImageNet has two cranes: a whole list of names in a file is kept as it is.
    if not text.startswith("@"):
        _check_different(names, "--classes")
    return _one_line(names, "--classes")


def value_names(text: str) -> list[str]:
    """Return the names of values that --names gives.

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
        For an empty name, equal ones, or one that no line can show.
    """
    names = _names(text, "--names", "value")
    if not names or not all(names):
        raise CommandLineError(
            f"--names {text!r} leaves a name empty; name every value that the model answers with, such as --names age."
        )
    _check_different(names, "--names")
    return _one_line(names, "--names")


def _names(text: str, option: str, what: str) -> list[str]:
    if text.startswith("@"):
        return _of_file(Path(text[1:]), option, what)
    return [name.strip() for name in text.split(",")]


def _check_different(names: list[str], option: str) -> None:
    """Raise where two outputs have one name."""
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is None:
        return
    besides = ", or name a file with @FILE where two outputs are called the same" if option == "--classes" else ""
    raise CommandLineError(f"{option} names {twice!r} twice; give every output a name of its own{besides}.")


def _one_line(names: list[str], option: str) -> list[str]:
    """Return names that a line can show; raise for others."""
    hidden = next((name for name in names if shown(name) != name), None)
    if hidden is not None:
        raise CommandLineError(
            f"{option} names {shown(hidden)!r}, which holds a control character; use names of one line of plain text."
        )
    return names


def _of_file(path: Path, option: str, what: str) -> list[str]:
    """Return the names in a file, by the form that its ending says."""
    text = _text_of(path, option, what)
    form = path.suffix.lower()
    if form == ".json":
        return class_lists.from_json(text, str(path)).names
    if form == ".csv":
        return class_lists.from_csv(text, str(path)).names
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _text_of(path: Path, option: str, what: str) -> str:
    try:
        with opened(path) as stream:
            return stream.read().decode("utf-8-sig")
    except OSError as why:
        raise NotFoundError(
            f"the {what} names in {path} cannot be read ({reason_of(why)}); give {option} @FILE with one name per line."
        ) from why
    except ValueError as why:
        raise FacelimeError(f"{path} is not UTF-8 text; save the {what} names as UTF-8, one per line.") from why
