"""What `predict` and its forecast work with: the evaluations of some pictures, and a model that is loaded once."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from facelime_cli.answering import runtimes
from facelime_cli.answering.runtimes import TF32
from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.answering.runtimes import Classifier, How
    from facelime_cli.engine import Context
    from facelime_cli.predicting.device import Device
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.pictures import Segmented

PROCESSOR_BATCH = 32
ACCELERATOR_BATCH = 128
PROCESSOR_BATCHES = (8, 16, 32, 64)
ACCELERATOR_BATCHES = (32, 64, 128, 256, 512, 1024)
AUTO = "auto"
DEFAULT = "default"
ENOUGH = 0.97
"""Of the best rate: the smallest batch that reaches this is taken, since it needs less memory."""
TRIAL_SECONDS = 2.0
FEWEST_CALLS = 2
"""One call compiles, one is measured."""
TRIAL_CALLS = 3
"""A trial ends after so many calls or so long, the first call, which compiles, not counted."""
LONGEST_CALL_SECONDS = 5.0
"""A larger batch is not tried after one that took so long: a stop would have to wait for it."""
T = TypeVar("T")
MASK_BYTES = 16
"""Masks travel to the device in multiples of so many bytes."""


@dataclass(frozen=True)
class DistinctMasks:
    """The evaluations of a unit. Equal masks of a picture are one.

    Attributes
    ----------
    packed : (R, M) uint8 array
        The different masks, picture by picture, in the order of their first samples.
    index : (R,) int32 array
        The picture of each, as the device numbers them: a picture with several fills is several there.
    rows_of : list of (S,) int64 array
        For each picture of the device, the evaluation of each of its samples.
    """

    packed: NDArray[np.uint8]
    index: NDArray[np.int32]
    rows_of: list[NDArray[np.int64]]

    @property
    def total(self) -> int:
        """Number of evaluations."""
        return len(self.packed)

    @classmethod
    def of(cls, samples: Sequence[NDArray[np.uint8]]) -> DistinctMasks:
        """Return the evaluations that some samples ask for.

        Parameters
        ----------
        samples : sequence of (S, M) uint8 array
            Packed masks of each picture of the device.

        Returns
        -------
        DistinctMasks
        """
        import numpy as np

        packed: list[NDArray[np.uint8]] = []
        rows_of: list[NDArray[np.int64]] = []
        before = 0
        for kept in samples:
            _, first, which = np.unique(kept, axis=0, return_index=True, return_inverse=True)
            # `unique` sorts the masks; in the order of their samples, a run with more samples begins with the same
            # batches.
            order = np.argsort(first)
            rows_of.append(before + np.argsort(order)[which.ravel()])
            packed.append(kept[first[order]])
            before += len(packed[-1])
        n_masks = [len(each) for each in packed]
        index = np.repeat(np.arange(len(packed), dtype=np.int32), n_masks)
        return cls(np.concatenate(packed), index, rows_of)


class Source(Protocol):
    """What the model is asked: pictures, each with one fill or several, and masks for each of these.

    The device has a picture for each fill: that of picture p and fill f is number p · F + f.
    """

    @property
    def n_fills(self) -> int:
        """F."""
        ...

    @property
    def segmentation(self) -> Artifact:
        """The segments of the pictures."""
        ...

    def n_samples(self, rows: slice) -> int:
        """Return how many samples some pictures have, all fills together."""
        ...

    def masks(self, rows: slice) -> DistinctMasks:
        """Return the evaluations of some pictures."""
        ...

    def fills(self, rows: slice) -> NDArray[np.uint8]:
        """Return what stands in: (n, F, H, W, 3)."""
        ...

    def parts(self, rows: slice, answers: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        """Return what a unit writes into every array, from the (S, C) answers of each picture of the device."""
        ...


@dataclass(frozen=True)
class Perturbed:
    """The source of `predict`: masks as `perturb` has drawn them.

    Attributes
    ----------
    artifact : Artifact
        Of kind masks.
    """

    artifact: Artifact
    n_fills = 1

    @cached_property
    def segmentation(self) -> Artifact:
        """The segments of the pictures."""
        return self.artifact.input("segments")

    def n_samples(self, rows: slice) -> int:
        """Return how many samples some pictures have."""
        return int(self.artifact.read("n_samples", rows).sum())

    def masks(self, rows: slice) -> DistinctMasks:
        """Return the evaluations of some pictures."""
        # A unit's masks at once, which are one file; each without the rows that its picture does not use.
        numbers = self.artifact.read("n_samples", rows)
        return DistinctMasks.of(
            [every[:n] for every, n in zip(self.artifact.read("masks", rows), numbers, strict=True)]
        )

    def fills(self, rows: slice) -> NDArray[np.uint8]:
        """Return what stands in: (n, 1, H, W, 3)."""
        return self.artifact.read("fill", rows)[:, None]

    def parts(self, rows: slice, answers: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        """Return the probabilities (n, S, C), NaN beyond a picture's samples."""
        del rows
        return {"probabilities": padded(answers, self.artifact.shape("masks")[1])}


