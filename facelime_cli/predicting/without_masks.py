"""What every explanation without masks has in common: which pictures, which model, and what must be there first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from facelime_cli.answering import runtimes
from facelime_cli.engine import Needed, stage_called
from facelime_cli.errors import CommandLineError, NotFoundError
from facelime_cli.options import Choice, Input, Resolved
from facelime_cli.predicting.outputs import OfOutput
from facelime_cli.sources import SPLITS
from facelime_cli.store.pictures import Segmented

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.store.artifacts import Artifact

READS = ("datasets", "segments", "masks", "predictions", "surrogates")
FILTERS = ("split", "images", "first")
"""Options that choose among the pictures of a dataset."""


@dataclass(frozen=True, kw_only=True)
class Chosen(OfOutput):
    """Parameters of every stage that explains without masks: which pictures, and which model."""

    source: Annotated[
        str,
        Argument(
            metavar="SOURCE",
            help="Dataset, segments or surrogates, or - to read them from standard input.",
            show_default=False,
        ),
        Input(READS),
    ]
    model: Annotated[
        str | None,
        Option(
            metavar="MODEL",
            show_default=False,
            help="Explain this model, from `finetune` or `import-model`. [default: that of the surrogates]",
        ),
        Input(("models",)),
    ] = None
    split: Annotated[
        str | None,
        Choice(SPLITS),
        Option(help="Of a dataset, explain only the pictures of this split. [default: all]", show_default=False),
        Resolved(()),
    ] = None
    images: Annotated[
        str | None,
        Option(metavar="ID,…", help="Of a dataset, explain only these pictures. [default: all]", show_default=False),
        Resolved(()),
    ] = None
    first: Annotated[
        int | None,
        Option(
            min=1,
            metavar="N",
            help="Of a dataset, explain only the first N, after the other filters. [default: all]",
            show_default=False,
        ),
        Resolved(()),
    ] = None


def model_of(inputs: Mapping[str, Artifact]) -> Artifact:
    """Return the model that is given, or the source's own.

    Parameters
    ----------
    inputs : mapping
        Artifacts by parameter: `source`, and `model` where it is given.

    Returns
    -------
    Artifact

    Raises
    ------
    NotFoundError
        When no model is given and the source was made without one.
    """
    source = inputs["source"]
    if "model" in inputs:
        return inputs["model"]
    if source.kind in {"predictions", "surrogates"}:
        return source.input("models")
    raise NotFoundError(f"{source.reference} does not say which model to explain; name it with --model.")


def needed_segments(params: Chosen, source: Artifact, model: Artifact) -> dict[str, Needed]:
    """Return what must be there before a source can be explained: the segments of a dataset, nothing for others.

    Parameters
    ----------
    params : Chosen
    source : Artifact
        Of any of the kinds in `READS`.
    model : Artifact
        It must be able to read the source's pictures.

    Returns
    -------
    dict
        Empty, or what makes the segments that stand in for `source`.

    Raises
    ------
    CommandLineError
        When pictures are chosen from something that has its own.
    FacelimeError
        When the model reads pictures of another size.
    """
    runtimes.require_answering(model)
    filters = {name: getattr(params, name) for name in FILTERS}
    if source.kind == "datasets":
        runtimes.check_size(model, source, besides="")
        segment = stage_called("segment")
        return {"source": Needed(segment.name, segment.params(dataset=f"datasets/{source.id}", **filters))}
    # An option without effect would make a person believe in a choice that was not made.
    for name, value in filters.items():
        if value is not None:
            raise CommandLineError(
                f"--{name} chooses among the pictures of a dataset, but {source.reference} has its own; leave it out."
            )
    runtimes.check_size(model, Segmented(source).dataset, besides="")
    return {}
