"""Show one artifact: what made it, from what, and what its arrays hold; or draw it.

--png writes a picture of any artifact: sample pictures, segments with their numbers, or how a training went. Perturbed
pictures are drawn as the model saw them, with its answers; surrogates with their fit to these answers.
A check is drawn as the picture beside what stood in, and without its strongest regions.
--terminal draws explanations in the terminal, --format text does so in half blocks alone. --format json and csv write
their figures for other programs. Without a choice of pictures, --png, --terminal and --format text show the first one,
json and csv all. --command prints the commands that made the artifact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context, refuse_newer, resolve_inputs
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.names import class_indices, comma_separated, rows_of
from facelime_cli.options import Choice, Input
from facelime_cli.predicting import choosing
from facelime_cli.predicting.choosing import Choosing
from facelime_cli.store import files, temporary
from facelime_cli.store.kinds import KINDS
from facelime_cli.store.pictures import Segmented

if TYPE_CHECKING:
    from facelime_cli.store.artifacts import Artifact

EXPLAINED = ("surrogates", "checks")
"""Kinds whose pictures `--json` tells one by one."""
FORMATS = ("text", "json", "csv")
TERMINAL = "terminal"
"""What `reporting.formats` calls the form of --terminal."""


@dataclass(frozen=True, kw_only=True)
class Params(Choosing):
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
    terminal: Annotated[
        bool,
        Option(
            "--terminal",
            help="Draw explanations in the terminal: as pictures where it shows them as Kitty or iTerm do or by Sixel, "
            "else in half blocks.",
        ),
    ] = False
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
    if params.terminal and (params.png is not None or params.format is not None):
        other = "--png writes a file" if params.png is not None else "--format has a form of its own"
        raise CommandLineError(f"--terminal draws in the terminal, and {other}; ask for one of them.")
    if params.png is not None:
        return _drawn(artifact, params, params.png, context)
    if params.format is not None or params.terminal:
        return _explanations(artifact, params, params.format or TERMINAL, context)
    about = (
        ["--classes"] if params.classes is not None else [choosing.typed_name(each) for each in choosing.given(params)]
    )
    if about:
        raise CommandLineError(f"{about[0]} is about pictures; ask for them with --png, --format or --terminal.")
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

    others = (params.png, params.format, params.terminal or None, params.classes)
    if any(each is not None for each in others) or choosing.given(params):
        raise CommandLineError("--command prints commands alone; leave the other options of `show` out.")
    found = commands.script(artifact)
    said = [f"{', '.join(found.files)}: put in their place what was read from outside the store."]
    value = {"artifact": artifact.id, "kind": artifact.kind, "commands": found.lines, "files": found.files}
    return Answer(value, found.lines, said=said if found.files else [])


def _drawn(artifact: Artifact, params: Params, file: Path, context: Context) -> Answer:
    """Draw an artifact into a file."""
    from facelime_cli.reporting import previews

    artifact.require_complete()
    _check_new(file)
    most, by_class = previews.PICTURES.get(artifact.kind, 0), artifact.kind in previews.BY_CLASS
    # Reports on a dataset or a comparison are a whole: they have no pictures to choose from.
    has_pictures = artifact.has("id")
    rows = _rows(artifact, params, most if has_pictures else 0, context)
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


def _rows(artifact: Artifact, params: Params, most: int, context: Context) -> list[int]:
    """Return which pictures to draw, of `most` at once; where none is chosen, none."""
    if not choosing.given(params):
        return []
    if not most:
        option = choosing.typed_name(next(iter(choosing.given(params))))
        raise CommandLineError(f"{option}: {artifact.reference} is drawn as a whole; leave the option out.")
    rows = _chosen(artifact, params, context)
    if len(rows) > most:
        raise CommandLineError(
            f"the options choose {len(rows)} pictures, and --png draws {most} of {artifact.kind}; "
            f"choose fewer, as --first {most} does, or write a file for each."
        )
    return rows


def _chosen(artifact: Artifact, params: Params, context: Context) -> list[int]:
    """Return the places of the chosen pictures in an artifact, in the order of the options; where none is, none."""
    given = choosing.given(params)
    if list(given) == ["images"]:
        # Drawn and told in the order in which they are named.
        return rows_of(comma_separated(str(params.images)), artifact.texts("id"))
    if not given:
        return []
    from facelime_cli.reporting.runs import explained_by

    _, check = explained_by(artifact)
    if check is not None and params.from_check is None and params.verdict is not None:
        params = replace(params, from_check=check.reference)
    inputs = resolve_inputs(params, context.store)
    if artifact.kind == "datasets":
        return choosing.chosen(params, artifact, inputs)
    its_rows: list[int] = artifact.read("row").tolist()
    chosen = choosing.chosen(params, Segmented(artifact).dataset, inputs, sorted(its_rows))
    return [its_rows.index(row) for row in chosen]


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


def _explanations(artifact: Artifact, params: Params, form: str, context: Context) -> Answer:
    """Give explanations in one of the formats."""
    from facelime_cli.reporting import formats
    from facelime_cli.reporting.explanations import Explanations
    from facelime_cli.reporting.runs import explained_by

    artifact.require_complete()
    surrogates, check = explained_by(artifact)
    if surrogates.kind != "surrogates":
        raise FacelimeError(
            f"{artifact.reference} holds no explanations; "
            "--format and --terminal are for surrogates, for their checks, and for reports of one of them."
        )
    explanations = Explanations(surrogates, check)
    chosen = None if params.classes is None else class_indices(params.classes, explanations.names)
    rows = _chosen(artifact, params, context)
    return formats.answer(explanations, form, rows, chosen)


COMMAND = Command("show", Params, run, __doc__ or "")
