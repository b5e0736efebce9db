"""How long `predict` would take, and how much the store would grow: what --dry-run answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli.console import Answer, Table, duration, size_text
from facelime_cli.engine import find
from facelime_cli.predicting import asking
from facelime_cli.predicting.comparing import compared
from facelime_cli.predicting.reuse import Donors, Wanted, made_of
from facelime_cli.store import digests
from facelime_cli.store.arrays import unit_pictures
from facelime_cli.store.units import shard_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.engine import Context, Stage
    from facelime_cli.predicting.run import Run
    from facelime_cli.store.arrays import Layout
    from facelime_cli.store.artifacts import Artifact


@dataclass(frozen=True)
class _Share:
    """What one shard has to do: evaluations, and the seconds that they take."""

    evaluations: int
    seconds: float


def of_stage(stage: Stage, params: Any, run: Run, layout: Layout, context: Context) -> Answer:
    """Run a few batches and say how long everything would take, each shard too. Nothing is written.

    Parameters
    ----------
    stage : Stage
        One that asks the model.
    params : dataclass
        Its parameters.
    run : Run
    layout : Layout
        Of what it makes.
    context : Context

    Returns
    -------
    Answer
        Evaluations, seconds and bytes of what is left, and the evaluations and seconds of each shard.

    Notes
    -----
    A shard takes the startup once, and the seconds of one batch for each batch of its grid that holds something to do.
    """
    found = find(stage, params, context)
    # A forecast loads the model and may convert it, or measure a batch size: none of this may stay.
    with context.store.unchanged():
        return _forecast(run, layout, asking.wanted_batch(params.batch_size), found.artifact)


def _forecast(run: Run, layout: Layout, wanted: int | str, artifact: Artifact | None) -> Answer:
    count = run.context.shard.count
    pictures = unit_pictures(layout) if artifact is None else artifact.unit_pictures
    starts = range(0, layout.n, pictures)
    units = [slice(start, min(start + pictures, layout.n)) for start in starts]
    done = artifact.done() if artifact else set()
    if artifact and len(done) == len(units):
        nothing = {"evaluations": 0, "taken_over": 0, "seconds": 0.0, "bytes": 0, "shards": []}
        return Answer(nothing, [f"nothing is left to compute: {artifact.reference} has everything"])
    # Loading, compiling and comparing are done here as a run does them, so their time is the startup.
    begun = time.monotonic()
    batch = _batch(run, wanted, artifact)
    batch, (seconds, difference) = run.fitted(batch, lambda size: _timed(run, units[0], size))
    startup = time.monotonic() - begun
    itself = artifact.id if artifact else ""
    n_answers = layout.arrays["probabilities"].shape[-1]
    donors = Donors(run.context.store, made_of(run), run.source.segmentation, n_answers, besides=itself)
    made_with = digests.of_value({"batch_size": batch, **run.classifier.engine})
    left = []
    for unit, rows in enumerate(units):
        kept = _kept(artifact, unit)
        left.append(_Left() if unit in done else _left(run, rows, donors, made_with, kept))
    shares, by_shard = [], []
    for shard in range(1, count + 1):
        own = [left[unit] for unit in shard_of(len(units), shard, count)]
        share = _share(own, batch, seconds, startup)
        shares.append(share)
        by_shard.append({"shard": shard, "evaluations": share.evaluations, "seconds": share.seconds})
    # Finished units lie in the store already. What compression saves is not known: this is the most.
    pending = sum(rows.stop - rows.start for unit, rows in enumerate(units) if unit not in done)
    value = {
        "evaluations": sum(share.evaluations for share in shares),
        "taken_over": donors.taken.total(),
        "evaluations_per_second": batch / seconds,
        "startup_seconds": startup,
        "seconds": sum(share.seconds for share in shares),
        "bytes": pending * sum(spec.picture_bytes for spec in layout.arrays.values()),
        "batch_size": batch,
        "difference": difference,
        "shards": by_shard,
    }
    return _in_words(value, count)


def _batch(run: Run, wanted: int | str, artifact: Artifact | None) -> int:
    """Return the batch size that a run would begin with."""
    # An unfinished artifact keeps the batch size that it was begun with, so that its bits stay the same.
    if artifact is not None and not isinstance(wanted, int):
        return int(artifact.execution["batch_size"])
    return run.batch_size(wanted)


def _share(own: Sequence[_Left], batch: int, seconds: float, startup: float) -> _Share:
    """Return what a shard has to do; one with nothing to do does not even start."""
    evaluations = sum(each.computed for each in own)
    if not evaluations:
        return _Share(0, 0.0)
    batches = sum(each.batches(batch) for each in own)
    return _Share(evaluations, startup + batches * seconds)


def _in_words(value: dict[str, Any], count: int) -> Answer:
    """Return the forecast as lines, and as a table of shards where there are several."""
    evaluations, reused = value["evaluations"], value["taken_over"]
    rate, startup = value["evaluations_per_second"], duration(value["startup_seconds"])
    took, size = duration(value["seconds"]), size_text(value["bytes"])
    lines = [
        f"{evaluations} evaluations to compute, {reused} to reuse: about {took}",
        f"{rate:.1f} evaluations/s in batches of {value['batch_size']}, after {startup} to start",
        f"the store grows by {size} at most",
    ]
    rows = []
    for each in value["shards"]:
        name = f"{each['shard']}/{count}"
        rows.append((name, str(each["evaluations"]), duration(each["seconds"])))
    tables = [Table(("shard", "evaluations", "time"), rows)] if count > 1 else []
    return Answer(value, lines, tables)


def _timed(run: Run, unit: slice, batch: int) -> tuple[float, float | None]:
    """Return the seconds of a batch, and how far its answers are from the reference."""
    its = run.source.masks(unit)
    host = run.host(unit, unit.stop)
    difference = compared(run, its, host, batch)
    uploading = run.device.submit(run.classifier.upload, *host)
    arrays = run.device.wait(uploading)
    return run.timed(its, arrays, batch), difference


@dataclass(frozen=True)
class _Left:
    """What is left of a unit: which of the evaluations that are not reused are still to be computed."""

    todo: Sequence[bool] = ()

    @property
    def computed(self) -> int:
        return sum(self.todo)

    def batches(self, size: int) -> int:
        """Return how many batches of the unit's grid hold one."""
        # A batch with a single row that is left takes as long as a full one.
        found = 0
        for start in range(0, len(self.todo), size):
            found += any(self.todo[start : start + size])
        return found


def _kept(artifact: Artifact | None, unit: int) -> list[int]:
    """Return which evaluations of a begun unit were committed."""
    if artifact is None:
        return []
    kept: list[int] = []
    for places, _ in artifact.committed(unit):
        kept.extend(places.tolist())
    return kept


def _left(run: Run, rows: slice, donors: Donors, made_with: str, kept: Sequence[int]) -> _Left:
    """Return what is to be computed of a unit."""
    import numpy as np

    its, n_fills = run.source.masks(rows), run.source.n_fills
    missing = np.ones(its.total, np.bool_)
    missing[kept] = False
    taken = np.zeros(its.total, np.bool_)
    fills = run.source.fills(rows) if donors else np.empty(0, np.uint8)
    for picture in range(len(fills) * n_fills):
        row, fill = divmod(picture, n_fills)
        mine = np.flatnonzero(its.index == picture)
        wanted = Wanted(rows.start + row, fills[row, fill], its.packed[mine], missing[mine])
        taken[mine[list(donors.take(wanted, made_with))]] = True
    # Reused evaluations leave the grid of batches, committed ones stay in it: the same as in a run.
    return _Left(missing[~taken].tolist())