def padded(answers: Sequence[NDArray[np.float32]], n_samples: int) -> NDArray[np.float32]:
    """Return answers of different numbers of samples as one array.

    Parameters
    ----------
    answers : sequence of (S, C) float32 array
    n_samples : int
        How long to make each.

    Returns
    -------
    (n, n_samples, C) float32 array
        NaN beyond what there is.
    """
    import numpy as np

    found = np.full((len(answers), n_samples, answers[0].shape[1]), np.nan, np.float32)
    for row, values in zip(found, answers, strict=True):
        row[: len(values)] = values
    return found


@dataclass
class Run:
    """What one invocation works with; the model is loaded when it is first needed, and once a command."""

    source: Source
    model: Artifact
    how: How
    tolerance: float
    device: Device
    context: Context

    @cached_property
    def pictures(self) -> Segmented:
        """The pictures that are perturbed, with their segments."""
        from facelime_cli.store.pictures import Segmented

        return Segmented(self.source.segmentation)

    @property
    def classifier(self) -> Classifier:
        """The model, ready; loaded in the thread that will call it, and kept for what the same command asks later."""
        return self.loaded(self.how)

    def loaded(self, how: How) -> Classifier:
        """Return the model ready to answer in one way; loaded once a command.

        Parameters
        ----------
        how : How

        Returns
        -------
        Classifier
        """
        if (self.model.content, how) not in self.context.loaded:
            self.device.wait(self.device.submit(load_once, self.context, self.model, how))
        loaded: Classifier = self.context.loaded[self.model.content, how]
        return loaded

    def forget(self, how: How) -> None:
        """Let go of a model that is not asked again, and of the memory that it holds.

        Parameters
        ----------
        how : How
        """
        self.context.loaded.pop((self.model.content, how), None)

    @property
    def reference(self) -> How:
        """What a runtime and precision are compared with."""
        return replace(runtimes.usual(self.model), resize_from=self.how.resize_from)

    @property
    def is_reference(self) -> bool:
        """Whether there is nothing to compare."""
        return self.how == self.reference

    def halved(self, batch: int) -> int:
        """Return half a batch size that the device's memory is too small for, and say so.

        Parameters
        ----------
        batch : int
            The size that did not fit.

        Returns
        -------
        int

        Raises
        ------
        FacelimeError
            When not even one picture fits.
        """
        if batch == 1:
            raise FacelimeError(
                "the device has too little memory for a single picture; use a smaller network or another device."
            )
        self.context.console.warn(f"a batch of {batch} did not fit into memory; batches of {batch // 2} are used now.")
        return batch // 2

    def fitted(self, batch: int, call: Callable[[int], T]) -> tuple[int, T]:
        """Return the batch size with which a call came through, and what it answered.

        The size is halved as often as the device's memory asks for.

        Parameters
        ----------
        batch : int
            The first size to try.
        call : callable
            Takes a batch size.

        Returns
        -------
        tuple
            The batch size and the answer.

        Raises
        ------
        FacelimeError
            When not even one picture fits.
        """
        from facelime_cli.models import backend

        while True:
            try:
                return batch, call(batch)
            except backend.DeviceMemoryError:
                batch = self.halved(batch)

    def batch_size(self, wanted: int | str) -> int:
        """Return a batch size as a number; kept in the layout, so that every later process and shard uses the same.

        Parameters
        ----------
        wanted : int or str
            A number, `AUTO` or `DEFAULT`.

        Returns
        -------
        int
        """
        if isinstance(wanted, int):
            return wanted
        return self.measured_batch() if wanted == AUTO else self._usual_batch()

    def _usual_batch(self) -> int:
        return ACCELERATOR_BATCH if runtimes.on_accelerator(self.how.runtime) else PROCESSOR_BATCH

    def measured_batch(self) -> int:
        """Return the smallest batch size that is about as fast as any.

        It is measured once for each model, machine, runtime and precision, and kept beside the model.
        """
        from facelime_cli.store import files

        def measure(folder: Path) -> None:
            on_accelerator = self._usual_batch() == ACCELERATOR_BATCH
            rates = self._rates(ACCELERATOR_BATCHES if on_accelerator else PROCESSOR_BATCHES)
            enough = ENOUGH * max(rates.values())
            best = min(size for size, rate in rates.items() if rate >= enough)
            measured = ", ".join(f"{size}: {rate:.1f}" for size, rate in rates.items())
            self.context.console.note(
                f"evaluations/s by batch size: {measured}; {best} is used, here and in later runs."
            )
            by_size = {str(size): rate for size, rate in rates.items()}
            files.write_json(folder / "batch-size.json", {"batch_size": best, "rates": by_size})

        # What decides the rates: another device, driver or picture size is measured anew.
        key = {
            "measured": "batch size",
            "runtime": self.how.runtime,
            "precision": self.how.precision,
            "size": self.pictures.dataset.facts["size"],
            **self.classifier.engine,
        }
        folder = self.model.kept(key, measure)
        return int(files.read_json(folder / "batch-size.json")["batch_size"])

    def _rates(self, sizes: tuple[int, ...]) -> dict[int, float]:
        """Return evaluations per second for some batch sizes, up to the one that needs too much memory or time."""
        from facelime_cli.models import backend

        its = self.source.masks(slice(0, 1))
        rates: dict[int, float] = {}
        uploading = self.device.submit(self.classifier.upload, *self.host(slice(0, 1), 1))
        arrays = self.device.wait(uploading)
        for size in sizes:
            try:
                seconds = self.timed(its, arrays, size)
            except backend.DeviceMemoryError:
                return rates or self._rates((self.halved(size),))
            rates[size] = size / seconds
            # The next size takes about twice as long.
            if seconds > LONGEST_CALL_SECONDS:
                break
        return rates

    def timed(self, its: DistinctMasks, arrays: tuple[Any, Any], batch: int) -> float:
        """Return the seconds that a batch takes: the best of a few, without the first one, which compiles.

        Parameters
        ----------
        its : DistinctMasks
        arrays : pair of arrays
            What `Classifier.upload` returned for `host`.
        batch : int
            Batch size.

        Returns
        -------
        float
        """
        return seconds_of_batch(lambda rows: self.evaluate(its, rows, arrays, batch), its.total, batch)

    def evaluate(
        self, its: DistinctMasks, rows: NDArray[np.int64], arrays: tuple[Any, Any], batch: int
    ) -> NDArray[np.float32]:
        """Run one batch, and wait for it.

        Parameters
        ----------
        its : DistinctMasks
        rows : (R,) int64 array
            Which evaluations, at most `batch`.
        arrays : pair of arrays
            What `Classifier.upload` returned for `host`.
        batch : int
            Batch size.

        Returns
        -------
        (R, A) float32 array
            Probabilities; of a mean of several networks, behind its own those of each, see `ensembles.speaking`.
        """
        answers: NDArray[np.float32] = self.device.wait(
            self.device.submit(evaluate, self.classifier, its, rows, arrays, batch)
        )
        return answers

    def submit(
        self, its: DistinctMasks, rows: NDArray[np.int64], arrays: tuple[Any, Any], batch: int
    ) -> Future[NDArray[np.float32]]:
        """Hand one batch over; what its classifier composes itself is composed while the batch before is computed.

        Parameters
        ----------
        its : DistinctMasks
        rows : (R,) int64 array
            Which evaluations, at most `batch`.
        arrays : pair of arrays
            What `Classifier.upload` returned for `host`.
        batch : int
            Batch size.

        Returns
        -------
        Future
            Of (R, C) float32 probabilities, for `Device.wait`.
        """
        classifier = self.classifier
        prepare, answer = classifier.prepare, classifier.answer
        if prepare is None or answer is None:
            return self.device.submit(evaluate, classifier, its, rows, arrays, batch)
        composing = self.device.beside(lambda: prepare(*_padded(its, rows, batch), *arrays))
        return self.device.submit(lambda: answer(composing.result())[: len(rows)])

    def host(self, rows: slice, pictures: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return what travels to the device once per unit.

        Parameters
        ----------
        rows : slice
            Pictures of the run.
        pictures : int
            Number of pictures to pad to, so that one compiled call serves all units. With F fills each, U = F times it.

        Returns
        -------
        (U, 2, H·W, 3) uint8 array
            Fills and images.
        (U, H·W) int32 array
            Segments.
        """
        import numpy as np

        fills, images = self.source.fills(rows), self.pictures.images(rows)
        segments = self.pictures.segments(rows).astype(np.int32)
        # Composition takes a whole picture at once, so height and width are one axis on the device.
        beside = np.broadcast_to(images[:, None], fills.shape)
        both = np.stack([fills, beside], axis=2).reshape(-1, 2, math.prod(images.shape[1:3]), 3)
        flat = np.repeat(segments.reshape(len(images), -1), self.source.n_fills, axis=0)
        spare = (pictures - len(images)) * self.source.n_fills
        return np.pad(both, ((0, spare), (0, 0), (0, 0), (0, 0))), np.pad(flat, ((0, spare), (0, 0)))


def seconds_of_batch(call: Callable[[NDArray[np.int64]], Any], total: int, batch: int) -> float:
    """Return the seconds of a call: the best of a few, without the first one, which compiles.

    Parameters
    ----------
    call : callable
        Takes which evaluations to run.
    total : int
        How many different ones there are.
    batch : int
        How many to run.

    Returns
    -------
    float
    """
    import numpy as np

    rows = np.arange(batch) % total
    begun = time.monotonic()
    seconds: list[float] = []
    while len(seconds) < FEWEST_CALLS or (len(seconds) <= TRIAL_CALLS and time.monotonic() - begun < TRIAL_SECONDS):
        started = time.monotonic()
        call(rows)
        seconds.append(time.monotonic() - started)
    return min(seconds[1:])


def load_once(context: Context, model: Artifact, how: How, batch: int | str | None = None) -> None:
    """Load a model for what a command asks of it, unless it is loaded.

    Parameters
    ----------
    context : Context
        Its `loaded` keeps the model.
    model : Artifact
    how : How
    batch : int or str, optional
        The size of batch that will be asked, a number or `DEFAULT`: what can be compiled for it is.
    """
    kept = context.loaded
    if (model.content, how) in kept:
        return
    context.console.note(f"loading {model.reference}")
    for content, other in list(kept):
        # Memory for more models is seldom there, and TF32 is on or off for all that a runtime computes.
        is_other_mode = other.runtime == how.runtime and TF32 in {other.precision, how.precision}
        if content != model.content or is_other_mode:
            del kept[content, other]
    classifier = kept[model.content, how] = runtimes.load(model, how, members=True)
    if classifier.make_ready is not None and batch not in {None, AUTO}:
        classifier.make_ready(PROCESSOR_BATCH if batch == DEFAULT else int(batch or 0))


def evaluate(
    classifier: Classifier, its: DistinctMasks, rows: NDArray[np.int64], arrays: tuple[Any, Any], batch: int
) -> NDArray[np.float32]:
    """Run one batch, padded to full size.

    Parameters
    ----------
    classifier : Classifier
    its : DistinctMasks
    rows : (R,) int64 array
        Which evaluations, at most `batch`.
    arrays : pair of arrays
        What `Classifier.upload` returned for the unit's pictures.
    batch : int
        Batch size.

    Returns
    -------
    (R, C) float32 array
        Probabilities.
    """
    return classifier.composed(*_padded(its, rows, batch), *arrays)[: len(rows)]


def _padded(its: DistinctMasks, rows: NDArray[np.int64], batch: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return the masks of a batch and the picture of each, padded to full size."""
    import numpy as np

    # A shape that has not been met before would be compiled anew, which takes longer than the spare rows.
    spare = batch - len(rows)
    # Nor would one whose masks are a few bytes wider: the views of a picture differ in their number of segments.
    packed = np.pad(its.packed[rows], ((0, spare), (0, -its.packed.shape[1] % MASK_BYTES)))
    return packed, np.pad(its.index[rows], (0, spare))
