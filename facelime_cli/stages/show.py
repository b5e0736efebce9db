"""Show one artifact: what made it, from what, and what its arrays hold; or draw it.

--png writes a picture of any artifact: sample pictures, segments with their numbers, or how a training went. Perturbed
pictures are drawn as the model saw them, with its answers; surrogates with their fit to these answers.
A check is drawn as the picture beside what stood in, and without its strongest regions.
--format text draws explanations in the terminal. --format json and csv write their figures for other programs.
--command prints the commands that made the artifact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context, refuse_newer
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.names import class_indices, comma_separated, row_of
from facelime_cli.options import Choice, Input
from facelime_cli.store import files, temporary
from facelime_cli.store.artifacts import KINDS

if TYPE_CHECKING:
    from facelime_cli.store.artifacts import Artifact

EXPLAINED = ("surrogates", "checks")
"""Kinds whose pictures `--json` tells one by one."""
FORMATS = ("text", "json", "csv")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `show`."""

    reference: Annotated[
        str,
        Argument(metavar="REF", help="Artifact, or - to read it from standard input.", show_default=False),
        Input(KINDS),
    ]
    png: Annotated[
        Path | None,
        Option("--png", metavar="FILE", show_default=False, help="Write a picture of it to this new file."),
    ] = None
    format: Annotated[
        str | None,
        Choice(FORMATS),
        Option(
            "--format",
            show_default=False,
            help="Give the explanations of surrogates, of a check or of a report: drawn in the terminal, as JSON, "
            "or as a CSV table.",
        ),
    ] = None
    command: Annotated[
        bool,
        Option(
            "--command",
            help="Print the commands that made it, from the first on, to paste into a shell. Files stand as words in "
            "capitals, since a store does not keep where they lie.",
        ),
    ] = False
    images: Annotated[
        str | None,
        Option(
            metavar="A,B,…",
            show_default=False,
            help="Show these pictures, by id. --png draws one, of a dataset several. "
            "[default: the first; with json and csv all]",
        ),
    ] = None
    classes: Annotated[
        str | None,
        Option(
            metavar="A,B,…",
            show_default=False,
            help="Show these classes, by name or by number. --png draws one. "
            "[default: each picture's two most probable, and its true one; of independent probabilities those of 0.5 "
            "or more, and the true ones]",
        ),
    ] = None


def run(params: Params, context: Context) -> Answer:
    """Describe one artifact, draw it, or give its explanations."""
    artifact = context.store.resolve(params.reference)
    refuse_newer(artifact)
    if params.png is not None and params.format is not None:
        raise CommandLineError("--png writes a file and --format writes to the terminal; ask for one of them.")
    if params.command:
        return _commands(artifact, params)
    if params.png is not None:
        return _drawn(artifact, params, params.png)
    if params.format is not None:
        return _explanations(artifact, params, params.format)
    if params.images is not None or params.classes is not None:
        raise CommandLineError("--images and --classes are about pictures; ask for them with --png or --format.")
    # The plain answer reads every array once, unit by unit; a drawing reads only what it draws.
    from facelime_cli.reporting import contents

    found = contents.answer(artifact)
    if not (context.console.as_json and artifact.kind in EXPLAINED and artifact.complete):
        return found
    # Regions are read picture by picture, which only a program waits for.
    return replace(found, value={**found.value, "pictures": contents.pictures(artifact)})


def _commands(artifact: Artifact, params: Params) -> Answer:
    """Give the commands that made an artifact."""
    from facelime_cli import commands

    if (params.png, params.format, params.images, params.classes) != (None, None, None, None):
        raise CommandLineError("--command prints commands alone; leave the other options of `show` out.")
    found = commands.script(artifact)
    said = [f"{', '.join(found.files)}: put in their place what was read from outside the store."]
    value = {"artifact": artifact.id, "kind": artifact.kind, "commands": found.lines, "files": found.files}
    return Answer(value, found.lines, said=said if found.files else [])


def _drawn(artifact: Artifact, params: Params, file: Path) -> Answer:
    """Draw an artifact into a file."""
    from facelime_cli.reporting import previews

    artifact.require_complete()
    _check_new(file)
    most, by_class = previews.PICTURES.get(artifact.kind, 0), artifact.kind in previews.BY_CLASS
    # Reports on a dataset or a comparison are a whole: they have no pictures to choose from.
    has_pictures = artifact.has("id")
    rows = _rows(artifact, params.images, most if has_pictures else 0)
    c = _class(artifact, params.classes, by_class=by_class and has_pictures)
    temporary.sweep([file.absolute().parent], file.name)
    # A picture that cannot be drawn leaves no file. The format follows from the ending, which therefore stays.
    with files.replacing(file, ending=".png") as beside:
        previews.draw(artifact, rows, c, beside)
    return Answer({"artifact": artifact.id, "file": str(file.absolute()), "bytes": file.stat().st_size}, [str(file)])


def _check_new(file: Path) -> None:
    folder = file.absolute().parent
    if file.suffix.lower() != ".png":
        raise CommandLineError(f"--png {file} should end in .png.")
    if file.exists():
        raise FacelimeError(f"{file} exists already; choose another --png.")
    if not folder.is_dir():
        raise FacelimeError(f"there is no folder {folder}; make it, or choose another --png.")


def _rows(artifact: Artifact, images: str | None, most: int) -> list[int]:
    """Return which pictures to draw, of `most` at once; where none is named, none."""
    names = comma_separated(images or "")
    if names and not most:
        raise CommandLineError(f"--images {images}: {artifact.reference} is drawn as a whole; leave the option out.")
    if len(names) > most > 0:
        raise CommandLineError(
            f"--images names {len(names)} pictures, and --png draws {most} of {artifact.kind}; "
            "name fewer, or write a file for each."
        )
    return [row_of(name, artifact.texts("id")) for name in names]


def _class(artifact: Artifact, classes: str | None, *, by_class: bool) -> int | None:
    """Return which class to draw, where one is named."""
    if classes is None:
        return None
    if not by_class:
        raise CommandLineError(
            f"--classes {classes}: {artifact.reference} is not drawn by class; leave the option out."
        )
    chosen = class_indices(classes, artifact.facts["classes"])
    if len(chosen) > 1:
        raise CommandLineError(
            f"--classes {classes} names {len(chosen)} classes, and --png draws one; write a file for each."
        )
    return chosen[0] if chosen else None


def _explanations(artifact: Artifact, params: Params, form: str) -> Answer:
    """Give explanations in one of the formats."""
    from facelime_cli.reporting import formats
    from facelime_cli.reporting.explanations import Explanations
    from facelime_cli.reporting.runs import explained_by

    artifact.require_complete()
    surrogates, check = explained_by(artifact)
    if surrogates.kind != "surrogates":
        raise FacelimeError(
            f"{artifact.reference} holds no explanations; "
            "--format is for surrogates, for their checks, and for reports of one of them."
        )
    explanations = Explanations(surrogates, check)
    chosen = None if params.classes is None else class_indices(params.classes, explanations.names)
    rows = [explanations.row(name) for name in comma_separated(params.images or "")]
    return formats.answer(explanations, form, rows, chosen)


COMMAND = Command("show", Params, run, __doc__ or "")
