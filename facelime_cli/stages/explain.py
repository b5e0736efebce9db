"""Explain pictures in one go: segment, perturb, predict, fit-surrogate and render, through the same artifacts as the stages alone.

SOURCE is a dataset of the store, or a picture or folder, which is first preprocessed at the model's input size. Stopped or killed, the same command goes on.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.console import Answer
from facelime_cli.errors import NotFoundError, WrongKindError
from facelime_cli.stage import Command, Context, Execution, Input, Result, Stage, execute, hints, inputs_of
from facelime_cli.stages import fit_surrogate, perturb, predict, preprocess, render, segment

if TYPE_CHECKING:
    from facelime_cli.store import Artifact

STAGES = (segment.STAGE, perturb.STAGE, predict.STAGE, fit_surrogate.STAGE, render.STAGE)


def _params() -> type[Any]:
    """Return the parameters of `explain`: the source, the model, and every option of its stages."""
    options: dict[str, tuple[Any, Any]] = {}
    for stage in STAGES:
        references, annotations = inputs_of(stage.params), hints(stage.params)
        for each in (each for each in dataclasses.fields(stage.params) if each.name not in references):
            kind, extras = annotations[each.name]
            options.setdefault(each.name, (Annotated[(kind, *extras)], each.default))
    source = Annotated[str, Argument(metavar="SOURCE", help="Dataset, picture or folder of pictures.", show_default=False), Execution()]
    model = Annotated[str, Option(metavar="MODEL", help="Model, from `finetune` or `import-model`.", show_default=False), Input(("models",))]
    every: list[Any] = [("source", source), ("model", model), *((name, hint, default) for name, (hint, default) in options.items())]
    return dataclasses.make_dataclass("Params", every, frozen=True, kw_only=True)


Params = _params()


def run(params: Any, context: Context) -> Answer:
    """Run the stages and answer with the report's result."""
    result = explain(params, context)
    return Answer({**result.json(), "report": str(result.artifact.path.absolute() / "index.html")}, [result.artifact.id])


def explain(params: Any, context: Context) -> Result:
    """Run the five stages, each on what the one before made; the result is the report's."""
    fit_surrogate.settings_of(params, params.design)
    model = context.store.resolve(params.model, ("models",))
    _ = model.manifest
    unnamed = dataclasses.replace(context, name=None)
    artifact = _dataset(params, model, unnamed)
    predict.check_size(model, artifact)
    results = []
    for stage in STAGES:
        results.append(execute(stage, _params_of(stage, params, artifact, model), context if stage is STAGES[-1] else unnamed))
        artifact = results[-1].artifact
    return Result(artifact, reused=all(result.reused for result in results), seconds=sum(result.seconds for result in results))


def _dataset(params: Any, model: Artifact, context: Context) -> Artifact:
    try:
        return context.store.resolve(params.source, ("datasets",))
    except (NotFoundError, WrongKindError):
        if not Path(params.source).exists():
            raise NotFoundError(f"{params.source!r} is neither a dataset in {context.store.root} nor a picture or folder; `facelime status` lists what is there.") from None
    size = int(model.facts["size"])
    return execute(preprocess.STAGE, preprocess.Params(source=[Path(params.source)], size=size), context).artifact


def _params_of(stage: Stage, params: Any, before: Artifact, model: Artifact) -> Any:
    """Return one stage's parameters: the artifact before it, the model, and the options it shares with `explain`."""
    given = {each.name: getattr(params, each.name) for each in dataclasses.fields(stage.params) if hasattr(params, each.name)}
    for name, kinds in inputs_of(stage.params).items():
        given[name] = f"{model.kind}/{model.id}" if kinds == ("models",) else f"{before.kind}/{before.id}"
    return stage.params(**given)


COMMAND = Command("explain", Params, run, __doc__ or "", named=True)
