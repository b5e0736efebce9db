"""What a pipeline is: steps whose results have names before they exist, so that their commands can be written now.

A reference follows from the content of inputs, and that is known only when these are there. So every step gives its
artifact a name that is fixed here, such as `run7-3fa9c1`, and the step behind it reads `masks/run7-3fa9c1`. The digits
follow from the dataset, the models and the options: two runs that a person calls alike never read each other's results,
and the same options always mean the same names.

Steps for all models come first: `segment` and `perturb`. Then each model has its own `predict`, `fit-surrogate`,
`check` and `render`.
"""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli import presets
from facelime_cli.answering import runtimes
from facelime_cli.engine import find, stage_called
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.names import class_indices, comma_separated
from facelime_cli.options import Choice, Execution, Input, hints, inputs_of, marker, typed
from facelime_cli.predicting.asking import Asking
from facelime_cli.predicting.choosing import Choosing
from facelime_cli.stages import explain, fit_surrogate, perturb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from facelime_cli.engine import Context, Stage
    from facelime_cli.store.artifacts import Artifact

ID_DIGITS = 6
"""Hexadecimal digits behind the name of a run: enough that two runs of one name differ."""
LONGEST_RUN = 40
"""Letters of a run's name: the digits and a model's name stand behind it."""
LONGEST_TAG = 40
MOST_SHARDS = 100_000
NO_PART = frozenset(
    {"source", "model", "pseudonyms", "until_stable", "max_samples", "views", "donors", "time_budget", "workers"}
    | {"beside", "output", "after"}
)
"""Options of `explain` that a pipeline does not have: jobs set workers and times, and each model has its own chain."""


@dataclass(frozen=True)
class Step:
    """One stage of a pipeline, with its command.

    Attributes
    ----------
    name : str
        Unique in its pipeline, such as `segment` or `predict-net`: the name of its script, rule or job.
    stage : str
        The subcommand.
    words : tuple of str
        The whole command behind `facelime`, with `--name`, without what an engine adds: `--shard`, `--lay-out`,
        `--workers`, `--unit`.
    output : str
        What it makes, as the steps behind it name it: kind and name.
    after : tuple of str
        Names of the steps that it reads from.
    asks_model : bool
        Whether it runs the model, so that it wants a GPU.
    takes_workers : bool
        Whether it has `--workers`.
    sharded : bool
        Whether it has `--shard`, `--lay-out` and `--unit`.
    """

    name: str
    stage: str
    words: tuple[str, ...]
    output: str
    after: tuple[str, ...] = ()
    asks_model: bool = False
    takes_workers: bool = False
    sharded: bool = True

    def command(self, *more: str) -> str:
        """Return the command as a shell reads it.

        Parameters
        ----------
        *more : str
            Further words, each one already as the shell should read it, such as `--shard "$I/8"`.
        """
        return " ".join([shlex.join(["facelime", *self.words]), *more])


@dataclass(frozen=True)
class Pipeline:
    """The steps from a dataset to the reports of some models.

    Attributes
    ----------
    run : str
        Name and digits, such as `run7-3fa9c1`.
    store : str
        The whole path of the store.
    dataset : str
        Reference with the whole id.
    models : tuple of str
        References with whole ids.
    n_pictures : int
        Those that the options choose.
    sides : tuple of int
        Height and width of a picture.
    samples : int
        Evaluations of a picture.
    steps : tuple of Step
        Each behind those that it reads from.
    """

    run: str
    store: str
    dataset: str
    models: tuple[str, ...]
    n_pictures: int
    sides: tuple[int, int]
    samples: int
    steps: tuple[Step, ...]

    def step(self, name: str) -> Step:
        """Return a step by its name."""
        return next(each for each in self.steps if each.name == name)

    def json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return dataclasses.asdict(self)


def pipeline_from(value: Mapping[str, Any]) -> Pipeline:
    """Return a pipeline from its JSON values.

    Parameters
    ----------
    value : mapping
        What `Pipeline.json` returned.

    Raises
    ------
    FacelimeError
        When it is something else.
    """
    try:
        steps = tuple(
            Step(**{**each, "words": tuple(each["words"]), "after": tuple(each["after"])}) for each in value["steps"]
        )
        lists = {"models": tuple(value["models"]), "sides": tuple(value["sides"]), "steps": steps}
        return Pipeline(**{**value, **lists})
    except (KeyError, TypeError) as why:
        raise FacelimeError(f"this is no pipeline that `facelime jobs` wrote ({why}); write it again.") from why


