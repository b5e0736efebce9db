"""Train a network on a dataset: a pretrained one with a new head, or one from nothing.

The input scaling becomes a layer of the saved model, so training and explaining cannot differ in it. A pretrained
network is trained by the recipe `auto`: a logistic regression on its features first, then all of its layers from there,
and what is best on the validation split is kept. Other recipes preset the settings of a published system. Every option
overrides its recipe. Stopped or killed, the same command resumes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.answering.runtimes import FORMATS, KERAS
from facelime_cli.choices import words_of
from facelime_cli.console import Answer
from facelime_cli.engine import Plan, Stage, facts_of_only_unit
from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.models.backbones import ACTIVATIONS, BACKBONES, IMAGENET, NONE, POOLINGS, PRECISIONS, published
from facelime_cli.options import LARGEST, Choice, Execution, Input, Resolved
from facelime_cli.store import digests, pictures
from facelime_cli.store.arrays import Layout
from facelime_cli.store.files import write_csv
from facelime_cli.training import settings as training_settings
from facelime_cli.training.recipes import (
    AUGMENTATIONS,
    AUTO,
    CLASS_WEIGHTS,
    DEFAULTS,
    KINDS,
    OPTIMIZERS,
    OTHER,
    PARTS,
    RECIPE_WORDS,
    RECIPES,
    SCHEDULES,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.engine import Context, Pending, Result
    from facelime_cli.models.building import Trainable
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.training import finetuning

FEWEST_CLASSES = 2
CHOSEN = "chosen"
"""What stands for class weights that the recipe `auto` chooses."""
MOST_EPOCHS = 100_000
AMOUNTS = ", ".join(f"{name} ({entry.words})" for name, entry in AUGMENTATIONS.items())
OWN = ", ".join(name for name in BACKBONES if name not in published(BACKBONES))
SYSTEMS = "; ".join(f"{name}: {recipe.words}" for name, recipe in RECIPES.items())


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `finetune`; those that a recipe may preset are None unless they were given."""

    dataset: Annotated[
        str,
        Argument(metavar="DATASET", help="Dataset with labels and splits.", show_default=False),
        Input(("datasets",)),
    ]
    backbone: Annotated[
        str | None,
        Choice(tuple(BACKBONES)),
        Option(
            show_default=False,
            help=f"Choose the network. {OWN} start from nothing; the others have weights from ImageNet. "
            "[default: the recipe's first; required without one]",
        ),
        Resolved(),
    ] = None
    recipe: Annotated[
        str | None,
        Choice(RECIPE_WORDS),
        Option(
            show_default=False,
            help="Preset the settings (docs/training.md). auto: a logistic regression on the features of a pretrained "
            "network, then all of its layers from there, and the better of both. "
            f"{SYSTEMS}, each for its own networks. none: the head alone, and what the options say. "
            "[default: auto with a pretrained network; none for others, and with --head or --fine-tune-epochs]",
        ),
        Resolved(("recipe", "parts")),
    ] = None
    kind: Annotated[
        str | None,
        Choice(tuple(KINDS)),
        Option(
            show_default=False,
            help="Say what the pictures are, and with it how --recipe auto may change them at random. "
            f"{words_of(KINDS)}. [default: {OTHER}]",
        ),
        Resolved(),
    ] = None
    minutes: Annotated[
        float | None,
        Option(
            min=0.1,
            max=LARGEST,
            show_default=False,
            help="Let --recipe auto take about so long: the measured speed chooses the epochs, up to --epochs. "
            "With too little time the logistic regression stays alone. [default: as long as --epochs takes]",
        ),
        Resolved(),
    ] = None
    refit: Annotated[
        bool,
        Option(
            "--refit",
            help="Let --recipe auto train again on train and validation split together, with the epochs that it found.",
        ),
        Resolved(),
    ] = False
    weights: Annotated[
        str | None,
        Option(
            metavar="imagenet|none|FILE",
            show_default=False,
            help="Choose the backbone's first weights. [default: imagenet; none for networks of our own]",
        ),
        Resolved(),
    ] = None
    freeze: Annotated[
        str | None,
        Option(
            metavar="N|all|none",
            show_default=False,
            help="Keep so many of the backbone's first layers as they are. [default: all with weights, none without]",
        ),
        Resolved(),
    ] = None
    pooling: Annotated[
        str | None,
        Choice(tuple(POOLINGS)),
        Option(
            show_default=False,
            help=f"Make features of the backbone's last maps. {words_of(POOLINGS)}. "
            "[default: the network's own; average for pretrained ones]",
        ),
        Resolved(),
    ] = None
    head: Annotated[
        str | None,
        Option(
            metavar="N,N,…|none",
            show_default=False,
            help="Set the units of the hidden layers behind the features. "
            "[default: the network's own; none for pretrained ones]",
        ),
        Resolved(),
    ] = None
    dropout: Annotated[
        str | None,
        Option(
            metavar="R,R,…|none",
            show_default=False,
            help="Set the dropout behind the features and each hidden layer. One rate is that of every hidden layer. "
            "Fewer rates than places are those of the last. [default: 0.2 for pretrained networks]",
        ),
        Resolved(),
    ] = None
    l2: Annotated[
        float | None,
        Option(
            min=0.0,
            max=10.0,
            show_default=False,
            help=f"Set the weight decay of the hidden layers. [default: {DEFAULTS.l2:g}]",
        ),
        Resolved(),
    ] = None
    output: Annotated[
        str | None,
        Choice(tuple(ACTIVATIONS)),
        Option(
            show_default=False,
            help="Make one unit for each class (softmax), or for two classes one that is yes to the second (sigmoid). "
            "With several findings per picture there is a sigmoid unit for each. "
            f"[default: {DEFAULTS.output}]",
        ),
        Resolved(),
    ] = None
    epochs: Annotated[
        int | None,
        Option(
            min=1,
            max=MOST_EPOCHS,
            show_default=False,
            help="Train for so many epochs at most; the best one by validation loss is kept. "
            f"[default: {DEFAULTS.epochs}]",
        ),
        Resolved(),
    ] = None
    steps_per_epoch: Annotated[
        int | None,
        Option(
            min=0,
            max=1_000_000,
            show_default=False,
            help="Set the steps in an epoch. [default: 0, the whole training split]",
        ),
        Resolved(),
    ] = None
    patience: Annotated[
        int | None,
        Option(
            min=0,
            max=MOST_EPOCHS,
            show_default=False,
            help="End after so many epochs without a lower validation loss. [default: 0, never]",
        ),
        Resolved(),
    ] = None
    batch_size: Annotated[
        int | None,
        Option(min=1, max=4096, show_default=False, help=f"Pictures per step. [default: {DEFAULTS.batch_size}]"),
        Resolved(),
    ] = None
    optimizer: Annotated[
        str | None,
        Choice(tuple(OPTIMIZERS)),
        Option(show_default=False, help=f"Choose how weights follow the gradient. [default: {DEFAULTS.optimizer}]"),
        Resolved(),
    ] = None
    learning_rate: Annotated[
        float | None,
        Option(
            min=1e-9,
            max=100.0,
            show_default=False,
            help=f"Set the first learning rate; lower it when training diverges. [default: {DEFAULTS.learning_rate:g}]",
        ),
        Resolved(),
    ] = None
    schedule: Annotated[
        str | None,
        Choice(tuple(SCHEDULES)),
        Option(
            show_default=False,
            help=f"Choose how the learning rate changes. {words_of(SCHEDULES)}. [default: {DEFAULTS.schedule}]",
        ),
        Resolved(),
    ] = None
    class_weights: Annotated[
        str | None,
        Choice(tuple(CLASS_WEIGHTS)),
        Option(
            show_default=False,
            help=f"Weigh the classes in the loss. {words_of(CLASS_WEIGHTS)}. With several findings per picture, "
            "balanced lets present and absent of each count alike. With --recipe auto, that of the less loss on the "
            f"validation split, where classes are unequal. [default: {DEFAULTS.class_weights}]",
        ),
        Resolved(),
    ] = None
    oversample: Annotated[
        bool, Option("--oversample", help="Repeat training pictures of the smaller classes until all are equally many.")
    ] = False
    augment: Annotated[
        str | None,
        Option(
            metavar="NAME=AMOUNT,…|none",
            show_default=False,
            help=f"Change training pictures at random, each by up to its amount: {AMOUNTS}. [default: none]",
        ),
        Resolved(),
    ] = None
    fine_tune_epochs: Annotated[
        int | None,
        Option(
            min=0,
            max=MOST_EPOCHS,
            show_default=False,
            help="Add a second phase of so many epochs, which trains the backbone's last layers too. "
            "[default: 0, no such phase]",
        ),
        Resolved(),
    ] = None
    fine_tune_layers: Annotated[
        str | None,
        Option(
            metavar="N|all",
            show_default=False,
            help=f"Train so many of its last layers then. [default: {DEFAULTS.fine_tune_layers}]",
        ),
        Resolved(),
    ] = None
    fine_tune_rate: Annotated[
        float | None,
        Option(
            min=1e-9,
            max=100.0,
            show_default=False,
            help=f"Set the learning rate then. [default: {DEFAULTS.fine_tune_rate:g}]",
        ),
        Resolved(),
    ] = None
    calibrate: Annotated[
        bool | None,
        Option(
            "--calibrate/--no-calibrate",
            show_default=False,
            help="Divide the scores by the temperature with the least log-loss on the validation split, so that the "
            "network is as sure as it is right; the temperature is a layer of the saved model. "
            "[default: calibrate with --recipe auto, else no-calibrate]",
        ),
        Resolved(),
    ] = None
    find_rate: Annotated[
        bool,
        Option(
            "--find-rate",
            help="Train nothing: try rising learning rates for a hundred steps, and print the one at which the loss "
            "falls fastest. No model is made.",
        ),
        Execution(),
    ] = False
    precision: Annotated[
        str,
        Choice(PRECISIONS),
        Option(help="Compute with 16 bits (mixed), faster on a graphics card; the saved model is float32."),
    ] = PRECISIONS[0]
    fold: Annotated[
        int | None,
        Option(
            min=0,
            show_default=False,
            help="Test this fold of a dataset with folds (from 0), validate on the next, train on the others. "
            "[default: 0]",
        ),
        Resolved(),
    ] = None
    checkpoint_minutes: Annotated[
        float,
        Option(
            min=0.0,
            max=LARGEST,
            help="Keep the state so often within an epoch, which a kill then loses; each epoch's end is kept.",
        ),
        Execution(),
    ] = 10.0
    seed: Annotated[
        int,
        Option(
            min=0,
            max=2**32 - 1,
            help="Seed of the first weights, the order and the augmentation; no training is reproducible to the bit.",
        ),
    ] = 0


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Check the dataset and settle every setting."""
    dataset = inputs["dataset"]
    _check_dataset(dataset)
    classes, size = dataset.facts["classes"], dataset.facts["size"]
    backbone = training_settings.backbone_of(params.backbone, params.recipe)
    given = training_settings.given_in(params)
    own = {"kind": params.kind, "minutes": params.minutes, "refit": params.refit}
    recipe, reason = training_settings.recipe_of(params.recipe, backbone, given, own)
    if pictures.is_multilabel(dataset):
        given = training_settings.for_findings(given, recipe, oversample=params.oversample)
    kind = params.kind or OTHER
    settings = training_settings.settle(given, backbone, recipe, len(classes), kind)
    auto = {"recipe": AUTO, "parts": asdict(PARTS), **own, "kind": kind} if recipe == AUTO else {}
    calibrates, weighs = _calibrates(params, recipe), _weighs(params, recipe)
    fold = pictures.tested_fold(dataset, params.fold)
    is_file = settings.weights not in {IMAGENET, NONE}
    sources = {"weights": _weights_digest(str(settings.weights))} if is_file else {}

    @cache
    def built() -> Trainable:
        from facelime_cli.training import finetuning

        what = finetuning.architecture(settings, backbone, dataset, params.seed)
        return finetuning.built(what, settings, params.precision)

    def prepare() -> Layout:
        built()  # what is wrong with weights, size or layers shows before anything is written
        if reason is not None:
            context.console.note(f"--recipe {AUTO} trains as --recipe {NONE} here: {reason}.")
        named = None if recipe == NONE else recipe
        facts = {"classes": classes, "size": size, "output": settings.output, "recipe": named}
        if pictures.is_multilabel(dataset):
            facts["multilabel"] = True
        return Layout(1, facts=facts)

    def training() -> finetuning.Job:
        from facelime_cli.training import calibrating, finetuning

        after = [calibrating.Calibrating(context.console, settings.batch_size)] if calibrates else []
        job = finetuning.Job(
            settings,
            finetuning.architecture(settings, backbone, dataset, params.seed),
            dataset,
            fold,
            context.console,
            precision=params.precision,
            oversample=params.oversample,
            checkpoint_seconds=60 * params.checkpoint_minutes,
            after=after,
        )
        return _by_auto(job, params, kind, weighs=weighs) if recipe == AUTO else job

    def work(artifact: Artifact, units: Pending) -> None:
        from facelime_cli.models import wrapping

        job = training()
        file = FORMATS[KERAS].file
        for unit in units:
            trained = job.run(built(), unit)
            wrapping.save(trained.network, artifact.file(file))
            made = [file, *_write_history(artifact, trained.facts)]
            unit.finish({}, made=made, facts=trained.facts)

    # A published recipe is not in it: its settings are, and the same settings are the same training.
    weights = "file" if is_file else settings.weights
    resolved = {**asdict(settings), "backbone": backbone, "weights": weights, "fold": fold, **_typed(auto)}
    # They are there only where they say something, so that other trainings keep their fingerprints.
    resolved |= {"calibrate": True} if calibrates else {}
    resolved |= {"class_weights": CHOSEN} if weighs else {}
    return Plan(
        params=params,
        resolved=resolved,
        name=f"{dataset.name}-{backbone}",
        prepare=prepare,
        work=work,
        inputs=inputs,
        sources=sources,
        finish=facts_of_only_unit,
        instead=lambda: _rates_tried(training(), built(), context),
    )


def _rates_tried(job: finetuning.Job, network: Trainable, context: Context) -> Answer:
    """Answer with a learning rate to begin with; what is computed for it is thrown away."""
    from facelime_cli.drawing import text_curves
    from facelime_cli.store import temporary
    from facelime_cli.training import rates

    with temporary.outside() as folder:
        phase, how = job.tried(network, folder)
        with context.console.progress("find-rate", rates.STEPS, unit="steps") as advance:
            found = rates.range_test(phase, how, advance)
    value = {"learning_rate": found.suggestion, "rates": found.rates, "losses": found.losses}
    option = "--learning-rate"
    said = [*text_curves.rates(found.rates, found.losses), f"begin with {option} {found.suggestion:.2g}"]
    return Answer(value, [f"{found.suggestion:.2g}"], said=said)


def _calibrates(params: Params, recipe: str | None) -> bool:
    return recipe == AUTO if params.calibrate is None else params.calibrate


def _weighs(params: Params, recipe: str | None) -> bool:
    """Tell whether the recipe `auto` chooses how unequal classes are trained: nobody else has."""
    return recipe == AUTO and params.class_weights is None and not params.oversample


def _typed(auto: Mapping[str, Any]) -> dict[str, Any]:
    """Return what counts of the recipe `auto`: an option that was not typed leaves the model what it is."""
    return {name: value for name, value in auto.items() if value not in (None, False)}


def _by_auto(job: finetuning.Job, params: Params, kind: str, *, weighs: bool) -> finetuning.Job:
    """Return a training by the recipe `auto`."""
    from facelime_cli.training import auto

    parts = replace(PARTS, mirrored=PARTS.mirrored and KINDS[kind].mirrored)
    plan = auto.Plan(parts, params.minutes, params.refit, weighs)
    planned = replace(job, auto=plan)
    return replace(planned, after=[*job.after, auto.Refitting(planned, plan)]) if params.refit else planned


def restored(model: Artifact) -> dict[str, Any]:
    """Return no settings of a second phase where there was none: they would be refused; and what is a default now."""
    parameters = model.parameters
    second = {} if parameters["fine_tune_epochs"] else {"fine_tune_layers": None, "fine_tune_rate": None}
    is_pretrained = bool(BACKBONES[parameters["backbone"]].application) and parameters["weights"] != NONE
    recipe = {"recipe": NONE} if is_pretrained and "recipe" not in parameters else {}
    by_auto = parameters.get("recipe") == AUTO
    calibrate = {"calibrate": False} if by_auto and "calibrate" not in parameters else {}
    chosen = {"class_weights": None} if parameters["class_weights"] == CHOSEN else {}
    return second | recipe | calibrate | chosen


def _check_dataset(dataset: Artifact) -> None:
    n_classes = len(dataset.facts["classes"])
    if n_classes < FEWEST_CLASSES:
        raise FacelimeError(
            f"datasets/{dataset.id} has {n_classes} class{'es' * (n_classes != 1)}; training needs two or more, from "
            "sub-folders of the source or from a table."
        )
    n_train = sum(counts["train"] for counts in dataset.facts["counts"].values())
    if n_train == 0 and pictures.is_multilabel(dataset):
        raise FacelimeError(
            f"no training picture of datasets/{dataset.id} has any finding, so there is nothing to learn; "
            "preprocess the source with another --split."
        )
    if n_train == 0:
        raise FacelimeError(f"datasets/{dataset.id} has no training split; preprocess the source with another --split.")


def _weights_digest(file: str) -> str:
    if not Path(file).is_file():
        raise NotFoundError(f"there is no weights file {file}; give a .weights.h5 file, imagenet or none to --weights.")
    return digests.of_file(Path(file))


def _write_history(artifact: Artifact, facts: Mapping[str, Any]) -> list[str]:
    """Write the history as table and chart, and return the names of the files."""
    from facelime_cli.drawing import curves, figures

    history = facts["history"]
    rows = [list(row.values()) for row in history]
    write_csv(artifact.file("history.csv"), [list(history[0]), *rows])
    charts = ["history.png", "history.svg"]
    figures.write(curves.history(facts), [artifact.file(name) for name in charts])
    return ["history.csv", *charts]


def answer(result: Result) -> Answer:
    """Answer with the reference, and beside it with the learning curve of a training that has just ended."""
    from facelime_cli.drawing import text_curves

    artifact = result.artifact
    is_new = not result.reused and artifact.facts.get("history")
    said = text_curves.history(artifact.facts) if is_new else []
    return Answer(result.json(), [artifact.id], said=said)


STAGE = Stage(
    name="finetune",
    writes="models",
    version=2,
    params=Params,
    plan=plan,
    help=__doc__,
    answer=answer,
    restored=restored,
    instead=("find_rate",),
)
