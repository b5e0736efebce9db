"""What `finetune` is to train, with every choice settled: what the model is known by, its layout, and each training."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.models.backbones import IMAGENET, NONE
from facelime_cli.names import listing
from facelime_cli.store import pictures
from facelime_cli.store.arrays import Layout
from facelime_cli.store.pictures import EVERY_FOLD
from facelime_cli.training import settings as training_settings
from facelime_cli.training.heads import heads_of
from facelime_cli.training.recipes import AUTO, CHOSEN, ENSEMBLE, KINDS, OTHER, PARTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.models.building import Architecture, Trainable
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.training.finetuning import Job, Listener, Step
    from facelime_cli.training.heads import Head
    from facelime_cli.training.recipes import Settings

FEWEST_CLASSES = 2


@dataclass(frozen=True)
class Wanted:
    """What is to be trained.

    Attributes
    ----------
    params : dataclass
        The parameters of `finetune`, as they were typed.
    dataset : Artifact
    console : Listener
    backbone, recipe, kind : str
        Keys of `BACKBONES`, of `RECIPES` or `auto` or `none`, and of `KINDS`.
    settings : Settings
    fold : int, str or None
        To test, or `EVERY_FOLD`.
    reason : str, optional
        Why it is not trained by the recipe that was asked for.
    heads : tuple of Head
        The labels that are learned; empty for the dataset's own.
    """

    params: Any
    dataset: Artifact
    console: Listener
    backbone: str
    recipe: str
    kind: str
    settings: Settings
    fold: int | str | None
    reason: str | None
    heads: tuple[Head, ...] = ()

    @property
    def every_fold(self) -> bool:
        """Whether each fold has a network of its own."""
        return self.fold == EVERY_FOLD

    def resolved(self) -> dict[str, Any]:
        """Return what the model is known by."""
        # A published recipe is not in it: its settings are, and the same settings are the same training.
        found: dict[str, Any] = {**asdict(self.settings), "backbone": self.backbone, "fold": self.fold}
        if self.settings.weights not in {IMAGENET, NONE}:
            found["weights"] = "file"
        # What was not asked for is not there, so that other models keep their fingerprints.
        if self.params.ensemble:
            found[ENSEMBLE] = True
        if self.calibrates:
            found["calibrate"] = True
        if self.heads:
            found["labels"] = listing(each.name for each in self.heads)
        if self.weighs:
            found["class_weights"] = CHOSEN
        if self.recipe != AUTO:
            return found
        typed = {name: value for name, value in _of_auto(self.params).items() if value not in (None, False)}
        return {**found, **typed, "recipe": AUTO, "parts": asdict(PARTS), "kind": self.kind}

    @cached_property
    def architecture(self) -> Architecture:
        """The network."""
        from facelime_cli.training import finetuning

        return finetuning.architecture(self.settings, self.backbone, self.dataset, self.params.seed, self.heads)

    def _built(self) -> Trainable:
        """Return the network as it is before training."""
        from facelime_cli.training import finetuning

        return finetuning.built(self.architecture, self.settings, self.params.precision)

    @cached_property
    def _first(self) -> list[Trainable]:
        """The network that shows what is wrong, which the first training takes."""
        return [self._built()]

    def network(self) -> Trainable:
        """Return a network that nothing has trained."""
        return self._first.pop() if self._first else self._built()

    def layout(self) -> Layout:
        """Say what the model is; what is wrong with weights, size or layers shows before anything is written."""
        _ = self._first
        if self.reason is not None:
            self.console.note(f"--recipe {AUTO} trains as --recipe {NONE} here: {self.reason}.")
        facts = {name: self.dataset.facts[name] for name in ("classes", "size")}
        facts |= {"output": self.settings.output, "recipe": None if self.recipe == NONE else self.recipe}
        if pictures.is_multilabel(self.dataset):
            facts["multilabel"] = True
        if self.heads:
            facts["classes"] = list(self.heads[0].classes)
            facts |= {} if self.heads[0].column is None else {"label_column": self.heads[0].column}
        if self.every_fold:  # each is a unit
            return Layout(self.dataset.parameters["folds"], facts=facts, unit_pictures=1)
        return Layout(1, facts=facts)

    def job(self, artifact: Artifact | None, unit: int = 0) -> Job:
        """Return one training.

        Parameters
        ----------
        artifact : Artifact, optional
            The model that it is a part of; without one, nothing is kept of it.
        unit : int
            The fold, where each has a network of its own.
        """
        from facelime_cli.training import auto, finetuning

        params = self.params
        tested = unit if self.every_fold else self.fold
        # What is measured on the validation split comes before that is trained on, and features after.
        before, after = self._calibrating(), self._familiarising(artifact)
        job = finetuning.Job(
            self.settings,
            self.architecture,
            self.dataset,
            None if tested is None else int(tested),
            self.console,
            precision=params.precision,
            oversample=params.oversample,
            checkpoint_seconds=60 * params.checkpoint_minutes,
            after=[*before, *after],
            heads=self.heads,
            shares_features=artifact is not None and self.every_fold,
        )
        if self.recipe != AUTO:
            return job
        parts = replace(PARTS, mirrored=PARTS.mirrored and KINDS[self.kind].mirrored)
        plan = auto.Plan(parts, params.minutes, params.refit, self.weighs)
        planned = replace(job, auto=plan)
        if not params.refit:
            return planned
        return replace(planned, after=[*before, auto.Refitting(planned, plan), *after])

    @property
    def calibrates(self) -> bool:
        """Whether a temperature is sought: it is a part of the recipe `auto`."""
        asked: bool | None = self.params.calibrate
        return self.recipe == AUTO if asked is None else asked

    @property
    def weighs(self) -> bool:
        """Whether the recipe `auto` chooses how unequal classes are trained: nobody else has."""
        params = self.params
        return self.recipe == AUTO and params.class_weights is None and not params.oversample

    def _calibrating(self) -> list[Step]:
        from facelime_cli.training import calibrating

        return [calibrating.Calibrating(self.console, self.settings.batch_size)] if self.calibrates else []

    def _familiarising(self, artifact: Artifact | None) -> list[Step]:
        from facelime_cli.training import familiarising

        # A model with a network for each fold has one summary, that of their mean.
        if artifact is None or self.every_fold:
            return []
        return [familiarising.step(artifact, self.dataset, self.console)]


def wanted(params: Any, dataset: Artifact, console: Listener) -> Wanted:
    """Settle every choice.

    Parameters
    ----------
    params : dataclass
        The parameters of `finetune`.
    dataset : Artifact
    console : Listener
        Is told of what happens later.

    Returns
    -------
    Wanted

    Raises
    ------
    FacelimeError
        Where the dataset cannot be learned from.
    CommandLineError
        For options that do not go together.
    """
    heads = heads_of(params.labels, dataset)
    _check_dataset(dataset, has_own_labels=bool(heads))
    backbone = training_settings.backbone_of(params.backbone, params.recipe)
    given = training_settings.given_in(params)
    recipe, reason = training_settings.recipe_of(params.recipe, backbone, given, _of_auto(params))
    if pictures.is_multilabel(dataset):
        given = training_settings.for_findings(given, recipe, oversample=params.oversample)
    if len(heads) > 1:
        training_settings.check_labels(given, str(params.labels), oversample=params.oversample)
    kind = params.kind or OTHER
    n_classes = len(heads[0].classes) if heads else len(dataset.facts["classes"])
    settings = training_settings.settle(given, backbone, recipe, n_classes, kind)
    fold = _fold(params, dataset, heads)
    return Wanted(params, dataset, console, backbone, recipe, kind, settings, fold, reason, heads)


def _of_auto(params: Any) -> dict[str, Any]:
    """Return the options that only the recipe `auto` reads, as they were typed."""
    return {"kind": params.kind, "minutes": params.minutes, "refit": params.refit}


def _fold(params: Any, dataset: Artifact, heads: Sequence[Head]) -> int | str | None:
    """Return the fold to test, or `EVERY_FOLD`."""
    asked = training_settings.fold_of(params.fold)
    if asked == EVERY_FOLD and len(heads) > 1:
        raise CommandLineError(
            f"--fold {EVERY_FOLD} is for one label, and --labels {params.labels} are several; train each fold on its "
            "own with --fold 0, --fold 1 and so on, or name one label."
        )
    if params.ensemble and asked != EVERY_FOLD:
        raise CommandLineError("--ensemble is the mean of the networks of all folds; train them with --fold all.")
    if isinstance(asked, str):
        pictures.tested_fold(dataset, 0)  # a dataset without folds is refused
        return EVERY_FOLD
    return pictures.tested_fold(dataset, asked)


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
