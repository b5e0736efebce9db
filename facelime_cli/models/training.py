"""Training that can be stopped anywhere and taken up again: phases, epochs, and what is kept of them."""

from __future__ import annotations

import contextlib
import io
import json
import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.errors import BrokenError, FacelimeError, StopRequested
from facelime_cli.models.backend import keras, memory_errors_named
from facelime_cli.models.building import computes_in_float16
from facelime_cli.models.recipes import OPTIMIZERS
from facelime_cli.store.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from facelime_cli.models.running import Part

PLATEAU_EPOCHS = 3
"""After how many epochs without a lower loss the plateau schedule lowers the rate."""
PLATEAU_FACTOR = 0.3


@dataclass(frozen=True)
class Phase:
    """A stretch of training.

    Attributes
    ----------
    model : keras.Model
        What is fitted: the network, its head alone, or the network behind augmentation.
    train, validation : Part
        What `model` reads.
    epochs : int
    learning_rate : float
        At its beginning.
    begin : callable
        Sets which layers are trained; called before the model is compiled.
    """

    model: Any
    train: Part
    validation: Part
    epochs: int
    learning_rate: float
    begin: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Training:
    """How a network is trained, see `finetune --help`; `steps_per_epoch` 0 is the whole training part, `patience` 0 never ends early."""

    batch_size: int
    seed: int
    optimizer: str = "adam"
    steps_per_epoch: int = 0
    patience: int = 0
    schedule: str = "constant"
    class_weights: dict[int, float] | None = None
    oversample: bool = False
    checkpoint_seconds: float = 600.0

    def steps(self, part: Part) -> int:
        """Return the number of steps in an epoch."""
        return self.steps_per_epoch or math.ceil(len(drawn(part.labels, oversample=self.oversample)) / self.batch_size)


@dataclass
class Progress:
    """How far a training is: what a checkpoint holds beside the weights.

    `best` is the least monitored loss of any phase so far, `running` the mean figures of the steps of an epoch that is not over.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    best: float = math.inf
    running: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


class Checkpoints:
    """The files of one training: the last state, and the best weights of the phase it is in and of those before."""

    def __init__(self, folder: Path) -> None:
        self._state, self._best = folder / "state.npz", folder / "best.npz"

    def load(self) -> tuple[Progress, list[NDArray[Any]]]:
        """Return how far it was, and the values of weights and optimiser then (none at the beginning of a phase)."""
        if not self._state.exists():
            return Progress(), []
        values = _read(self._state)
        return Progress(**json.loads(values.pop(0).tobytes())), values

    def save(self, progress: Progress, values: Sequence[NDArray[Any]]) -> None:
        """Keep how far it is, in one file that is whole or not there."""
        _write(self._state, [np.frombuffer(json.dumps(vars(progress)).encode(), np.uint8), *values])

    def keep_best(self, values: Sequence[NDArray[Any]]) -> None:
        """Keep a whole network's weights as the best so far."""
        _write(self._best, values)

    def best(self) -> list[NDArray[Any]]:
        """Return the best weights so far; none when no epoch has ended well."""
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


