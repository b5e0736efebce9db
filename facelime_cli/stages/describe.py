"""Describe a dataset: its classes, the columns of its table, sample pictures, and what could leak.

The result is one page that opens from disk. Its charts are there as PNG and SVG, the numbers behind them as CSV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.engine import Plan, Stage, facts_of_only_unit
from facelime_cli.options import Input
from facelime_cli.store import digests
from facelime_cli.store.arrays import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.engine import Context, Pending
    from facelime_cli.store.artifacts import Artifact

MOST_ON_SHEET = 120


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `describe`."""

    dataset: Annotated[
        str,
        Argument(metavar="DATASET", help="Dataset, or - to read it from standard input.", show_default=False),
        Input(("datasets",)),
    ]
    sheet: Annotated[
        int,
        Option(
            min=1,
            max=MOST_ON_SHEET,
            help=f"Show this many pictures of each class on the sample sheet, which holds {MOST_ON_SHEET} at most.",
        ),
    ] = 6
    seed: Annotated[int, Option(min=0, help="Choose other sample pictures with another seed.")] = 0


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Count what the dataset's arrays say; of its pictures only those on the sheet are read."""
    dataset = inputs["dataset"]

    def work(artifact: Artifact, units: Pending) -> None:
        from facelime_cli.reporting.description import Description

        description = Description(dataset, params.sheet, params.seed, MOST_ON_SHEET)
        for unit in units:
            with context.console.progress("describe", len(description.charts), unit="figures") as advance:
                description.write(artifact, unit, advance)

    def finish(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
        context.console.note(f"page: {artifact.path / 'index.html'}")
        return facts_of_only_unit(artifact)

    # The page tells what a dataset's content digest leaves out: unreadable files, leakage, operations.
    told = digests.of_value([dataset.facts, dataset.parameters])
    return Plan(
        params=params,
        name=f"{dataset.name}-description",
        prepare=lambda: Layout(1),
        work=work,
        inputs=inputs,
        sources={"facts": told},
        finish=finish,
    )


STAGE = Stage(name="describe", writes="reports", version=1, params=Params, plan=plan, help=__doc__)
