"""The recipe `auto`: a logistic probe on frozen features, then the whole network from there, and the better is kept.

References
----------
Kumar et al. 2022, Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution (LP-FT).
"""

from __future__ import annotations

import io
import json
import math
import time
import zipfile
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core import calibration, findings
from facelime_cli.core.labels import PRESENT, SEVERAL
from facelime_cli.errors import BrokenError
from facelime_cli.models import building, running
from facelime_cli.models.backbones import ALL, NONE
from facelime_cli.models.running import Labelled
from facelime_cli.store.files import write_whole
from facelime_cli.training import augmenting, imbalance, loop, probing
from facelime_cli.training.loop import Phase, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from facelime_cli.models.building import Trainable
    from facelime_cli.store.units import Unit
    from facelime_cli.training.finetuning import Job, Listener, Splits, Trained
    from facelime_cli.training.imbalance import Choice
    from facelime_cli.training.loop import Pace, Training
    from facelime_cli.training.probing import Features, Probe
    from facelime_cli.training.recipes import Parts
    from facelime_cli.training.several_probed import Judges

    Floats = NDArray[np.float32]
    Labels = NDArray[np.int64]

OUTPUTS = ("probabilities", "probability")
"""Names of the layer that answers, as `building` gives them; those of further outputs follow."""
TWO_SIDES = 2
"""Classes that a single sigmoid unit tells apart."""
TUNING = 1
"""The phase of the whole network; that before it is the probe's."""
UNREADABLE = (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile)
REMEDY = "remove the unfinished model and train it again."
MINUTE = 60.0
KEPT_BACK = 0.1
"""Share of the minutes that a plan does not use: no machine is equally fast throughout."""
CLOSING_PASSES = 2
"""Forward passes of validation and test split behind the last epoch: their figures, and steps such as calibration.

The training split takes one more, for the summary of its features.
"""
FEWEST_STEPS = 20
"""Fewer steps are not worth the time that it takes to begin."""
LEAST = 1e-7
"""What stands for a probability of 0 or of 1 beside it, whose logit there is none of."""


@dataclass(frozen=True)
class Plan:
    """What `--recipe auto` is to do.

    Attributes
    ----------
    parts : Parts
        Its numbers.
    minutes : float, optional
        What it may take; None for as long as it takes.
    refits : bool
        Whether the network is trained again with the validation pictures.
    weighs : bool
        Whether unequal classes are trained in the way that validation pictures choose.
    """

    parts: Parts
    minutes: float | None = None
    refits: bool = False
    weighs: bool = False


