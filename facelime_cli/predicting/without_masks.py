"""What every explanation without masks has in common: which pictures, which model, and what must be there first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from facelime_cli.answering import runtimes
from facelime_cli.engine import Needed, stage_called
from facelime_cli.errors import CommandLineError, NotFoundError
from facelime_cli.options import Input
from facelime_cli.predicting import choosing
from facelime_cli.predicting.choosing import Choosing
from facelime_cli.predicting.outputs import OfOutput
from facelime_cli.store.pictures import Segmented

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.store.artifacts import Artifact

READS = ("datasets", "segments", "masks", "predictions", "surrogates")


@dataclass(frozen=True, kw_only=True)
class Chosen(OfOutput, Choosing):
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
            help="Explain this model, from `finetune` or `import-model`. "
            "[default: that of the surrogates, or of --from-evaluation]",
        ),
        Input(("models",)),
    ] = None


def model_of(inputs: Mapping[str, Artifact]) -> Artifact:
    """Return the model that is given, or the source's own.

    Parameters
    ----------
    inputs : mapping
        Artifacts by parameter: `source`, and `model` and `from_evaluation` where they are given.

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
    if "from_evaluation" in inputs:
        return inputs["from_evaluation"].input("models")
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
    filters = choosing.given(params)
    if source.kind == "datasets":
        runtimes.check_size(model, source, besides="")
        segment = stage_called("segment")
        return {"source": Needed(segment.name, segment.params(dataset=f"datasets/{source.id}", **filters))}
    # An option without effect would make a person believe in a choice that was not made.
    if filters:
        raise CommandLineError(
            f"{choosing.typed_name(next(iter(filters)))} chooses among the pictures of a dataset, but "
            f"{source.reference} has its own; leave it out."
        )
    runtimes.check_size(model, Segmented(source).dataset, besides="")
    return {}
