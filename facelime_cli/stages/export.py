"""Write an artifact into a file to hand over, or its maps into a folder for other viewers.

The HDF5 file has named dimensions and the lineage; that of explanations has pictures, segments and class names too.
The CSV file has a row for each picture, class and segment.
With --format, explanations become maps on the original pictures: at their size, before they were cropped and resized.
DICOM objects take a dataset made with `preprocess --keep-dicom-uids`. All maps are not for diagnostic use.
Groups, the columns of the source's table, UIDs and other people's pictures, which stood in for regions, stay in the
store unless an option asks for them. The lineage names no picture. --picture hands over what is about one patient.
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
from facelime_cli.options import Choice, Input, option_of
from facelime_cli.store import files, temporary
from facelime_cli.store.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.portions import Portion


FOLDERS = {
    "png": "facelime_cli.exporting.pictures:overlays",
    "npy": "facelime_cli.exporting.pictures:arrays",
    "nifti": "facelime_cli.exporting.pictures:volumes",
    "coco": "facelime_cli.exporting.coco:write",
    "dicom": "facelime_cli.exporting.dicom_files:write",
}
"""What --format writes into a folder, and the function that does."""
WITH = ("with_groups", "with_table", "with_stand_ins", "with_dicom_uids")
"""Options for what stays unless it is asked for."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `export`."""

    reference: Annotated[
        str,
        Argument(metavar="REF", help="Artifact, or - to read it from standard input.", show_default=False),
        Input(KINDS),
    ]
    to: Annotated[
        Path,
        Option(
            metavar="FILE|DIR",
            help="Write this file: .h5, or for surrogates .csv. With --format, write this new folder.",
            show_default=False,
        ),
    ]
    format: Annotated[
        str | None,
        Choice(tuple(FOLDERS)),
        Option(
            "--format",
            show_default=False,
            help="Write maps of surrogates, of a check or of a report: transparent PNG overlays, NumPy arrays or NIfTI "
            "files of coefficients, the regions as COCO polygons, or DICOM objects that refer to the scans. "
            "[default: by the ending of --to]",
        ),
    ] = None
    picture: Annotated[
        list[str] | None,
        Option(
            metavar="ID",
            show_default=False,
            help="Write this picture alone, by its id. Give it once for each picture. [default: all]",
        ),
    ] = None
    listed: Annotated[
        Path | None,
        Option(
            "--from",
            metavar="FILE",
            show_default=False,
            help="Write the pictures alone that this text file names, an id in each line, as `list` prints them. "
            "- reads standard input.",
        ),
    ] = None
    classes: Annotated[
        str | None,
        Option(
            metavar="A,B,…",
            show_default=False,
            help="With --format, write maps of these classes, by name or by number. [default: each picture's two most "
            "probable, and its true one; of independent probabilities those of 0.5 or more, and the true ones]",
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
    with_dicom_uids: Annotated[
        bool, Option("--with-dicom-uids", help="Write the UIDs of DICOM files too, which lead to the patient.")
    ] = False
    force: Annotated[bool, Option("--force", help="Replace the file or folder if it exists.")] = False


def run(params: Params, context: Context) -> Answer:
    """Write one file, or with --format a folder."""
    artifact = context.store.resolve(params.reference)
    artifact.require_complete()
    _check_place(params, context)
    params = _with_listed(params)
    # What an export left that was killed; this one leaves nothing when it is stopped, and what is there as it was.
    temporary.sweep([params.to.absolute().parent], params.to.name)
    return _file(artifact, params, context) if params.format is None else _folder(artifact, params, context)


def _with_listed(params: Params) -> Params:
    """Return parameters whose pictures are those of the list."""
    if params.listed is None:
        return params
    if params.picture:
        raise CommandLineError("--picture and --from both name the pictures; leave one of them out.")
    from facelime_cli.predicting.choosing import lines_of

    return replace(params, picture=lines_of(params.listed))


def _check_place(params: Params, context: Context) -> None:
    """Refuse a place that cannot be written, or that holds something."""
    if params.format is None and params.to.suffix.lower() not in FORMATS:
        raise CommandLineError(
            f"--to {params.to} should end in {' or '.join(FORMATS)}; for a folder, say --format {', '.join(FOLDERS)}."
        )
    if any(params.to.absolute().parent.resolve().is_relative_to(place) for place in context.store.places):
        raise FacelimeError(f"--to {params.to} lies among the artifacts of the store; choose another folder.")
    if params.to.exists() and not params.force:
        raise FacelimeError(f"{params.to} exists already; choose another --to, or --force to replace it.")
    if not params.to.absolute().parent.is_dir():
        raise FacelimeError(f"there is no folder {params.to.absolute().parent}; make it, or choose another --to.")
    if params.to.exists() and params.to.is_dir() != (params.format is not None):
        what = "a folder" if params.to.is_dir() else "a file"
        raise FacelimeError(f"{params.to} is {what}, which --force does not replace here; choose another --to.")


def _file(artifact: Artifact, params: Params, context: Context) -> Answer:
    """Choose the format by the file's ending and write it."""
    writer = FORMATS[params.to.suffix.lower()]
    if params.classes is not None:
        raise CommandLineError("--classes is about maps, see --format, and a file has every class; leave it out.")
    portion = _portion(artifact, params, whole=writer is _write_whole)
    with files.replacing(params.to, mode=files.PRIVATE) as beside:
        writer(artifact, beside, portion)
    if portion.left_out:
        context.console.note(f"left out: {', '.join(portion.left_out)}")
    written = {"file": str(params.to.absolute()), "bytes": params.to.stat().st_size}
    value = {"artifact": artifact.id, **written, "left_out": list(portion.left_out)}
    return Answer(value, [str(params.to)])


def _folder(artifact: Artifact, params: Params, context: Context) -> Answer:
    """Write the maps of explanations into a folder."""
    for name in WITH:
        if getattr(params, name):
            raise CommandLineError(f"{option_of(name)} is about .h5 files; leave it out with --format {params.format}.")
    # Loaded only now, since they take numpy and `--help` does without.
    from facelime_cli.exporting import folders, requests

    assert params.format is not None
    if params.to.exists() and any(params.to.iterdir()) and not (params.to / folders.LIST).is_file():
        raise FacelimeError(
            f"{params.to} holds files that no export has written, so --force leaves it; choose another --to."
        )
    request = requests.of(artifact, params.picture, params.classes, params.format)
    with (
        files.replacing_folder(params.to) as beside,
        context.console.progress("export", len(request.rows)) as advance,
    ):
        listed = folders.write(request.maps(advance), folders.Folder(beside), FOLDERS[params.format], request.told)
    for sentence in requests.remarks(request, listed):
        context.console.warn(sentence)
    names = {name for each in listed["maps"] for name in each["files"]}
    value = {"artifact": artifact.id, "folder": str(params.to.absolute()), "files": len(names) + 1}
    return Answer({**value, "maps": len(listed["maps"]), "geometry": listed["geometry"]}, [str(params.to)])


def _portion(artifact: Artifact, params: Params, *, whole: bool) -> Portion:
    """Return what goes out: into a file of the whole artifact, or into a table of coefficients."""
    given = {name.removeprefix("with_"): getattr(params, name) for name in WITH}
    if whole:
        uids = given.pop("dicom_uids")
        return portion_of(artifact, params.picture, uids=uids, **given)
    for name in WITH:
        if getattr(params, name):
            raise CommandLineError(
                f"{option_of(name)} is about .h5 files, and a table has coefficients alone; leave it out."
            )
    # A table has none of the arrays that stay, so that nothing is left out of it.
    return replace(portion_of(artifact, params.picture, stand_ins=True), left_out=())


def _write_whole(artifact: Artifact, path: Path, portion: Portion) -> None:
    from facelime_cli.exporting import complete

    complete.write(artifact, path, portion)


def _write_table(artifact: Artifact, path: Path, portion: Portion) -> None:
    # Loaded only now, since it takes numpy and `--help` does without.
    from facelime_cli.reporting import formats

    formats.write_table(artifact, path, portion)


FORMATS: dict[str, Callable[[Artifact, Path, Portion], None]] = {".h5": _write_whole, ".csv": _write_table}

COMMAND = Command("export", Params, run, __doc__ or "")