@dataclass(frozen=True)
class Judge:
    """Compares networks by their answers to the validation pictures, see `loop.Judge`.

    The loss is that at the best temperature: smoothed labels and few pictures make a network less or more sure than it
    is right, which calibration mends and which says nothing of what it has learned.

    Attributes
    ----------
    labels : (N,) or (N, L) int64 array
    weights : mapping, optional
        What each class counts; findings count alike.
    least : float
        Accuracy below which nothing is kept: that of the probe.
    most : float
        Loss above which nothing is kept: that of the probe.
    """

    labels: Labels
    weights: Mapping[int, Any] | None = None
    least: float = 0.0
    most: float = math.inf

    def figures(self, answers: Floats) -> dict[str, float]:
        """Return how good answers are.

        Parameters
        ----------
        answers : (N, C) float32 array
            Probabilities.

        Returns
        -------
        dict
            `loss`, with classes counted as training counts them, and `accuracy`. Of findings both are means over those
            that are known.
        """
        return {"loss": float(self.losses(answers).mean()), "accuracy": float(self._right(answers).mean())}

    def losses(self, answers: Floats) -> NDArray[np.float64]:
        """Return what each picture adds to the loss, of findings what each one that is known adds.

        Parameters
        ----------
        answers : (N, C) float32 array

        Returns
        -------
        (N,) float64 array
            Their mean is the loss.
        """
        several = self.labels.ndim == SEVERAL
        sure = np.clip(answers.astype(np.float64), LEAST, 1 - LEAST if several else 1.0)
        scores = np.log(sure / (1 - sure)) if several else np.log(sure)
        temperature = calibration.temperature_for(scores, self.labels)
        warm = calibration.at_temperature(answers, temperature, independent=several)
        if several:
            known = self.labels >= 0
            true = np.where(self.labels == PRESENT, warm, 1 - warm)[known]
        else:
            true = warm[np.arange(len(warm)), self.labels]
        losses = -np.log(np.maximum(true, LEAST))
        counted = self._counted()
        return np.asarray(losses if counted is None else losses * counted / counted.mean(), np.float64)

    def accuracy(self, answers: Floats) -> float:
        """Return the share of right answers, with classes counted as training counts them.

        Parameters
        ----------
        answers : (N, C) float32 array

        Returns
        -------
        float
        """
        return float(np.average(self._right(answers), weights=self._counted()))

    def against(self, answers: Floats) -> Judge:
        """Return what accepts nothing that is less often right than some answers, or has more loss.

        Parameters
        ----------
        answers : (N, C) float32 array

        Returns
        -------
        Judge
        """
        return replace(self, least=self.accuracy(answers), most=self.figures(answers)["loss"])

    def accepts(self, answers: Floats) -> bool:
        """Return whether answers are not worse than the probe's.

        Parameters
        ----------
        answers : (N, C) float32 array

        Returns
        -------
        bool
        """
        return self.accuracy(answers) >= self.least and self.figures(answers)["loss"] <= self.most

    def _right(self, answers: Floats) -> NDArray[np.bool_]:
        if self.labels.ndim == SEVERAL:
            called = answers >= findings.HALF
            return np.asarray((called == (self.labels == PRESENT))[self.labels >= 0])
        return np.asarray(answers.argmax(axis=1) == self.labels)

    def _counted(self) -> NDArray[np.float64] | None:
        if self.weights is None or self.labels.ndim == SEVERAL:
            return None
        return np.array([self.weights.get(int(each), 1.0) for each in self.labels])


@dataclass(frozen=True)
class Prepared:
    """What is trained, and how.

    Attributes
    ----------
    how : Training
    phases : list of Phase
        The probe's, which is over, and that of the whole network.
    facts : dict
        `probe`: what it is and what it reached.
    """

    how: Training
    phases: list[Phase]
    facts: dict[str, Any]


def prepared(job: Job, plan: Plan, network: Trainable, splits: Splits, how: Training, unit: Unit) -> Prepared:
    """Fit the probe, make it the network's head, and say how the network is trained from there.

    Parameters
    ----------
    job : Job
    plan : Plan
    network : Trainable
        Its head is changed in place.
    splits : Splits
    how : Training
        From the job's settings.
    unit : Unit
        Its scratch files hold what a stop keeps.

    Returns
    -------
    Prepared
    """
    began = time.monotonic()
    row: dict[str, float] = {}
    least = np.zeros(0)
    facts: dict[str, Any] = {}
    if plan.weighs:
        choice = _chosen(job, plan, network, splits, unit)
        if choice.losses:
            job.console.note(choice.sentence)
        how = job.how(splits.train.labels, choice.class_weights)
        facts["imbalance"] = asdict(choice)
    judge = _judge(splits.validation.labels, how, _counts(how, splits.train.labels))
    if plan.parts.probe:
        train = _features(job, plan, network, "train", splits.train, unit)
        probe = _kept_probe(unit.scratch("probe.npz"), lambda: _fitted(plan, train, how))
        put(network.head, probe)
        row, answers = _row(job, network, train, splits, (_judge(train.labels, how), judge), unit)
        judge, least = (judge.against(answers), judge.losses(answers)) if len(answers) else (judge, least)
        facts["probe"] = _facts(probe, train, row)
        job.console.note(_said(facts["probe"], len(splits.train.rows)))
    phase = _tuning(job, network, splits.train, splits.validation, judge)
    if plan.minutes is not None and phase.epochs:
        phase = replace(phase, paced=_pacing(job, plan, phase, splits, began, unit.scratch("plan.json")))
    _begin(loop.Checkpoints(unit.scratch("checkpoint").parent), network, row, least)
    return Prepared(_how(how, plan.parts), _after_the_probe(phase), facts)


