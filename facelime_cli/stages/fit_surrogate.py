"""Fit a linear surrogate to the predictions: one coefficient per segment and class, with its interval.

Coefficients use every sample; fidelity (R², RMSE) comes from samples that were not fitted, and a verdict in words says what it means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import presets
from facelime_cli.choices import NEAR
from facelime_cli.engine import Plan, Stage
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.options import Choice, Execution, Input, default_of, own_parameters
from facelime_cli.predicting import fitting
from facelime_cli.store.arrays import Layout
from facelime_cli.store.explanations import SCALARS, explanation_arrays
from facelime_cli.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.core.fidelity import Explanation
    from facelime_cli.engine import Context, Pending
    from facelime_cli.store.artifacts import Artifact

PROXIMITIES = {"cosine": 0.25, "l2": 45.0}
"""The kernel width of each distance: lime's and Xplique's."""
SELECTING = {"features": 10, "alpha": 1.0, **NEAR}
SURROGATES: dict[str, dict[str, Any]] = {
    "ridge": {"alpha": 1.0, **NEAR},
    "linear": NEAR,
    "lasso": {"alpha": 0.01, **NEAR},
    "highest": SELECTING,
    "forward": SELECTING,
    "lars": SELECTING,
    "bayesian-ridge": NEAR,
    "shapley": {},
}
"""Each surrogate's own parameters and their defaults: penalties are lime's, and Captum's for the lasso. The function of the same name is in `core.surrogate`."""
DEFAULTS: dict[str, Any] = {"surrogate": "ridge"}
"""Where neither the command line nor a preset says anything."""
ABOUT = {
    "ridge": "lime's own",
    "linear": "no penalty, for more samples than segments",
    "lasso": "weak segments become 0",
    "highest": "lime's strongest segments, refitted",
    "forward": "the same, chosen one by one",
    "lars": "the same, along the lasso's path",
    "bayesian-ridge": "the penalty follows from the samples",
    "shapley": "KernelSHAP, for --design shapley or exact",
}
SHAPLEY_DESIGNS = ("shapley", "exact")
"""Designs whose masks have the sizes that the Shapley kernel weights; how is in `core.shapley`."""
PART = re.compile(r"(\d+)/(\d+)")
INTERVALS = ("analytic", "bootstrap")
"""The function of the same name is in `core.intervals`."""
SLOW = ("lars", "bayesian-ridge")
"""Worth a process of their own for each picture, as the bootstrap is."""
NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `fit-surrogate`."""

    predictions: Annotated[
        str,
        Argument(metavar="PREDICTIONS", help="Predictions, or - to read them from standard input.", show_default=False),
        Input(("predictions",)),
    ]
    preset: Annotated[
        str | None,
        Choice(tuple(presets.SYSTEMS)),
        Option(
            show_default=False,
            help=f"The surrogate of another system; other options change it. {presets.help_of(presets.SYSTEMS)}.",
        ),
        Execution(),
    ] = None
    surrogate: Annotated[
        str | None,
        Choice(tuple(SURROGATES)),
        Option(
            show_default=False,
            help="; ".join(f"{name}: {what}" for name, what in ABOUT.items())
            + f". {presets.default_words('surrogate', DEFAULTS['surrogate'])}",
        ),
    ] = None
    alpha: Annotated[
        float | None,
        Option(
            min=1e-6,
            show_default=False,
            help=f"Penalty; larger draws coefficients to 0. {default_of('alpha', SURROGATES)}",
        ),
    ] = None
    features: Annotated[
        int | None,
        Option(
            min=1,
            show_default=False,
            help=f"How many segments keep a coefficient; all others get 0. {default_of('features', SURROGATES)}",
        ),
    ] = None
    proximity: Annotated[
        str | None,
        Choice(tuple(PROXIMITIES)),
        Option(
            show_default=False,
            help=f"Distance from the full picture that makes a sample count less: cosine of the masks (lime's), l2 of the pixels (Xplique's). [default: {NEAR['proximity']}]",
        ),
    ] = None
    kernel_width: Annotated[
        float | None,
        Option(
            min=0.02,
            show_default=False,
            help=f"How fast a sample's weight falls with its distance; larger counts distant samples more. [default: {', '.join(f'{name} {width:g}' for name, width in PROXIMITIES.items())}]",
        ),
    ] = None
    intervals: Annotated[
        str,
        Choice(INTERVALS),
        Option(
            help="analytic: at once, none for lasso, highest, forward and lars; bootstrap: 200 refits, for every surrogate."
        ),
    ] = "analytic"
    stable_top: Annotated[
        int,
        Option(
            min=1,
            help="How many of the strongest segments must stay the same for `topk_repeat`, as far as their intervals exclude 0.",
        ),
    ] = 5
    part: Annotated[
        str | None,
        Option(
            metavar="I/N",
            show_default=False,
            help="Fit part I of N of the samples alone; parts share no sample but the full picture. [default: all samples]",
        ),
    ] = None
    workers: Annotated[
        int | None,
        Option(
            min=1,
            show_default=False,
            help=f"Parallel processes, for {', '.join(SLOW)} and the bootstrap. [default: one per core]",
        ),
        Execution(),
    ] = None


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Lay out coefficients and figures for every picture and class."""
    chosen = presets.filled(params, DEFAULTS)
    predictions = inputs["predictions"]
    masks, segments = predictions.input("masks"), predictions.input("segments")
    design = str(masks.parameters.get("design", "bernoulli"))
    own = settings_of(chosen, design)
    settings = fitting.Settings(
        chosen.surrogate,
        own,
        params.intervals,
        params.stable_top,
        design,
        int(masks.parameters["seed"]),
        part_of(params.part, design),
    )

    def prepare() -> Layout:
        n, _, n_classes = predictions.shape("probabilities")
        return Layout(
            n,
            explanation_arrays(segments, n_classes, "probability", SCALARS),
            predictions.carried(),
            {"classes": predictions.facts["classes"]},
        )

    def work(artifact: Artifact, units: Pending) -> None:
        slow = chosen.surrogate in SLOW or params.intervals == "bootstrap"
        with (
            Workers(params.workers if slow else 1) as workers,
            context.console.progress("fit-surrogate", units.pictures) as advance,
        ):
            for unit in units:
                pictures = list(fitting.pictures_of(settings, predictions, unit.rows))
                fitted: list[Explanation] = []
                for part in workers.map(
                    fitting.explain_pictures,
                    [(settings, each) for each in ([[one] for one in pictures] if slow else [pictures])],
                ):
                    fitted += part
                    advance(len(part))
                unit.finish(fitting.parts_of(fitted, artifact.shape("coefficients")[2]))

    parameters = {
        "surrogate": chosen.surrogate,
        **own,
        "intervals": params.intervals,
        "stable_top": params.stable_top,
    } | ({"part": params.part} if params.part else {})
    return Plan(parameters, f"{predictions.name}-{chosen.surrogate}", prepare, work, inputs)


