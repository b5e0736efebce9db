"""Ask the model about every perturbed picture.

Pictures are composed on the device, inside one compiled call with the network. What is done is kept as it goes: Ctrl-C, a time limit or a crash
cost at most half a minute, and the same command goes on. What the store holds of the same model and the same composed pictures is taken over, so that
more samples cost only what is new. TensorFlow is loaded only when there is something left to do.
"""

from __future__ import annotations

import re
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import digests
from facelime_cli.errors import CommandLineError, FacelimeError, StopRequested
from facelime_cli.reuse import Donors
from facelime_cli.stage import Execution, Input, Plan, Stage
from facelime_cli.stages.perturb import carried
from facelime_cli.store import ArraySpec, Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.stage import Context, Pending
    from facelime_cli.store import Artifact, Unit

    Call = Callable[..., NDArray[np.float32]]

PROCESSOR_BATCH = 32
ACCELERATOR_BATCH = 128
COMMIT_SECONDS = 5.0
"""A kill repeats what came after the last commit, and at most two batches on the device."""
GRACE_SECONDS = 5.0
"""How long a stop waits for the batch that is on the device."""
IDLE_SECONDS = 0.5
AHEAD = 2
"""Batches handed to the device before the first is collected."""
SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|)")
SPAN_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
MADE_WITH = "made-with-"
"""Empty files in a unit's scratch folder whose names say what its commits were made with."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `predict`."""

    masks: Annotated[str, Argument(metavar="MASKS", help="Masks, or - to read them from standard input.", show_default=False), Input(("masks",))]
    model: Annotated[str, Option(metavar="MODEL", help="Model, from `finetune` or `import-model`.", show_default=False), Input(("models",))]
    batch_size: Annotated[
        int | None, Option(min=1, show_default=False, help=f"Pictures per call of the network; smaller needs less memory. [default: {PROCESSOR_BATCH}, on a GPU {ACCELERATOR_BATCH}]"), Execution()
    ] = None
    time_budget: Annotated[str | None, Option(metavar="TIME", show_default=False, help="Stop after this time, such as 90s, 30m or 2h, and exit 75. [default: none]"), Execution()] = None


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Check that model and pictures fit, without loading the model."""
    until = None if params.time_budget is None else time.monotonic() + span(params.time_budget)
    masks, model = inputs["masks"], inputs["model"]
    dataset = masks.input("datasets")
    check_size(model, dataset)

    def prepare() -> Layout:
        n, samples = masks.layout["arrays"]["masks"]["shape"][:2]
        shape = (n, samples, len(model.facts["classes"]))
        arrays = {"probabilities": ArraySpec("float32", shape, ("picture", "sample", "class"), float("nan"), "probability")}
        return Layout(n, arrays, carried(masks), {"classes": model.facts["classes"]}, execution={"batch_size": params.batch_size or _automatic_batch()})

    def work(artifact: Artifact, units: Pending) -> None:
        _Predictor(artifact, masks, dataset, model, params, context, until).run(units)

    def finish(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
        return {name: sum(int(facts[name]) for facts in artifact.unit_facts()) for name in ("evaluations", "taken_over")}, []

    return Plan({"precision": "float32"}, f"{masks.name}-{model.name}", prepare, work, inputs, finish=finish)


def check_size(model: Artifact, dataset: Artifact) -> None:
    """Raise when a model reads pictures of another size than a dataset has."""
    size, pictures = int(model.facts["size"]), int(dataset.facts["size"])
    if size != pictures:
        raise FacelimeError(f"models/{model.id} reads pictures of {size}×{size}, but those of datasets/{dataset.id} are {pictures}×{pictures}; preprocess them again with --size {size}.")


def _automatic_batch() -> int:
    """Return the batch size for this machine; kept in the layout, so that every later process and shard uses the same."""
    from facelime_cli import network

    return ACCELERATOR_BATCH if network.on_accelerator() else PROCESSOR_BATCH


def span(text: str) -> float:
    """Return a time span such as 30m in seconds."""
    match = SPAN.fullmatch(text.strip())
    if not match:
        raise CommandLineError(f"--time-budget {text!r} should be a time such as 90s, 30m or 2h.")
    return float(match[1]) * SPAN_SECONDS[match[2]]


@dataclass
class _Stream:
    """The evaluations of one unit: which there are, which are done, and what is not yet committed.

    Equal masks of a picture are one evaluation. `packed` (R, M) holds the different masks, picture by picture in the order of their first samples, `index` (R,) the
    picture of each, and `rows_of` for each picture the evaluation of each of its samples. `todo` are the evaluations that no other artifact knew, and `made_with` what
    decided the bits of those that are done.
    """

    packed: NDArray[np.uint8]
    index: NDArray[np.int32]
    rows_of: list[NDArray[np.int64]]
    values: NDArray[np.float32]
    done: NDArray[np.bool_]
    todo: NDArray[np.int64]
    made_with: set[str] = field(default_factory=set)
    uncommitted: list[NDArray[np.int64]] = field(default_factory=list)
    committed_at: float = field(default_factory=time.monotonic)

    @property
    def total(self) -> int:
        return len(self.values)


class _Predictor:
    """Runs batches in a worker thread, while this one reads, keeps and handles signals."""

    def __init__(self, artifact: Artifact, masks: Artifact, dataset: Artifact, model: Artifact, params: Params, context: Context, until: float | None) -> None:
        self.artifact, self.masks, self.dataset, self.model = artifact, masks, dataset, model
        self.console, self.until = context.console, until
        begun_with = int(artifact.layout["execution"]["batch_size"])
        self.batch = params.batch_size or begun_with
        if self.batch != begun_with:
            self.console.note(f"begun with batches of {begun_with}, going on with {self.batch}: predictions agree to 1e-5, but not to the bit.")
        self._thread = ThreadPoolExecutor(1)
        self._call: Call | None = None
        self._engine: dict[str, Any] = {}
        self._donors = Donors(artifact, masks)

    def run(self, units: Pending) -> None:
        """Do every unit; when asked to stop, tell whether the device still is at a call."""
        try:
            self._run(units)
        except StopRequested as why:
            why.device_busy = not self._idle()
            raise
        finally:
            for donor, count in self._donors.taken.items():
                self.console.note(f"{count} evaluations of the same pictures were taken over from predictions/{donor}.")

    def _idle(self) -> bool:
        """Whether the worker thread has nothing left to do."""
        try:
            self._thread.submit(bool).result(IDLE_SECONDS)
        except NotYet:
            return False
        return True

    def _run(self, units: Pending) -> None:
        samples = self.masks.read("n_samples")
        total = sum(int(samples[self.artifact.rows(unit)].sum()) for unit in units.indices)
        claimed = iter(units)
        first = next(claimed, None)
        if first is None:
            return
        self.console.note(f"loading {self.model.kind}/{self.model.id}")
        self._call, self._engine = self._wait(self._thread.submit(self._load))
        with self.console.progress("predict", total, unit="evaluations") as advance:
            self._unit(first, advance)
            for unit in claimed:
                self._unit(unit, advance)

    def _load(self) -> tuple[Call, dict[str, Any]]:
        from facelime_cli import network

        return network.compiled(network.load(self.model.file("model.keras"))), network.engine()

    @property
    def _made_with(self) -> str:
        """What decides the bits of a prediction, beside the model and the composed picture."""
        return digests.of_value({"batch_size": self.batch, **self._engine})

    def _unit(self, unit: Unit, advance: Callable[[int], None]) -> None:
        from facelime_cli import network

        device = self._thread.submit(self._upload, unit.rows)
        stream = self._resume(unit)
        began = int(stream.done.sum())
        if began:
            self.console.note(f"{began} of {stream.total} evaluations of unit {unit.index} were done before; going on.")
        self._take_over(unit, stream)
        advance(int(stream.done.sum()))
        arrays = self._wait(device)
        try:
            while not stream.done.all():
                try:
                    self._batches(unit, stream, arrays, advance)
                except network.DeviceMemoryError:
                    self._halve()
            advance(sum(len(rows) for rows in stream.rows_of) - stream.total)
            facts = {
                "batch_size": self.batch,
                "resumed_at": began,
                "evaluations": len(stream.todo),
                "taken_over": stream.total - len(stream.todo),
                "made_with": sorted(stream.made_with),
            }
            unit.finish({"probabilities": _by_picture(stream, self.artifact.layout["arrays"]["probabilities"]["shape"])}, facts=facts)
        except StopRequested:
            if not unit.finished:
                self._commit(unit, stream)
            raise

    def _resume(self, unit: Unit) -> _Stream:
        """List a unit's evaluations, and take up what earlier runs kept of them."""
        import numpy as np

        packed: list[NDArray[np.uint8]] = []
        rows_of: list[NDArray[np.int64]] = []
        for row, n in zip(range(unit.rows.start, unit.rows.stop), self.masks.read("n_samples", unit.rows), strict=True):
            kept = self.masks.read("masks", slice(row, row + 1))[0, :n]
            _, first, which = np.unique(kept, axis=0, return_index=True, return_inverse=True)
            order = np.argsort(first)
            rows_of.append(sum(len(each) for each in packed) + np.argsort(order)[which.ravel()])
            packed.append(kept[first[order]])
        index = np.repeat(np.arange(unit.n, dtype=np.int32), [len(each) for each in packed])
        n_classes = self.artifact.layout["arrays"]["probabilities"]["shape"][2]
        values = np.full((len(index), n_classes), np.nan, np.float32)
        stream = _Stream(np.concatenate(packed), index, rows_of, values, np.zeros(len(index), np.bool_), np.arange(len(index)))
        for start, kept in unit.committed():
            if kept.shape[1:] == stream.values.shape[1:] and start + len(kept) <= stream.total:
                stream.values[start : start + len(kept)] = kept
                stream.done[start : start + len(kept)] = True
        stream.made_with = {path.name.removeprefix(MADE_WITH) for path in unit.scratch("").glob(f"{MADE_WITH}*")}
        return stream

    def _take_over(self, unit: Unit, stream: _Stream) -> None:
        """Take what other artifacts know of the evaluations that are not done; the others are to do."""
        import numpy as np

        taken = np.zeros(stream.total, np.bool_)
        for picture in range(unit.n if self._donors else 0):
            mine = np.flatnonzero(stream.index == picture)
            for place, values in self._donors.take(unit.rows.start + picture, stream.packed[mine], ~stream.done[mine], self._made_with).items():
                stream.values[mine[place]] = values
                taken[mine[place]] = True
        if taken.any():
            stream.made_with.add(self._made_with)
        stream.done |= taken
        stream.todo = np.flatnonzero(~taken)

    def _upload(self, rows: slice) -> tuple[Any, Any]:
        """Put a unit's fills, images and segments on the device once, padded to the size of a full unit, so that one compiled call serves all."""
        import numpy as np

        from facelime_cli import network

        fill = self.masks.read("fill", rows)
        images = self.dataset.read("images", [int(row) for row in self.masks.read("row", rows)])
        segments = self.masks.input("segments").read("segments", rows).astype(np.int32)
        spare = self.artifact.rows(0).stop - len(fill)
        pictures = np.stack([fill, images], axis=1).reshape(len(fill), 2, -1, 3)
        return (
            network.on_device(np.pad(pictures, ((0, spare), (0, 0), (0, 0), (0, 0)))),
            network.on_device(np.pad(segments.reshape(len(fill), -1), ((0, spare), (0, 0)))),
        )

    def _batches(self, unit: Unit, stream: _Stream, arrays: tuple[Any, Any], advance: Callable[[int], None]) -> None:
        """Send the batches that hold a pending row; their borders are counted from the first evaluation to do in the unit."""
        pending: list[tuple[NDArray[np.int64], Future[NDArray[np.float32]]]] = []
        try:
            for start in range(0, len(stream.todo), self.batch):
                rows = stream.todo[start : start + self.batch]
                if stream.done[rows].all():
                    continue
                pending.append((rows, self._thread.submit(self._evaluate, stream.packed[rows], stream.index[rows], arrays)))
                if len(pending) >= AHEAD:
                    self._collect(unit, stream, pending, advance)
            while pending:
                self._collect(unit, stream, pending, advance)
        except StopRequested:
            self._last_words(stream, pending)
            raise
        except BaseException:
            for _, future in pending:
                future.cancel()
            raise

    def _evaluate(self, packed: NDArray[np.uint8], index: NDArray[np.int32], arrays: tuple[Any, Any]) -> NDArray[np.float32]:
        """Run one batch, padded to full size."""
        import numpy as np

        assert self._call is not None
        spare = self.batch - len(packed)
        return self._call(np.pad(packed, ((0, spare), (0, 0))), np.pad(index, (0, spare)), *arrays)[: len(packed)]

    def _collect(self, unit: Unit, stream: _Stream, pending: list[tuple[NDArray[np.int64], Future[NDArray[np.float32]]]], advance: Callable[[int], None]) -> None:
        rows, future = pending[0]
        values = self._wait(future)
        pending.pop(0)
        advance(self._keep(stream, rows, values))
        if time.monotonic() - stream.committed_at >= COMMIT_SECONDS:
            self._commit(unit, stream)
        if self.until is not None and time.monotonic() >= self.until:
            raise StopRequested("the time budget is used up")

    def _keep(self, stream: _Stream, rows: NDArray[np.int64], values: NDArray[np.float32]) -> int:
        """Take a batch over; rows that an earlier run has committed stay as they were."""
        import numpy as np

        if not np.isfinite(values).all():
            raise FacelimeError(f"models/{self.model.id} answers with NaN or infinity for a perturbed picture; check the model, `facelime show models/{self.model.id}` tells where it came from.")
        new = ~stream.done[rows]
        stream.values[rows[new]] = values[new]
        stream.done[rows] = True
        stream.uncommitted.append(rows[new])
        stream.made_with.add(self._made_with)
        return int(new.sum())

    def _commit(self, unit: Unit, stream: _Stream) -> None:
        """Write what was collected since the last commit, one file per run of neighbouring evaluations, and what it was made with."""
        import numpy as np

        for name in stream.made_with:
            unit.scratch(MADE_WITH + name).touch()
        rows = np.concatenate([*stream.uncommitted, np.empty(0, np.int64)]).astype(np.int64)
        for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
            if len(run):
                unit.commit(int(run[0]), stream.values[run])
        stream.uncommitted.clear()
        stream.committed_at = time.monotonic()

    def _last_words(self, stream: _Stream, pending: list[tuple[NDArray[np.int64], Future[NDArray[np.float32]]]]) -> None:
        """Wait a little for the batch on the device, and drop what has not begun."""
        for _, future in pending[1:]:
            future.cancel()
        deadline = time.monotonic() + GRACE_SECONDS
        for rows, future in pending:
            if not future.cancelled():
                try:
                    self._keep(stream, rows, future.result(max(0.0, deadline - time.monotonic())))
                except (NotYet, FacelimeError):
                    return

    def _halve(self) -> None:
        """Go on with half the batch after the device's memory was too small for it."""
        if self.batch == 1:
            raise FacelimeError("the device has too little memory for a single picture; use a smaller network or another device.")
        self.batch //= 2
        self.console.warn(f"a batch of {self.batch * 2} did not fit into memory; going on with {self.batch}.")

    def _wait(self, future: Future[Any]) -> Any:
        """Wait for the worker thread in steps, so that a signal is seen at once."""
        while True:
            try:
                return future.result(0.5)
            except NotYet:
                if future.done():
                    raise
                if self.until is not None and time.monotonic() >= self.until:
                    raise StopRequested("the time budget is used up") from None


def _by_picture(stream: _Stream, shape: list[int]) -> NDArray[np.float32]:
    """Return a unit's evaluations as (n, S, C), NaN beyond a picture's samples."""
    import numpy as np

    part = np.full((len(stream.rows_of), *shape[1:]), np.nan, np.float32)
    for row, rows in enumerate(stream.rows_of):
        part[row, : len(rows)] = stream.values[rows]
    return part


STAGE = Stage(name="predict", writes="predictions", version=1, params=Params, plan=plan, help=__doc__, sharded=True)
