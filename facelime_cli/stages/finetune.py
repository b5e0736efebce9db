"""Train a network on a dataset: a pretrained one with a new head, or one from nothing.

The input scaling becomes a layer of the saved model, so training and explaining cannot differ in it. The weights of the
epoch with the least validation loss are kept. Stopped or killed, the same command resumes. `--recipe` presets the
settings of a published system; every option overrides it. `--labels` trains several outputs together, such as the class
and its subtype.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.answering.runtimes import FORMATS, KERAS
from facelime_cli.choices import words_of
from facelime_cli.engine import Plan, Stage, facts_of_only_unit
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.models.backbones import ACTIVATIONS, BACKBONES, IMAGENET, NONE, POOLINGS, PRECISIONS, published
from facelime_cli.names import listing
from facelime_cli.options import LARGEST, Choice, Execution, Input, Resolved
from facelime_cli.store import digests, pictures
from facelime_cli.store.arrays import Layout
from facelime_cli.store.files import write_csv
from facelime_cli.training import settings as training_settings
from facelime_cli.training.recipes import (
    AUGMENTATIONS,
    CLASS_WEIGHTS,
    DEFAULTS,
    OPTIMIZERS,
    RECIPES,
    SCHEDULES,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facelime_cli.engine import Context, Pending
    from facelime_cli.models.building import Trainable
    from facelime_cli.store.artifacts import Artifact

FEWEST_CLASSES = 2
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
        Choice(tuple(RECIPES)),
        Option(
            show_default=False,
            help="Preset the settings of a published system, for one of its own networks (docs/training.md). "
            f"{SYSTEMS}.",
        ),
        Resolved(()),
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
    from facelime_cli.training.heads import heads_of

    dataset = inputs["dataset"]
    heads = heads_of(params.labels, dataset)
    _check_dataset(dataset, has_own_labels=bool(heads))
    classes, size = list(heads[0].classes) if heads else dataset.facts["classes"], dataset.facts["size"]
    backbone = training_settings.backbone_of(params.backbone, params.recipe)
    given = training_settings.given_in(params)
    if pictures.is_multilabel(dataset):
        given = training_settings.for_findings(given, params.recipe, oversample=params.oversample)
    if len(heads) > 1 and params.oversample:
        raise CommandLineError(
            f"--oversample repeats pictures of the smaller classes, and --labels {params.labels} are several labels; "
            "use --class-weights balanced."
        )
    settings = training_settings.settle(given, backbone, params.recipe, len(classes))
    fold = pictures.tested_fold(dataset, params.fold)
    is_file = settings.weights not in {IMAGENET, NONE}
    sources = {"weights": _weights_digest(str(settings.weights))} if is_file else {}

    @cache
    def built() -> Trainable:
        from facelime_cli.training import finetuning

        what = finetuning.architecture(settings, backbone, dataset, params.seed, heads)
        return finetuning.built(what, settings, params.precision)

    def prepare() -> Layout:
        built()  # what is wrong with weights, size or layers shows before anything is written
        facts = {"classes": classes, "size": size, "output": settings.output, "recipe": params.recipe}
        if pictures.is_multilabel(dataset):
            facts["multilabel"] = True
        if heads and heads[0].column is not None:
            facts["label_column"] = heads[0].column
        return Layout(1, facts=facts)

    def work(artifact: Artifact, units: Pending) -> None:
        from facelime_cli.models import wrapping
        from facelime_cli.training import finetuning

        job = finetuning.Job(
            settings,
            finetuning.architecture(settings, backbone, dataset, params.seed, heads),
            dataset,
            fold,
            context.console,
            precision=params.precision,
            oversample=params.oversample,
            checkpoint_seconds=60 * params.checkpoint_minutes,
            heads=heads,
        )
        file = FORMATS[KERAS].file
        for unit in units:
            trained = job.run(built(), unit)
            wrapping.save(trained.network, artifact.file(file))
            made = [file, *_write_history(artifact, trained.history)]
            unit.finish({}, made=made, facts=trained.facts)

    # A recipe is not in it: its settings are, and the same settings are the same training.
    weights = "file" if is_file else settings.weights
    resolved = {**asdict(settings), "backbone": backbone, "weights": weights, "fold": fold}
    # It is there only where it says something, so that other models keep their fingerprints.
    if heads:
        resolved["labels"] = listing(each.name for each in heads)
    return Plan(
        params=params,
        resolved=resolved,
        name=f"{dataset.name}-{backbone}",
        prepare=prepare,
        work=work,
        inputs=inputs,
        sources=sources,
        finish=facts_of_only_unit,
    )


def restored(model: Artifact) -> dict[str, Any]:
    """Return no settings of a second phase where there was none: they would be refused."""
    if model.parameters["fine_tune_epochs"]:
        return {}
    return {"fine_tune_layers": None, "fine_tune_rate": None}


def _check_dataset(dataset: Artifact, *, has_own_labels: bool) -> None:
    n_classes = len(dataset.facts["classes"])
    # Labels that were named have been looked at already.
    if n_classes < FEWEST_CLASSES and not has_own_labels:
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


def _write_history(artifact: Artifact, history: Sequence[Mapping[str, float]]) -> list[str]:
    """Write the history as table and chart, and return the names of the files."""
    from facelime_cli.drawing import curves, figures

    rows = [list(row.values()) for row in history]
    write_csv(artifact.file("history.csv"), [list(history[0]), *rows])
    charts = ["history.png", "history.svg"]
    figures.write(curves.history(history), [artifact.file(name) for name in charts])
    return ["history.csv", *charts]


STAGE = Stage(name="finetune", writes="models", version=2, params=Params, plan=plan, help=__doc__, restored=restored)