def settings_of(params: Any, design: str) -> dict[str, Any]:
    """Return the chosen surrogate's own parameters, defaults filled in; raise when one belongs to another, or when the surrogate cannot use masks of this design."""
    own = own_parameters(params, "surrogate", SURROGATES)
    if "proximity" not in own and design not in SHAPLEY_DESIGNS:
        raise FacelimeError(
            f"--surrogate {params.surrogate} needs masks of few segments and of nearly all, which --design {design} does not draw; "
            f"perturb again with --design {' or '.join(SHAPLEY_DESIGNS)}, or choose another surrogate."
        )
    if "proximity" in own:
        own["kernel_width"] = own["kernel_width"] or PROXIMITIES[own["proximity"]]
    return own


def part_of(text: str | None, design: str) -> tuple[int, int] | None:
    """Return which part of how many a text means; raise when it means none, or when masks cannot be divided."""
    if text is None:
        return None
    match = PART.fullmatch(text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise CommandLineError(f"--part {text!r} should be I/N with 1 <= I <= N, such as 1/2.")
    if design == "exact":
        raise FacelimeError(
            f"--part {text} would leave masks out of --design exact, which needs all of them; perturb again with another --design."
        )
    return int(match[1]), int(match[2])


STAGE = Stage(
    name="fit-surrogate", writes="surrogates", version=2, params=Params, plan=plan, help=__doc__, sharded=True
)
