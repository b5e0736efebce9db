"""Explain why one class rather than another, from the same stored predictions.

The surrogate is fitted again, to the difference of the two probabilities. A region speaks for the first class rather
than the second when keeping it raises the first's probability more. The result is read like any explanation. Of a model
that answers with values, the difference of two values is explained.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.answering.runtimes import answers_values, unit_behind
from facelime_cli.engine import Plan, Stage, stage_called
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.names import class_index
from facelime_cli.options import Input, Resolved
from facelime_cli.predicting import fitting
from facelime_cli.store.arrays import ArraySpec, Layout
from facelime_cli.store.explanations import SCALARS, answer_facts, measure_of, views_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

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
        Option(
            "--class", metavar="A", show_default=False, help="Explain this class, given by name or by number from 0."
        ),
        Resolved(("class", "stable_top")),
    ]
    versus: Annotated[
        str, Option("--versus", metavar="B", show_default=False, help="Tell it apart from this class."), Resolved()
    ]


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Find the predictions, and how the surrogates were fitted."""
    from facelime_cli.reporting.runs import predictions_of

    surrogates = inputs["surrogates"]
    names: list[str] = surrogates.facts["classes"]
    one, other = class_index(params.explained, names), class_index(params.versus, names)
    # Every coefficient would be exactly 0.
    if one == other:
        raise CommandLineError(f"--class {params.explained} and --versus {params.versus} are the same class; name two.")
    views = views_of(surrogates)
    if len(views) > 1:
        raise FacelimeError(
            f"surrogates/{surrogates.id} join {len(views)} views, and a contrast is fitted to the predictions of one; "
            f"give one of them, such as {views[0].reference}."
        )
    predictions = predictions_of(surrogates)
    if predictions is None:
        raise FacelimeError(
            f"surrogates/{surrogates.id} were not fitted to predictions; give surrogates that `fit-surrogate` made."
        )
    job = _Job(surrogates, predictions, _settings(surrogates, predictions), (one, other), context)
    return Plan(
        params=params,
        resolved={"class": one, "versus": other, "stable_top": job.settings.top},
        name=f"{surrogates.name}-contrast",
        prepare=job.prepare,
        work=job.work,
        inputs=inputs,
    )


def _settings(surrogates: Artifact, predictions: Artifact) -> fitting.Settings:
    """Return how some surrogates were fitted."""
    fit_surrogate = stage_called("fit-surrogate")
    if surrogates.stage != fit_surrogate.name:
        raise FacelimeError(
            f"surrogates/{surrogates.id} are a contrast already; give the surrogates that it was made from."
        )
    return fitting.settings_of(fit_surrogate.params_of(surrogates), predictions)


@dataclass(frozen=True)
class _Job:
    """Fitting surrogates to the difference of two classes' probabilities."""

    surrogates: Artifact
    predictions: Artifact
    settings: fitting.Settings
    classes: tuple[int, int]
    context: Context

    def prepare(self) -> Layout:
        """Return one contrast for every picture."""
        from facelime_cli.reporting.runs import method_of

        names = self.surrogates.facts["classes"]
        one, other = (names[c] for c in self.classes)
        n = self.surrogates.n
        arrays = {name: _one_column(self.surrogates.spec(name)) for name in ONE_COLUMN}
        measure = measure_of(self.surrogates)
        arrays["probabilities"] = ArraySpec("float32", (n, 1), ("picture", "class"), float("nan"), measure)
        name = f"{one} rather than {other}"
        raises = f"the model's probability of {one} over that of {other} by 12 points"
        if answers_values(self.surrogates):
            name = f"{one} minus {other}"
            raises = f"{one} over {other} by {{number}}{unit_behind(self.surrogates)}"
        facts = {
            **answer_facts(self.surrogates),
            "classes": [name],
            "method": f"{method_of(self.surrogates)}, contrasted",
            "reads": f"keeping this region raises {raises}, on average",
        }
        return Layout(n, arrays, self.surrogates.carried(), facts)

    def work(self, artifact: Artifact, units: Pending) -> None:
        """Fit every pending unit."""
        import numpy as np

        widest = artifact.shape("coefficients")[2]
        with self.context.console.progress("contrast", units.pictures) as advance:
            for unit in units:
                pictures = [
                    replace(each, probabilities=self._difference(each.probabilities))
                    for each in fitting.pictures_of(self.settings, self.predictions, unit.rows)
                ]
                fitted = fitting.explain_pictures((self.settings, pictures))
                # Sample 0 is the unchanged picture.
                full = np.stack([each.probabilities[0] for each in pictures])
                unit.finish({**fitting.arrays_of(fitted, widest), "probabilities": full.astype(np.float32)})
                advance(unit.n)

    def _difference(self, probabilities: NDArray[Any]) -> NDArray[Any]:
        """Return what one class has more than the other: (S, 1)."""
        one, other = self.classes
        difference: NDArray[Any] = probabilities[:, [one]] - probabilities[:, [other]]
        return difference


def _one_column(spec: ArraySpec) -> ArraySpec:
    """Return the array of one class for that of every class."""
    n, _, *rest = spec.shape
    return replace(spec, shape=(n, 1, *rest))


def restored(contrast: Artifact) -> dict[str, Any]:
    """Return the options that a contrast's parameters hold as numbers of classes."""
    return {"explained": str(contrast.parameters["class"]), "versus": str(contrast.parameters["versus"])}


STAGE = Stage(
    name="contrast",
    writes="surrogates",
    version=3,
    params=Params,
    plan=plan,
    help=__doc__,
    sharded=True,
    restored=restored,
)