def params_with(own: Iterable[tuple[str, Any, Any]]) -> type[Any]:
    """Return the parameters of a command that writes a pipeline: what to explain, the options of all stages, its own.

    Parameters
    ----------
    own : iterable of (str, annotated type, default)
        What the engine needs.

    Returns
    -------
    type
        A frozen dataclass.
    """
    dataset = Annotated[
        str,
        Option(metavar="DATASET", help="Explain the pictures of this dataset, from `preprocess`.", show_default=False),
        Input(("datasets",)),
    ]
    model = Annotated[
        str | None,
        Option(metavar="MODEL", help="Explain this model, from `finetune` or `import-model`.", show_default=False),
        Execution(),
    ]
    models = Annotated[
        str | None,
        Option(
            metavar="A,B,…",
            help="Explain these models in one pipeline: they share segments and masks.",
            show_default=False,
        ),
        Execution(),
    ]
    run = Annotated[
        str | None,
        Option(
            "--run",
            metavar="NAME",
            help="Begin the names of all results with this. Digits that follow from the options stand behind it. "
            "[default: the dataset's name]",
            show_default=False,
        ),
        Execution(),
    ]
    every: list[Any] = [("dataset", dataset), ("model", model, None), ("models", models, None), ("run", run, None)]
    every += own
    taken = {each[0] for each in every}
    known = hints(explain.Params)
    for each in dataclasses.fields(explain.Params):
        if each.name not in NO_PART | taken:
            kind, extras = known[each.name]
            every.append((each.name, Annotated[(kind, *extras)], each.default))
    return dataclasses.make_dataclass("Params", every, frozen=True, kw_only=True)


def planned(params: Any, context: Context) -> Pipeline:
    """Return the pipeline that options ask for. Nothing is computed or written.

    Parameters
    ----------
    params : dataclass
        Made by `params_with`.
    context : Context

    Raises
    ------
    FacelimeError
        When dataset or model are not there or do not fit, or when an option is wrong that a later step reads.
    """
    dataset = context.store.resolve(params.dataset, ("datasets",)).require_complete()
    models = _models(params, dataset, context)
    options = _options(params, dataset, models[0], context)
    explain.refuse_early(options)
    segment = stage_called("segment")
    segmented = find(segment, explain.params_of(segment, options, dataset=dataset.reference), context)
    assert segmented.plan is not None
    n_pictures = segmented.plan.prepare().n if segmented.artifact is None else segmented.artifact.n
    # What a file lists may change while its name stays.
    listed = [] if options.listed is None else [segmented.plan.resolved["pictures"]]
    run = f"{_run_name(params, dataset)}-{_digits(options, dataset, models, listed)}"
    size = dataset.facts["size"]
    sides = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    return Pipeline(
        run=run,
        store=str(context.store.root),
        dataset=dataset.reference,
        models=tuple(each.reference for each in models),
        n_pictures=n_pictures,
        sides=sides,
        samples=int(_filled(options).samples),
        steps=tuple(_steps(options, run, dataset, models)),
    )


def _models(params: Any, dataset: Artifact, context: Context) -> list[Artifact]:
    """Return the models, which must answer to the pictures of the dataset."""
    if (params.model is None) == (params.models is None):
        raise CommandLineError("give --model MODEL, or --models A,B,… for several; one of them, and not both.")
    named = [params.model] if params.models is None else comma_separated(params.models)
    if not named:
        raise CommandLineError("--models names no model; give their names with commas between them.")
    found = [context.store.resolve(each, ("models",)).require_complete() for each in named]
    for place, model in enumerate(found):
        if model.id in {each.id for each in found[:place]}:
            raise CommandLineError(f"--models names {model.reference} twice; leave one of them out.")
        runtimes.require_answering(model)
        if not params.resize:
            runtimes.check_size(model, dataset)
        for classes in (params.classes, params.checked if params.check else None):
            if classes is not None:
                class_indices(classes, model.facts["classes"])
    return found


