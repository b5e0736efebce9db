"""Show how far a pipeline under Slurm is: for each step, what is done, runs, waits or has failed.

What is done stands in the store. What runs and waits comes from `squeue`, so that no accounting is needed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facelime_cli.console import Answer, Table
from facelime_cli.engine import Command
from facelime_cli.jobs import slurm, standing
from facelime_cli.names import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.engine import Context
    from facelime_cli.jobs.standing import Standing

UNKNOWN = "–"


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `jobs status`."""

    folder: Annotated[
        Path,
        Argument(metavar="DIR", help="Folder that `facelime jobs slurm --to` has written.", show_default=False),
    ]


def run(params: Params, context: Context) -> Answer:
    """Look into the store and the queue."""
    from facelime_cli.store.references import Store

    pipeline, jobs = slurm.read(params.folder)
    tasks = standing.queue()
    found = standing.standings(pipeline, jobs, Store(Path(pipeline.store), context.console.warn), tasks)
    value = {"run": pipeline.run, "store": pipeline.store, "queue": tasks is not None}
    table = Table(
        ("step", "makes", "units done", "running", "waiting", "failed shards"), [_row(each) for each in found]
    )
    said = [] if tasks is not None else ["squeue does not answer here, so what runs and waits is not known."]
    return Answer({**value, "steps": [asdict(each) for each in found]}, _lines(pipeline.run, found), [table], said=said)


def _row(each: Standing) -> tuple[str, ...]:
    done = UNKNOWN if each.units is None else f"{each.units_done} of {each.units}"
    if each.units is not None and each.units == each.units_done and not each.complete:
        done += ", not sealed"
    counts = (UNKNOWN if count is None else str(count) for count in (each.running, each.waiting))
    failed = UNKNOWN if each.failed is None else listing([str(shard) for shard in each.failed]) or "0"
    return (each.step, each.makes, done, *counts, failed)


def _lines(run: str, found: Sequence[Standing]) -> list[str]:
    n_done = sum(each.complete for each in found)
    lines = [f"{run}: {n_done} of {len(found)} steps complete"]
    if any(each.failed for each in found):
        lines.append("go.sh sends again what has failed, and what waited for it.")
    return lines


COMMAND = Command("jobs status", Params, run, __doc__ or "")
