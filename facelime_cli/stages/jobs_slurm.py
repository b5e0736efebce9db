"""Write the job scripts of a whole pipeline for Slurm, and one that submits what is missing.

The folder holds one script for each step, `env.sh` for modules and environments, and `go.sh`. Read and change them.
`go.sh` submits what is neither done nor in the queue. Run it again after any failure: only what is missing runs. Each
step that is divided begins with a short job that lays its artifact out. Dataset and models must be in the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli.console import Answer, Table
from facelime_cli.engine import Command, Context
from facelime_cli.errors import CommandLineError
from facelime_cli.jobs import dividing, folder, forecast, pipeline, slurm, watching
from facelime_cli.options import Execution

if TYPE_CHECKING:
    from facelime_cli.jobs.pipeline import Pipeline

COLUMNS = ("job", "shards", "makes")
SUBMIT = Annotated[bool, Option("--submit", help="Run go.sh too."), Execution(), dividing.HEADING]
FORECAST = Annotated[
    bool,
    Option(
        "--forecast",
        help="Write nothing. Run a few batches here, or take --rate, and say what the run would cost: hours, bytes, "
        "files and the best number of shards.",
    ),
    Execution(),
    dividing.HEADING,
]
WITHIN = Annotated[
    str | None,
    Option(
        metavar="TIME",
        show_default=False,
        help="Take the fewest shards that end within this time, such as 2:00:00, where each finds a place at once.",
    ),
    Execution(),
    dividing.HEADING,
]
Params: Any = pipeline.params_with(
    [
        *dividing.options("jobs"),
        ("within", WITHIN, None),
        ("forecast", FORECAST, False),
        ("submit", SUBMIT, False),
        *slurm.options(),
    ]
)


def run(params: Any, context: Context) -> Answer:
    """Write the scripts, or forecast what they cost."""
    params = dividing.absolute(params)
    asked = slurm.asked_of(params)
    if params.within is not None and params.shards is not None:
        raise CommandLineError("--within chooses the number of shards, and so does --shards; leave one of them out.")
    if params.forecast and params.submit:
        raise CommandLineError("--forecast writes nothing, so --submit means nothing beside it; leave one of them out.")
    planned = pipeline.planned(params, context)
    if params.forecast or params.within is not None:
        found = _forecast(planned, params, context)
        if params.forecast:
            return forecast.answer(found, params.shards)
        params = dividing.with_shards(params, found.shards)
    shards, doubts = dividing.divided(planned, params, context)
    jobs = dividing.jobs_of(planned, shards)
    files = slurm.files(planned, jobs, asked, str(params.to), params.unit)
    folder.write(params.to, planned, shards, files)
    said = watching.submit(params.to) if params.submit else [str(params.to / "go.sh")]
    value = {"run": planned.run, "folder": str(params.to), "files": sorted(files), "shards": shards, "doubts": doubts}
    rows = [(job.name, str(job.shards), ", ".join(step.output for step in job.steps)) for job in jobs]
    return Answer(value, said, notes=[Table(COLUMNS, rows)], said=doubts)


def _forecast(planned: Pipeline, params: Any, context: Context) -> forecast.Forecast:
    works = forecast.works_of(planned, context, rate=params.rate, unit=params.unit)
    if params.within is not None:
        return forecast.within(works, forecast.seconds_of(params.within, "--within"))
    return forecast.forecast(works, params.shards)


COMMAND = Command("jobs slurm", Params, run, __doc__ or "")
