"""Running a model on the perturbed pictures of one run: batches, commits, stops."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facelime_cli.core import shapes
from facelime_cli.errors import FacelimeError, StopRequested
from facelime_cli.predicting.comparing import compared
from facelime_cli.predicting.device import NotYet
from facelime_cli.predicting.reuse import Donors, Wanted, made_as
from facelime_cli.store import digests, familiarity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.console import Advance
    from facelime_cli.engine import Pending
    from facelime_cli.predicting.run import DistinctMasks, Run
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.units import Unit

COMMIT_SECONDS = 5.0
"""A kill repeats what came after the last commit, and at most two batches on the device."""
GRACE_SECONDS = 5.0
"""How long a stop waits for the batch that is on the device."""
AHEAD = 2
"""Batches handed to the device before the first is collected; with more, `BATCHES` of whole pictures would not do."""
LOOKED_AT = 8
"""Unchanged pictures in one call that asks for features, at most."""
MADE_WITH = "made-with-"
"""Empty files in a unit's scratch folder whose names say what its commits were made with."""


@dataclass
class _Stream:
    """The evaluations of one unit: which are done, and what is not yet committed.

    `todo` are those that no other artifact knew, and `made_with` what decided the bits of those that are done.
    """

    masks: DistinctMasks
    values: NDArray[np.float32]
    done: NDArray[np.bool_]
    todo: NDArray[np.int64]
    made_with: set[str] = field(default_factory=set)
    uncommitted: list[NDArray[np.int64]] = field(default_factory=list)
    committed_at: float = field(default_factory=time.monotonic)

    @property
    def total(self) -> int:
        return len(self.values)


