"""Fit a linear surrogate to the predictions: one coefficient per segment and class, with its interval.

Coefficients use every sample; fidelity (R², RMSE) comes from samples that were not fitted, and a verdict in words says what it means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import presets
from facelime_cli.engine import Plan, Stage
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.options import Choice, Execution, Input, default_of, own_parameters
from facelime_cli.stages.perturb import carried
from facelime_cli.store.arrays import ArraySpec, Layout
from facelime_cli.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from facelime_cli.core.fidelity import Explanation
    from facelime_cli.engine import Context, Pending
    from facelime_cli.store.artifacts import Artifact

PROXIMITIES = {"cosine": 0.25, "l2": 45.0}
"""The kernel width of each distance: lime's and Xplique's."""
NEAR = {"proximity": "cosine", "kernel_width": None}
"""How samples are weighted, where the surrogate does not say it itself."""
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
SCALARS = {
    "intercept": "probability",
    "local_prediction": "probability",
    "r2": "",
    "rmse": "probability",
    "effective_samples": "",
    "topk_repeat": "probability",
}
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


@dataclass(frozen=True)
class Picture:
    """What one picture's surrogate is fitted to; `change` is what switching each segment off changes in its pixels, where that counts."""

    id: str
    masks: NDArray[Any]
    probabilities: NDArray[Any]
    n_segments: int
    change: NDArray[Any] | None


