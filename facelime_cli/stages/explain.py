"""Explain pictures in one go: segment, perturb, predict, fit-surrogate and render, through the same artifacts as the stages alone.

SOURCE is a dataset of the store, or a picture or folder, which is first preprocessed at the model's input size. Stopped or killed, the same command goes on.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import presets, stopping
from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context, Result, Stage, execute
from facelime_cli.errors import CommandLineError, NotFoundError, WrongKindError
from facelime_cli.models import runtimes
from facelime_cli.options import Execution, Input, hints, inputs_of
from facelime_cli.stages import fit_surrogate, perturb, predict, preprocess, render, segment

if TYPE_CHECKING:
    from facelime_cli.store.artifacts import Artifact

MOST_SAMPLES = 4000
STAGES = (segment.STAGE, perturb.STAGE, predict.STAGE, fit_surrogate.STAGE, render.STAGE)


def _params() -> type[Any]:
    """Return the parameters of `explain`: the source, the model, and every option of its stages."""
    options: dict[str, tuple[Any, Any]] = {}
    for stage in STAGES:
        references, annotations = inputs_of(stage.params), hints(stage.params)
        for each in (each for each in dataclasses.fields(stage.params) if each.name not in references):
            kind, extras = annotations[each.name]
            options.setdefault(each.name, (Annotated[(kind, *extras)], each.default))
    options["until_stable"] = (
        Annotated[
            bool,
            Option(
                "--until-stable",
                help="Double a picture's samples, from --samples on, until the strongest segments of its most probable class and their signs will not change.",
            ),
        ],
        False,
    )
    options["max_samples"] = (
        Annotated[
            int | None,
            Option(
                min=2,
                max=1_000_000,
                show_default=False,
                help=f"With --until-stable: end there all the same. [default: {MOST_SAMPLES}]",
            ),
        ],
        None,
    )
    source = Annotated[
        str, Argument(metavar="SOURCE", help="Dataset, picture or folder of pictures.", show_default=False), Execution()
    ]
    model = Annotated[
        str,
        Option(metavar="MODEL", help="Model, from `finetune` or `import-model`.", show_default=False),
        Input(("models",)),
    ]
    every: list[Any] = [
        ("source", source),
        ("model", model),
        *((name, hint, default) for name, (hint, default) in options.items()),
    ]
    return dataclasses.make_dataclass("Params", every, frozen=True, kw_only=True)


Params = _params()


def run(params: Any, context: Context) -> Answer:
    """Run the stages and answer with the report's result."""
    result = explain(params, context)
    return Answer(
        {**result.json(), "report": str(result.artifact.path.absolute() / "index.html")}, [result.artifact.id]
    )


def explain(params: Any, context: Context) -> Result:
    """Run the five stages, each on what the one before made; the result is the report's."""
    from facelime_cli.core.surrogate import WITHOUT_INTERVALS

    params = presets.filled(params, {**perturb.DEFAULTS, **fit_surrogate.DEFAULTS})
    fit_surrogate.settings_of(params, params.design or perturb.usual_design(params.fill))
    _check_rounds(params)
    if params.until_stable and params.surrogate in WITHOUT_INTERVALS and params.intervals != "bootstrap":
        raise CommandLineError(
            f"--until-stable judges by intervals, and --surrogate {params.surrogate} has none without --intervals bootstrap; add it, or choose another surrogate."
        )
    model = context.store.resolve(params.model, ("models",))
    model.require_complete()
    for reference in params.beside or ():
        context.store.resolve(reference, ("surrogates",)).require_complete()
    unnamed, until = dataclasses.replace(context, name=None), stopping.deadline(params.time_budget)
    artifact = _dataset(params, model, unnamed)
    if not params.resize:
        runtimes.check_size(model, artifact)
    results = [execute(segment.STAGE, _params_of(segment.STAGE, params, dataset=artifact), unnamed)]
    results += (
        _rounds(params, results[0].artifact, model, until, unnamed)
        if params.until_stable
        else _round(params, results[0].artifact, model, until, unnamed)
    )
    results.append(execute(render.STAGE, _params_of(render.STAGE, params, surrogates=results[-1].artifact), context))
    return Result(
        results[-1].artifact,
        reused=all(result.reused for result in results),
        seconds=sum(result.seconds for result in results),
    )


def _check_rounds(params: Any) -> None:
    if not params.until_stable and (params.max_samples is not None or params.confidence is not None):
        raise CommandLineError(
            "--max-samples and --confidence are about more rounds of samples; ask for them with --until-stable."
        )
    if params.max_samples is not None and params.max_samples < params.samples:
        raise CommandLineError(
            f"--max-samples {params.max_samples} is less than the --samples {params.samples} of the first round; raise it, or begin with fewer."
        )


def _round(
    params: Any, segments: Artifact, model: Artifact, until: float | None, context: Context, **changes: Any
) -> list[Result]:
    """Perturb, predict and fit once; what the stages before have taken of the time budget is gone."""
    masks = execute(
        perturb.STAGE, dataclasses.replace(_params_of(perturb.STAGE, params, segmentation=segments), **changes), context
    )
    left = None if until is None else f"{max(0.0, until - time.monotonic()):.3f}s"
    predictions = execute(
        predict.STAGE,
        dataclasses.replace(_params_of(predict.STAGE, params, masks=masks.artifact, model=model), time_budget=left),
        context,
    )
    return [
        masks,
        predictions,
        execute(
            fit_surrogate.STAGE, _params_of(fit_surrogate.STAGE, params, predictions=predictions.artifact), context
        ),
    ]


def _rounds(params: Any, segments: Artifact, model: Artifact, until: float | None, context: Context) -> list[Result]:
    """Double the samples of those pictures whose explanation may still change; what was predicted before is taken over."""
    samples = params.samples
    first = dataclasses.replace(params, confidence=None)
    results, confidence, most = (
        _round(first, segments, model, until, context),
        params.confidence or perturb.CONFIDENCE,
        params.max_samples or MOST_SAMPLES,
    )
    while True:
        surrogates = results[-1].artifact
        stable = perturb.stable_pictures(surrogates, confidence)
        context.console.note(
            f"{int(stable.sum())} of {len(stable)} explanations are stable with up to {samples} samples"
        )
        if stable.all() or samples >= most:
            return results
        samples = min(2 * samples, most)
        results += _round(
            params,
            segments,
            model,
            until,
            context,
            samples=samples,
            after=f"surrogates/{surrogates.id}",
            confidence=confidence,
        )


def _dataset(params: Any, model: Artifact, context: Context) -> Artifact:
    try:
        return context.store.resolve(params.source, ("datasets",))
    except (NotFoundError, WrongKindError):
        if not Path(params.source).exists():
            raise NotFoundError(
                f"{params.source!r} is neither a dataset in {context.store.root} nor a picture or folder; `facelime status` lists what is there."
            ) from None
    size = int(model.facts["size"])
    return execute(preprocess.STAGE, preprocess.Params(source=[Path(params.source)], size=size), context).artifact


def _params_of(stage: Stage, params: Any, **inputs: Artifact) -> Any:
    """Return one stage's parameters: its inputs, and the options it shares with `explain`."""
    given = {
        each.name: getattr(params, each.name)
        for each in dataclasses.fields(stage.params)
        if hasattr(params, each.name) and each.name not in inputs
    }
    return stage.params(**given, **{name: f"{each.kind}/{each.id}" for name, each in inputs.items()})


COMMAND = Command("explain", Params, run, __doc__ or "", named=True)