class Predictor:
    """Runs batches on the device, while this thread keeps and handles signals, and another reads what comes next.

    Parameters
    ----------
    artifact : Artifact
        The predictions or the check that are made, begun or not.
    run : Run
        What they are made with.
    wanted : int or str
        Batch size, or a word for the one that the artifact was begun with.
    """

    def __init__(self, artifact: Artifact, run: Run, wanted: int | str) -> None:
        self.artifact, self._with = artifact, run
        self.source, self.model = run.source, run.model
        self.console, self.device = run.context.console, run.device
        # The bits of an answer depend on the batch size: every process keeps to the first, unless told otherwise.
        begun_with = int(artifact.execution["batch_size"])
        self.batch = wanted if isinstance(wanted, int) else begun_with
        if self.batch != begun_with:
            self.console.note(
                f"begun with batches of {begun_with}, resuming with {self.batch}: "
                "predictions agree to 1e-5, but not to the bit."
            )
        self._reader = ThreadPoolExecutor(1)
        self._difference: float | None = None
        self._donors = Donors(
            run.context.store,
            made_as(artifact),
            run.source.segmentation,
            artifact.shape("probabilities")[-1],
            besides=artifact.id,
        )

    def run(self, units: Pending) -> None:
        """Do every unit.

        Parameters
        ----------
        units : Pending
            Each is claimed when it is begun.

        Raises
        ------
        StopRequested
            When asked to stop; it tells whether the device is still at a call.
        FacelimeError
            When the model answers with something else than numbers, or differs too much from the reference.
        """
        try:
            self._run(units)
        except StopRequested as why:
            why.device_busy = not self.device.idle()
            raise
        finally:
            for donor, count in self._donors.taken.items():
                self.console.note(f"{count} evaluations of the same pictures were reused from {donor}.")

    def _run(self, units: Pending) -> None:
        total = sum(self.source.n_samples(self.artifact.rows(index)) for index in units.indices)
        following = dict(zip(units.indices, units.indices[1:], strict=False))
        # Closing the generator gives the claim back when a unit raises.
        with closing(iter(units)) as claimed:
            first = next(claimed, None)
            if first is None:
                return
            # Reading the next unit while the device computes hides the disk.
            ahead = {first.index: self._read(first.index)}
            _ = self._with.classifier  # loaded while the first unit is read
            its, host = self.device.wait(ahead[first.index])
            found = self._with.fitted(self.batch, lambda batch: compared(self._with, its, host, batch))
            self.batch, self._difference = found
            # Loading is no part of the progress, or its first estimate would be far too long.
            _ = self._with.classifier
            with self.console.progress(self.artifact.stage, total, unit="evaluations") as advance:
                for unit in itertools.chain([first], claimed):
                    # Another process may have taken the unit that was read ahead.
                    reading = ahead[unit.index] if unit.index in ahead else self._read(unit.index)
                    its, host = self.device.wait(reading)
                    after = following.get(unit.index)
                    ahead = {} if after is None else {after: self._read(after)}
                    self._unit(unit, its, host, advance)

    def _read(self, unit: int) -> Future[tuple[DistinctMasks, tuple[Any, Any]]]:
        """Read a unit's masks and pictures in a thread beside the device's."""
        # The last unit is padded to the size of the first, so that one compiled call serves all.
        rows, full = self.artifact.rows(unit), self.artifact.rows(0).stop
        return self._reader.submit(lambda: (self.source.masks(rows), self._with.host(rows, full)))

    @property
    def _made_with(self) -> str:
        """What decides the bits of a prediction, beside the model and the composed picture."""
        return digests.of_value({"batch_size": self.batch, **self._with.classifier.engine})

    def _unit(self, unit: Unit, its: DistinctMasks, host: tuple[Any, Any], advance: Advance) -> None:
        from facelime_cli.models import backend

        device = self.device.submit(self._with.classifier.upload, *host)
        stream = self._resume(unit, its)
        began = int(stream.done.sum())
        if began:
            self.console.note(f"{began} of {stream.total} evaluations of unit {unit.index} were done before; resuming.")
        self._reuse(unit, stream, host[0])
        advance(int(stream.done.sum()), free=True)
        arrays = self.device.wait(device)
        try:
            while not stream.done.all():
                try:
                    self._batches(unit, stream, arrays, advance)
                except backend.DeviceMemoryError:
                    self.batch = self._with.halved(self.batch)
            # The total counts samples: equal masks of a picture were computed once, and cost no time.
            n_samples = sum(len(rows) for rows in its.rows_of)
            advance(n_samples - stream.total, free=True)
            facts = {
                "batch_size": self.batch,
                "resumed_at": began,
                "evaluations": len(stream.todo),
                "taken_over": stream.total - len(stream.todo),
                "made_with": sorted(stream.made_with),
                "difference": self._difference,
            }
            if self._tells_unlike:
                facts[familiarity.DISTANCES] = self._distances(host[0][: unit.n, 1])
            answers = [stream.values[rows] for rows in its.rows_of]
            unit.finish(self.source.parts(unit.rows, answers), facts=facts)
        except StopRequested:
            if not unit.finished:
                self._commit(unit, stream)
            raise

    @property
    def _tells_unlike(self) -> bool:
        """Whether pictures are compared with those that the model learned from; a check asks about the same again."""
        return self.artifact.kind == "predictions" and familiarity.has_summary(self.model)

    def _distances(self, flat: NDArray[np.uint8]) -> list[float]:
        """Return how far unchanged pictures (n, H·W, 3) are from those that the model learned from."""
        from facelime_cli.answering.familiar import distances

        images = flat.reshape(len(flat), *shapes.sides(self._with.pictures.dataset.facts["size"]), 3)
        call = lambda batch: self.device.wait(  # noqa: E731 - what `fitted` halves
            self.device.submit(distances, self.model, self._with.classifier, images, batch)
        )
        return list(self._with.fitted(min(self.batch, LOOKED_AT), call)[1])

    def _resume(self, unit: Unit, its: DistinctMasks) -> _Stream:
        """Return a unit's evaluations with what earlier runs committed of them."""
        import numpy as np

        n_classes = self.artifact.shape("probabilities")[-1]
        stream = _Stream(
            its,
            np.full((its.total, n_classes), np.nan, np.float32),
            np.zeros(its.total, np.bool_),
            np.arange(its.total),
        )
        for places, kept in unit.committed():
            # A commit of another form cannot be of these masks; its rows are computed again.
            fits = kept.shape[1:] == stream.values.shape[1:] and places.max() < stream.total
            if fits and np.isfinite(kept).all():
                stream.values[places] = kept
                stream.done[places] = True
        for path in unit.scratch("").glob(f"{MADE_WITH}*"):
            stream.made_with.add(path.name.removeprefix(MADE_WITH))
        return stream

    def _reuse(self, unit: Unit, stream: _Stream, pictures: NDArray[np.uint8]) -> None:
        """Reuse what other artifacts know of the evaluations that are not done; the others are to do."""
        import numpy as np

        taken = np.zeros(stream.total, np.bool_)
        n_fills = self.source.n_fills
        for picture in range(unit.n * n_fills if self._donors else 0):
            mine = np.flatnonzero(stream.masks.index == picture)
            wanted = Wanted(
                row=unit.rows.start + picture // n_fills,
                fill=pictures[picture, 0],
                packed=stream.masks.packed[mine],
                missing=~stream.done[mine],
            )
            for place, values in self._donors.take(wanted, self._made_with).items():
                stream.values[mine[place]] = values
                taken[mine[place]] = True
        # Reused answers were made with the same batch size and device, or they would not have been taken.
        if taken.any():
            stream.made_with.add(self._made_with)
        stream.done |= taken
        # Rows that earlier runs committed stay in `todo`, or the borders of batches and with them the bits would move.
        stream.todo = np.flatnonzero(~taken)

    def _batches(self, unit: Unit, stream: _Stream, arrays: tuple[Any, Any], advance: Advance) -> None:
        """Send the batches that hold a pending row; borders are counted from the first evaluation to do in the unit."""
        pending: list[tuple[NDArray[np.int64], Future[NDArray[np.float32]]]] = []
        try:
            for start in range(0, len(stream.todo), self.batch):
                rows = stream.todo[start : start + self.batch]
                if stream.done[rows].all():
                    continue
                pending.append((rows, self._with.submit(stream.masks, rows, arrays, self.batch)))
                if len(pending) >= AHEAD:
                    self._collect(unit, stream, pending, advance)
            while pending:
                self._collect(unit, stream, pending, advance)
        except StopRequested:
            self._last_words(stream, pending)
            raise
        except BaseException:
            # What is still waiting would hold the device up, and nobody would collect it.
            for _, future in pending:
                future.cancel()
            raise

    def _collect(
        self,
        unit: Unit,
        stream: _Stream,
        pending: list[tuple[NDArray[np.int64], Future[NDArray[np.float32]]]],
        advance: Advance,
    ) -> None:
        # A batch leaves the list only when it has answered: a stop in between still finds it there.
        rows, future = pending[0]
        values = self.device.wait(future)
        pending.pop(0)
        advance(self._keep(stream, rows, values))
        if time.monotonic() - stream.committed_at >= COMMIT_SECONDS:
            self._commit(unit, stream)
        self.device.check_time()

    def _keep(self, stream: _Stream, rows: NDArray[np.int64], values: NDArray[np.float32]) -> int:
        """Note a batch's answers, and return how many are new; rows that an earlier run committed stay as they were."""
        import numpy as np

        # NaN means pending in the store: a NaN of the model would be asked for again for ever.
        if not np.isfinite(values).all():
            raise FacelimeError(
                f"models/{self.model.id} answers with NaN or infinity for a perturbed picture; check the model, "
                f"`facelime show models/{self.model.id}` tells where it came from."
            )
        new = ~stream.done[rows]
        # What the members of a mean say is kept where the artifact has room for it.
        stream.values[rows[new]] = values[new, : stream.values.shape[1]]
        stream.done[rows] = True
        stream.uncommitted.append(rows[new])
        stream.made_with.add(self._made_with)
        return int(new.sum())

    def _commit(self, unit: Unit, stream: _Stream) -> None:
        """Write what was collected since the last commit, and what it was made with."""
        import numpy as np

        # The names come first: a kill in between must not leave answers of which nobody knows how they were made.
        for name in stream.made_with:
            unit.scratch(MADE_WITH + name).touch()
        rows = np.concatenate([*stream.uncommitted, np.empty(0, np.int64)]).astype(np.int64)
        if len(rows):
            unit.commit(rows, stream.values[rows])
        stream.uncommitted.clear()
        stream.committed_at = time.monotonic()

    def _last_words(
        self, stream: _Stream, pending: list[tuple[NDArray[np.int64], Future[NDArray[np.float32]]]]
    ) -> None:
        """Wait a little for the batch on the device, and drop what has not begun."""
        for _, future in pending[1:]:
            future.cancel()
        # A batch that is nearly done is worth waiting for, but a stop must end in time.
        deadline = time.monotonic() + GRACE_SECONDS
        for rows, future in pending:
            if future.cancelled():
                continue
            left = max(0.0, deadline - time.monotonic())
            try:
                self._keep(stream, rows, future.result(left))
            except (NotYet, FacelimeError):
                return
