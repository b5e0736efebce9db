"""Explanations like one that is there, but for some parameters: the same pictures, model and everything else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from facelime_cli.choices import FILLS
from facelime_cli.engine import execute, stage_called
from facelime_cli.errors import FacelimeError
from facelime_cli.store.explanations import views_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.engine import Context
    from facelime_cli.store.artifacts import Artifact

FIT, CONSENSUS = "fit-surrogate", "consensus"


def again(first: Artifact, context: Context, **changes: Mapping[str, Any]) -> Artifact:
    """Return surrogates made as others were, but for some parameters. What is in the store already is not made again.

    Parameters
    ----------
    first : Artifact
        Surrogates of `fit-surrogate`, or a consensus: then each of its views is made again.
    context : Context
    **changes : mapping
        New values by parameter, for `segment`, `perturb` or `fit_surrogate`.

    Returns
    -------
    Artifact

    Raises
    ------
    FacelimeError
        When the masks of `first` cannot be drawn again.
    """
    refuse_others(first)
    # A name belongs to the comparison, not to the explanations that it is made of.
    unnamed = replace(context, name=None)
    if first.stage == CONSENSUS:
        return _joined_again(first, unnamed, changes)
    segments, masks, predictions = (first.input(kind) for kind in ("segments", "masks", "predictions"))
    if changes.get("segment"):
        # The new method keeps the pictures alone: the settings of the first one mean something else to it.
        stage = stage_called("segment")
        pictures = stage.params_of(segments).images
        params = stage.params(dataset=segments.input("datasets").reference, images=pictures, **changes["segment"])
        segments = execute(stage, params, unnamed).artifact
    if changes.get("segment") or changes.get("perturb"):
        params = _of_masks(masks, changes.get("perturb", {}))
        params = replace(params, segmentation=segments.reference)
        masks = execute(stage_called("perturb"), params, unnamed).artifact
        params = stage_called("predict").params_of(predictions)
        # With another batch size the bits would differ for a reason that is not compared.
        batch_size = str(predictions.execution["batch_size"])
        params = replace(params, masks=masks.reference, batch_size=batch_size)
        predictions = execute(stage_called("predict"), params, unnamed).artifact
    fit = stage_called(FIT)
    fitted = replace(fit.params_of(first), predictions=predictions.reference, **changes.get("fit_surrogate", {}))
    return execute(fit, fitted, unnamed).artifact


def _joined_again(first: Artifact, context: Context, changes: Mapping[str, Mapping[str, Any]]) -> Artifact:
    """Return a consensus of views that are made again."""
    views = [again(view, context, **changes).reference for view in views_of(first)]
    stage = stage_called(CONSENSUS)
    return execute(stage, replace(stage.params_of(first), surrogates=views), context).artifact


def refuse_others(surrogates: Artifact) -> None:
    """Raise for attributions that no masks were drawn for.

    Parameters
    ----------
    surrogates : Artifact

    Raises
    ------
    FacelimeError
        When another stage than `fit-surrogate` or `consensus` made them.
    """
    if surrogates.stage not in {FIT, CONSENSUS}:
        raise FacelimeError(
            f"surrogates/{surrogates.id} were made by `{surrogates.stage}`, which draws no masks that could be drawn "
            f"again; give those of `{FIT}` or `{CONSENSUS}`."
        )


def _of_masks(masks: Artifact, changed: Mapping[str, Any]) -> Any:
    """Return the parameters of `perturb` for masks like these.

    Masks of several rounds get as many samples as the last round, and another fill has its own blur.
    """
    found = replace(stage_called("perturb").params_of(masks), after=None, confidence=None, **changed)
    before = masks.parameters["fill"]
    if changed.get("fill", before) != before:
        return replace(found, fill_sigma=None, donor=None)
    if FILLS[before].from_file:
        raise FacelimeError(
            f"masks/{masks.id} have --fill {before}, a file that the store does not keep; vary --fills, "
            "compare parts of the samples with `facelime stability --stored`, or run the stages again."
        )
    return found
