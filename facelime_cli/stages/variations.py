"""Explanations like one that is there, but for some parameters: the same pictures, model and everything else."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from facelime_cli.engine import execute
from facelime_cli.errors import FacelimeError
from facelime_cli.names import listing
from facelime_cli.options import inputs_of
from facelime_cli.stages import fit_surrogate, perturb, predict, segment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.engine import Context, Stage
    from facelime_cli.store.artifacts import Artifact

OTHERS = frozenset({"pictures"})
"""Parameters of an artifact that are no option of its stage."""


def again(first: Artifact, context: Context, **changes: Mapping[str, Any]) -> Artifact:
    """Return surrogates made as `first` was, with other parameters for `segment`, `perturb` or `fit_surrogate`; what is in the store already is not made again."""
    unnamed = replace(context, name=None)
    refuse_others(first)
    segments, masks, predictions, model = (first.input(kind) for kind in ("segments", "masks", "predictions", "models"))
    made = segments
    if changes.get("segment"):
        params = segment.Params(
            dataset=_reference(segments.input("datasets")), images=listing(segments.texts("id")), **changes["segment"]
        )
        made = execute(segment.STAGE, params, unnamed).artifact
    if not changes.get("segment") and not changes.get("perturb"):
        return _fitted(first, predictions, unnamed, changes)
    made = execute(
        perturb.STAGE,
        perturb.Params(segmentation=_reference(made), **_of_masks(masks, changes.get("perturb", {}))),
        unnamed,
    ).artifact
    how = {name: predictions.parameters[name] for name in ("runtime", "precision", "resize")}
    made = execute(
        predict.STAGE,
        predict.Params(
            masks=_reference(made),
            model=_reference(model),
            batch_size=str(predictions.execution["batch_size"]),
            **how,
        ),
        unnamed,
    ).artifact
    return _fitted(first, made, unnamed, changes)


def refuse_others(surrogates: Artifact) -> None:
    """Raise for attributions that no masks were drawn for."""
    made_by = str(surrogates.stage)
    if made_by != fit_surrogate.STAGE.name:
        raise FacelimeError(
            f"surrogates/{surrogates.id} were made by `{made_by}`, which draws no masks that could be drawn again; give those of `{fit_surrogate.STAGE.name}`."
        )


def _fitted(
    first: Artifact, predictions: Artifact, context: Context, changes: Mapping[str, Mapping[str, Any]]
) -> Artifact:
    """Return surrogates fitted as the first were, to other predictions or with other parameters."""
    params = fit_surrogate.Params(
        predictions=_reference(predictions), **_parameters(fit_surrogate.STAGE, first, changes.get("fit_surrogate", {}))
    )
    return execute(fit_surrogate.STAGE, params, context).artifact


def _of_masks(masks: Artifact, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of masks as `perturb` takes them: those of rounds get as many samples as the last, and another fill has no blur's width."""
    found = _parameters(perturb.STAGE, masks, changed)
    found.pop("confidence", None)
    if found["fill"] != masks.parameters["fill"]:
        found["fill_sigma"] = None
    elif found["fill"] == perturb.FROM_FILE:
        raise FacelimeError(
            f"masks/{masks.id} have --fill {perturb.FROM_FILE}, a file that the store does not keep; vary --fills, "
            "compare parts of the samples with `facelime stability --stored`, or run the stages again."
        )
    return found


def _parameters(stage: Stage, before: Artifact, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return an artifact's parameters as its stage takes them."""
    options = {each.name for each in fields(stage.params)} - set(inputs_of(stage.params))
    lost = set(before.parameters) - options - OTHERS
    if lost:
        raise FacelimeError(
            f"{before.kind}/{before.id} was made with {', '.join(sorted(lost))}, which cannot be repeated by itself; run the stages again, and `facelime compare` what they make."
        )
    return {name: value for name, value in before.parameters.items() if name in options} | dict(changed)


def _reference(artifact: Artifact) -> str:
    return f"{artifact.kind}/{artifact.id}"
