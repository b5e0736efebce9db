"""Explanations like one that is there, but for some parameters: the same pictures, model and everything else."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import FacelimeError
from facelime_cli.names import listing
from facelime_cli.stage import execute, inputs_of
from facelime_cli.stages import fit_surrogate, perturb, predict, segment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.stage import Context, Stage
    from facelime_cli.store import Artifact

OTHERS = frozenset({"pictures"})
"""Parameters of an artifact that are no option of its stage."""


def again(first: Artifact, context: Context, **changes: Mapping[str, Any]) -> Artifact:
    """Return surrogates made as `first` was, with other parameters for `segment`, `perturb` or `fit_surrogate`; what is in the store already is not made again."""
    unnamed = replace(context, name=None)
    segments, masks, predictions, model = (first.input(kind) for kind in ("segments", "masks", "predictions", "models"))
    made = segments
    if changes.get("segment"):
        params = segment.Params(dataset=_reference(segments.input("datasets")), images=listing(segments.texts("id")), **changes["segment"])
        made = execute(segment.STAGE, params, unnamed).artifact
    made = execute(perturb.STAGE, perturb.Params(segmentation=_reference(made), **_parameters(perturb.STAGE, masks, changes.get("perturb", {}))), unnamed).artifact
    how = {name: predictions.parameters[name] for name in ("runtime", "precision", "resize")}
    made = execute(predict.STAGE, predict.Params(masks=_reference(made), model=_reference(model), batch_size=str(predictions.layout["execution"]["batch_size"]), **how), unnamed).artifact
    return execute(fit_surrogate.STAGE, fit_surrogate.Params(predictions=_reference(made), **_parameters(fit_surrogate.STAGE, first, changes.get("fit_surrogate", {}))), unnamed).artifact


def _parameters(stage: Stage, before: Artifact, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return an artifact's parameters as its stage takes them."""
    options = {each.name for each in fields(stage.params)} - set(inputs_of(stage.params))
    lost = set(before.parameters) - options - OTHERS
    if lost:
        raise FacelimeError(f"{before.kind}/{before.id} was made with {', '.join(sorted(lost))}, which cannot be repeated by itself; run the stages again, and `facelime compare` what they make.")
    return {name: value for name, value in before.parameters.items() if name in options} | dict(changed)


def _reference(artifact: Artifact) -> str:
    return f"{artifact.kind}/{artifact.id}"
