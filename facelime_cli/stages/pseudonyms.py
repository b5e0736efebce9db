"""Say which file each pseudonym stands for, with the user's key.

SOURCE is what `preprocess --pseudonyms` has read. A hash cannot be undone, so that every name is hashed again. The
answer is a CSV table of ids and files; it goes nowhere but to standard output.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from facelime_cli import sources
from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context
from facelime_cli.errors import NotFoundError
from facelime_cli.preparing import labelling
from facelime_cli.preparing.findings import FIRST, Reading
from facelime_cli.preparing.listing import SKIP, Table
from facelime_cli.pseudonyms import KEY_VARIABLE, Pseudonyms, key_file

if TYPE_CHECKING:
    from facelime_cli.sources import Entry

COLUMNS = ("id", "file")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `pseudonyms`."""

    source: Annotated[
        list[Path],
        Argument(metavar="SOURCE…", help="Folders of pictures, one picture, or a .npz file.", show_default=False),
    ]
    table: Annotated[
        list[Path] | None,
        Option(metavar="FILE", show_default=False, help="Take the pictures of this table, as `preprocess` did."),
    ] = None
    id_column: Annotated[str, Option(metavar="NAME", help="Take the picture's id from this column.")] = "image_id"


def run(params: Params, context: Context) -> Answer:
    """Hash the name of every picture again."""
    path = key_file()
    if not path.is_file():
        raise NotFoundError(f"there is no key {path}; restore it from a copy, or name it with {KEY_VARIABLE}.")
    pseudonyms = Pseudonyms(context.console.warn)
    entries = _entries(params)
    named = sorted((pseudonyms.picture(entry.id), entry.file) for entry in entries)
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *named])
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in named]
    # The console ends the last line.
    return Answer({"pseudonyms": rows}, [stream.getvalue().rstrip("\n")])


def _entries(params: Params) -> list[Entry]:
    """Return the pictures that `preprocess` may have read."""
    if params.table is None:
        return sources.find(params.source)
    # Ids alone are asked for here, so that rows may differ and pictures may be missing.
    table = Table(tuple(params.table), params.id_column, Reading(rows=FIRST), columns=(), missing=SKIP)
    return labelling.find(params.source, table)[0]


COMMAND = Command("pseudonyms", Params, run, __doc__ or "")
