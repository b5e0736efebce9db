"""Write one script that runs a whole pipeline on this machine, with one process for each graphics card.

Each step that asks the model is divided into as many shards as there are cards. Run the script again after any
failure: only what is missing runs.
"""

from __future__ import annotations

from typing import Annotated, Any

from typer import Option

from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context
from facelime_cli.jobs import dividing, folder, pipeline, slurm
from facelime_cli.options import Execution

SCRIPT = "local.sh"
DEVICES = Annotated[
    int,
    Option(metavar="N", min=1, max=64, help="Use the graphics cards 0 to N-1, each for one process."),
    Execution(),
    dividing.HEADING,
]
USED = ("to", "unit")
Params: Any = pipeline.params_with(
    [("devices", DEVICES, 1), *(each for each in dividing.options("jobs-local") if each[0] in USED)]
)


def run(params: Any, context: Context) -> Answer:
    """Write the script."""
    params = dividing.absolute(params)
    planned = pipeline.planned(params, context)
    shards = {step.name: params.devices if step.asks_model else 1 for step in planned.steps}
    folder.write(params.to, planned, shards, {SCRIPT: slurm.local_script(planned, params.devices, params.unit)})
    value = {"run": planned.run, "folder": str(params.to), "files": [SCRIPT], "shards": shards}
    return Answer(value, [str(params.to / SCRIPT)])


COMMAND = Command("jobs local", Params, run, __doc__ or "")
