"""Training that can be stopped anywhere and resumed: phases, epochs, and what is kept of them."""

from __future__ import annotations

import contextlib
import io
import json
import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facelime_cli.core.labels import SEVERAL
from facelime_cli.errors import BrokenError, FacelimeError, StopRequested
from facelime_cli.models.backend import keras, memory_errors_named
from facelime_cli.models.building import computes_in_float16
from facelime_cli.store.files import write_whole
from facelime_cli.training.averaging import Average
from facelime_cli.training.objectives import SeveralLabels, objective_of
from facelime_cli.training.recipes import OPTIMIZERS, SCHEDULES
from facelime_cli.training.schedules import warm_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.models.running import Labelled
    from facelime_cli.training.objectives import Objective

MEASURED = ("loss", "accuracy")
"""How the names of an epoch's figures end."""


TRIAL_STEPS = 3
"""Steps that are timed before a plan is made, after one that is not: in the first the graph is made."""


class Judge(Protocol):
    """Who says how good a network is on the validation split, in the place of Keras."""

    def figures(self, answers: NDArray[np.float32]) -> dict[str, float]:
        """Return `loss`, the one to be least, and `accuracy`."""

    def accepts(self, answers: NDArray[np.float32]) -> bool:
        """Return whether weights that give these answers may be kept."""

    def losses(self, answers: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what each picture adds to `loss`, which is their mean."""


@dataclass(frozen=True)
class Pace:
    """How fast a phase is.

    Attributes
    ----------
    step : float
        Seconds of a training step.
    answer : float
        Seconds of a picture's answer.
    """

    step: float
    answer: float


@dataclass(frozen=True)
class Phase:
    """A stretch of training.

    Attributes
    ----------
    model : keras.Model
        What is fitted: the network, its head alone, or the network behind augmentation.
    train, validation : Labelled
        What `model` reads.
    epochs : int
        At most.
    learning_rate : float
        Of the first epoch.
    begin : callable
        Sets which layers are trained; called before the model is compiled.
    judge : Judge, optional
        Measures the validation split.
    keeps_last : bool
        Whether the last weights are kept, and not those of the least loss.
    scheduled : int
        Epochs that the schedule is laid out for; 0 for as many as there are.
    paced : callable, optional
        Decides epochs and steps per epoch when the model is compiled; takes a function that measures the pace.
    """

    model: Any
    train: Labelled
    validation: Labelled
    epochs: int
    learning_rate: float
    begin: Callable[[], None] = lambda: None
    judge: Judge | None = None
    keeps_last: bool = False
    scheduled: int = 0
    paced: Callable[[Callable[[], Pace]], tuple[int, int]] | None = None


@dataclass(frozen=True)
class Training:
    """How a network is trained, see `finetune --help`.

    Attributes
    ----------
    batch_size : int
        Pictures in a step.
    seed : int
        Of the order of the pictures.
    optimizer, schedule : str
        Keys of `OPTIMIZERS` and `SCHEDULES`.
    steps_per_epoch : int
        0 for the whole training split.
    patience : int
        Epochs without a lower loss after which a phase ends; 0 for never.
    class_weights : dict, optional
        What each class counts in the loss; with several findings, what each value of each finding counts.
    class_shares : dict, optional
        What answers are multiplied with in the loss.
    oversample : bool
        Whether pictures of the smaller classes are repeated.
    checkpoint_seconds : float
        Longest work within an epoch that a kill loses.
    weight_decay : float, optional
        Of the optimiser; None for its own default.
    by_step : bool
        Whether the rate changes with every step, and not with every epoch.
    warm_up : float
        Share of a phase's steps over which the rate rises to its first value; needs `by_step`.
    averaging : float
        Decay of the mean of the weights that is measured and kept; 0 for the weights themselves.
    smoothing : float
        Share of a label that is spread over all classes.
    widths : tuple of int
        Where there are several labels, the number of classes of each.
    """

    batch_size: int
    seed: int
    optimizer: str = "adam"
    steps_per_epoch: int = 0
    patience: int = 0
    schedule: str = "constant"
    class_weights: dict[Any, Any] | None = None
    class_shares: dict[int, float] | None = None
    oversample: bool = False
    checkpoint_seconds: float = 600.0
    weight_decay: float | None = None
    by_step: bool = False
    warm_up: float = 0.0
    averaging: float = 0.0
    smoothing: float = 0.0
    widths: tuple[int, ...] = ()

    def steps(self, pictures: Labelled) -> int:
        """Return the number of steps in an epoch.

        Parameters
        ----------
        pictures : Labelled
            The training split.

        Returns
        -------
        int
        """
        if self.steps_per_epoch:
            return self.steps_per_epoch
        taken = drawn(pictures.labels, oversample=self.oversample)
        return math.ceil(len(taken) / self.batch_size)


@dataclass
class Progress:
    """How far a training is: what a checkpoint holds beside the weights.

    Attributes
    ----------
    phase, epoch, step : int
        How many of each are over, within the one before it.
    best : float
        Least monitored loss of any phase so far.
    least : list of float
        What each validation picture adds to it; none where Keras measures.
    kept : int
        Row of the history whose weights are kept.
    scheduled, steps_per_epoch : int
        Epochs and steps per epoch of the last phase, as they were planned.
    running : dict
        Mean figures of the steps of an epoch that is not over.
    history : list of dict
        One row for each epoch that is over.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    best: float = math.inf
    least: list[float] = field(default_factory=list)
    kept: int = 0
    scheduled: int = 0
    steps_per_epoch: int = 0
    running: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


# Checkpoints


class Checkpoints:
    """The files of one training: its last state, and the best weights so far.

    Parameters
    ----------
    folder : pathlib.Path
        Where they are kept until the training is over.
    """

    def __init__(self, folder: Path) -> None:
        self._state, self._best = folder / "state.npz", folder / "best.npz"

    def load(self) -> tuple[Progress, list[NDArray[Any]]]:
        """Return where the training was.

        Returns
        -------
        progress : Progress
        values : list of array
            Of weights and optimiser; none at the beginning of a phase.

        Raises
        ------
        BrokenError
            Where the file cannot be read.
        """
        if not self._state.exists():
            return Progress(), []
        first, *values = _read(self._state)
        return Progress(**json.loads(first.tobytes())), values

    def save(self, progress: Progress, values: Sequence[NDArray[Any]]) -> None:
        """Keep where the training is, in one file that is whole or not there.

        Parameters
        ----------
        progress : Progress
        values : sequence of array
            Of weights and optimiser.
        """
        text = json.dumps(vars(progress)).encode()
        _write(self._state, [np.frombuffer(text, np.uint8), *values])

    def keep_best(self, values: Sequence[NDArray[Any]]) -> None:
        """Keep a whole network's weights as the best so far.

        Parameters
        ----------
        values : sequence of array
        """
        _write(self._best, values)

    def best(self) -> list[NDArray[Any]]:
        """Return the best weights so far.

        Returns
        -------
        list of array
            Empty when no epoch has ended yet.

        Raises
        ------
        BrokenError
            Where the file cannot be read.
        """
        return _read(self._best) if self._best.exists() else []


def _write(path: Path, values: Sequence[NDArray[Any]]) -> None:
    stream = io.BytesIO()
    np.savez(stream, *values)
    write_whole(path, stream.getvalue())


def _read(path: Path) -> list[NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as values:
            return [values[f"arr_{place}"] for place in range(len(values))]
    except (ValueError, OSError, EOFError, KeyError) as why:
        raise BrokenError(
            f"the checkpoint {path} cannot be read ({why}); remove the unfinished model and train it again."
        ) from why


# Epochs


def train(
    network: Any,
    phases: Sequence[Phase],
    how: Training,
    checkpoints: Checkpoints,
    said: Callable[[str], None],
    advance: Callable[[int], None],
) -> list[dict[str, float]]:
    """Fit a network phase after phase to the least loss, and leave it with its best weights.

    The best weights are those of the epoch with the least validation loss. Where a judge knows what each picture adds
    to it, they are those of the last epoch within one standard error of the least: the schedule was made for the last
    epoch, and the least of several losses is partly luck. (The rule of Breiman et al. 1984, Classification and
    Regression Trees, 3.4.3, for epochs.) A stop keeps the step that it came at.

    Parameters
    ----------
    network : keras.Model
        The whole network, which all phases train parts of.
    phases : sequence of Phase
    how : Training
    checkpoints : Checkpoints
        Where an earlier run of the same training is resumed.
    said : callable
        Takes a sentence after each epoch.
    advance : callable
        Takes 1 after each step.

    Returns
    -------
    list of dict
        One row for each epoch: `phase` and `epoch` from 1, `learning_rate`, `loss`, `accuracy`, and with `val_` the
        same on the validation split.

    Raises
    ------
    FacelimeError
        Where the loss is no number any more, or a batch does not fit into memory.
    """
    progress, values = checkpoints.load()
    for index in range(progress.phase, len(phases)):
        run = _Run(network, phases[index], how, checkpoints, progress, advance)
        run.begin(values)
        run.fit(said)
        values = []  # only the phase that was stopped has values to go on from
    network.set_weights(checkpoints.best())
    return progress.history


def is_tied(losses: NDArray[np.float64], least: Sequence[float]) -> bool:
    """Return whether losses are within one standard error of the least ones, picture by picture.

    Parameters
    ----------
    losses : (N,) float64 array
    least : sequence of float
        Of the same pictures.

    Returns
    -------
    bool
        False where there are fewer than two pictures.

    Examples
    --------
    >>> is_tied(np.array([0.5, 0.1, 0.2]), [0.1, 0.4, 0.2]), is_tied(np.array([0.6, 0.5, 0.7]), [0.1, 0.1, 0.1])
    (True, False)
    """
    if len(losses) < 2 or len(losses) != len(least):  # noqa: PLR2004
        return False
    more = losses - np.asarray(least)
    return bool(more.mean() <= more.std(ddof=1) / math.sqrt(len(more)))


def losses_at(phase: Phase, how: Training, rates: Sequence[float]) -> Iterator[float]:
    """Train a network step by step, each at its own learning rate, and yield the loss of each step's pictures.

    Parameters
    ----------
    phase : Phase
        Its network is changed.
    how : Training
    rates : sequence of float

    Yields
    ------
    float
        Before the step.
    """
    run = _Run(phase.model, phase, how, Checkpoints(Path()), Progress(), lambda _: None)
    run.begin([])
    yield from run.at_rates(rates)


class _Run:
    """One phase of a training, from where it was left."""

    def __init__(
        self,
        network: Any,
        phase: Phase,
        how: Training,
        checkpoints: Checkpoints,
        progress: Progress,
        advance: Callable[[int], None],
    ) -> None:
        self._network, self._phase, self._how = network, phase, how
        self._checkpoints, self._progress, self._advance = checkpoints, progress, advance
        n_classes = phase.model.outputs[0].shape[-1]
        labels = phase.train.labels
        if how.widths:
            widths = dict(zip(labels.dtype.names or (), how.widths, strict=True))
            self._objective: Objective = SeveralLabels(widths, how.class_weights, how.smoothing)
        else:
            self._objective = objective_of(labels, how.class_weights, how.smoothing, n_classes, how.class_shares)
        self._monitored = "val_loss" if len(phase.validation.rows) else "loss"
        self._saved = time.monotonic()
        self._accepted, self._added = True, np.zeros(0)

    def begin(self, values: Sequence[NDArray[Any]]) -> None:
        """Compile, and put everything back to where a stop or the phase before left it."""
        phase = self._phase
        keras().utils.set_random_seed(self._how.seed)
        phase.begin()
        self._compile()
        if self._progress.phase and not values:
            self._network.set_weights(self._checkpoints.best())
        self._put(values)
        if phase.paced:
            epochs, steps = phase.paced(self._pace)
            self._phase, self._how = replace(phase, epochs=epochs), replace(self._how, steps_per_epoch=steps)
        self._progress.scheduled, self._progress.steps_per_epoch = self._phase.epochs, self._how.steps_per_epoch

    def _put(self, values: Sequence[NDArray[Any]]) -> None:
        # There are no values at the beginning of a phase.
        for variable, value in zip(self._variables(), values, strict=False):
            variable.assign(value)
        means = values[len(self._variables()) :]
        self._average = Average(self._phase.model.trainable_variables, self._how.averaging, means)

    def _pace(self) -> Pace:
        """Return how fast steps and answers are, and leave everything as it was."""
        phase, batch = self._phase, self._how.batch_size
        values = self._values()
        targets = self._objective.targets(phase.train.labels, weighted=True)
        places = np.resize(np.arange(len(phase.train.rows)), batch * TRIAL_STEPS)

        def seconds(work: Callable[..., Any], places: NDArray[np.int64]) -> float:
            began = time.monotonic()
            work(_batches(phase.train, targets, batch, places), verbose=0)
            return time.monotonic() - began

        found = []
        for work in (phase.model.fit, phase.model.predict):
            seconds(work, places[:batch])
            found.append(seconds(work, places))
        self._put(values)
        return Pace(found[0] / TRIAL_STEPS, found[1] / len(places))

    def _compile(self) -> None:
        model = self._phase.model
        decay = {} if self._how.weight_decay is None else {"weight_decay": self._how.weight_decay}
        optimizer = OPTIMIZERS[self._how.optimizer].load()(self._phase.learning_rate, **decay)
        if computes_in_float16(model):  # small gradients would become 0
            optimizer = keras().optimizers.LossScaleOptimizer(optimizer)
        model.compile(optimizer=optimizer, auto_scale_loss=False, **self._objective.compiled())
        # The optimiser's variables must be there before a checkpoint can be put into them.
        model.optimizer.build(model.trainable_variables)

    def _variables(self) -> list[Any]:
        model = self._phase.model
        return [*model.weights, *model.optimizer.variables]

    def _values(self) -> list[NDArray[Any]]:
        ops = keras().ops
        values = [np.array(ops.convert_to_numpy(each)) for each in self._variables()]
        return [*values, *self._average.values]

    def _keep(self) -> None:
        self._checkpoints.save(self._progress, self._values())
        self._saved = time.monotonic()

    def fit(self, said: Callable[[str], None]) -> None:
        """Train epoch by epoch, as long as the loss still falls."""
        progress, phase = self._progress, self._phase
        with self._kept_when_stopped():
            while progress.epoch < phase.epochs and not has_stalled(self._losses(), self._how.patience):
                row = self._epoch()
                self._close(row)
                said(f"epoch {progress.epoch} of {phase.epochs}: {_words(row)}")
        if progress.epoch < phase.epochs:
            monitored = _spelled(self._monitored)
            said(f"ended early: {monitored} has not fallen for {self._how.patience} epochs")
        # The next phase begins with the best weights, so this checkpoint holds no values.
        following = progress.phase + 1
        self._checkpoints.save(replace(progress, phase=following, epoch=0), [])
        progress.phase, progress.epoch = following, 0

    def _close(self, row: dict[str, float]) -> None:
        """Keep what an epoch has brought."""
        progress = self._progress
        best, least, kept = progress.best, progress.least, progress.kept
        is_least = self._accepted and row[self._monitored] < best
        if self._phase.keeps_last or is_least or (self._accepted and is_tied(self._added, least)):
            kept = len(progress.history)
            with self._average.applied():
                self._checkpoints.keep_best(self._network.get_weights())
        if self._phase.keeps_last or is_least:
            best, least = row[self._monitored], self._added.tolist()
        changed = {"best": best, "least": least, "kept": kept, "history": [*progress.history, row]}
        # In one go: a stop finds either all of it or nothing.
        vars(progress).update(epoch=progress.epoch + 1, step=0, running={}, **changed)
        self._keep()

    def _losses(self) -> list[float]:
        phase = self._progress.phase + 1
        return [row[self._monitored] for row in self._progress.history if row["phase"] == phase]

    def _epoch(self) -> dict[str, float]:
        """Train one epoch, or what is left of it, and measure it on the validation split."""
        how, phase, progress = self._how, self._phase, self._progress
        rate = self._rate()
        phase.model.optimizer.learning_rate = rate
        steps = how.steps(phase.train)
        if progress.step < steps:
            places = order(phase.train.labels, progress.epoch, how, steps)
            self._train(places[progress.step * how.batch_size :])
        figures = {**progress.running, **self._validated()}
        if not all(map(math.isfinite, figures.values())):
            raise FacelimeError(
                "training diverged: the loss is no number any more; "
                f"repeat it with a --learning-rate lower than {phase.learning_rate:g}."
            )
        return {"phase": progress.phase + 1, "epoch": progress.epoch + 1, "learning_rate": rate, **figures}

    def _rate(self) -> float:
        how, phase, epoch = self._how, self._phase, float(self._progress.epoch)
        planned, warm = phase.scheduled or phase.epochs, 1.0
        if how.by_step:
            steps = how.steps(phase.train)
            epoch += self._progress.step / steps
            warm = warm_up(epoch * steps, how.warm_up, planned * steps)
        schedule = SCHEDULES[how.schedule]
        rate: float = schedule.load()(phase.learning_rate, epoch, planned, self._losses(), **schedule.settings)
        return warm * rate

    def _validated(self) -> dict[str, float]:
        """Return the figures of the validation split; none where it is empty."""
        validation = self._phase.validation
        if not len(validation.rows):
            return {}
        targets = self._objective.targets(validation.labels, weighted=False)
        batches = _batches(validation, targets, self._how.batch_size, np.arange(len(validation.rows)))
        judge = self._phase.judge
        with self._average.applied():
            if judge is None:
                found = self._phase.model.evaluate(batches, verbose=0, return_dict=True)
            else:
                answers = self._phase.model.predict(batches, verbose=0)
                found, self._accepted = judge.figures(answers), judge.accepts(answers)
                self._added = judge.losses(answers)
        return {f"val_{name}": float(value) for name, value in found.items()}

    def _train(self, places: NDArray[np.int64]) -> None:
        k, done, before = keras(), self._progress.step, dict(self._progress.running)

        def beginning(_: int, logs: dict[str, float]) -> None:
            del logs
            if self._how.by_step:
                self._phase.model.optimizer.learning_rate = self._rate()

        def stepped(_: int, logs: dict[str, float]) -> None:
            """Count a step; Keras' figures are means since the call began."""
            step = self._progress.step + 1
            running = {}
            for name, value in logs.items():
                total = before.get(name, 0.0) * done + float(value) * (step - done)
                running[name] = total / step
            vars(self._progress).update(step=step, running=running)
            self._average.update(self._progress.epoch * self._how.steps(self._phase.train) + step)
            self._advance(1)
            if time.monotonic() - self._saved >= self._how.checkpoint_seconds:
                self._keep()

        told = k.callbacks.LambdaCallback(on_train_batch_begin=beginning, on_train_batch_end=stepped)
        callbacks = [k.callbacks.TerminateOnNaN(), told]
        train = self._phase.train
        targets = self._objective.targets(train.labels, weighted=True)
        self._phase.model.fit(
            _batches(train, targets, self._how.batch_size, places),
            **self._objective.fitted(),
            callbacks=callbacks,
            shuffle=False,  # Keras would change the order of the batches, and a restart could not tell which were done
            verbose=0,
        )

    def at_rates(self, rates: Sequence[float]) -> Iterator[float]:
        """Take a step at each rate, and yield the loss that it begins with."""
        model, train = self._phase.model, self._phase.train
        how = replace(self._how, steps_per_epoch=len(rates))
        targets = self._objective.targets(train.labels, weighted=True)
        batches = _batches(train, targets, how.batch_size, order(train.labels, 0, how, len(rates)))
        for place, rate in enumerate(rates):
            model.optimizer.learning_rate = rate
            model.reset_metrics()
            found = model.train_on_batch(*batches[place], **self._objective.fitted(), return_dict=True)
            yield float(found["loss"])

    @contextlib.contextmanager
    def _kept_when_stopped(self) -> Iterator[None]:
        try:
            with memory_errors_named():
                yield
        except StopRequested:
            self._keep()
            raise


def _spelled(name: str) -> str:
    return name.replace("val_", "validation ")


def _words(row: Mapping[str, float]) -> str:
    measured = {name: value for name, value in row.items() if name.endswith(MEASURED)}
    return ", ".join(f"{_spelled(name)} {value:.3f}" for name, value in measured.items())


def has_stalled(losses: Sequence[float], patience: int) -> bool:
    """Tell whether the least loss is `patience` epochs old.

    Parameters
    ----------
    losses : sequence of float
        Of the epochs so far.
    patience : int
        In epochs; never with 0.

    Returns
    -------
    bool

    Examples
    --------
    >>> has_stalled([3.0, 1.0, 2.0, 2.0], 2), has_stalled([3.0, 1.0, 2.0], 2), has_stalled([1.0, 2.0], 0)
    (True, False, False)
    """
    if not losses or patience <= 0:
        return False
    age = len(losses) - 1 - int(np.argmin(losses))
    return age >= patience


# Which pictures a step takes


def drawn(labels: NDArray[np.int64], *, oversample: bool) -> NDArray[np.int64]:
    """Return which pictures one pass takes.

    Parameters
    ----------
    labels : (N,) int array
        Class of each picture.
    oversample : bool
        Whether those of the smaller classes are repeated until all classes are equally large.

    Returns
    -------
    (M,) int array
        Places in `labels`; each once without `oversample`.

    Examples
    --------
    >>> drawn(np.array([0, 0, 0, 1]), oversample=True).tolist()
    [0, 1, 2, 3, 3, 3]
    """
    if not oversample:
        return np.arange(len(labels))
    places = [np.flatnonzero(labels == each) for each in np.unique(labels)]
    largest = max(map(len, places))
    return np.concatenate([np.resize(each, largest) for each in places])


def order(labels: NDArray[np.int64], epoch: int, how: Training, steps: int) -> NDArray[np.int64]:
    """Return the pictures that an epoch trains on, in their order.

    With `steps_per_epoch` the epochs go through one pass after the other without a break. Each pass has an order of
    its own.

    Parameters
    ----------
    labels : (N,) int array
        Class of each picture of the training split.
    epoch : int
        From 0.
    how : Training
    steps : int
        In an epoch.

    Returns
    -------
    (steps · batch size,) int array
        Places in `labels`; fewer at the end of the only pass.
    """
    once = drawn(labels, oversample=how.oversample)
    if not how.steps_per_epoch:
        return _shuffled(once, how.seed, epoch)
    taken = steps * how.batch_size
    start, stop = epoch * taken, (epoch + 1) * taken
    first, last = start // len(once), -(-stop // len(once))
    whole = np.concatenate([_shuffled(once, how.seed, each) for each in range(first, last)])
    return whole[start - first * len(once) :][:taken]


def _shuffled(places: NDArray[np.int64], seed: int, count: int) -> NDArray[np.int64]:
    generator = np.random.Generator(np.random.Philox(key=[seed, count]))
    return places[generator.permutation(len(places))]


def _batches(pictures: Labelled, targets: NDArray[Any], batch_size: int, places: NDArray[np.int64]) -> Any:
    """Return a Keras data set that reads some pictures batch by batch."""

    class Batches(keras().utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return math.ceil(len(places) / batch_size)

        def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
            # Within a batch the order does not matter, and ascending rows are read faster.
            chosen = np.sort(places[index * batch_size : (index + 1) * batch_size])
            rows = [int(row) for row in pictures.rows[chosen]]
            return pictures.read(rows).astype(np.float32), targets[chosen]

    return Batches()


# What a class counts: one function for each entry of `recipes.CLASS_WEIGHTS`


def no_class_weights(labels: NDArray[np.int64]) -> None:
    """Let every picture count alike.

    Parameters
    ----------
    labels : (N,) or (N, L) int array
        Class of each picture that a pass takes, or what is known of its findings.
    """
    del labels


def balanced_class_weights(labels: NDArray[Any]) -> dict[Any, Any]:
    """Return a weight for each class: inverse to how often a pass takes it, 1 for the mean picture.

    Parameters
    ----------
    labels : (N,) or (N, L) int array, or a structured array of several labels
        Class of each picture that a pass takes, or what is known of its findings or labels.

    Returns
    -------
    dict
        From a class to its weight, N ÷ (number of classes · pictures of the class). With several findings, such a dict
        for each: of the pictures without it (0) and with it (1), among those of which it is known. With several labels,
        such a dict for each, by its name.

    References
    ----------
    King and Zeng 2001, Logistic Regression in Rare Events Data, as scikit-learn's `compute_class_weight`.

    Examples
    --------
    >>> balanced_class_weights(np.array([[1, 0], [0, 1], [0, -1], [0, -1]]))[0]
    {0: 0.6666666666666666, 1: 2.0}
    """
    from sklearn.utils.class_weight import compute_class_weight

    if labels.dtype.names:
        return {name: balanced_class_weights(labels[name][labels[name] >= 0]) for name in labels.dtype.names}
    if labels.ndim == SEVERAL:
        return {i: balanced_class_weights(column[column >= 0]) for i, column in enumerate(labels.T)}
    present = np.unique(labels)
    weights = compute_class_weight("balanced", classes=present, y=labels)
    return dict(zip(map(int, present), map(float, weights), strict=True))


def class_shares(labels: NDArray[np.int64]) -> dict[int, float]:
    """Return how frequent each class is.

    Parameters
    ----------
    labels : (N,) int array
        Class of each picture that a pass takes.

    Returns
    -------
    dict
        From a class to its share of the pictures; of the classes that there are.

    Examples
    --------
    >>> class_shares(np.array([0, 0, 0, 2]))
    {0: 0.75, 2: 0.25}
    """
    present, counts = np.unique(labels, return_counts=True)
    return dict(zip(present.tolist(), (counts / len(labels)).tolist(), strict=True))
