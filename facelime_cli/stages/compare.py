"""Compare explanations of the same pictures: how far their strongest segments, ranks and signs agree.

The explanations may differ in anything: seed, segments, fill, design, surrogate, samples or model. Explanations over
the same segments are compared segment by segment, others pixel by pixel. The report shows what holds in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.console import Answer, Table
from facelime_cli.engine import Plan, Stage, execute, facts_of_only_unit
from facelime_cli.errors import CommandLineError
from facelime_cli.names import class_index
from facelime_cli.options import MOST_SEGMENTS, Resolved
from facelime_cli.store.arrays import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facelime_cli.engine import Context, Pending, Result
    from facelime_cli.store.artifacts import Artifact

FEWEST = 2


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `compare`."""

    surrogates: Annotated[
        list[str],
        Argument(metavar="SURROGATES…", help="Two surrogates or more, of pictures of one dataset.", show_default=False),
        Resolved(()),
    ]
    top: Annotated[int, Option(min=1, max=MOST_SEGMENTS, help="Compare this many of the strongest segments.")] = 5
    explained: Annotated[
        str | None,
        Option(
            "--class",
            metavar="CLASS",
            show_default=False,
            help="Compare this class, by name or number. [default: each picture's most probable in the first]",
        ),
        Resolved(("class",)),
    ] = None


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Find the pictures that all have in common."""
    from facelime_cli.reporting.comparison import Comparison

    del inputs
    if len(params.surrogates) < FEWEST:
        raise CommandLineError(f"there is nothing to compare {params.surrogates[0]} with; name two surrogates or more.")
    compared = [context.store.resolve(reference, ("surrogates",)) for reference in params.surrogates]
    chosen = None if params.explained is None else class_index(params.explained, compared[0].facts["classes"])
    comparison = Comparison(compared, params.top, chosen)

    def work(artifact: Artifact, units: Pending) -> None:
        for unit in units:
            with context.console.progress("compare", len(comparison.ids)) as advance:
                comparison.write(artifact, unit, advance)

    # Their order counts: the first decides which pictures and classes are compared.
    inputs = {f"surrogates_{place}": each for place, each in enumerate(compared)}
    return Plan(
        params=params,
        resolved={"class": chosen},
        name=f"{compared[0].name}-compared",
        prepare=lambda: Layout(1),
        work=work,
        inputs=inputs,
        finish=facts_of_only_unit,
    )


def restored(comparison: Artifact) -> dict[str, Any]:
    """Return the option that a comparison's parameters hold as the number of a class."""
    chosen = comparison.parameters["class"]
    return {"explained": None if chosen is None else str(chosen)}


def answer(result: Result) -> Answer:
    """Answer with the reference, and beside it how far each two agree on average."""
    from facelime_cli.reporting.comparison import FIGURE_WORDS, typeset

    facts = result.artifact.facts
    rows = [(each["first"], each["second"], *typeset(each)) for each in facts["pairs"]]
    top = result.artifact.parameters["top"]
    table = Table(
        ("first", "second", *FIGURE_WORDS), rows, f"{facts['pictures']} pictures, the {top} strongest segments"
    )
    page = result.artifact.path.absolute() / "index.html"
    value = {**result.json(), **facts, "page": str(page)}
    # They stand one by one in the answer already.
    value.pop("facts")
    return Answer(value, [result.artifact.id], notes=[table], said=[f"page: {page}"])


def of(runs: Sequence[Artifact], top: int, context: Context) -> Answer:
    """Compare surrogates that another command has made.

    Parameters
    ----------
    runs : sequence of Artifact
        Surrogates.
    top : int
        How many of the strongest segments are compared.
    context : Context
    """
    params = Params(surrogates=[each.reference for each in runs], top=top)
    return answer(execute(STAGE, params, context))


STAGE = Stage(
    name="compare",
    writes="reports",
    version=3,
    params=Params,
    plan=plan,
    help=__doc__,
    answer=answer,
    restored=restored,
)
