"""Write an artifact into one file to hand over: HDF5, or CSV for surrogates.

The HDF5 file has named dimensions and the whole lineage. The CSV file has a row for each picture, class and segment.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.options import Input
from facelime_cli.store import files, temporary
from facelime_cli.store.artifacts import KINDS
from facelime_cli.store.hdf5 import write_hdf5

if TYPE_CHECKING:
    from collections.abc import Callable

    from facelime_cli.store.artifacts import Artifact


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `export`."""

    reference: Annotated[
        str,
        Argument(metavar="REF", help="Artifact, or - to read it from standard input.", show_default=False),
        Input(KINDS),
    ]
    to: Annotated[
        Path, Option(metavar="FILE", help="Write this file: .h5, or for surrogates .csv.", show_default=False)
    ]
    force: Annotated[bool, Option("--force", help="Replace the file if it exists.")] = False


def run(params: Params, context: Context) -> Answer:
    """Choose the format by the file's ending and write it."""
    artifact = context.store.resolve(params.reference)
    artifact.require_complete()
    writer = FORMATS.get(params.to.suffix.lower())
    if writer is None:
        raise CommandLineError(f"--to {params.to} should end in {' or '.join(FORMATS)}.")
    if params.to.exists() and not params.force:
        raise FacelimeError(f"{params.to} exists already; choose another --to, or --force to replace it.")
    if not params.to.absolute().parent.is_dir():
        raise FacelimeError(f"there is no folder {params.to.absolute().parent}; make it, or choose another --to.")
    # What an export left that was killed; this one leaves no file when it is stopped, and an existing one as it was.
    temporary.sweep([params.to.absolute().parent], params.to.name)
    with files.replacing(params.to) as beside:
        writer(artifact, beside)
    value = {"artifact": artifact.id, "file": str(params.to.absolute()), "bytes": params.to.stat().st_size}
    return Answer(value, [str(params.to)])


def _write_table(artifact: Artifact, path: Path) -> None:
    # Loaded only now, since it takes numpy and `--help` does without.
    from facelime_cli.reporting import formats

    formats.write_table(artifact, path)


FORMATS: dict[str, Callable[[Artifact, Path], None]] = {".h5": write_hdf5, ".csv": _write_table}

COMMAND = Command("export", Params, run, __doc__ or "")
