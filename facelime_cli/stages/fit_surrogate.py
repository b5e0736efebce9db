"""Fit a linear surrogate to the predictions: one coefficient per segment and class, with its interval.

Coefficients use every sample. Fidelity (R², RMSE) comes from samples that were not fitted. A verdict says in words what
it means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import presets
from facelime_cli.choices import NEAR, PROXIMITIES, SURROGATES, words_of
from facelime_cli.engine import Plan, Stage
from facelime_cli.options import LARGEST, MOST_SEGMENTS, MOST_WORKERS, Choice, Execution, Input, Resolved, default_of
from facelime_cli.predicting import fitting
from facelime_cli.predicting.fitting import BOOTSTRAP, INTERVALS
from facelime_cli.store.arrays import Layout
from facelime_cli.store.explanations import answer_facts, explanation_arrays, measure_of, scalars_in
from facelime_cli.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.core.fidelity import Explanation
    from facelime_cli.engine import Context, Pending
    from facelime_cli.store.artifacts import Artifact

DEFAULTS: dict[str, Any] = {"surrogate": "ridge"}
"""Where neither the command line nor a preset says anything."""
WITHOUT_INTERVALS = [name for name, surrogate in SURROGATES.items() if not surrogate.intervals]
SLOW = [name for name, surrogate in SURROGATES.items() if surrogate.slow]
WIDTHS = ", ".join(f"{name} {width:g}" for name, width in PROXIMITIES.items())


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
            help="Take the surrogate of another system. Options that you give override it. "
            f"{presets.help_of(presets.SYSTEMS)}.",
        ),
        Resolved(()),
    ] = None
    surrogate: Annotated[
        str | None,
        Choice(tuple(SURROGATES)),
        Option(
            show_default=False,
            help=f"Choose what is fitted. {words_of(SURROGATES)}. "
            + presets.default_words("surrogate", DEFAULTS["surrogate"]),
        ),
    ] = None
    alpha: Annotated[
        float | None,
        Option(
            min=1e-6,
            max=LARGEST,
            show_default=False,
            help=f"Set the penalty. Larger draws coefficients to 0. {default_of('alpha', SURROGATES)}",
        ),
        Resolved(),
    ] = None
    features: Annotated[
        int | None,
        Option(
            min=1,
            max=MOST_SEGMENTS,
            show_default=False,
            help="Keep a coefficient for so many segments; all others get 0. " + default_of("features", SURROGATES),
        ),
        Resolved(),
    ] = None
    proximity: Annotated[
        str | None,
        Choice(tuple(PROXIMITIES)),
        Option(
            show_default=False,
            help="Choose how the distance from the full picture is measured; distant samples count less: cosine of "
            f"the masks (lime's), or l2 of the pixels (Xplique's). [default: {NEAR['proximity']}]",
        ),
        Resolved(),
    ] = None
    kernel_width: Annotated[
        float | None,
        Option(
            min=0.02,
            max=LARGEST,
            show_default=False,
            help=f"Set how far samples count. Larger counts distant samples more. [default: {WIDTHS}]",
        ),
        Resolved(),
    ] = None
    intervals: Annotated[
        str,
        Choice(INTERVALS),
        Option(
            help="Choose how intervals are made: analytic: at once, none for "
            f"{', '.join(WITHOUT_INTERVALS)}; bootstrap: 200 refits, for every surrogate."
        ),
    ] = INTERVALS[0]
    stable_top: Annotated[
        int,
        Option(
            min=1,
            max=MOST_SEGMENTS,
            help="Look at so many of the strongest segments for `topk_repeat`, as far as their intervals exclude 0.",
        ),
    ] = 5
    part: Annotated[
        str | None,
        Option(
            metavar="I/N",
            show_default=False,
            help="Fit only part I of N of the samples. Parts have no sample in common but the full "
            "picture. [default: all samples]",
        ),
        Resolved(),
    ] = None
    workers: Annotated[
        int | None,
        Option(
            min=1,
            max=MOST_WORKERS,
            show_default=False,
            help=f"Run so many processes in parallel, for {', '.join(SLOW)} and the bootstrap. [default: one per core]",
        ),
        Execution(),
    ] = None


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Resolve the surrogate's settings."""
    chosen = presets.filled(params, DEFAULTS)
    predictions = inputs["predictions"]
    settings = fitting.settings_of(chosen, predictions)
    job = _Job(chosen, settings, predictions, context)
    # Left out where all samples are fitted: surrogates made before shares existed keep their fingerprints.
    share = {} if params.part is None else {"part": params.part}
    return Plan(
        params=chosen,
        resolved={**settings.own, **share},
        name=f"{predictions.name}-{settings.surrogate}",
        prepare=job.prepare,
        work=job.work,
        inputs=inputs,
    )


@dataclass(frozen=True)
class _Job:
    """Fitting surrogates to some predictions."""

    params: Params
    settings: fitting.Settings
    predictions: Artifact
    context: Context

    def prepare(self) -> Layout:
        """Return coefficients and figures for every picture and class."""
        n, _, n_classes = self.predictions.shape("probabilities")
        segments = self.predictions.input("segments")
        measure = measure_of(self.predictions)
        arrays = explanation_arrays(segments, n_classes, measure, scalars_in(measure))
        return Layout(n, arrays, self.predictions.carried(), answer_facts(self.predictions))

    def work(self, artifact: Artifact, units: Pending) -> None:
        """Fit every pending unit; slow surrogates have a process for each picture."""
        slow = SURROGATES[self.settings.surrogate].slow or self.settings.intervals == BOOTSTRAP
        widest = artifact.shape("coefficients")[2]
        progress = self.context.console.progress("fit-surrogate", units.pictures)
        with Workers(self.params.workers if slow else 1) as workers, progress as advance:
            for unit in units:
                pictures = list(fitting.pictures_of(self.settings, self.predictions, unit.rows))
                # Small matrices are not worth a process; what takes long has one for each picture.
                shares = [[one] for one in pictures] if slow else [pictures]
                tasks = [(self.settings, share) for share in shares]
                fitted: list[Explanation] = []
                for some in workers.map(fitting.explain_pictures, tasks):
                    fitted += some
                    advance(len(some))
                unit.finish(fitting.arrays_of(fitted, widest))


STAGE = Stage(
    name="fit-surrogate", writes="surrogates", version=3, params=Params, plan=plan, help=__doc__, sharded=True
)