# The probe


def _features(job: Job, plan: Plan, network: Trainable, name: str, split: Labelled, unit: Unit) -> Features:
    return probing.features_of(job, network.bare, unit, name, split, mirrored=plan.parts.mirrored)


def _chosen(job: Job, plan: Plan, network: Trainable, splits: Splits, unit: Unit) -> Choice:
    """Return how unequal classes are trained, by the features of both splits."""
    labels = splits.train.labels
    if labels.dtype.names:
        from facelime_cli.training.several_probed import weights_for

        chosen = weights_for(labels)
        if chosen != NONE:
            job.console.note(f"unequal classes: --class-weights {chosen}, for each label on its own")
        return imbalance.Choice(chosen, {})
    if imbalance.is_equal(labels):
        return imbalance.Choice(NONE, {})
    train = _features(job, plan, network, "train", splits.train, unit)
    validation = probing.features_of(job, network.bare, unit, "validation", splits.validation)
    return imbalance.choose(train, validation, plan.parts.strengths, job.what.seed)


def _counts(how: Training, labels: Labels) -> Mapping[Any, Any] | None:
    """Return what each class counts where networks are compared: adjusted logits are for equal classes too."""
    return loop.balanced_class_weights(labels) if how.class_shares else how.class_weights


def _fitted(plan: Plan, features: Features, how: Training, fixed: Sequence[float] = ()) -> Probe:
    if how.widths:
        from facelime_cli.training.several_probed import fit_probes

        return fit_probes(features, how, plan.parts.strengths, fixed)
    probe = probing.fit_probe(features, how.class_weights, plan.parts.strengths, how.seed, fixed)
    return imbalance.adjusted(probe, how.class_shares) if how.class_shares else probe


def _judge(labels: NDArray[Any], how: Training, weights: Mapping[Any, Any] | None = None) -> Judge | Judges:
    """Return what judges answers to pictures of one label, or of several, with what each class counts."""
    if how.widths:
        from facelime_cli.training.several_probed import Judges

        return Judges.of(labels, how.widths, weights)
    return Judge(labels, weights)


def _kept_probe(path: Path, fitted: Callable[[], Probe]) -> Probe:
    """Return the probe of a run that was stopped, or fit it and keep it."""
    if not path.exists():
        probe = fitted()
        stream = io.BytesIO()
        np.savez(stream, coef=probe.coef, bias=probe.bias, strength=probe.strength, log_loss=probe.log_loss)
        write_whole(path, stream.getvalue())
        return probe
    try:
        with np.load(path, allow_pickle=False) as kept:
            strength = tuple(float(each) for each in kept["strength"])
            return probing.Probe(kept["coef"], kept["bias"], strength, float(kept["log_loss"]))
    except UNREADABLE as why:
        raise BrokenError(f"the probe {path} cannot be read ({why}); {REMEDY}") from why


def put(head: Any, probe: Probe) -> None:
    """Let a head answer as a probe does.

    Parameters
    ----------
    head : keras.Model
        From features to probabilities, without hidden layers. Changed in place.
    probe : Probe
    """
    further = [building.FURTHER_OUTPUT.format(number) for number in range(2, building.MOST_OUTPUTS + 1)]
    by_name = {each.name: each for each in head.layers}
    layers = [by_name[name] for name in (*OUTPUTS, *further) if name in by_name]
    begin = 0
    for layer in layers:
        # Of several outputs, a single unit is a sigmoid for two classes.
        width = len(probe.bias) if len(layers) == 1 else max(layer.units, TWO_SIDES)
        coef, bias = probe.coef[:, begin : begin + width], probe.bias[begin : begin + width]
        if layer.units != width:  # one sigmoid unit, which is yes to the second class
            coef, bias = coef[:, 1:] - coef[:, :1], bias[1:] - bias[:1]
        layer.set_weights([coef, bias])
        begin += width