def train(
    network: Any,
    phases: Sequence[Phase],
    how: Training,
    checkpoints: Checkpoints,
    said: Callable[[str], None],
    advance: Callable[[int], None],
) -> list[dict[str, float]]:
    """Fit a network phase after phase with cross-entropy; the weights of the epoch with the least validation loss stay.

    A stop keeps the step it came at, wherever it comes.

    Returns
    -------
    list of dict
        One row per epoch: `phase` and `epoch` from 1, `learning_rate`, `loss`, `accuracy`, and with `val_` the same on the validation part.
    """
    progress, values = checkpoints.load()
    for index in range(progress.phase, len(phases)):
        run = _Run(network, phases[index], how, checkpoints, progress, advance)
        run.begin(values)
        run.fit(said)
        values = []
    network.set_weights(checkpoints.best())
    return progress.history


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
        self._network, self._phase, self._how, self._checkpoints, self._progress, self._advance = (
            network,
            phase,
            how,
            checkpoints,
            progress,
            advance,
        )
        self._monitored = "val_loss" if len(phase.validation.rows) else "loss"
        self._saved = time.monotonic()

    def begin(self, values: Sequence[NDArray[Any]]) -> None:
        """Compile, and put everything back to where a stop or the phase before left it."""
        k, phase = keras(), self._phase
        k.utils.set_random_seed(self._how.seed)
        phase.begin()
        model = phase.model
        optimizer = getattr(k.optimizers, OPTIMIZERS[self._how.optimizer])(phase.learning_rate)
        if computes_in_float16(model):  # small gradients would become 0
            optimizer = k.optimizers.LossScaleOptimizer(optimizer)
        model.compile(
            optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"], auto_scale_loss=False
        )
        model.optimizer.build(model.trainable_variables)
        if self._progress.phase and not values:
            self._network.set_weights(self._checkpoints.best())
        for variable, value in zip(self._variables(), values, strict=False):
            variable.assign(value)

    def _variables(self) -> list[Any]:
        return [*self._phase.model.weights, *self._phase.model.optimizer.variables]

    def _keep(self) -> None:
        self._checkpoints.save(
            self._progress, [np.asarray(keras().ops.convert_to_numpy(each)) for each in self._variables()]
        )
        self._saved = time.monotonic()

    def fit(self, said: Callable[[str], None]) -> None:
        """Train epoch by epoch, as long as the loss still falls."""
        progress, phase = self._progress, self._phase
        with self._kept_when_stopped():
            while progress.epoch < phase.epochs and not has_stalled(self._losses(), self._how.patience):
                row = self._epoch()
                best = min(progress.best, row[self._monitored])
                if best < progress.best:
                    self._checkpoints.keep_best(self._network.get_weights())
                # In one go: a stop finds either all of it or nothing.
                vars(progress).update(
                    best=best, epoch=progress.epoch + 1, step=0, running={}, history=[*progress.history, row]
                )
                self._keep()
                words = ", ".join(
                    f"{name.replace('val_', 'validation ')} {value:.3f}"
                    for name, value in row.items()
                    if name.endswith(("loss", "accuracy"))
                )
                said(f"epoch {progress.epoch} of {phase.epochs}: {words}")
        if progress.epoch < phase.epochs:
            said(
                f"ended early: {self._monitored.replace('val_', 'validation ')} has not fallen for {self._how.patience} epochs"
            )
        self._checkpoints.save(replace(progress, phase=progress.phase + 1, epoch=0), [])
        progress.phase, progress.epoch = progress.phase + 1, 0

    def _losses(self) -> list[float]:
        return [row[self._monitored] for row in self._progress.history if row["phase"] == self._progress.phase + 1]

    def _epoch(self) -> dict[str, float]:
        """Train one epoch, or what is left of it, and measure it on the validation part."""
        how, phase, progress = self._how, self._phase, self._progress
        rate = SCHEDULES[how.schedule](phase.learning_rate, progress.epoch, phase.epochs, self._losses())
        phase.model.optimizer.learning_rate = rate
        steps = how.steps(phase.train)
        if progress.step < steps:
            self._train(order(phase.train.labels, progress.epoch, how, steps)[progress.step * how.batch_size :])
        figures = dict(progress.running)
        if len(phase.validation.rows):
            batches = _batches(phase.validation, how.batch_size, np.arange(len(phase.validation.rows)))
            figures |= {
                f"val_{name}": float(value)
                for name, value in phase.model.evaluate(batches, verbose=0, return_dict=True).items()
            }
        if not all(map(math.isfinite, figures.values())):
            raise self._diverged()
        return {"phase": progress.phase + 1, "epoch": progress.epoch + 1, "learning_rate": rate, **figures}

    def _train(self, places: NDArray[np.int64]) -> None:
        k, done, before = keras(), self._progress.step, dict(self._progress.running)

        def stepped(_: int, logs: dict[str, float]) -> None:
            """Count a step; Keras' figures are means since the call began."""
            step = self._progress.step + 1
            running = {
                name: (before.get(name, 0.0) * done + float(value) * (step - done)) / step
                for name, value in logs.items()
            }
            vars(self._progress).update(step=step, running=running)
            self._advance(1)
            if time.monotonic() - self._saved >= self._how.checkpoint_seconds:
                self._keep()

        self._phase.model.fit(
            _batches(self._phase.train, self._how.batch_size, places),
            class_weight=self._how.class_weights,
            callbacks=[k.callbacks.TerminateOnNaN(), k.callbacks.LambdaCallback(on_train_batch_end=stepped)],
            shuffle=False,  # Keras would change the order of the batches, and a restart could not tell which were done
            verbose=0,
        )

    def _diverged(self) -> FacelimeError:
        return FacelimeError(
            f"training diverged: the loss is no number any more; repeat it with a --learning-rate lower than {self._phase.learning_rate:g}."
        )

    @contextlib.contextmanager
    def _kept_when_stopped(self) -> Iterator[None]:
        try:
            with memory_errors_named():
                yield
        except StopRequested:
            self._keep()
            raise


