"""Train a network on a dataset: a pretrained one with a new head, or one from nothing.

The input scaling becomes a layer of the saved model, so training and explaining cannot differ in it. The weights of the epoch with the least validation loss
are kept. Stopped or killed, the same command goes on where it was. `--recipe` presets the settings of a published system; every option overrides it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.engine import Plan, Stage
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.models import recipes
from facelime_cli.models.backbones import ACTIVATIONS, BACKBONES, POOLINGS
from facelime_cli.models.recipes import (
    AUGMENTATIONS,
    CLASS_WEIGHTS,
    DEFAULTS,
    OPTIMIZERS,
    PRECISIONS,
    RECIPES,
    SCHEDULES,
    Settings,
)
from facelime_cli.options import Choice, Execution, Input, results_of
from facelime_cli.sources import PARTS
from facelime_cli.store import digests, pictures
from facelime_cli.store.arrays import Layout
from facelime_cli.store.files import write_csv, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from facelime_cli.engine import Context, Pending
    from facelime_cli.models import building, running, training
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.units import Unit

PRETRAINED = "imagenet"
FEWEST_CLASSES = 2
FEATURE_PICTURES = 256
"""Pictures whose features are kept in one file until training is done: what a kill repeats at most."""
AMOUNTS = ", ".join(f"{name} ({unit})" for name, unit in AUGMENTATIONS.items())
READERS: dict[str, Callable[[str], Any]] = {
    "head": recipes.widths,
    "dropout": recipes.rates,
    "augment": recipes.augmentation,
}
"""Settings whose option is a text that means something else."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `finetune`; those that a recipe may preset are None unless they were given."""

    dataset: Annotated[
        str,
        Argument(metavar="DATASET", help="Dataset with labels and parts.", show_default=False),
        Input(("datasets",)),
    ]
    backbone: Annotated[
        str | None,
        Choice(tuple(BACKBONES)),
        Option(
            show_default=False,
            help="Network. ann to cnn-small need no weights. [default: the recipe's first; required without one]",
        ),
    ] = None
    recipe: Annotated[
        str | None,
        Choice(tuple(RECIPES)),
        Option(
            show_default=False, help="Settings of a published system, for one of its own networks (docs/training.md)."
        ),
    ] = None
    weights: Annotated[
        str | None,
        Option(
            metavar="imagenet|none|FILE",
            show_default=False,
            help="Where the backbone's weights come from. [default: imagenet; none for networks of our own]",
        ),
    ] = None
    freeze: Annotated[
        str | None,
        Option(
            metavar="N|all|none",
            show_default=False,
            help="How many of the backbone's first layers stay as they are. [default: all with weights, none without]",
        ),
    ] = None
    pooling: Annotated[
        str | None,
        Choice(tuple(POOLINGS)),
        Option(
            show_default=False,
            help="How the backbone's last maps become features. [default: the network's own; average for pretrained ones]",
        ),
    ] = None
    head: Annotated[
        str | None,
        Option(
            metavar="N,N,…|none",
            show_default=False,
            help="Units of the hidden layers behind the features. [default: the network's own; none for pretrained ones]",
        ),
    ] = None
    dropout: Annotated[
        str | None,
        Option(
            metavar="R,R,…|none",
            show_default=False,
            help="Dropout behind the features and each hidden layer; one rate is that of every hidden layer, fewer than places those of the last. [default: 0.2 for pretrained networks]",
        ),
    ] = None
    l2: Annotated[
        float | None,
        Option(
            min=0.0, max=10.0, show_default=False, help=f"Weight decay of the hidden layers. [default: {DEFAULTS.l2:g}]"
        ),
    ] = None
    output: Annotated[
        str | None,
        Choice(ACTIVATIONS),
        Option(
            show_default=False,
            help=f"One unit a class, or for two classes one that says yes to the second. [default: {DEFAULTS.output}]",
        ),
    ] = None
    epochs: Annotated[
        int | None,
        Option(
            min=1,
            show_default=False,
            help=f"Epochs at most; the best one by validation loss is kept. [default: {DEFAULTS.epochs}]",
        ),
    ] = None
    steps_per_epoch: Annotated[
        int | None, Option(min=0, show_default=False, help="Steps in an epoch. [default: 0, the whole training part]")
    ] = None
    patience: Annotated[
        int | None,
        Option(
            min=0,
            show_default=False,
            help="End after so many epochs without a lower validation loss. [default: 0, never]",
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        Option(min=1, max=4096, show_default=False, help=f"Pictures per step. [default: {DEFAULTS.batch_size}]"),
    ] = None
    optimizer: Annotated[
        str | None,
        Choice(tuple(OPTIMIZERS)),
        Option(show_default=False, help=f"How weights follow the gradient. [default: {DEFAULTS.optimizer}]"),
    ] = None
    learning_rate: Annotated[
        float | None,
        Option(
            min=1e-9,
            show_default=False,
            help=f"Of the optimiser; lower it when training diverges. [default: {DEFAULTS.learning_rate:g}]",
        ),
    ] = None
    schedule: Annotated[
        str | None,
        Choice(SCHEDULES),
        Option(
            show_default=False,
            help=f"How the learning rate changes: down to 0, or when the loss stops falling. [default: {DEFAULTS.schedule}]",
        ),
    ] = None
    class_weights: Annotated[
        str | None,
        Choice(CLASS_WEIGHTS),
        Option(
            show_default=False, help=f"Let every class count alike in the loss. [default: {DEFAULTS.class_weights}]"
        ),
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
    ] = None
    fine_tune_epochs: Annotated[
        int | None,
        Option(
            min=0,
            show_default=False,
            help="Epochs of a second phase, which trains the backbone's last layers too. [default: 0, no such phase]",
        ),
    ] = None
    fine_tune_layers: Annotated[
        str | None,
        Option(
            metavar="N|all",
            show_default=False,
            help=f"How many of its last layers then. [default: {DEFAULTS.fine_tune_layers}]",
        ),
    ] = None
    fine_tune_rate: Annotated[
        float | None,
        Option(min=1e-9, show_default=False, help=f"Learning rate then. [default: {DEFAULTS.fine_tune_rate:g}]"),
    ] = None
    precision: Annotated[
        str,
        Choice(PRECISIONS),
        Option(help="mixed computes with 16 bits, faster on a graphics card; the saved model is float32."),
    ] = PRECISIONS[0]
    fold: Annotated[
        int | None,
        Option(
            min=0,
            show_default=False,
            help="Test this fold of a dataset with folds (from 0), validate on the next, train on the others. [default: 0]",
        ),
    ] = None
    checkpoint_minutes: Annotated[
        float,
        Option(min=0.0, help="Longest work that a kill loses within an epoch; each epoch's end is kept anyway."),
        Execution(),
    ] = 10.0
    seed: Annotated[
        int,
        Option(
            min=0,
            max=2**32 - 1,
            help="Of initial weights, order and augmentation; training is not reproducible to the bit.",
        ),
    ] = 0


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Check the dataset and resolve every setting."""
    dataset = inputs["dataset"]
    facts = dataset.facts
    if len(facts["classes"]) < FEWEST_CLASSES:
        raise FacelimeError(
            f"datasets/{dataset.id} has {len(facts['classes'])} classes; training needs a source with a sub-folder for each of two or more."
        )
    if sum(counts["train"] for counts in facts["counts"].values()) == 0:
        raise FacelimeError(f"datasets/{dataset.id} has no training part; preprocess the source with another --split.")
    backbone = _backbone(params)
    settings = _settings(params, backbone, len(facts["classes"]))
    fold = pictures.tested_fold(dataset, params.fold)
    sources = {} if settings.weights in {PRETRAINED, "none"} else {"weights": _weights_digest(str(settings.weights))}
    fixed = {each.name: getattr(settings, each.name) for each in fields(settings)}
    parameters = {
        **results_of(params),
        **fixed,
        "backbone": backbone,
        "weights": "file" if sources else settings.weights,
        "fold": fold,
    }
    del parameters["recipe"]  # its settings are there, and the same settings are the same training

    @cache
    def built() -> building.Trainable:
        from facelime_cli.models import building

        found = building.build(_architecture(params, settings, backbone, dataset), params.precision)
        if settings.fine_tune_epochs:
            building.check_layers(found.backbone, settings.fine_tune_layers)
        return found

    def prepare() -> Layout:
        built()  # what is wrong with weights, size or layers shows before anything is written
        return Layout(
            1,
            facts={
                "classes": facts["classes"],
                "size": facts["size"],
                "output": settings.output,
                "recipe": params.recipe,
            },
        )

    def work(artifact: Artifact, units: Pending) -> None:
        for unit in units:
            _Job(params, settings, dataset, fold, context).run(
                built(), _architecture(params, settings, backbone, dataset), artifact, unit
            )

    def finish(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
        return artifact.facts_of_units()[0], []

    return Plan(parameters, f"{dataset.name}-{backbone}", prepare, work, inputs, sources, finish)


def _backbone(params: Params) -> str:
    if params.backbone is None and params.recipe is None:
        raise CommandLineError(
            f"there is no network to train; name one with --backbone ({', '.join(BACKBONES)}), or a published system with --recipe ({', '.join(RECIPES)})."
        )
    if params.recipe is None:
        return str(params.backbone)
    networks = RECIPES[params.recipe].networks
    if params.backbone not in {None, *networks}:
        raise CommandLineError(
            f"--recipe {params.recipe} says nothing of --backbone {params.backbone}; its networks are {', '.join(networks)}."
        )
    return params.backbone or next(iter(networks))


def _settings(params: Params, backbone: str, n_classes: int) -> Settings:
    """Return every setting: what was given, else the recipe's, else the network's, else the default."""
    preset = DEFAULTS if params.recipe is None else RECIPES[params.recipe].settings_of(backbone, n_classes)
    given: dict[str, Any] = {
        each.name: getattr(params, each.name) for each in fields(Settings) if getattr(params, each.name) is not None
    }
    settings = replace(
        preset, **{name: READERS[name](value) if name in READERS else value for name, value in given.items()}
    )
    entry = BACKBONES[backbone]
    weights = settings.weights or (PRETRAINED if entry.application else "none")
    freeze = _layers("--freeze", settings.freeze or ("none" if weights == "none" else "all"), "all, none")
    _layers("--fine-tune-layers", settings.fine_tune_layers, "all")
    if not settings.fine_tune_epochs and {"fine_tune_layers", "fine_tune_rate"} & set(given):
        raise CommandLineError(
            "--fine-tune-layers and --fine-tune-rate are about a second phase; say how long it is with --fine-tune-epochs."
        )
    own: dict[str, Any] = {
        name: getattr(entry, name) for name in ("pooling", "head", "dropout") if getattr(settings, name) is None
    }
    settings = replace(settings, weights=weights, freeze=freeze, **own)
    if settings.l2 and not settings.head:
        raise CommandLineError(
            f"--l2 {settings.l2:g} is about hidden layers, and this network has none; give it some with --head, or leave --l2 out."
        )
    return settings


def _layers(option: str, text: str, words: str) -> str:
    if text not in words.split(", ") and not text.isdecimal():
        raise CommandLineError(f"{option} {text!r} should be {words} or a number of layers.")
    return text


def _weights_digest(file: str) -> str:
    if not Path(file).is_file():
        raise NotFoundError(f"there is no weights file {file}; give a .weights.h5 file, imagenet or none to --weights.")
    return digests.of_file(Path(file))


def _architecture(params: Params, settings: Settings, backbone: str, dataset: Artifact) -> building.Architecture:
    from facelime_cli.models import building

    shared = {
        each.name: getattr(settings, each.name)
        for each in fields(building.Architecture)
        if hasattr(settings, each.name)
    }
    return building.Architecture(
        backbone=backbone,
        size=int(dataset.facts["size"]),
        n_classes=len(dataset.facts["classes"]),
        seed=params.seed,
        **shared,
    )


@dataclass(frozen=True)
class _Job:
    """One training, from the built network to the finished unit."""

    params: Params
    settings: Settings
    dataset: Artifact
    fold: int | None
    context: Context

    def run(self, built: building.Trainable, what: building.Architecture, artifact: Artifact, unit: Unit) -> None:
        from facelime_cli.models import training, wrapping

        how, parts = self._how(), self._parts()
        if not len(parts["validation"].rows):
            self.context.console.warn(
                "there is no validation part: the epoch with the least training loss is kept, which says nothing of other pictures."
            )
        phases = self._phases(built, parts, unit)
        checkpoints = training.Checkpoints(unit.scratch("checkpoint").parent)
        console = self.context.console
        total, done = self._steps(phases, how, checkpoints.load()[0])
        with console.progress("finetune", total, done, "steps") as advance:
            history = training.train(built.whole, phases, how, checkpoints, console.note, advance)
        net = built.whole if self.params.precision == "float32" else _in_float32(built, what)
        figures = {name: self._figures(name, net, parts[name]) for name in PARTS[1:]}
        wrapping.save(net, artifact.file("model.keras"))
        made = ["model.keras", *_write_history(artifact, history)]
        unit.finish(
            {},
            made=made,
            facts={
                "model": wrapping.digest(net),
                "weights": net.count_params(),
                "fold": self.fold,
                "class_weights": how.class_weights,
                "history": history,
                **figures,
            },
        )

    def _parts(self) -> dict[str, running.Part]:
        import numpy as np

        from facelime_cli.models import running

        labels, split, read = (
            self.dataset.read("labels").astype(np.int64),
            pictures.splits_of(self.dataset, self.fold),
            pictures.reader(self.dataset),
        )
        rows = {name: np.flatnonzero((split == index) & (labels >= 0)) for index, name in enumerate(PARTS)}
        return {name: running.Part(read, part, labels[part]) for name, part in rows.items()}

    def _how(self) -> training.Training:
        from facelime_cli.models import training

        settings = self.settings
        weights = self._class_weights() if settings.class_weights == "balanced" else None
        same = {
            each.name: getattr(settings, each.name)
            for each in fields(training.Training)
            if each.name != "class_weights" and hasattr(settings, each.name)
        }
        return training.Training(
            seed=self.params.seed,
            class_weights=weights,
            oversample=self.params.oversample,
            checkpoint_seconds=60 * self.params.checkpoint_minutes,
            **same,
        )

    def _class_weights(self) -> dict[int, float]:
        """Return a weight for each class of the training part: inverse to how often a pass takes it, 1 on average."""
        import numpy as np
        from sklearn.utils.class_weight import compute_class_weight

        from facelime_cli.models import training

        labels = self._parts()["train"].labels
        labels = labels[training.drawn(labels, oversample=self.params.oversample)]
        present = np.unique(labels)
        return dict(
            zip(map(int, present), map(float, compute_class_weight("balanced", classes=present, y=labels)), strict=True)
        )

    def _phases(self, built: building.Trainable, parts: Mapping[str, running.Part], unit: Unit) -> list[training.Phase]:
        """Return the head's phase, on features computed once where nothing else changes, and the one that trains layers of the backbone as well."""
        from facelime_cli.models import building, training

        settings = self.settings
        whole = building.augmented(built.whole, settings.augment, self.params.seed) if settings.augment else built.whole
        first, halves = whole, parts
        if settings.freeze == "all" and not settings.augment:
            first, halves = (
                built.head,
                {name: self._features(name, built.bare, parts[name], unit) for name in PARTS[:2]},
            )
        phases = [training.Phase(first, halves["train"], halves["validation"], settings.epochs, settings.learning_rate)]
        if settings.fine_tune_epochs:
            phases.append(
                training.Phase(
                    whole,
                    parts["train"],
                    parts["validation"],
                    settings.fine_tune_epochs,
                    settings.fine_tune_rate,
                    lambda: building.unfreeze(built.backbone, settings.fine_tune_layers),
                )
            )
        return phases

    def _features(self, name: str, bare: Any, part: running.Part, unit: Unit) -> running.Part:
        """Return a part whose pictures are their features; they lie in small files until training is done, so that a stop keeps them."""
        import numpy as np

        from facelime_cli.models import running

        blocks = [
            unit.scratch(f"features-{name}-{start:08d}.npy") for start in range(0, len(part.rows), FEATURE_PICTURES)
        ]
        done, call = sum(path.exists() for path in blocks), running.forward(bare)
        with self.context.console.progress(
            f"features of the {name} part", len(part.rows), done * FEATURE_PICTURES
        ) as advance:
            for place, path in enumerate(blocks):
                if not path.exists():
                    chosen = slice(place * FEATURE_PICTURES, (place + 1) * FEATURE_PICTURES)
                    stream, block = io.BytesIO(), running.Part(part.read, part.rows[chosen], part.labels[chosen])
                    np.save(stream, np.concatenate(list(running.answers(call, block, self.settings.batch_size))))
                    write_whole(path, stream.getvalue())
                    advance(len(block.rows))
        features = (
            np.concatenate([np.load(path, allow_pickle=False) for path in blocks])
            if blocks
            else np.zeros((0, 1), np.float32)
        )
        return running.Part(lambda rows: features[rows], np.arange(len(part.rows)), part.labels)

    def _steps(
        self, phases: Sequence[training.Phase], how: training.Training, progress: training.Progress
    ) -> tuple[int, int]:
        """Return how many steps there are at most, and how many are done."""
        steps = [how.steps(phase.train) for phase in phases]
        planned = [phase.epochs * each for phase, each in zip(phases, steps, strict=True)]
        begun = progress.epoch * steps[progress.phase] + progress.step if progress.phase < len(phases) else 0
        return sum(planned), sum(planned[: progress.phase]) + begun

    def _figures(self, name: str, net: Any, part: running.Part) -> dict[str, Any]:
        from facelime_cli.core import metrics
        from facelime_cli.models import running

        if not len(part.rows):
            return {"n": 0}
        found = metrics.figures(
            part.labels, running.probabilities(net, part, self.settings.batch_size), self.dataset.facts["classes"]
        )
        self.context.console.note(
            f"{name}: {found['n']} pictures, accuracy {found['accuracy']:.3f}, balanced accuracy {found['balanced_accuracy']:.3f}"
        )
        return found


def _in_float32(built: building.Trainable, what: building.Architecture) -> Any:
    """Return the network with the same weights that computes in float32."""
    from facelime_cli.models import building

    net = building.build(replace(what, weights="none")).whole
    net.set_weights(built.whole.get_weights())
    return net


def _write_history(artifact: Artifact, history: Sequence[Mapping[str, float]]) -> list[str]:
    """Write the history as table and chart, and return the names of the files."""
    from facelime_cli.drawing import curves, figures

    write_csv(artifact.file("history.csv"), [list(history[0]), *(list(row.values()) for row in history)])
    charts = ["history.png", "history.svg"]
    figures.write(curves.history(history), [artifact.file(name) for name in charts])
    return ["history.csv", *charts]


STAGE = Stage(name="finetune", writes="models", version=2, params=Params, plan=plan, help=__doc__)
