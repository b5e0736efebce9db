"""One training, from the built network to a saved model: its pictures, its phases, and its figures afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from facelime_cli.core import findings, metrics
from facelime_cli.core.labels import ABSENT, PRESENT, labelled
from facelime_cli.models import building, outputs, running, wrapping
from facelime_cli.models.backbones import ALL, FLOAT32, NONE
from facelime_cli.models.running import Labelled
from facelime_cli.store import pictures
from facelime_cli.training import augmenting, auto, frozen, loop
from facelime_cli.training.heads import labels_of
from facelime_cli.training.loop import Phase, Training
from facelime_cli.training.recipes import ADJUSTED, CLASS_WEIGHTS

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from facelime_cli.models.building import Architecture, Trainable
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.units import Unit
    from facelime_cli.training.heads import Head
    from facelime_cli.training.recipes import Settings

MEASURED = ("validation", "test")
"""The splits that a trained network is measured on."""


class Listener(Protocol):
    """Who is told of progress: the terminal, or nobody."""

    def note(self, text: str) -> None:
        """Take a sentence about what has been reached."""

    def warn(self, text: str) -> None:
        """Take a sentence about what the reader should know."""

    def progress(
        self, task: str, total: int, done: int = 0, unit: str = "pictures"
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Return what counts the work that is done."""


@dataclass(frozen=True)
class Splits:
    """The labelled pictures of a dataset: those to train on, those that choose the best epoch, those for the end."""

    train: Labelled
    validation: Labelled
    test: Labelled


@dataclass(frozen=True)
class Trained:
    """What a training has made: the network that is saved, one row for each epoch, and the facts of the model."""

    network: Any
    history: list[dict[str, float]]
    facts: dict[str, Any]


Step = Callable[[Trained, Splits, "Unit"], Trained]
"""What may follow a training before its figures are taken: calibration, a summary of the features."""


def splits_of(dataset: Artifact, fold: int | None, heads: Sequence[Head] = ()) -> Splits:
    """Return the labelled pictures of a dataset, split by split.

    Parameters
    ----------
    dataset : Artifact
    fold : int, optional
        The fold to test, for a dataset with folds.
    heads : sequence of Head
        The labels that are learned; empty for the dataset's own. Of several, one that is known is enough.

    Returns
    -------
    Splits
    """
    labels = labels_of(dataset, heads)
    split = pictures.splits_of(dataset, fold)
    read = pictures.reader(dataset)
    found = []
    for place in range(len(fields(Splits))):
        rows = np.flatnonzero((split == place) & labelled(labels))
        found.append(Labelled(read, rows, labels[rows]))
    return Splits(*found)


def architecture(
    settings: Settings, backbone: str, dataset: Artifact, seed: int, heads: Sequence[Head] = ()
) -> Architecture:
    """Return the network that settings describe, for the pictures and classes of a dataset.

    Parameters
    ----------
    settings : Settings
    backbone : str
        A key of `BACKBONES`.
    dataset : Artifact
    seed : int
        Of the weights that come from nothing.
    heads : sequence of Head
        The labels that it learns; empty for the dataset's own.

    Returns
    -------
    Architecture
    """
    names = [each.name for each in fields(building.Architecture)]
    shared = {name: getattr(settings, name) for name in names if hasattr(settings, name)}
    widths = [(each.name, len(each.classes)) for each in heads] or [("", len(dataset.facts["classes"]))]
    return building.Architecture(
        backbone=backbone,
        size=dataset.facts["size"],
        n_classes=widths[0][1],
        multilabel=pictures.is_multilabel(dataset),
        seed=seed,
        outputs=tuple(widths) if len(widths) > 1 else (),
        **shared,
    )


def built(what: Architecture, settings: Settings, precision: str) -> Trainable:
    """Return a network ready to be trained; what is wrong with weights, size or layers shows here.

    Parameters
    ----------
    what : Architecture
    settings : Settings
    precision : str
        One of `PRECISIONS`.

    Returns
    -------
    Trainable

    Raises
    ------
    FacelimeError
        Where weights, size or layers do not go with the network.
    """
    found = building.build(what, precision)
    if settings.fine_tune_epochs:
        building.check_layers(found.backbone, settings.fine_tune_layers)
    return found


