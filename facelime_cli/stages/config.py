"""Show the defaults of this folder: store, model, runtime and preset, and where each value comes from.

A file facelime.toml in the working folder, or in the nearest folder above it, sets them, with lines such as
store = "artifacts". The variables FACELIME_STORE, FACELIME_MODEL, FACELIME_RUNTIME and FACELIME_PRESET come before the
file, and an option comes before both. The model stands in for --model where a command needs one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facelime_cli import settings
from facelime_cli.console import Answer, Table
from facelime_cli.engine import Command

if TYPE_CHECKING:
    from facelime_cli.engine import Context

DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `config`."""


def run(params: Params, context: Context) -> Answer:
    """Answer with a row for each setting."""
    del params
    found = settings.read()
    rows, value = [], {}
    for name, default in settings.SETTINGS.items():
        setting = found.get(name)
        given, origin = (None, DEFAULT) if setting is None else (setting.value, setting.origin)
        if name == "store":
            # What the command itself uses: an option comes before what is set.
            used = context.store.shown
            origin = origin if used == Path(given or default) else "--store"
            given = str(used)
        rows.append((name, given or default, origin))
        value[name] = {"value": given, "from": origin}
    path = settings.file()
    return Answer(
        {"settings": value, "file": None if path is None else str(path.absolute())},
        tables=[Table(("setting", "value", "comes from"), rows)],
    )


COMMAND = Command("config", Params, run, __doc__ or "")
