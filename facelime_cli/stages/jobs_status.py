"""Say how far the jobs of a pipeline are: units done, and shards that wait, run and have failed.

The store says what is done. `squeue` says what waits, runs and has failed, without accounting: Slurm forgets a task
that has ended after some minutes. Run `go.sh` again where something failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument

from facelime_cli.console import Answer, Table
from facelime_cli.engine import Command, Context
from facelime_cli.jobs import folder, watching
from facelime_cli.options import Execution
from facelime_cli.store.references import Store

COLUMNS = ("step", "state", "units", "waiting", "running", "failed")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `jobs status`."""

    folder: Annotated[
        Path,
        Argument(metavar="[DIR]", help="Folder that `jobs slurm` wrote. [default: jobs]", show_default=False),
        Execution(),
    ] = Path("jobs")


def run(params: Params, context: Context) -> Answer:
    """Count."""
    written = folder.read(params.folder)
    # The scripts name their store, wherever this command is asked.
    found = watching.standings(written, Store(Path(written.pipeline.store), context.console.warn))
    rows = []
    for each in found:
        units = f"{each.units} of {each.n_units}" if each.n_units else "not laid out"
        rows.append((each.step.name, each.state, units, *(str(count) for count in each.tasks.values())))
    complete = all(each.state == "complete" for each in found)
    value = {"run": written.pipeline.run, "complete": complete, "steps": [each.json() for each in found]}
    return Answer(value, tables=[Table(COLUMNS, rows)])


COMMAND = Command("jobs status", Params, run, __doc__ or "")