@dataclass(frozen=True)
class _Aside:
    """Stands for the unit of an artifact where none is made."""

    folder: Path

    def scratch(self, name: str) -> Path:
        """Return where something is kept."""
        return self.folder / name


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes
    ----------
    settings : Settings
    what : Architecture
        The network.
    dataset : Artifact
        Its pictures, with labels and splits.
    fold : int, optional
        The fold to test.
    console : Listener
        Told of progress.
    precision : str
        One of `PRECISIONS`.
    oversample : bool
        Whether pictures of the smaller classes are repeated.
    checkpoint_seconds : float
        Longest work within an epoch that a kill loses.
    after : sequence of callable
        Steps between training and the final figures, in this order. Each takes what has been made, the splits and the
        unit, and returns what is to be kept instead. A stop repeats them: what takes long keeps itself in the unit's
        scratch files.
    auto : Plan, optional
        For `--recipe auto`; the settings alone say what happens without it.
    heads : sequence of Head
        The labels that are learned; empty for the dataset's own.
    shares_features : bool
        Whether other units train other folds, and the frozen features of all are computed once.
    """

    settings: Settings
    what: Architecture
    dataset: Artifact
    fold: int | None
    console: Listener
    precision: str = FLOAT32
    oversample: bool = False
    checkpoint_seconds: float = 600.0
    after: Sequence[Step] = ()
    auto: auto.Plan | None = None
    heads: Sequence[Head] = ()
    shares_features: bool = False

    def run(self, network: Trainable, unit: Unit) -> Trained:
        """Train a network, from where a stop left it.

        Parameters
        ----------
        network : Trainable
            From `built`.
        unit : Unit
            Its scratch files hold what a stop keeps.

        Returns
        -------
        Trained

        Raises
        ------
        FacelimeError
            Where the loss is no number any more, or a batch does not fit into memory.
        """
        splits = splits_of(self.dataset, self.fold, self.heads)
        if not len(splits.validation.rows):
            self.console.warn(
                "there is no validation split: the epoch with the least training loss is kept, "
                "which says nothing about other pictures."
            )
        self._warn_of_untaught(splits.train.labels)
        how, phases, facts = self._planned(network, splits, unit)
        checkpoints = loop.Checkpoints(unit.scratch("checkpoint").parent)
        progress, _ = checkpoints.load()
        total, done = _steps(phases, how, progress)
        with self.console.progress("finetune", total, done, "steps") as advance:
            history = loop.train(network.whole, phases, how, checkpoints, self.console.note, advance)
        if self.auto is not None:
            facts |= auto.kept(self.console, history, checkpoints.load()[0], facts)
        # What was compiled with a loss of our own would carry it into the file.
        has_own_loss = self.what.multilabel or how.class_shares is not None
        as_it_is = self.precision == FLOAT32 and not has_own_loss
        net = network.saved if as_it_is else self._in_float32(network)
        counted = how.class_weights or how.class_shares
        own = {"fold": self.fold, "class_weights": counted, "history": history}
        trained = Trained(net, history, {**own, **facts})
        for step in self.after:
            trained = step(trained, splits, unit)
        return self._measured(trained, splits)

    def _measured(self, trained: Trained, splits: Splits) -> Trained:
        """Return what is kept with its digest, its size and its figures, which are those of the finished network."""
        net = trained.network
        # A step has measured a split itself where the finished network has learned from it.
        names = [name for name in MEASURED if name not in trained.facts]
        figures = {name: self.figures(name, net, getattr(splits, name)) for name in names}
        identity = {"model": wrapping.digest(net), "weights": net.count_params()}
        facts = {**identity, **trained.facts, **figures}
        if self.what.outputs:
            facts["heads"] = [self._facts_of(each, facts) for each in self.heads]
            facts |= {name: facts["heads"][0][name] for name in MEASURED}
        return replace(trained, facts=facts)

    @staticmethod
    def _facts_of(head: Head, facts: dict[str, Any]) -> dict[str, Any]:
        """Return what is noted of one of several labels."""
        found = {**head.facts, **{name: facts[name].get(head.name, {"n": 0}) for name in MEASURED}}
        if "temperatures" in facts:
            found["temperature"] = facts["temperatures"].get(head.name)
        return found

    def tried(self, network: Trainable, folder: Path) -> tuple[Phase, Training]:
        """Return what `--learning-rate` is the rate of, and how it is trained.

        Parameters
        ----------
        network : Trainable
            From `built`.
        folder : pathlib.Path
            For what is computed once; nothing is kept beyond it.

        Returns
        -------
        phase : Phase
        how : Training
        """
        splits = splits_of(self.dataset, self.fold, self.heads)
        how, phases, _ = self._planned(network, splits, cast("Unit", _Aside(folder)))
        # The head's phase; the recipe auto has a probe there, and the whole network behind it.
        return replace(phases[0 if self.auto is None else -1], paced=None), how

    def _warn_of_untaught(self, labels: NDArray[Any]) -> None:
        """Warn of findings that no training picture shows, or none is free of: nothing can be learned of them."""
        for each in self.heads:
            own = labels[each.name] if labels.dtype.names else labels
            for place in sorted(set(range(len(each.classes))) - set(own.tolist())):
                self.console.warn(
                    f"no training picture is {each.classes[place]} ({each.name}): the model cannot learn it."
                )
        if not self.what.multilabel:
            return
        for number, name in enumerate(self.dataset.facts["classes"]):
            if len(values := np.unique(labels[:, number][labels[:, number] >= 0])) < len((ABSENT, PRESENT)):
                lacking = {(): "with or without", (ABSENT,): "with", (PRESENT,): "known to be without"}
                self.console.warn(
                    f"no training picture is {lacking[tuple(values.tolist())]} {name}: the model cannot learn it."
                )

    def _planned(self, network: Trainable, splits: Splits, unit: Unit) -> tuple[Training, list[Phase], dict[str, Any]]:
        """Return how to train, the phases, and what there is to note of what came before them."""
        how = self.how(splits.train.labels)
        if self.auto is None:
            return how, self._phases(network, splits, unit), {}
        found = auto.prepared(self, self.auto, network, splits, how, unit)
        return found.how, found.phases, found.facts

    def how(self, labels: NDArray[Any], class_weights: str | None = None) -> Training:
        """Return how a network is trained on pictures of some classes.

        Parameters
        ----------
        labels : (N,) or (N, L) int array
        class_weights : str, optional
            A key of `CLASS_WEIGHTS` in the place of that of the settings.

        Returns
        -------
        Training
        """
        settings = self.settings
        taken = labels[loop.drawn(labels, oversample=self.oversample)]
        name = class_weights or settings.class_weights
        counted = CLASS_WEIGHTS[name].load()(taken)
        adjusts = name == ADJUSTED
        return Training(
            batch_size=settings.batch_size,
            seed=self.what.seed,
            optimizer=settings.optimizer,
            steps_per_epoch=settings.steps_per_epoch,
            patience=settings.patience,
            schedule=settings.schedule,
            class_weights=None if adjusts else counted,
            class_shares=counted if adjusts else None,
            oversample=self.oversample,
            checkpoint_seconds=self.checkpoint_seconds,
            widths=tuple(width for _, width in self.what.outputs),
        )

    def _phases(self, network: Trainable, splits: Splits, unit: Unit) -> list[Phase]:
        """Return the head's phase, and the one that trains layers of the backbone as well."""
        settings = self.settings
        whole = network.whole
        if settings.augment:
            whole = augmenting.augmented(whole, settings.augment, self.what.seed)
        first, train, validation = whole, splits.train, splits.validation
        # Where nothing changes before the features, they are computed once and the head is trained alone.
        if settings.freeze == ALL and not settings.augment:
            first = network.head
            train = self.features("train", network.bare, splits.train, unit)
            validation = self.features("validation", network.bare, splits.validation, unit)
        phases = [Phase(first, train, validation, settings.epochs, settings.learning_rate)]
        if settings.fine_tune_epochs:

            def unfreeze() -> None:
                building.unfreeze(network.backbone, settings.fine_tune_layers)

            phases.append(
                Phase(
                    whole,
                    splits.train,
                    splits.validation,
                    settings.fine_tune_epochs,
                    settings.fine_tune_rate,
                    unfreeze,
                )
            )
        return phases

    def features(self, name: str, bare: Any, split: Labelled, unit: Unit, *, mirrored: bool = False) -> Labelled:
        """Return a split whose pictures are their features.

        The features lie in small files until training is done, so that a stop keeps them.

        Parameters
        ----------
        name : str
            Of the split.
        bare : keras.Model
            From display space to features.
        split : Labelled
            Its pictures.
        unit : Unit
            Its scratch files, or those that all units share, hold the features.
        mirrored : bool
            Whether left and right are exchanged.

        Returns
        -------
        Labelled
            It reads (B, F) float32 features.
        """
        if self.shares_features:
            return frozen.of_every_fold(self, bare, split, unit, mirrored=mirrored)
        return frozen.of_split(self, name, bare, split, unit, mirrored=mirrored)

    def figures(self, name: str, net: Any, split: Labelled) -> dict[str, Any]:
        """Return a network's figures on a split, and tell the listener.

        Parameters
        ----------
        name : str
            Of the split.
        net : keras.Model
        split : Labelled

        Returns
        -------
        dict
        """
        if not len(split.rows):
            return {"n": 0}
        if self.what.outputs:
            return self._figures_of_labels(name, net, split)
        probabilities = running.probabilities(net, split, self.settings.batch_size)
        if self.what.multilabel:
            return self._figures_of_findings(name, split.labels, probabilities)
        classes = self.heads[0].classes if self.heads else self.dataset.facts["classes"]
        return self._figures_of_classes(name, split.labels, probabilities, classes)

    def _figures_of_classes(
        self, what: str, labels: NDArray[np.int64], probabilities: NDArray[np.float32], classes: Sequence[str]
    ) -> dict[str, Any]:
        found = metrics.figures(labels, probabilities, classes)
        self.console.note(
            f"{what}: {found['n']} pictures, accuracy {found['accuracy']:.3f}, "
            f"balanced accuracy {found['balanced_accuracy']:.3f}"
        )
        return found

    def _figures_of_labels(self, name: str, net: Any, split: Labelled) -> dict[str, Any]:
        """Return the figures of each of several labels by its name, on the pictures whose label is known."""
        joined = outputs.joined(net, [each.name for each in self.heads])
        answers = running.probabilities(joined, split, self.settings.batch_size)
        found: dict[str, Any] = {}
        begin = 0
        for head in self.heads:
            known = split.labels[head.name] >= 0
            own = answers[known, begin : begin + len(head.classes)]
            begin += len(head.classes)
            if known.any():
                labels = split.labels[head.name][known]
                found[head.name] = self._figures_of_classes(f"{name}, {head.name}", labels, own, head.classes)
        return found

    def _figures_of_findings(
        self, name: str, labels: NDArray[np.int64], probabilities: NDArray[np.float32]
    ) -> dict[str, Any]:
        classes = self.dataset.facts["classes"]
        found = findings.figures(labels.astype(np.int8), probabilities, [findings.HALF] * len(classes))
        area = "not defined" if found["macro_auc"] is None else f"{found['macro_auc']:.3f}"
        self.console.note(f"{name}: {len(labels)} pictures, area under the ROC curve {area} (mean over the findings)")
        by_name = {each: dict(zip(classes, found[each], strict=True)) for each in findings.EACH}
        return {"n": len(labels), "classes": classes, **found, **by_name}

    def _in_float32(self, network: Trainable) -> Any:
        """Return the network with the same weights that computes in float32."""
        built = building.build(replace(self.what, weights=NONE))
        built.whole.set_weights(network.whole.get_weights())
        return built.saved


def _steps(phases: Sequence[Phase], how: Training, progress: loop.Progress) -> tuple[int, int]:
    """Return how many steps there are at most, and how many are done."""
    steps = [how.steps(phase.train) for phase in phases]
    planned = [phase.epochs * each for phase, each in zip(phases, steps, strict=True)]
    done = sum(planned[: progress.phase])
    if progress.phase < len(phases):
        done += progress.epoch * steps[progress.phase] + progress.step
    return sum(planned), done