def has_stalled(losses: Sequence[float], patience: int) -> bool:
    """Whether the least loss is `patience` epochs old; never with a patience of 0.

    Examples
    --------
    >>> has_stalled([3.0, 1.0, 2.0, 2.0], 2), has_stalled([3.0, 1.0, 2.0], 2), has_stalled([1.0, 2.0], 0)
    (True, False, False)
    """
    return bool(losses) and patience > 0 and len(losses) - 1 - int(np.argmin(losses)) >= patience


def _constant(rate: float, epoch: int, epochs: int, losses: Sequence[float]) -> float:
    del epoch, epochs, losses
    return rate


def _cosine(rate: float, epoch: int, epochs: int, losses: Sequence[float]) -> float:
    """Half a cosine from the rate down to 0 at the end (Loshchilov and Hutter 2017, eq. 5, without restarts)."""
    del losses
    return rate * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def _plateau(rate: float, epoch: int, epochs: int, losses: Sequence[float]) -> float:
    """Lower the rate each time the loss has not fallen for some epochs."""
    del epoch, epochs
    best, waited = math.inf, 0
    for loss in losses:
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
        if waited == PLATEAU_EPOCHS:
            rate, waited = rate * PLATEAU_FACTOR, 0
    return rate


SCHEDULES: dict[str, Callable[[float, int, int, Sequence[float]], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "plateau": _plateau,
}
"""From the first rate, the epoch from 0, the number of epochs and the losses so far to an epoch's rate: no state, so that a restart changes nothing."""


def drawn(labels: NDArray[np.int64], *, oversample: bool) -> NDArray[np.int64]:
    """Return which pictures one pass takes: each once, or those of the smaller classes as often as evens the classes out.

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
    """Return the places in a part that an epoch trains on, (steps · batch size,) or less at the end of the only pass.

    With `steps_per_epoch` the epochs go through one pass after the other without a break; each pass has an order of its own.
    """
    once = drawn(labels, oversample=how.oversample)
    if not how.steps_per_epoch:
        return _shuffled(once, how.seed, epoch)
    start, stop = epoch * steps * how.batch_size, (epoch + 1) * steps * how.batch_size
    passes = range(start // len(once), -(-stop // len(once)))
    whole = np.concatenate([_shuffled(once, how.seed, each) for each in passes])
    return whole[start - passes.start * len(once) :][: stop - start]


def _shuffled(places: NDArray[np.int64], seed: int, count: int) -> NDArray[np.int64]:
    return places[np.random.Generator(np.random.Philox(key=[seed, count])).permutation(len(places))]


def _batches(part: Part, batch_size: int, places: NDArray[np.int64]) -> Any:
    """Return a Keras data set that reads batch by batch the rows of a part at some places."""

    class Batches(keras().utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return math.ceil(len(places) / batch_size)

        def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
            chosen = np.sort(places[index * batch_size : (index + 1) * batch_size])
            return part.read([int(row) for row in part.rows[chosen]]).astype(np.float32), part.labels[chosen]

    return Batches()