def _row(
    job: Job,
    network: Trainable,
    train: Features,
    splits: Splits,
    judges: tuple[Judge | Judges, Judge | Judges],
    unit: Unit,
) -> tuple[dict[str, float], Floats]:
    """Return the probe's row of the history, by the judges of both splits, and its answers to validation pictures."""
    batch = job.settings.batch_size
    seen = Labelled(lambda rows: train.values[rows], np.arange(len(train.values)), train.labels)
    own = judges[0].figures(running.probabilities(network.head, seen, batch))
    row = {"phase": 1, "epoch": 1, "learning_rate": 0.0, **own}
    if not len(splits.validation.rows):
        return row, np.zeros((0, 0), np.float32)
    validation = job.features("validation", network.bare, splits.validation, unit)
    answers = running.probabilities(network.head, validation, batch)
    return row | {f"val_{name}": value for name, value in judges[1].figures(answers).items()}, answers


def _facts(probe: Probe, train: Features, row: Mapping[str, float]) -> dict[str, Any]:
    held_out = probe.log_loss if np.isfinite(probe.log_loss) else None
    reached = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
    return {
        "features": train.values.shape[1],
        "pictures": len(train.values),
        "strength": list(probe.strength),
        "log_loss": held_out,
        "validation": reached,
    }


def _said(facts: Mapping[str, Any], n_pictures: int) -> str:
    mirrored = ", mirrored too" if facts["pictures"] > n_pictures else ""
    chosen = sorted(set(facts["strength"]))
    strength = f"C {chosen[0]:.2g}" if len(chosen) == 1 else f"C {chosen[0]:.2g} to {chosen[-1]:.2g}"
    reached = _reached(facts["validation"]) if facts["validation"] else "no validation split"
    return f"probe: {facts['features']} features of {n_pictures} pictures{mirrored}, {strength}: {reached}"


def _reached(figures: Mapping[str, float]) -> str:
    return f"validation loss {figures['loss']:.3f}, validation accuracy {figures['accuracy']:.3f}"


# The whole network


def _how(how: Training, parts: Parts) -> Training:
    """Return how the network is trained: what the options say, and the parts that no option names."""
    return replace(
        how,
        weight_decay=parts.weight_decay if how.optimizer == parts.optimizer else None,
        by_step=True,
        warm_up=parts.warm_up,
        averaging=parts.averaging,
        smoothing=parts.smoothing,
    )


def _tuning(job: Job, network: Trainable, train: Labelled, validation: Labelled, judge: Judge | Judges) -> Phase:
    settings = job.settings
    whole = network.whole
    if settings.augment:
        whole = augmenting.augmented(whole, settings.augment, job.what.seed)

    def unfreeze() -> None:
        building.unfreeze(network.backbone, ALL if settings.freeze == NONE else "0")

    return Phase(
        whole,
        train,
        validation,
        0 if settings.freeze == ALL else settings.epochs,
        settings.learning_rate,
        unfreeze,
        judge,
        keeps_last=not len(validation.rows),
    )


def _after_the_probe(phase: Phase) -> list[Phase]:
    return [replace(phase, epochs=0, paced=None), phase]


def _begin(
    checkpoints: loop.Checkpoints, network: Trainable, row: Mapping[str, float], least: NDArray[np.float64]
) -> None:
    """Let the first checkpoint be the probe, where no run before this one has left another."""
    if checkpoints.load()[0].phase:
        return
    checkpoints.keep_best(network.whole.get_weights())
    history = [dict(row)] if row else []
    begun = Progress(phase=TUNING, best=row.get("val_loss", math.inf), least=least.tolist(), history=history)
    checkpoints.save(begun, [])


