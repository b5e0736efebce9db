"""Which output of a model is asked, where it has several: one is taken first, and is a model of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Option

from facelime_cli.answering import several
from facelime_cli.engine import Needed, stage_called
from facelime_cli.options import Resolved

if TYPE_CHECKING:
    from facelime_cli.store.artifacts import Artifact

TAKING = "take-output"
"""The stage that makes a model of one output."""


@dataclass(frozen=True, kw_only=True)
class OfOutput:
    """The option of every stage that can ask another output of a model than its first."""

    output: Annotated[
        str | None,
        Option(
            metavar="NAME",
            show_default=False,
            help="Take this output of a model that learned several labels, see `finetune --labels`. "
            "[default: its first]",
        ),
        # Another output is another model, whose content counts.
        Resolved(()),
    ] = None


def needed_output(output: str | None, model: Artifact) -> dict[str, Needed]:
    """Return what must be there before an output of a model can be asked.

    Parameters
    ----------
    output : str or None
        As it was asked for.
    model : Artifact

    Returns
    -------
    dict
        Empty where the model answers with it already, else what makes the model that stands in for `model`.

    Raises
    ------
    CommandLineError
        Where the model has no such output.
    """
    if output is None or several.chosen(model, output) is None:
        return {}
    stage = stage_called(TAKING)
    return {"model": Needed(stage.name, stage.params(model=model.reference, output=output))}
