"""Train a network on a dataset: a pretrained one with a new head, or one from nothing.

The input scaling becomes a layer of the saved model, so training and explaining cannot differ in it. A pretrained
network is trained by the recipe `auto`: a logistic regression on its features first, then all of its layers from there,
and what is best on the validation split is kept. Other recipes preset the settings of a published system. Every option
overrides its recipe. Stopped or killed, the same command resumes. `--fold all` trains a network for each fold of the
dataset, and `evaluate` answers each picture with the one that has not seen it. `--labels` trains several outputs
together, such as the class and its subtype.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.answering.runtimes import FORMATS, KERAS
from facelime_cli.choices import words_of
from facelime_cli.console import Answer, Console
from facelime_cli.engine import Plan, Stage, facts_of_only_unit, identity
from facelime_cli.errors import NotFoundError
from facelime_cli.models.backbones import ACTIVATIONS, BACKBONES, IMAGENET, NONE, POOLINGS, PRECISIONS, published
from facelime_cli.options import LARGEST, Choice, Execution, Input, Resolved
from facelime_cli.store import digests
from facelime_cli.store.files import write_csv
from facelime_cli.store.pictures import EVERY_FOLD
from facelime_cli.training.recipes import (
    AUGMENTATIONS,
    AUTO,
    CHOSEN,
    CLASS_WEIGHTS,
    DEFAULTS,
    ENSEMBLE,
    KINDS,
    OPTIMIZERS,
    OTHER,
    RECIPE_WORDS,
    RECIPES,
    SCHEDULES,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from facelime_cli.engine import Context, Pending, Result
    from facelime_cli.models.building import Trainable
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.units import Unit
    from facelime_cli.training.finetuning import Job
    from facelime_cli.training.wanted import Wanted

HISTORY = "history"
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
    labels: Annotated[
        str | None,
        Option(
            metavar="NAME,…",
            show_default=False,
            help="Learn these labels, each with an output of its own behind the same features: columns of the "
            "dataset's table, and class for its own classes, such as class,subtype. An empty cell teaches nothing. "
            "Other commands take the first output, or another with --output NAME. [default: class]",
        ),
        Resolved(),
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
            metavar="N|all|early|none",
            show_default=False,
            help="Keep so many of the backbone's first layers as they are; early: those whose maps have more than a "
            "sixteenth of the picture's side. [default: all with weights, none without; early with --recipe auto]",
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
            f"balanced lets present and absent of each count alike. [default: {DEFAULTS.class_weights}]",
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
        str | None,
        Option(
            metavar="I|all",
            show_default=False,
            help="Test this fold of a dataset with folds (from 0), validate on the next, train on the others. "
            "all does so with every fold, one network each; --shard divides them. [default: 0]",
        ),
        Resolved(),
    ] = None
    ensemble: Annotated[
        bool,
        Option(
            "--ensemble",
            help="With --fold all, add the network that answers with the mean of all. It can be asked for later: "
            "what is trained is used again.",
        ),
        Resolved(),
    ] = False
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
    from facelime_cli.training.wanted import wanted

    dataset = inputs["dataset"]
    asked = wanted(params, dataset, context.console)
    is_file = asked.settings.weights not in {IMAGENET, NONE}
    made = Plan(
        params=params,
        resolved=asked.resolved(),
        name=f"{dataset.name}-{asked.backbone}",
        prepare=asked.layout,
        work=lambda artifact, units: _work(asked, artifact, units, _twin(made, context)),
        inputs=inputs,
        sources={"weights": _weights_digest(str(asked.settings.weights))} if is_file else {},
        finish=partial(finish, context=context),
        instead=partial(_rates_tried, asked, context.console),
    )
    return made


def _work(asked: Wanted, artifact: Artifact, units: Pending, twin: Artifact | None) -> None:
    """Train, fold by fold where all are asked for."""
    for unit in units:
        job = asked.job(artifact, unit.index)
        if asked.every_fold:
            _train_fold(artifact, unit, job, asked.network, twin)
        else:
            _train(artifact, unit, job, asked.network(), FORMATS[KERAS].file, HISTORY)


def _rates_tried(asked: Wanted, console: Console) -> Answer:
    """Answer with a learning rate to begin with; what is computed for it is thrown away."""
    from facelime_cli.drawing import text_curves
    from facelime_cli.store import temporary
    from facelime_cli.training import rates

    with temporary.outside() as folder:
        phase, how = asked.job(None).tried(asked.network(), folder)
        with console.progress("find-rate", rates.STEPS, unit="steps") as advance:
            found = rates.range_test(phase, how, advance)
    value = {"learning_rate": found.suggestion, "rates": found.rates, "losses": found.losses}
    option = "--learning-rate"
    said = [*text_curves.rates(found.rates, found.losses), f"begin with {option} {found.suggestion:.2g}"]
    return Answer(value, [f"{found.suggestion:.2g}"], said=said)


def restored(model: Artifact) -> dict[str, Any]:
    """Return settings as they are typed now: the fold, none of a second phase that was none, and what is a default."""
    parameters = model.parameters
    fold = parameters["fold"]
    typed: dict[str, Any] = {"fold": None if fold is None else str(fold)}
    if not parameters["fine_tune_epochs"]:
        typed |= {"fine_tune_layers": None, "fine_tune_rate": None}
    is_pretrained = bool(BACKBONES[parameters["backbone"]].application) and parameters["weights"] != NONE
    recipe = {"recipe": NONE} if is_pretrained and "recipe" not in parameters else {}
    by_auto = parameters.get("recipe") == AUTO
    calibrate = {"calibrate": False} if by_auto and "calibrate" not in parameters else {}
    chosen = {"class_weights": None} if parameters["class_weights"] == CHOSEN else {}
    return typed | recipe | calibrate | chosen


# Folds


def _train(artifact: Artifact, unit: Unit, job: Job, network: Trainable, file: str, stem: str) -> None:
    """Train one network, and write its file, and its history into files whose names begin with `stem`."""
    from facelime_cli.models import wrapping
    from facelime_cli.store import familiarity

    trained = job.run(network, unit)
    wrapping.save(trained.network, artifact.file(file))
    made = [file, *_write_history(artifact, trained.facts, stem)]
    made += [familiarity.FILE] if familiarity.FACT in trained.facts else []
    unit.finish({}, made=made, facts=trained.facts)


def _train_fold(
    artifact: Artifact, unit: Unit, job: Job, built: Callable[[], Trainable], twin: Artifact | None
) -> None:
    """Train the network of a fold, or use that of the same training again."""
    from facelime_cli.training import folding

    fold = unit.index
    known = folding.taken(twin, artifact, fold)
    told = f"was trained for {twin.reference}" if known and twin else "is trained"
    job.console.note(f"fold {fold} {told} ({fold + 1} of {artifact.n_units})")
    if known:
        unit.finish({}, made=known[0], facts=known[1])
    else:
        _train(artifact, unit, job, built(), folding.file_of(fold), folding.stem_of(fold))


def _twin(plan: Plan, context: Context) -> Artifact | None:
    """Return the same training with the mean of its networks, where this is the one without, or the other way."""
    other = {name: value for name, value in plan.resolved.items() if name != ENSEMBLE}
    if ENSEMBLE not in plan.resolved:
        other[ENSEMBLE] = True
    return context.store.find(STAGE.writes, identity(STAGE, replace(plan, resolved=other)).fingerprint)


def finish(artifact: Artifact, context: Context) -> tuple[dict[str, Any], list[str]]:
    """Note what was measured: of all folds together, with the files of their mean where that is asked for.

    Parameters
    ----------
    artifact : Artifact
        All its trainings are done.
    context : Context

    Returns
    -------
    facts : dict
    made : list of str
        The files of the mean.
    """
    if artifact.parameters["fold"] != EVERY_FOLD:
        return facts_of_only_unit(artifact)
    from facelime_cli.store import familiarity
    from facelime_cli.training import folding

    facts, file = folding.facts_of(artifact), FORMATS[KERAS].file
    told = folding.summary(facts["folds"])
    if told:
        context.console.note(f"{told}; `facelime evaluate` has intervals.")
    if not artifact.parameters.get(ENSEMBLE):
        return facts, []
    facts |= folding.mean_of(artifact, file, context.console)
    return facts, [file, *([familiarity.FILE] if familiarity.FACT in facts else [])]


def _weights_digest(file: str) -> str:
    if not Path(file).is_file():
        raise NotFoundError(f"there is no weights file {file}; give a .weights.h5 file, imagenet or none to --weights.")
    return digests.of_file(Path(file))


def _write_history(artifact: Artifact, facts: Mapping[str, Any], stem: str) -> list[str]:
    """Write the history as table and chart, and return the names of the files."""
    from facelime_cli.drawing import curves, figures

    history = facts["history"]
    # By name: Keras has an order of its own.
    rows = [[row[name] for name in history[0]] for row in history]
    write_csv(artifact.file(f"{stem}.csv"), [list(history[0]), *rows])
    charts = [f"{stem}.png", f"{stem}.svg"]
    figures.write(curves.history(facts), [artifact.file(name) for name in charts])
    return [f"{stem}.csv", *charts]


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
    sharded=True,
    answer=answer,
    restored=restored,
    instead=("find_rate",),
    finish=finish,
)
