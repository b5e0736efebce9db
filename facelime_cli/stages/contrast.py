"""Explain why one class rather than another: the surrogate is fitted again, to the difference of their probabilities, from the same stored predictions.

A region speaks for the first class rather than the second when keeping it raises the first's probability more. The result is read like any explanation: render, show, compare.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.engine import Plan, Stage
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.names import class_index
from facelime_cli.options import Execution, Input
from facelime_cli.predicting import fitting
from facelime_cli.stages import fit_surrogate
from facelime_cli.store.arrays import ArraySpec, Layout
from facelime_cli.store.explanations import SCALARS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.engine import Context, Pending
    from facelime_cli.store.artifacts import Artifact

ONE_COLUMN = ("coefficients", "interval", "p_sign", *SCALARS, "verdict")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `contrast`."""

    surrogates: Annotated[
        str,
        Argument(metavar="SURROGATES", help="Surrogates, or - to read them from standard input.", show_default=False),
        Input(("surrogates",)),
    ]
    explained: Annotated[
        str,
        Option("--class", metavar="A", show_default=False, help="Class to explain, by name or by number from 0."),
        Execution(),
    ]
    versus: Annotated[
        str, Option("--versus", metavar="B", show_default=False, help="Class that it is told apart from."), Execution()
    ]


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Find the predictions, and lay out one contrast for every picture."""
    from facelime_cli.reporting.explanations import method_of, predictions_of

    surrogates = inputs["surrogates"]
    names: list[str] = surrogates.facts["classes"]
    one, other = class_index(params.explained, names), class_index(params.versus, names)
    if one == other:
        raise CommandLineError(f"--class {params.explained} and --versus {params.versus} are the same class; name two.")
    predictions = predictions_of(surrogates)
    if predictions is None:
        raise FacelimeError(
            f"surrogates/{surrogates.id} were not fitted to predictions; give surrogates that `fit-surrogate` or `explain` made."
        )
    settings = _settings(surrogates, predictions.input("masks"))

    def prepare() -> Layout:
        arrays = {name: _one_column(surrogates.spec(name)) for name in ONE_COLUMN}
        arrays["probabilities"] = ArraySpec(
            "float32", (surrogates.n, 1), ("picture", "class"), float("nan"), "probability"
        )
        contrasted = f"{names[one]} rather than {names[other]}"
        words = {
            "classes": [contrasted],
            "method": f"{method_of(surrogates)}, contrasted",
            "reads": f"keeping this region raises the model's probability of {names[one]} over that of {names[other]} by 12 points, on average",
        }
        return Layout(surrogates.n, arrays, surrogates.carried(), words)

    def work(artifact: Artifact, units: Pending) -> None:
        import numpy as np

        with context.console.progress("contrast", units.pictures) as advance:
            for unit in units:
                pictures = [
                    replace(each, probabilities=_contrast(each.probabilities, one, other))
                    for each in fitting.pictures_of(settings, predictions, unit.rows)
                ]
                parts = fitting.parts_of(
                    fitting.explain_pictures((settings, pictures)),
                    artifact.shape("coefficients")[2],
                )
                unit.finish(
                    {
                        **parts,
                        "probabilities": np.stack([each.probabilities[0] for each in pictures]).astype(np.float32),
                    }
                )
                advance(unit.n)

    return Plan(
        {"class": one, "versus": other, "stable_top": settings.top},
        f"{surrogates.name}-contrast",
        prepare,
        work,
        inputs,
    )


def _settings(surrogates: Artifact, masks: Artifact) -> fitting.Settings:
    """Return how some surrogates were fitted."""
    made = surrogates.parameters
    if "surrogate" not in made:
        raise FacelimeError(
            f"surrogates/{surrogates.id} are a contrast already; give the surrogates that it was made from."
        )
    own = {name: made[name] for name in fit_surrogate.SURROGATES[made["surrogate"]]}
    design = str(masks.parameters.get("design", "bernoulli"))
    part = fit_surrogate.part_of(made.get("part"), design)
    return fitting.Settings(
        made["surrogate"], own, made["intervals"], made["stable_top"], design, int(masks.parameters["seed"]), part
    )


def _contrast(probabilities: Any, one: int, other: int) -> Any:
    return probabilities[:, [one]] - probabilities[:, [other]]


def _one_column(spec: ArraySpec) -> ArraySpec:
    """Return the array of one class for that of every class."""
    n, _, *rest = spec.shape
    return replace(spec, shape=(n, 1, *rest))


STAGE = Stage(name="contrast", writes="surrogates", version=2, params=Params, plan=plan, help=__doc__, sharded=True)
