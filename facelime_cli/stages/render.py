"""Write a report: one page that opens from disk, with the figures of every segment and a table of coefficients.

SURROGATES may be a check of some, from `check`: then the page has its verdicts, and the pictures that the model saw.
Vermilion segments speak for a class, blue ones against it, hatched ones may be nothing. The whole report has one colour
scale, so that pictures can be compared. Up to 48 pictures stand on one page; of more, 32 share a page, beside an
overview. --beside shows what other models or methods say of the same pictures. --figures adds pictures for print.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import presets
from facelime_cli.drawing.printing import DOTS_PER_INCH
from facelime_cli.engine import Plan, Stage
from facelime_cli.errors import CommandLineError
from facelime_cli.names import class_indices
from facelime_cli.options import MOST_SEGMENTS, MOST_WORKERS, Choice, Execution, Input, Resolved
from facelime_cli.store.arrays import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facelime_cli.console import Answer, Drawing, Table
    from facelime_cli.engine import Context, Pending, Result
    from facelime_cli.reporting.report import Report
    from facelime_cli.store.artifacts import Artifact

EXPLAINED = ("surrogates", "checks")
"""What holds explanations: a check stands for the surrogates that it checked."""
FORMATS = ("png", "svg", "pdf")
STYLES = ("facelime", "lime", "heatmap")
ZONES = ("face", "lungs")
LEAST_DPI, MOST_DPI = 50, 1200
"""Dots per inch of figures, beyond which nobody asks for any."""
MOST_COLUMNS = 12
"""Pictures in a row of a plate: more would be smaller than a centimetre and a half."""


DEFAULTS: dict[str, Any] = {"top": 10}
"""Where neither the command line nor a preset says anything."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `render`."""

    surrogates: Annotated[
        str,
        Argument(
            metavar="SURROGATES",
            help="Surrogates or a check of them, or - to read them from standard input.",
            show_default=False,
        ),
        Input(EXPLAINED),
    ]
    beside: Annotated[
        list[str] | None,
        Option(
            metavar="SURROGATES",
            show_default=False,
            help="Show another explanation of the same pictures beside it, of another model or method. "
            "Give it once for each explanation.",
        ),
        Resolved(()),
    ] = None
    preset: Annotated[
        str | None,
        Choice(tuple(presets.SYSTEMS)),
        Option(
            show_default=False, help=f"Mark as many segments as another system. {presets.help_of(presets.SYSTEMS)}."
        ),
        Resolved(()),
    ] = None
    top: Annotated[
        int | None,
        Option(
            min=1,
            max=MOST_SEGMENTS,
            show_default=False,
            help="Colour and list at first this many of the strongest segments. "
            f"{presets.default_words('top', DEFAULTS['top'])}",
        ),
    ] = None
    classes: Annotated[
        str | None,
        Option(
            metavar="A,B,…",
            show_default=False,
            help="Explain these classes, by name or by number from 0. "
            "[default: each picture's two most probable, and its true one; of independent probabilities those of 0.5 "
            "or more, and the true ones]",
        ),
        Resolved(),
    ] = None
    by_zone: Annotated[
        str | None,
        Choice(ZONES),
        Option(show_default=False, help="Add the coefficients by named zone, of a face or of the lungs."),
    ] = None
    single_file: Annotated[
        bool,
        Option(
            "--single-file",
            help="Put every picture into the one page, to hand it over. It is refused above 25 MB.",
        ),
    ] = False
    no_stand_ins: Annotated[
        bool,
        Option(
            "--no-stand-ins",
            help="Leave other people's pictures out, which stand where a region is off, and what is composed with "
            "them. Use it to hand the page over.",
        ),
        Resolved(),
    ] = False
    figures: Annotated[
        str | None,
        Option(
            metavar="FORMAT,…",
            show_default=False,
            help=f"Write figures for print too, as {', '.join(FORMATS)}, and their caption. "
            "Each takes a second or two.",
        ),
        Resolved(),
    ] = None
    dpi: Annotated[
        int | None,
        Option(
            min=LEAST_DPI,
            max=MOST_DPI,
            show_default=False,
            help=f"Draw figures in PNG with this many dots per inch. [default: {DOTS_PER_INCH}]",
        ),
        Resolved(),
    ] = None
    columns: Annotated[
        int | None,
        Option(
            min=1,
            max=MOST_COLUMNS,
            show_default=False,
            help="Draw plates too: figures of a page's size with so many pictures in a row, each with the class that "
            "is shown first.",
        ),
        Resolved(),
    ] = None
    style: Annotated[
        str,
        Choice(STYLES),
        Option(
            help="Draw the figures in this style. facelime: all views and a bar chart; "
            "lime: green for, red against, with borders; heatmap: red to blue with its colour bar."
        ),
    ] = "facelime"
    terminal: Annotated[
        bool,
        Option(
            "--terminal",
            help="Draw the first maps in the terminal too: as pictures where it shows them as Kitty or iTerm do or by "
            "Sixel, else in half blocks.",
        ),
        Execution(),
    ] = False
    workers: Annotated[
        int | None,
        Option(
            min=1,
            max=MOST_WORKERS,
            show_default=False,
            help="Use this many parallel processes. [default: one per core]",
        ),
        Execution(),
    ] = None


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Choose the classes; the colour scale follows from all of them."""
    from facelime_cli.reporting.report_files import ReportFiles
    from facelime_cli.reporting.runs import explained_by
    from facelime_cli.reporting.voices import check_beside

    given = inputs["surrogates"]
    surrogates, _ = explained_by(given)
    beside = [context.store.resolve(reference, EXPLAINED) for reference in params.beside or ()]
    check_beside(given, beside)
    params = presets.filled(params, DEFAULTS)
    chosen = None if params.classes is None else class_indices(params.classes, surrogates.facts["classes"])
    formats = formats_of(params)

    # Planning makes no report: reading what it shows takes a while, and `--missing` asks for nothing of it.
    @cache
    def report() -> Report:
        return _report([given, *beside], chosen, params)

    def work(artifact: Artifact, units: Pending) -> None:
        with context.console.progress("render", units.pictures) as advance:
            ReportFiles(report(), artifact, formats).write_units(units, params.workers, advance)

    def finish(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
        made = ReportFiles(report(), artifact, formats).write_index(params.workers)
        context.console.note(f"page: {artifact.path / 'index.html'}")
        return report().facts(), made

    # What stands beside is shown, so that it is an input like the surrogates themselves.
    inputs = {**inputs, **{f"beside_{place}": each for place, each in enumerate(beside)}}
    # Left out where it is not given: reports made before it existed keep their parameters.
    without: dict[str, Any] = {"no_stand_ins": True} if params.no_stand_ins else {}
    if params.dpi not in {None, DOTS_PER_INCH}:
        without["dpi"] = params.dpi
    if params.columns is not None:
        without["columns"] = params.columns
    return Plan(
        params=params,
        resolved={"classes": chosen, "figures": formats or None, **without},
        name=given.name,
        prepare=lambda: _layout(surrogates, report()),
        work=work,
        inputs=inputs,
        finish=finish,
    )


def answer(result: Result) -> Answer:
    """Answer with the reference, and say which pictures are unlike what the model learned from."""
    from facelime_cli.reporting import unlike

    return unlike.answer(result)


def beside(params: Any, result: Result) -> Sequence[Table | Drawing]:
    """Return the maps that --terminal asks for; none of a report that other shards still make.

    Parameters
    ----------
    params : dataclass
        Those of `render`, or of a command that has its options.
    result : Result
    """
    if not params.terminal or not result.artifact.complete:
        return ()
    from facelime_cli.reporting.explanations import Explanations
    from facelime_cli.reporting.formats import first_in_terminal

    return first_in_terminal(Explanations.of(result.artifact), result.artifact.parameters["classes"])


def _layout(surrogates: Artifact, report: Report) -> Layout:
    """Return a layout without arrays of its own: a report has files."""
    facts = {"classes": surrogates.facts["classes"]}
    return Layout(surrogates.n, constants=surrogates.carried(), facts=facts, execution=report.beginning())


def formats_of(params: Any) -> list[str]:
    """Return the formats of the figures, in the order of `FORMATS`.

    Parameters
    ----------
    params : dataclass
        Those of `render`, or of a command that has its options.

    Raises
    ------
    CommandLineError
        When a format is none, or a style has no figures.
    """
    asked = [] if params.figures is None else [word.strip().lower() for word in params.figures.split(",")]
    for word in asked:
        if word not in FORMATS:
            raise CommandLineError(f"--figures {word!r} is no format of a figure; use {', '.join(FORMATS)}.")
    if params.style != STYLES[0] and not asked:
        raise CommandLineError(f"--style {params.style} is about figures; ask for them with --figures png.")
    for option in ("dpi", "columns"):
        value = getattr(params, option, None)
        if value is not None and not asked:
            raise CommandLineError(f"--{option} {value} is about figures; ask for them with --figures png.")
    if getattr(params, "dpi", None) is not None and "png" not in asked:
        raise CommandLineError(f"--dpi {params.dpi} is about PNG; add it to --figures, or leave --dpi out.")
    return [each for each in FORMATS if each in asked]


def _report(given: list[Artifact], chosen: list[int] | None, params: Params) -> Report:
    from facelime_cli.reporting.report import Report, Request

    request = Request(
        classes=chosen,
        top=params.top or DEFAULTS["top"],
        by_zone=params.by_zone,
        single_file=params.single_file,
        style=params.style,
        people=not params.no_stand_ins,
        columns=params.columns,
        dots_per_inch=params.dpi or DOTS_PER_INCH,
    )
    return Report(given, request)


STAGE = Stage(
    name="render",
    writes="reports",
    version=7,
    params=Params,
    plan=plan,
    help=__doc__,
    sharded=True,
    answer=answer,
    beside=beside,
)
