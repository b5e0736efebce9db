"""How long `predict` would take, and how much the store would grow: what --dry-run answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli.console import Answer, Table, duration, size_text
from facelime_cli.predicting.reuse import Donors
from facelime_cli.predicting.run import distinct_masks
from facelime_cli.store import digests
from facelime_cli.store.arrays import unit_pictures
from facelime_cli.store.units import shard_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.predicting.run import Run
    from facelime_cli.store.arrays import Layout
    from facelime_cli.store.artifacts import Artifact


def forecast(run: Run, layout: Layout, wanted: int | str, made: tuple[Any, ...], artifact: Artifact | None) -> Answer:
    """Run a few batches and say how long everything would take, each shard too; nothing is written but what is remembered beside the model.

    Parameters
    ----------
    run : Run
    layout : Layout
        Of the predictions.
    wanted : int or str
        Batch size.
    made : tuple
        What predictions must have been made as to be taken over, see `Donors`.
    artifact : Artifact, optional
        The predictions, where they have been begun.
    """
    count = run.context.shard.count
    pictures = unit_pictures(layout) if artifact is None else artifact.unit_pictures
    units = [slice(start, min(start + pictures, layout.n)) for start in range(0, layout.n, pictures)]
    done = artifact.done() if artifact else set()
    if artifact and len(done) == len(units):
        return Answer(
            {"evaluations": 0, "taken_over": 0, "seconds": 0.0, "bytes": 0, "shards": []},
            [f"nothing is left to compute: predictions/{artifact.id} has everything"],
        )
    begun = time.monotonic()
    batch = (
        int(artifact.execution["batch_size"]) if artifact and not isinstance(wanted, int) else run.batch_size(wanted)
    )
    batch, (seconds, difference) = run.fitted(batch, lambda size: _timed(run, units[0], size))
    startup = time.monotonic() - begun
    donors = Donors(run.context.store, made, run.masks, besides=artifact.id if artifact else "")
    made_with = digests.of_value({"batch_size": batch, **run.classifier.engine})
    left = [
        _left(run.masks, rows, donors, made_with, _kept(artifact, unit)) if unit not in done else _Left()
        for unit, rows in enumerate(units)
    ]
    mine = [[left[unit] for unit in shard_of(len(units), shard, count)] for shard in range(1, count + 1)]
    shards = [sum(each.computed for each in some) for some in mine]
    spans = [
        startup + sum(each.batches(batch) for each in some) * seconds if any(each.computed for each in some) else 0.0
        for some in mine
    ]
    growth = (
        sum(rows.stop - rows.start for unit, rows in enumerate(units) if unit not in done)
        * layout.arrays["probabilities"].picture_bytes
    )
    value = {
        "evaluations": sum(shards),
        "taken_over": donors.taken.total(),
        "evaluations_per_second": batch / seconds,
        "startup_seconds": startup,
        "seconds": sum(spans),
        "bytes": growth,
        "batch_size": batch,
        "difference": difference,
        "shards": [
            {"shard": shard, "evaluations": each, "seconds": span}
            for shard, (each, span) in enumerate(zip(shards, spans, strict=True), 1)
        ],
    }
    lines = [
        f"{sum(shards)} evaluations to compute, {donors.taken.total()} to take over: about {duration(sum(spans))}",
        f"{batch / seconds:.1f} evaluations/s in batches of {batch}, after {duration(startup)} to start",
        f"the store grows by {size_text(growth)} at most",
    ]
    rows = [
        (f"{shard}/{count}", str(each), duration(span))
        for shard, (each, span) in enumerate(zip(shards, spans, strict=True), 1)
    ]
    return Answer(value, lines, [Table(("shard", "evaluations", "time"), rows)] if count > 1 else [])


def _timed(run: Run, unit: slice, batch: int) -> tuple[float, float | None]:
    """Return the seconds of a batch, and how far its answers are from the reference."""
    its, host = distinct_masks(run.masks, unit), run.host(unit, unit.stop)
    difference = run.difference(its, host, batch)
    arrays = run.device.wait(run.device.submit(run.classifier.upload, *host))
    return run.timed(its, arrays, batch), difference


@dataclass(frozen=True)
class _Left:
    """What is left of a unit: which of the evaluations that are not taken over are still to be computed."""

    todo: Sequence[bool] = ()

    @property
    def computed(self) -> int:
        return sum(self.todo)

    def batches(self, size: int) -> int:
        """Return how many batches of the unit's grid hold one."""
        return sum(any(self.todo[start : start + size]) for start in range(0, len(self.todo), size))


def _kept(artifact: Artifact | None, unit: int) -> list[int]:
    """Return which evaluations of a begun unit were committed."""
    return [] if artifact is None else [int(place) for places, _ in artifact.committed(unit) for place in places]


def _left(masks: Artifact, rows: slice, donors: Donors, made_with: str, kept: Sequence[int]) -> _Left:
    """Return what is to be computed of a unit."""
    import numpy as np

    its = distinct_masks(masks, rows)
    missing, taken = np.ones(its.total, np.bool_), np.zeros(its.total, np.bool_)
    missing[kept] = False
    for picture in range(rows.stop - rows.start if donors else 0):
        mine = np.flatnonzero(its.index == picture)
        taken[mine[list(donors.take(rows.start + picture, its.packed[mine], missing[mine], made_with))]] = True
    return _Left(missing[~taken].tolist())
