"""Defaults of a project: `facelime.toml` in its folder, and variables of the environment, which come first."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelime_cli.core.opening import opened, reason_of
from facelime_cli.errors import FacelimeError, first_line

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

FILE = "facelime.toml"
STORE = "artifacts"
"""The store where nothing is set."""
SETTINGS = {
    "store": STORE,
    "model": "none: give --model",
    "runtime": "that of the model's format",
    "preset": "none",
}
"""What can be set, and what holds where nothing sets it. Each is an option of the command line."""
MOST_BYTES = 1 << 16
"""The file has four lines."""


@dataclass(frozen=True)
class Setting:
    """A value that a file or the environment sets.

    Attributes
    ----------
    value : str
    origin : str
        The file, or the variable.
    from_file : bool
    """

    value: str
    origin: str
    from_file: bool


def variable(name: str) -> str:
    """Return the variable of the environment for a setting.

    Examples
    --------
    >>> variable("store")
    'FACELIME_STORE'
    """
    return f"FACELIME_{name.upper()}"


def read() -> dict[str, Setting]:
    """Return what is set for the working folder, by the names of settings.

    Returns
    -------
    dict
        An empty variable sets nothing.

    Raises
    ------
    FacelimeError
        When the file cannot be read, or something in it is no setting.
    """
    found = unchecked()
    for name, known in (("preset", _presets), ("runtime", _runtimes)):
        if name in found:
            _check_known(found[name], name, known())
    return found


def unchecked() -> dict[str, Setting]:
    """Return what `read` does, whether or not there is such a preset or runtime; so it loads no table of them."""
    path = file()
    found = {} if path is None else _of_file(path)
    for name in SETTINGS:
        value = os.environ.get(variable(name))
        if value:
            found[name] = Setting(value, variable(name), from_file=False)
    return found


def sentence(used: Mapping[str, Setting]) -> str:
    """Return what a command took from the file, in one sentence; empty where it took nothing.

    Parameters
    ----------
    used : mapping
        The settings that the command has used, by their names.
    """
    of_file = {name: each for name, each in used.items() if each.from_file}
    if not of_file:
        return ""
    origin = next(iter(of_file.values())).origin
    return f"{origin} sets {', '.join(f'{name} {each.value}' for name, each in of_file.items())}."


def file() -> Path | None:
    """Return the settings file: that of the working folder, else of the nearest folder above it.

    Returns
    -------
    Path or None
        Above the working folder, a file of another user does not count: it could lead results elsewhere.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:  # the working folder is gone
        return None
    for folder in (here, *here.parents):
        path = folder / FILE
        try:
            owner = path.stat().st_uid
        except OSError:
            continue
        if folder == here:
            return Path(FILE)
        if owner in {os.getuid(), 0}:
            return path
    return None


def _of_file(path: Path) -> dict[str, Setting]:
    """Return what a file sets. A store is a folder beside the file, wherever the command runs."""
    found = {}
    for name, value in _table(path).items():
        if name not in SETTINGS:
            raise FacelimeError(f"{path} sets {name!r}, which is no setting; it may set {', '.join(SETTINGS)}.")
        if not isinstance(value, str) or not value or "\0" in value:
            raise FacelimeError(f"{path} sets {name} to {value!r}; give it a text in quotes, or leave it out.")
        text = str(path.parent / Path(value).expanduser()) if name == "store" else value
        found[name] = Setting(text, str(path), from_file=True)
    return found


def _table(path: Path) -> dict[str, Any]:
    try:
        with opened(path) as stream:
            text = stream.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise FacelimeError(f"{path} is too long for a settings file; it may set {', '.join(SETTINGS)}.")
        # Loaded only now: most folders have no such file.
        import tomllib

        return tomllib.loads(text.decode("utf-8-sig"))
    except OSError as why:
        raise FacelimeError(f"{path} cannot be read ({reason_of(why)}); mend it, or remove it.") from why
    # A text that is no UTF-8, or no TOML.
    except (ValueError, RecursionError) as why:
        raise FacelimeError(f'{path} is no TOML ({first_line(why)}); write lines such as store = "artifacts".') from why


def _presets() -> Collection[str]:
    from facelime_cli.presets import PRESETS

    return PRESETS


def _runtimes() -> Collection[str]:
    from facelime_cli.answering.runtimes import RUNTIMES
    from facelime_cli.predicting.run import AUTO

    return (*RUNTIMES, AUTO)


def _check_known(setting: Setting, name: str, known: Collection[str]) -> None:
    if setting.value not in known:
        raise FacelimeError(
            f"{setting.origin} sets {name} to {setting.value!r}, which there is not; choose one of {', '.join(known)}."
        )
