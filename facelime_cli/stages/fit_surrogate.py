"""Fit a linear surrogate to the predictions: one coefficient per segment and class, with its interval.

Coefficients use every sample; fidelity (R², RMSE) comes from samples that were not fitted, and a verdict in words says what it means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.stage import Choice, Input, Plan, Stage, results_of
from facelime_cli.stages.perturb import carried
from facelime_cli.store import ArraySpec, Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facelime_cli.core.fidelity import Explanation
    from facelime_cli.stage import Context, Pending
    from facelime_cli.store import Artifact

SURROGATES = ("ridge", "linear")
"""The function of the same name is in `core.surrogate`."""
SCALARS = {"intercept": "probability", "local_prediction": "probability", "r2": "", "rmse": "probability", "effective_samples": "", "topk_repeat": "probability"}
NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `fit-surrogate`."""

    predictions: Annotated[str, Argument(metavar="PREDICTIONS", help="Predictions, or - to read them from standard input.", show_default=False), Input(("predictions",))]
    surrogate: Annotated[str, Choice(SURROGATES), Option(help="ridge: lime's own, with a penalty of 1; linear: without one, for more samples than segments.")] = "ridge"
    kernel_width: Annotated[float, Option(min=0.02, help="How fast a sample's weight falls with its cosine distance from the full picture; larger counts distant samples more.")] = 0.25
    stable_top: Annotated[int, Option(min=1, help="How many of the strongest segments must stay the same for `topk_repeat`, as far as their intervals exclude 0.")] = 5


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Lay out coefficients and figures for every picture and class."""
    predictions = inputs["predictions"]
    masks, segments = predictions.input("masks"), predictions.input("segments")

    def prepare() -> Layout:
        n, _, n_classes = predictions.layout["arrays"]["probabilities"]["shape"]
        widest = int(segments.read("n_segments").max())
        per_class = ("picture", "class")
        arrays = {
            "coefficients": ArraySpec("float64", (n, n_classes, widest), (*per_class, "segment"), NAN, "probability"),
            "interval": ArraySpec("float64", (n, n_classes, widest, 2), (*per_class, "segment", "bound"), NAN, "probability"),
            **{name: ArraySpec("float64", (n, n_classes), per_class, NAN, unit) for name, unit in SCALARS.items()},
            "verdict": ArraySpec("string", (n, n_classes), per_class, ""),
        }
        return Layout(n, arrays, carried(predictions), {"classes": predictions.facts["classes"]})

    def work(artifact: Artifact, units: Pending) -> None:
        ids, counts, samples = predictions.texts("id"), segments.read("n_segments"), masks.read("n_samples")
        with context.console.progress("fit-surrogate", units.pictures) as advance:
            for unit in units:
                fitted = []
                for row in range(unit.rows.start, unit.rows.stop):
                    fitted.append(_fit(params, masks, predictions, row, int(counts[row]), int(samples[row]), ids[row]))
                    advance(1)
                unit.finish(_parts(fitted, artifact.layout["arrays"]["coefficients"]["shape"][2]))

    return Plan(results_of(params), f"{predictions.name}-{params.surrogate}", prepare, work, inputs)


def _fit(params: Params, masks: Artifact, predictions: Artifact, row: int, n_segments: int, n_samples: int, picture_id: str) -> Explanation:
    from facelime_cli.core import fidelity, surrogate
    from facelime_cli.core.masks import unpack

    one = slice(row, row + 1)
    kept = unpack(masks.read("masks", one)[0, :n_samples], n_segments)
    probabilities = predictions.read("probabilities", one)[0, :n_samples]
    return fidelity.explain(
        kept, probabilities, fitter=surrogate.SURROGATES[params.surrogate], kernel_width=params.kernel_width, top=params.stable_top, seed=int(masks.parameters["seed"]), picture_id=picture_id
    )


def _parts(fitted: list[Explanation], widest: int) -> dict[str, NDArray[Any]]:
    import numpy as np

    def padded(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Put classes first, and NaN beyond the picture's own segments."""
        spare = [(0, widest - len(values))] + [(0, 0)] * (values.ndim - 1)
        return np.moveaxis(np.pad(values, spare, constant_values=np.nan), 1, 0)

    return {
        "coefficients": np.stack([padded(each.coefficients) for each in fitted]),
        "interval": np.stack([padded(each.interval) for each in fitted]),
        **{name: np.stack([getattr(each, name) for each in fitted]) for name in SCALARS},
        "verdict": np.array([each.verdict for each in fitted], dtype=object),
    }


STAGE = Stage(name="fit-surrogate", writes="surrogates", version=1, params=Params, plan=plan, help=__doc__, sharded=True)