def _options(params: Any, dataset: Artifact, model: Artifact, context: Context) -> Any:
    """Return what `explain` would be asked for: one view, with whole paths, since a job runs in another folder.

    What chooses pictures has its whole id: by the time a job runs, its name may belong to a newer one, too.
    """
    given: dict[str, Any] = {}
    for each in dataclasses.fields(explain.Params):
        if each.name not in NO_PART and hasattr(params, each.name):
            value = getattr(params, each.name)
            given[each.name] = value.absolute() if isinstance(value, Path) else value
    for name, kinds in inputs_of(Choosing).items():
        if given[name] is not None:
            given[name] = context.store.resolve(given[name], kinds).require_complete().reference
    options = explain.Params(source=dataset.reference, model=model.reference, views=explain.SINGLE, **given)
    # A preset has a seed of its own, and `explain` draws pictures with that.
    return options if options.random is None else dataclasses.replace(options, seed=_filled(options).seed)


def _filled(options: Any) -> Any:
    return presets.filled(options, {**perturb.DEFAULTS, **fit_surrogate.DEFAULTS})


def _run_name(params: Any, dataset: Artifact) -> str:
    from facelime_cli.store.references import check_name

    if params.run is None:
        return dataset.name[:LONGEST_RUN]
    if len(params.run) > LONGEST_RUN:
        raise CommandLineError(f"--run has {len(params.run)} letters; use at most {LONGEST_RUN}.")
    return check_name(params.run)


def _digits(options: Any, dataset: Artifact, models: list[Artifact], listed: list[str]) -> str:
    """Return the digits of a run: those of everything that can change a result."""
    from facelime_cli.store import digests

    words = [[each.stage, *each.words] for each in _steps(options, "", dataset, models)]
    everything = [dataset.content, [each.content for each in models], words, *listed]
    return digests.of_value(everything)[:ID_DIGITS]


def _steps(options: Any, run: str, dataset: Artifact, models: list[Artifact]) -> list[Step]:
    """Return the steps, each behind those that it reads from."""
    segments = _step("segment", "segment", run, (), options, dataset=dataset.reference)
    masks = _step("perturb", "perturb", run, (segments,), options, segmentation=segments.output)
    found = [segments, masks]
    tags = _tags(models)
    for model, tag in zip(models, tags, strict=True):
        found += _chain(dataclasses.replace(options, model=model.reference), f"{run}-{tag}", tag, masks)
    return found


def _chain(options: Any, name: str, tag: str, masks: Step) -> list[Step]:
    """Return what one model has for itself."""
    predict = _step("predict", f"predict-{tag}", name, (masks,), options, masks=masks.output, model=options.model)
    fit = _step("fit-surrogate", f"fit-surrogate-{tag}", name, (predict,), options, predictions=predict.output)
    found = [predict, fit]
    if options.check:
        # The model is the explanation's own, and the seed that of the masks.
        asked = dataclasses.replace(options, seed=options.seed or perturb.DEFAULTS["seed"])
        found.append(_step("check", f"check-{tag}", name, (fit,), asked, surrogates=fit.output, model=None))
    shown = found[-1]
    return [*found, _step("render", f"render-{tag}", name, (shown,), options, surrogates=shown.output)]


def _step(stage_name: str, step: str, name: str, after: tuple[Step, ...], options: Any, **inputs: str | None) -> Step:
    stage = stage_called(stage_name)
    params = explain.params_of(stage, _known_presets(stage, options), **inputs)
    words = typed(params)
    return Step(
        name=step,
        stage=stage.name,
        words=(stage.name, *words, "--name", name),
        output=f"{stage.writes}/{name}",
        after=tuple(each.name for each in after),
        asks_model=issubclass(stage.params, Asking),
        takes_workers="workers" in hints(stage.params),
        sharded=stage.sharded,
    )


def _known_presets(stage: Stage, options: Any) -> Any:
    """Return options without a preset that the stage does not have: some are about segments alone."""
    known = hints(stage.params)
    if "preset" in known and options.preset in marker(known["preset"][1], Choice).values:
        return options
    return dataclasses.replace(options, preset=None)


def _tags(models: list[Artifact]) -> list[str]:
    """Return a short word for each model, all different."""
    names = [each.name[:LONGEST_TAG] for each in models]
    return [name if names.count(name) == 1 else f"{name}-{place + 1}" for place, name in enumerate(names)]
