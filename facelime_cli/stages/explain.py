"""Explain pictures in one go: segment, perturb, predict, fit-surrogate and render.

SOURCE is a dataset of the store, or a picture or folder, which is first preprocessed at the model's input size. The
artifacts are the same as those of the stages alone. Stopped or killed, the same command resumes.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import presets, stopping
from facelime_cli.choices import SURROGATES
from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context, Result, Stage, execute
from facelime_cli.errors import CommandLineError, NotFoundError, WrongKindError
from facelime_cli.models import runtimes
from facelime_cli.options import Execution, Heading, Input, hints, inputs_of
from facelime_cli.predicting.fitting import BOOTSTRAP, own_settings
from facelime_cli.predicting.stability import CONFIDENCE, stable_pictures
from facelime_cli.predicting.stand_ins import fill_of, usual_design
from facelime_cli.stages import fit_surrogate, perturb, predict, preprocess, render, segment

if TYPE_CHECKING:
    from facelime_cli.store.artifacts import Artifact

MOST_SAMPLES = 4000
STAGES = {
    "Segments": segment.STAGE,
    "Perturbation": perturb.STAGE,
    "Prediction": predict.STAGE,
    "Surrogate": fit_surrogate.STAGE,
    "Report": render.STAGE,
}
"""The stages that are run, by the heading under which their options stand."""
PICTURES, RUN = Heading("Pictures"), Heading("Run")
HEADINGS = {
    **dict.fromkeys(("split", "images", "first", "preset"), PICTURES),
    **dict.fromkeys(("workers", "time_budget"), RUN),
}
"""Options that stand elsewhere than their stage's others."""


def _params() -> type[Any]:
    """Return the parameters of `explain`: the source, the model, and every option of its stages."""
    source = Annotated[
        str, Argument(metavar="SOURCE", help="Dataset, picture or folder of pictures.", show_default=False), Execution()
    ]
    model = Annotated[
        str,
        Option(metavar="MODEL", help="Explain this model, from `finetune` or `import-model`.", show_default=False),
        Input(("models",)),
        PICTURES,
    ]
    every: list[Any] = [("source", source), ("model", model)]
    known = {"source", "model"}
    for heading, stage in STAGES.items():
        references, annotations = inputs_of(stage.params), hints(stage.params)
        for each in dataclasses.fields(stage.params):
            if each.name in references or each.name in known:
                continue
            known.add(each.name)
            kind, extras = annotations[each.name]
            # Sixty options in one list are too many to read.
            place = HEADINGS.get(each.name, Heading(heading))
            every.append((each.name, Annotated[(kind, *extras, place)], each.default))
    until_stable = Annotated[
        bool,
        Option(
            "--until-stable",
            help="Double a picture's samples, from --samples on, until the strongest segments of its most probable "
            "class and their signs will not change.",
        ),
        Heading("Perturbation"),
    ]
    max_samples = Annotated[
        int | None,
        Option(
            min=2,
            max=1_000_000,
            show_default=False,
            help=f"With --until-stable, stop at so many samples. [default: {MOST_SAMPLES}]",
        ),
        Heading("Perturbation"),
    ]
    every += [("until_stable", until_stable, False), ("max_samples", max_samples, None)]
    return dataclasses.make_dataclass("Params", every, frozen=True, kw_only=True)


Params = _params()


def run(params: Any, context: Context) -> Answer:
    """Run the stages and answer with the report's result."""
    result = explain(params, context)
    page = result.artifact.path.absolute() / "index.html"
    return Answer({**result.json(), "report": str(page)}, [result.artifact.id])


def explain(params: Any, context: Context) -> Result:
    """Run the five stages, each on what the one before made; the result is the report's."""
    params = presets.filled(params, {**perturb.DEFAULTS, **fit_surrogate.DEFAULTS})
    _check(params)
    model = context.store.resolve(params.model, ("models",)).require_complete()
    # A missing one would end the run at its last stage, after all evaluations.
    for reference in params.beside or ():
        context.store.resolve(reference, ("surrogates",)).require_complete()
    rounds = _Rounds(params, model, stopping.deadline(params.time_budget), dataclasses.replace(context, name=None))
    dataset = rounds.dataset()
    # Before anything is segmented: this is the mistake that people make.
    if not params.resize:
        runtimes.check_size(model, dataset)
    results = [rounds.execute(segment.STAGE, dataset=dataset)]
    results += rounds.fitted(results[0].artifact)
    surrogates = results[-1].artifact
    results.append(execute(render.STAGE, _params_of(render.STAGE, params, surrogates=surrogates), context))
    return Result(
        results[-1].artifact,
        reused=all(result.reused for result in results),
        seconds=sum(result.seconds for result in results),
    )


