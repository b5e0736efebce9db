"""Write an artifact into one file to hand over: HDF5, or CSV for surrogates.

The HDF5 file has named dimensions and the lineage. The CSV file has a row for each picture, class and segment.
Groups, the columns of the source's table and other people's pictures, which stood in for regions, stay in the store
unless an option asks for them. The lineage names no picture. --picture hands over what is about one patient.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.handing_over import portion_of
from facelime_cli.options import Input, option_of
from facelime_cli.store import files, temporary
from facelime_cli.store.artifacts import KINDS
from facelime_cli.store.hdf5 import write_hdf5

if TYPE_CHECKING:
    from collections.abc import Callable

    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.portions import Portion


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
    picture: Annotated[
        list[str] | None,
        Option(
            metavar="ID",
            show_default=False,
            help="Write this picture alone, by its id. Give it once for each picture. [default: all]",
        ),
    ] = None
    with_groups: Annotated[
        bool, Option("--with-groups", help="Write the groups too: patients or lesions, as the source names them.")
    ] = False
    with_table: Annotated[bool, Option("--with-table", help="Write the further columns of the source's table too.")] = (
        False
    )
    with_stand_ins: Annotated[
        bool, Option("--with-stand-ins", help="Write the pictures of other people too, which stood in for regions.")
    ] = False
    force: Annotated[bool, Option("--force", help="Replace the file if it exists.")] = False


def run(params: Params, context: Context) -> Answer:
    """Choose the format by the file's ending and write it."""
    artifact = context.store.resolve(params.reference)
    artifact.require_complete()
    writer = FORMATS.get(params.to.suffix.lower())
    if writer is None:
        raise CommandLineError(f"--to {params.to} should end in {' or '.join(FORMATS)}.")
    if any(params.to.absolute().parent.resolve().is_relative_to(place) for place in context.store.places):
        raise FacelimeError(f"--to {params.to} lies among the artifacts of the store; choose another folder.")
    if params.to.exists() and not params.force:
        raise FacelimeError(f"{params.to} exists already; choose another --to, or --force to replace it.")
    if not params.to.absolute().parent.is_dir():
        raise FacelimeError(f"there is no folder {params.to.absolute().parent}; make it, or choose another --to.")
    portion = _portion(artifact, params, whole=writer is write_hdf5)
    # What an export left that was killed; this one leaves no file when it is stopped, and an existing one as it was.
    temporary.sweep([params.to.absolute().parent], params.to.name)
    with files.replacing(params.to, mode=files.PRIVATE) as beside:
        writer(artifact, beside, portion)
    if portion.left_out:
        context.console.note(f"left out: {', '.join(portion.left_out)}")
    written = {"file": str(params.to.absolute()), "bytes": params.to.stat().st_size}
    value = {"artifact": artifact.id, **written, "left_out": list(portion.left_out)}
    return Answer(value, [str(params.to)])


def _portion(artifact: Artifact, params: Params, *, whole: bool) -> Portion:
    """Return what goes out: into a file of the whole artifact, or into a table of coefficients."""
    options = {"groups": params.with_groups, "table": params.with_table, "stand_ins": params.with_stand_ins}
    if whole:
        return portion_of(artifact, params.picture, **options)
    for name, given in options.items():
        if given:
            option = option_of(f"with_{name}")
            raise CommandLineError(f"{option} is about .h5 files, and a table has coefficients alone; leave it out.")
    # A table has none of the arrays that stay, so that nothing is left out of it.
    return replace(portion_of(artifact, params.picture, stand_ins=True), left_out=())


def _write_table(artifact: Artifact, path: Path, portion: Portion) -> None:
    # Loaded only now, since it takes numpy and `--help` does without.
    from facelime_cli.reporting import formats

    formats.write_table(artifact, path, portion)


FORMATS: dict[str, Callable[[Artifact, Path, Portion], None]] = {".h5": write_hdf5, ".csv": _write_table}

COMMAND = Command("export", Params, run, __doc__ or "")