@dataclass(frozen=True)
class Settings:
    """How all pictures are explained."""

    surrogate: str
    own: dict[str, Any]
    intervals: str
    top: int
    design: str
    seed: int
    part: tuple[int, int] | None


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Lay out coefficients and figures for every picture and class."""
    chosen = presets.filled(params, DEFAULTS)
    predictions = inputs["predictions"]
    masks, segments = predictions.input("masks"), predictions.input("segments")
    design = str(masks.parameters.get("design", "bernoulli"))
    own = settings_of(chosen, design)
    settings = Settings(
        chosen.surrogate,
        own,
        params.intervals,
        params.stable_top,
        design,
        int(masks.parameters["seed"]),
        part_of(params.part, design),
    )

    def prepare() -> Layout:
        n, _, n_classes = predictions.layout["arrays"]["probabilities"]["shape"]
        return Layout(
            n,
            explanation_arrays(segments, n_classes, "probability", SCALARS),
            carried(predictions),
            {"classes": predictions.facts["classes"]},
        )

    def work(artifact: Artifact, units: Pending) -> None:
        slow = chosen.surrogate in SLOW or params.intervals == "bootstrap"
        with (
            Workers(params.workers if slow else 1) as workers,
            context.console.progress("fit-surrogate", units.pictures) as advance,
        ):
            for unit in units:
                pictures = list(pictures_of(settings, predictions, unit.rows))
                fitted: list[Explanation] = []
                for part in workers.map(
                    explain_pictures,
                    [(settings, each) for each in ([[one] for one in pictures] if slow else [pictures])],
                ):
                    fitted += part
                    advance(len(part))
                unit.finish(parts_of(fitted, artifact.layout["arrays"]["coefficients"]["shape"][2]))

    parameters = {
        "surrogate": chosen.surrogate,
        **own,
        "intervals": params.intervals,
        "stable_top": params.stable_top,
    } | ({"part": params.part} if params.part else {})
    return Plan(parameters, f"{predictions.name}-{chosen.surrogate}", prepare, work, inputs)


def explanation_arrays(
    segments: Artifact, n_classes: int, unit: str, scalars: Mapping[str, str]
) -> dict[str, ArraySpec]:
    """Return the arrays that every explanation has, of whatever method: `unit` is that of a coefficient, `scalars` are the units of the figures of fidelity."""
    widest, shape = int(segments.read("n_segments").max()), (segments.n, n_classes)
    per_class = ("picture", "class")
    return {
        "coefficients": ArraySpec("float64", (*shape, widest), (*per_class, "segment"), NAN, unit),
        "interval": ArraySpec("float64", (*shape, widest, 2), (*per_class, "segment", "bound"), NAN, unit),
        "p_sign": ArraySpec("float64", (*shape, widest), (*per_class, "segment"), NAN, "probability"),
        **{name: ArraySpec("float64", shape, per_class, NAN, its) for name, its in scalars.items()},
        "verdict": ArraySpec("string", shape, per_class, ""),
    }


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


def pictures_of(settings: Settings, predictions: Artifact, rows: slice) -> Iterator[Picture]:
    """Yield what is fitted for each picture of a unit."""
    masks, segments = predictions.input("masks"), predictions.input("segments")
    ids, counts, samples = (
        predictions.texts("id")[rows],
        segments.read("n_segments", rows),
        masks.read("n_samples", rows),
    )
    packed, probabilities = masks.read("masks", rows), predictions.read("probabilities", rows)
    changes = _changes(masks, segments, rows) if settings.own.get("proximity") == "l2" else [None] * len(ids)
    for place, (picture_id, n_segments, n, change) in enumerate(zip(ids, counts, samples, changes, strict=True)):
        yield Picture(picture_id, packed[place, :n], probabilities[place, :n], int(n_segments), change)


def _changes(masks: Artifact, segments: Artifact, rows: slice) -> list[NDArray[Any]]:
    """Return what switching each segment off changes in the pixels, for each picture of a unit."""
    from facelime_cli.core.surrogate import pixel_change

    images = segments.input("datasets").read("images", [int(row) for row in segments.read("row", rows)])
    return [
        pixel_change(*each)
        for each in zip(images, masks.read("fill", rows), segments.read("segments", rows), strict=True)
    ]


def explain_pictures(task: tuple[Settings, list[Picture]]) -> list[Explanation]:
    """Explain some pictures. One thread: matrices are small, and results do not depend on the number of cores."""
    from threadpoolctl import threadpool_limits

    settings, pictures = task
    with threadpool_limits(1):
        return [_explain_one(settings, each) for each in pictures]


def _explain_one(settings: Settings, picture: Picture) -> Explanation:
    from facelime_cli.core import fidelity, surrogate
    from facelime_cli.core import masks as mask_design

    kept = mask_design.unpack(picture.masks, picture.n_segments)
    keywords = {name: value for name, value in settings.own.items() if name not in NEAR}
    method = fidelity.Method(
        surrogate.fitter(settings.surrogate, keywords), settings.intervals, settings.top, settings.seed
    )
    rows, blocks = mask_design.part_of(mask_design.blocks(settings.design, *kept.shape), settings.design, settings.part)
    kept = kept[rows]
    return fidelity.explain(
        kept, picture.probabilities[rows], _weights(settings, kept, picture.change), blocks, method, picture.id
    )


def _weights(settings: Settings, kept: NDArray[Any], change: NDArray[Any] | None) -> NDArray[Any]:
    """Return the weight of each sample."""
    from facelime_cli.core import shapley, surrogate

    if "proximity" not in settings.own:
        return shapley.WEIGHTS[settings.design](kept)
    width = float(settings.own["kernel_width"])
    return surrogate.cosine_weights(kept, width) if change is None else surrogate.pixel_weights(kept, change, width)


def parts_of(fitted: list[Explanation], widest: int) -> dict[str, NDArray[Any]]:
    """Return a unit's part of every array, with room for `widest` segments."""
    import numpy as np

    def padded(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Put classes first, and NaN beyond the picture's own segments."""
        spare = [(0, widest - len(values))] + [(0, 0)] * (values.ndim - 1)
        return np.moveaxis(np.pad(values, spare, constant_values=np.nan), 1, 0)

    return {
        **{
            name: np.stack([padded(getattr(each, name)) for each in fitted])
            for name in ("coefficients", "interval", "p_sign")
        },
        **{name: np.stack([getattr(each, name) for each in fitted]) for name in SCALARS},
        "verdict": np.array([each.verdict for each in fitted], dtype=object),
    }


STAGE = Stage(
    name="fit-surrogate", writes="surrogates", version=2, params=Params, plan=plan, help=__doc__, sharded=True
)
