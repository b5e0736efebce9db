"""List the ids of a dataset's pictures, one in each line: all, or those that the options choose.

The options are those of every command that takes pictures, so that a choice can be looked at before anything is
computed. Another command reads the list with `--from -`, or later from a file. After an option that ranks pictures,
such as --mistakes, the list is in that order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facelime_cli.console import Answer
from facelime_cli.engine import Command, resolve_inputs
from facelime_cli.errors import CommandLineError
from facelime_cli.options import Input
from facelime_cli.predicting import choosing
from facelime_cli.predicting.choosing import Choosing

if TYPE_CHECKING:
    from facelime_cli.engine import Context


@dataclass(frozen=True, kw_only=True)
class Params(Choosing):
    """Parameters of `list`."""

    dataset: Annotated[
        str | None,
        Argument(
            metavar="[DATASET]",
            help="Dataset, or - to read it from standard input. [default: that of --from-evaluation]",
            show_default=False,
        ),
        Input(("datasets",)),
    ] = None


def run(params: Params, context: Context) -> Answer:
    """Answer with the ids of the chosen pictures."""
    inputs = resolve_inputs(params, context.store)
    if "dataset" in inputs:
        dataset = inputs["dataset"]
    elif "from_evaluation" in inputs:
        dataset = inputs["from_evaluation"].input("datasets")
    else:
        raise CommandLineError("DATASET is missing; name one, or take that of --from-evaluation.")
    every = dataset.texts("id")
    ids = [every[row] for row in choosing.chosen(params, dataset, inputs)]
    value = {"dataset": dataset.id, "n": len(ids), "pictures": ids}
    return Answer(value, ids, said=[f"{len(ids)} of {len(every)} pictures of {dataset.reference}."])


COMMAND = Command("list", Params, run, __doc__ or "")