def _check(params: Any) -> None:
    """Refuse what cannot work before anything is made."""
    own_settings(params, params.design or usual_design(params.fill))
    if params.fill is not None:
        fill_of(params.fill)
    if not params.until_stable and (params.max_samples is not None or params.confidence is not None):
        raise CommandLineError(
            "--max-samples and --confidence are about more rounds of samples; ask for them with --until-stable."
        )
    if params.max_samples is not None and params.max_samples < params.samples:
        raise CommandLineError(
            f"--max-samples {params.max_samples} is less than the --samples {params.samples} of the first round; "
            "raise it, or begin with fewer."
        )
    if params.until_stable and not SURROGATES[params.surrogate].intervals and params.intervals != BOOTSTRAP:
        raise CommandLineError(
            f"--until-stable judges by intervals, and --surrogate {params.surrogate} has none without "
            f"--intervals {BOOTSTRAP}; add it, or choose another surrogate."
        )


@dataclasses.dataclass(frozen=True)
class _Rounds:
    """Runs of the stages between segments and surrogates, within one time budget."""

    params: Any
    model: Artifact
    deadline: float | None
    context: Context

    def dataset(self) -> Artifact:
        """Return the dataset to explain; a picture or folder is preprocessed first."""
        source = self.params.source
        try:
            return self.context.store.resolve(source, ("datasets",))
        except (NotFoundError, WrongKindError):
            if not Path(source).exists():
                raise NotFoundError(
                    f"{source!r} is neither a dataset in {self.context.store.root} nor a picture or folder; "
                    "`facelime status` lists what is there."
                ) from None
        size = int(self.model.facts["size"])
        return execute(preprocess.STAGE, preprocess.Params(source=[Path(source)], size=size), self.context).artifact

    def execute(self, stage: Stage, changes: dict[str, Any] | None = None, **inputs: Artifact) -> Result:
        """Run one stage on its inputs, with what it shares of the options of `explain`."""
        params = _params_of(stage, self.params, **inputs)
        return execute(stage, dataclasses.replace(params, **changes or {}), self.context)

    def fitted(self, segments: Artifact) -> list[Result]:
        """Perturb, predict and fit, once or until nothing changes any more; the last result is of the surrogates."""
        if not self.params.until_stable:
            return self._round(segments, {})
        return self._until_stable(segments)

    def _until_stable(self, segments: Artifact) -> list[Result]:
        """Double the samples of those pictures whose explanation may still change; their predictions are reused."""
        samples = self.params.samples
        most = self.params.max_samples or MOST_SAMPLES
        confidence = self.params.confidence or CONFIDENCE
        results = self._round(segments, {"confidence": None})
        while True:
            surrogates = results[-1].artifact
            stable = stable_pictures(surrogates, confidence)
            self.context.console.note(
                f"{int(stable.sum())} of {len(stable)} explanations are stable with up to {samples} samples"
            )
            if stable.all() or samples >= most:
                return results
            # Doubling needs few rounds, and the samples before are a part of those after.
            samples = min(2 * samples, most)
            more = {"samples": samples, "after": f"surrogates/{surrogates.id}", "confidence": confidence}
            results += self._round(segments, more)

    def _round(self, segments: Artifact, changes: dict[str, Any]) -> list[Result]:
        """Perturb, predict and fit once. What earlier stages have taken of the time budget is gone."""
        masks = self.execute(perturb.STAGE, changes, segmentation=segments)
        # Each `predict` takes a budget of its own; all rounds share the one of the command.
        left = None
        if self.deadline is not None:
            left = f"{max(0.0, self.deadline - time.monotonic()):.3f}s"
        predictions = self.execute(predict.STAGE, {"time_budget": left}, masks=masks.artifact, model=self.model)
        surrogates = self.execute(fit_surrogate.STAGE, predictions=predictions.artifact)
        return [masks, predictions, surrogates]


def _params_of(stage: Stage, params: Any, **inputs: Artifact) -> Any:
    """Return one stage's parameters: its inputs, and the options it shares with `explain`."""
    given = {}
    for each in dataclasses.fields(stage.params):
        if each.name not in inputs and hasattr(params, each.name):
            given[each.name] = getattr(params, each.name)
    references = {name: artifact.reference for name, artifact in inputs.items()}
    return stage.params(**given, **references)


COMMAND = Command("explain", Params, run, __doc__ or "", named=True)
