"""Ask the model about every perturbed picture.

Pictures are composed on the device, inside one compiled call with the network. What is done is kept as it goes: Ctrl-C, a time limit or a crash
cost at most half a minute, and the same command goes on. TensorFlow is loaded only when there is something left to do.
"""

from __future__ import annotations

import re
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.errors import CommandLineError, FacelimeError, StopRequested
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
        return {"evaluations": sum(int(facts["evaluations"]) for facts in artifact.unit_facts())}, []

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
    picture of each, and `rows_of` for each picture the evaluation of each of its samples.
    """

    packed: NDArray[np.uint8]
    index: NDArray[np.int32]
    rows_of: list[NDArray[np.int64]]
    values: NDArray[np.float32]
    done: NDArray[np.bool_]
    uncommitted: list[tuple[int, NDArray[np.float32]]] = field(default_factory=list)
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

    def run(self, units: Pending) -> None:
        """Do every unit; when asked to stop, tell whether the device still is at a call."""
        try:
            self._run(units)
        except StopRequested as why:
            why.device_busy = not self._idle()
            raise

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
        self._call = self._wait(self._thread.submit(self._load))
        with self.console.progress("predict", total, unit="evaluations") as advance:
            self._unit(first, advance)
            for unit in claimed:
                self._unit(unit, advance)

    def _load(self) -> Call:
        from facelime_cli import network

        return network.compiled(network.load(self.model.file("model.keras")))

    def _unit(self, unit: Unit, advance: Callable[[int], None]) -> None:

        from facelime_cli import network

        device = self._thread.submit(self._upload, unit.rows)
        stream = self._resume(unit)
        advance(int(stream.done.sum()))
        arrays = self._wait(device)
        began = int(stream.done.sum())
        if began:
            self.console.note(f"{began} of {stream.total} evaluations of unit {unit.index} were done before; going on.")
        try:
            while not stream.done.all():
                try:
                    self._batches(unit, stream, arrays, advance)
                except network.DeviceMemoryError:
                    self._halve()
            advance(sum(len(rows) for rows in stream.rows_of) - stream.total)
            facts = {"batch_size": self.batch, "resumed_at": began, "evaluations": stream.total}
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
        stream = _Stream(np.concatenate(packed), index, rows_of, np.full((len(index), n_classes), np.nan, np.float32), np.zeros(len(index), np.bool_))
        for start, values in unit.committed():
            if values.shape[1:] == stream.values.shape[1:] and start + len(values) <= stream.total:
                stream.values[start : start + len(values)] = values
                stream.done[start : start + len(values)] = True
        return stream

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
        """Send the batches that hold a pending row; their borders are counted from the unit's start."""
        pending: list[tuple[int, Future[NDArray[np.float32]]]] = []
        try:
            for start in range(0, stream.total, self.batch):
                if stream.done[start : start + self.batch].all():
                    continue
                pending.append((start, self._thread.submit(self._evaluate, stream.packed[start : start + self.batch], stream.index[start : start + self.batch], arrays)))
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

    def _collect(self, unit: Unit, stream: _Stream, pending: list[tuple[int, Future[NDArray[np.float32]]]], advance: Callable[[int], None]) -> None:
        start, future = pending[0]
        values = self._wait(future)
        pending.pop(0)
        advance(self._keep(stream, start, values))
        if time.monotonic() - stream.committed_at >= COMMIT_SECONDS:
            self._commit(unit, stream)
        if self.until is not None and time.monotonic() >= self.until:
            raise StopRequested("the time budget is used up")

    def _keep(self, stream: _Stream, start: int, values: NDArray[np.float32]) -> int:
        """Take a batch over; rows that an earlier run has committed stay as they were."""
        import numpy as np

        if not np.isfinite(values).all():
            raise FacelimeError(f"models/{self.model.id} answers with NaN or infinity for a perturbed picture; check the model, `facelime show models/{self.model.id}` tells where it came from.")
        new = ~stream.done[start : start + len(values)]
        stream.values[start : start + len(values)][new] = values[new]
        stream.done[start : start + len(values)] = True
        stream.uncommitted.append((start, values if new.all() else stream.values[start : start + len(values)].copy()))
        return int(new.sum())

    def _commit(self, unit: Unit, stream: _Stream) -> None:
        """Write what was collected since the last commit, one file per run of neighbouring batches."""
        import numpy as np

        while stream.uncommitted:
            start = stream.uncommitted[0][0]
            run, end = [], start
            for begin, values in stream.uncommitted:
                if begin != end:
                    break
                run.append(values)
                end += len(values)
            unit.commit(start, np.concatenate(run))
            del stream.uncommitted[: len(run)]
        stream.committed_at = time.monotonic()

    def _last_words(self, stream: _Stream, pending: list[tuple[int, Future[NDArray[np.float32]]]]) -> None:
        """Wait a little for the batch on the device, and drop what has not begun."""
        for _, future in pending[1:]:
            future.cancel()
        deadline = time.monotonic() + GRACE_SECONDS
        for start, future in pending:
            if not future.cancelled():
                try:
                    self._keep(stream, start, future.result(max(0.0, deadline - time.monotonic())))
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
