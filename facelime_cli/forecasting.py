"""How long `predict` would take, and how much the store would grow: what --dry-run answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from facelime_cli import digests
from facelime_cli.console import Answer, Table, duration, size_text
from facelime_cli.evaluations import listed
from facelime_cli.reuse import Donors
from facelime_cli.store import shard_of, unit_pictures

if TYPE_CHECKING:
    from facelime_cli.evaluations import Run
    from facelime_cli.store import Artifact, Layout


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
    pictures = unit_pictures(layout) if artifact is None else int(artifact.layout["unit_pictures"])
    units = [slice(start, min(start + pictures, layout.n)) for start in range(0, layout.n, pictures)]
    done = artifact.done() if artifact else set()
    begun = time.monotonic()
    batch = int(artifact.layout["execution"]["batch_size"]) if artifact and not isinstance(wanted, int) else run.batch_size(wanted)
    seconds, difference = _timed(run, units[0], batch)
    startup = time.monotonic() - begun
    donors = Donors(run.context.store, made, run.masks, besides=artifact.id if artifact else "")
    made_with = digests.of_value({"batch_size": batch, **run.classifier.engine})
    left = [0 if unit in done else _left(run.masks, rows, donors, made_with) for unit, rows in enumerate(units)]
    shards = [sum(left[unit] for unit in shard_of(len(units), shard, count)) for shard in range(1, count + 1)]
    spans = [startup + -(-each // batch) * seconds if each else 0.0 for each in shards]
    growth = sum(rows.stop - rows.start for unit, rows in enumerate(units) if unit not in done) * layout.arrays["probabilities"].picture_bytes
    value = {
        "evaluations": sum(left),
        "taken_over": donors.taken.total(),
        "evaluations_per_second": batch / seconds,
        "startup_seconds": startup,
        "seconds": sum(spans),
        "bytes": growth,
        "batch_size": batch,
        "difference": difference,
        "shards": [{"shard": shard, "evaluations": each, "seconds": span} for shard, (each, span) in enumerate(zip(shards, spans, strict=True), 1)],
    }
    lines = [
        f"{sum(left)} evaluations to compute, {donors.taken.total()} to take over: about {duration(sum(spans))}",
        f"{batch / seconds:.1f} evaluations/s in batches of {batch}, after {duration(startup)} to start",
        f"the store grows by {size_text(growth)} at most",
    ]
    rows = [(f"{shard}/{count}", str(each), duration(span)) for shard, (each, span) in enumerate(zip(shards, spans, strict=True), 1)]
    return Answer(value, lines, [Table(("shard", "evaluations", "time"), rows)] if count > 1 else [])


def _timed(run: Run, unit: slice, batch: int) -> tuple[float, float | None]:
    """Return the seconds of a batch, and how far its answers are from the reference."""
    its, host = listed(run.masks, unit), run.host(unit, unit.stop)
    difference = run.difference(its, host, batch)
    arrays = run.device.wait(run.device.submit(run.classifier.upload, *host))
    return run.timed(its, arrays, batch), difference


def _left(masks: Artifact, rows: slice, donors: Donors, made_with: str) -> int:
    """Return how many evaluations of a unit are to be computed."""
    import numpy as np

    its = listed(masks, rows)
    known = 0
    for picture in range(rows.stop - rows.start if donors else 0):
        mine = its.packed[its.index == picture]
        known += len(donors.take(rows.start + picture, mine, np.ones(len(mine), np.bool_), made_with))
    return its.total - known