def kept(
    console: Listener, history: Sequence[Mapping[str, float]], progress: Progress, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Say what was kept, beside the probe, and return what training it again needs.

    Parameters
    ----------
    console : Listener
    history : sequence of mapping
        The probe's row, then one for each epoch.
    progress : Progress
        Of the training that is over.
    facts : mapping
        Of `Prepared`.

    Returns
    -------
    dict
        `kept`: `epochs` until the weights that were kept, 0 for the probe; `scheduled` and `steps_per_epoch`, how
        they were planned.
    """
    epochs = int(history[progress.kept]["epoch"]) if history[progress.kept]["phase"] > TUNING else 0
    console.note(_said_of_kept(history, progress.kept, epochs, facts))
    return {"kept": {"epochs": epochs, "scheduled": progress.scheduled, "steps_per_epoch": progress.steps_per_epoch}}


def _said_of_kept(history: Sequence[Mapping[str, float]], row: int, epochs: int, facts: Mapping[str, Any]) -> str:
    trained = sum(each["phase"] > TUNING for each in history)
    if not facts.get("probe", {}).get("validation"):
        return f"kept: epoch {epochs} of {trained}; there is nothing to compare it with"
    probe = _reached(facts["probe"]["validation"])
    if not epochs:
        return f"kept: the probe ({probe}); " + ("no epoch was better" if trained else "nothing else was trained")
    figures = {name: history[row][f"val_{name}"] for name in ("loss", "accuracy")}
    return (
        f"kept: epoch {epochs} of {trained} ({_reached(figures)}), which is not worse than the probe on validation "
        f"({probe})"
    )


# A plan that fits into some minutes


def _pacing(
    job: Job, plan: Plan, phase: Phase, splits: Splits, began: float, path: Path
) -> Callable[[Callable[[], Pace]], tuple[int, int]]:
    """Return what decides the epochs: a run that was stopped keeps its plan."""
    assert plan.minutes is not None
    budget = MINUTE * plan.minutes * (1 - KEPT_BACK)
    settings = job.settings
    steps = settings.steps_per_epoch or math.ceil(len(splits.train.rows) / settings.batch_size)
    n_closing = CLOSING_PASSES * (len(splits.validation.rows) + len(splits.test.rows)) + len(splits.train.rows)

    def decided(measure: Callable[[], Pace]) -> tuple[int, int]:
        if not path.exists():
            pace = measure()
            left = budget - (time.monotonic() - began) - n_closing * pace.answer
            step = pace.step * (1 + plan.refits * (1 + len(splits.validation.rows) / len(splits.train.rows)))
            found = within(left, step, steps, len(splits.validation.rows) * pace.answer, phase.epochs)
            write_whole(path, json.dumps({"epochs": found[0], "steps": found[1], "pace": pace.step}).encode())
        kept = _read_plan(path)
        job.console.note(_planned(kept, plan.minutes, steps))
        return kept["epochs"], kept["steps"] if kept["steps"] != steps else settings.steps_per_epoch

    return decided


def within(seconds: float, step: float, steps: int, between: float, most: int) -> tuple[int, int]:
    """Return how many epochs of how many steps fit into some seconds.

    Parameters
    ----------
    seconds : float
    step : float
        Seconds of a step.
    steps : int
        In an epoch that takes every picture once.
    between : float
        Seconds of measuring an epoch on the validation split.
    most : int
        Epochs.

    Returns
    -------
    (int, int)
        One shorter epoch where a whole one does not fit; no epoch where even that is not worth it.

    Examples
    --------
    >>> within(100, 1.0, 20, 5.0, 8), within(1000, 1.0, 20, 5.0, 8), within(50, 1.0, 200, 5.0, 8)
    ((4, 20), (8, 20), (1, 45))
    >>> within(9, 1.0, 20, 5.0, 8)
    (0, 20)
    """
    epochs = min(most, int(seconds // (steps * step + between)))
    if epochs >= 1:
        return epochs, steps
    fitting = int((seconds - between) // step)
    return (1, fitting) if fitting >= FEWEST_STEPS else (0, steps)


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
        return {"epochs": int(found["epochs"]), "steps": int(found["steps"]), "pace": float(found["pace"])}
    except UNREADABLE as why:
        raise BrokenError(f"the plan {path} cannot be read ({why}); {REMEDY}") from why


def _planned(plan: Mapping[str, Any], minutes: float | None, steps: int) -> str:
    pace = f"plan for {minutes:g} minutes: a step takes {plan['pace']:.2g} s"
    if not plan["epochs"]:
        return f"{pace}, so there is time for the probe alone"
    shorter = f" of {steps}" if plan["steps"] < steps else ""
    return f"{pace}, so {plan['epochs']} epoch{'s' * (plan['epochs'] != 1)} of {plan['steps']}{shorter} steps"


# Training again, on validation pictures too


@dataclass(frozen=True)
class Refitting:
    """A step after training, see `finetuning.Step`: the same training on train and validation split together.

    Its epochs are those that were found. What was measured on the validation split, the temperature too, is that of the
    network before.

    Attributes
    ----------
    job : Job
    plan : Plan
    """

    job: Job
    plan: Plan

    def __call__(self, trained: Trained, splits: Splits, unit: Unit) -> Trained:
        """Return the network with weights that have learned from the validation pictures too.

        Parameters
        ----------
        trained : Trained
        splits : Splits
        unit : Unit
            Its scratch files hold what a stop keeps.

        Returns
        -------
        Trained
        """
        if not len(splits.validation.rows):
            self.job.console.warn("there is no validation split, so --refit has nothing to add.")
            return trained
        measured = self.job.figures("validation", trained.network, splits.validation)
        found = trained.facts["kept"]
        network = building.build(self.job.what, self.job.precision)
        labels = np.concatenate([splits.train.labels, splits.validation.labels])
        chosen = trained.facts.get("imbalance", {}).get("class_weights")
        how = replace(self.job.how(labels, chosen), steps_per_epoch=found["steps_per_epoch"])
        if self.plan.parts.probe:
            self._put(network, splits, trained.facts["probe"], how, unit)
        both = Labelled(splits.train.read, np.concatenate([splits.train.rows, splits.validation.rows]), labels)
        self._train(network, both, how, found, unit)
        # A temperature and what it needs have no weights, so that they come in the same order.
        trained.network.set_weights(network.whole.get_weights())
        facts = {"validation": measured, "refit": {"pictures": len(labels), "epochs": found["epochs"]}}
        return replace(trained, facts={**trained.facts, **facts})

    def _put(self, network: Trainable, splits: Splits, probe: Mapping[str, Any], how: Training, unit: Unit) -> None:
        """Fit the probe anew, with the strength that was found."""
        parts = [
            _features(self.job, self.plan, network, name, getattr(splits, name), unit)
            for name in ("train", "validation")
        ]
        values, labels, groups = (
            np.concatenate([getattr(each, name) for each in parts]) for name in ("values", "labels", "groups")
        )
        together = probing.Features(values, labels, groups, parts[0].n_classes)
        put(
            network.head,
            _kept_probe(
                unit.scratch("probe-refit.npz"),
                lambda: _fitted(self.plan, together, how, probe["strength"]),
            ),
        )

    def _train(self, network: Trainable, both: Labelled, how: Training, found: Mapping[str, int], unit: Unit) -> None:
        """Train as many epochs as were found, on the schedule that they were found on, and keep the last weights."""
        nothing = Labelled(both.read, both.rows[:0], both.labels[:0])
        phase = replace(
            _tuning(self.job, network, both, nothing, _judge(nothing.labels, how)),
            epochs=found["epochs"],
            scheduled=found["scheduled"],
        )
        folder = unit.scratch("refit")
        folder.mkdir(exist_ok=True)
        checkpoints = loop.Checkpoints(folder)
        _begin(checkpoints, network, {}, np.zeros(0))
        how = _how(how, self.plan.parts)
        progress, _ = checkpoints.load()
        steps = how.steps(both)
        done = found["epochs"] * steps if progress.phase > TUNING else progress.epoch * steps + progress.step
        with self.job.console.progress("refit", found["epochs"] * steps, done, "steps") as advance:
            loop.train(network.whole, _after_the_probe(phase), how, checkpoints, self.job.console.note, advance)
