"""Write a script that runs a pipeline on one machine with several graphics cards: one process for each.

`local.sh` gives the shards of each step to `xargs`, and can be run again after any failure. The same options write the
same file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli.console import Answer
from facelime_cli.engine import Command
from facelime_cli.jobs import forecast
from facelime_cli.jobs.cluster import JOBS, OPTIONS, check_folder, write
from facelime_cli.jobs.dividing import divided
from facelime_cli.jobs.pipeline import MOST_SHARDS, params_with, planned
from facelime_cli.jobs.slurm import local
from facelime_cli.options import Execution

if TYPE_CHECKING:
    from facelime_cli.engine import Context

MOST_DEVICES = 256
OWN: list[Any] = [
    (
        "devices",
        Annotated[
            int,
            Option(metavar="N", min=1, max=MOST_DEVICES, show_default=False, help="Run so many processes at a time."),
            Execution(),
            JOBS,
        ],
    ),
    (
        "shards",
        Annotated[
            int | None,
            Option(
                metavar="N",
                min=1,
                max=MOST_SHARDS,
                show_default=False,
                help="Divide each step that asks the model into so many shards. [default: one for each device]",
            ),
            Execution(),
            JOBS,
        ],
        None,
    ),
]
SHARED = ("to", "unit", "force")

Params: Any = params_with([*(each for each in OPTIONS if each[0] in SHARED), *OWN])


def run(params: Any, context: Context) -> Answer:
    """Write the script."""
    check_folder(params.to, context)
    pipeline = planned(params, context)
    # The model's rate counts for nothing here: each device gets a share of what asks it.
    works = forecast.works_of(pipeline, context, rate=1.0, unit=params.unit)
    how = divided(pipeline, works, params.shards or params.devices, known=False)
    made = local(pipeline, how.shards, params.devices, params.unit)
    write(params.to, made, force=params.force)
    script = params.to.absolute() / "local.sh"
    steps = [{"name": each.name, "makes": each.output, "shards": how.shards[each.name]} for each in pipeline.steps]
    value = {"run": pipeline.run, "script": str(script), "steps": steps, "doubts": how.doubts}
    return Answer(value, [str(script)], said=how.doubts)


COMMAND = Command("jobs local", Params, run, __doc__ or "")
