"""Write job scripts for Slurm: one for each step from segments to the report, and go.sh, which submits them.

Every result has a name beforehand, so that the scripts can be written now. `go.sh` submits what is missing, and can be
run again after any failure. Short steps that follow on each other are one job. Segments and masks are made once; each
model has predictions, surrogates, check and report of its own. The same options write the same files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli.console import Answer
from facelime_cli.engine import Command
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.jobs import forecast
from facelime_cli.jobs.cluster import JOBS, OPTIONS, check_folder, checked_gres, megabytes, minutes, plain, write
from facelime_cli.jobs.dividing import USUAL_SHARDS, Divided, divided, jobs_of
from facelime_cli.jobs.pipeline import MOST_SHARDS, params_with, planned
from facelime_cli.jobs.slurm import Asked, files
from facelime_cli.options import Execution

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from facelime_cli.engine import Context
    from facelime_cli.jobs.forecast import Work
    from facelime_cli.jobs.pipeline import Pipeline

LINE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+")
OWN: list[Any] = [
    (
        "shards",
        Annotated[
            int | None,
            Option(
                metavar="N",
                min=1,
                max=MOST_SHARDS,
                show_default=False,
                help="Divide each step that asks the model into so many jobs, and no other step into more. "
                f"[default: as many as keep the start of a job near a tenth of it; {USUAL_SHARDS} where no speed is "
                "known]",
            ),
            Execution(),
            JOBS,
        ],
        None,
    ),
    (
        "cpu_partition",
        Annotated[
            str | None,
            Option(
                metavar="NAME",
                show_default=False,
                help="Run what asks no model in this partition. [default: that of --partition]",
            ),
            Execution(),
            JOBS,
        ],
        None,
    ),
    (
        "setup",
        Annotated[
            list[str] | None,
            Option(
                metavar="LINE",
                show_default=False,
                help="Begin each job with this line of the shell, such as 'module load cuda'. May be given several "
                "times. [default: facelime is on the path]",
            ),
            Execution(),
            JOBS,
        ],
        None,
    ),
    (
        "forecast",
        Annotated[
            bool,
            Option(
                "--forecast",
                help="Write nothing. Measure a few batches here, or take --rate, and say hours, size and files.",
            ),
            Execution(),
            JOBS,
        ],
        False,
    ),
    (
        "rate",
        Annotated[
            float | None,
            Option(
                metavar="X",
                min=1e-3,
                max=1e9,
                show_default=False,
                help="Reckon with so many evaluations per second of a job, as `predict --dry-run` measures them.",
            ),
            Execution(),
            JOBS,
        ],
        None,
    ),
    (
        "within",
        Annotated[
            str | None,
            Option(
                metavar="TIME",
                show_default=False,
                help="Choose the fewest shards that end within this time, such as 2:00:00.",
            ),
            Execution(),
            JOBS,
        ],
        None,
    ),
    (
        "submit",
        Annotated[bool, Option("--submit", help="Run go.sh once it is written."), Execution(), JOBS],
        False,
    ),
]

Params: Any = params_with([*(each for each in OPTIONS if each[0] != "shards"), *OWN])


def run(params: Any, context: Context) -> Answer:
    """Write the files of a pipeline, and submit it where that is asked for; or only say what it costs."""
    _check_together(params)
    check_folder(params.to, context)
    asked = _asked(params)
    pipeline = planned(params, context)
    works = _works(pipeline, params, context)
    shards = params.shards
    if params.within is not None:
        shards = forecast.within(works, forecast.seconds_of(params.within, "--within")).shards
    if params.forecast:
        return forecast.answer(forecast.forecast(works, shards), params.shards)
    how = divided(pipeline, works, shards, known=_speed_is_known(params))
    jobs = jobs_of(pipeline, how.shards)
    folder = params.to.absolute()
    made = files(pipeline, jobs, asked, folder)
    write(params.to, made, force=params.force)
    said = _submitted(folder) if params.submit else []
    return _answer(pipeline, how, folder, sorted(made), said)


def _check_together(params: Any) -> None:
    if params.within is not None and params.shards is not None:
        raise CommandLineError("--within chooses the shards, and --shards names them; leave one of them out.")
    if params.forecast and params.submit:
        raise CommandLineError("--forecast writes nothing, so there is nothing to --submit; leave one of them out.")
    for line in params.setup or ():
        if not LINE.fullmatch(line):
            raise CommandLineError(f"--setup {line!r} should be one line of the shell; give --setup for each line.")


def _asked(params: Any) -> Asked:
    return Asked(
        minutes=minutes(params.time),
        cpus=params.cpus,
        unit=params.unit,
        partition=plain("--partition", params.partition),
        cpu_partition=plain("--cpu-partition", params.cpu_partition),
        account=plain("--account", params.account),
        gres=checked_gres(params.gres),
        memory=f"{megabytes(params.memory)}M" if params.memory else None,
        setup=tuple(params.setup or ()),
    )


def _speed_is_known(params: Any) -> bool:
    return params.rate is not None or params.forecast or params.within is not None


def _works(pipeline: Pipeline, params: Any, context: Context) -> list[Work]:
    # Nothing is loaded only to write files: any rate does where none counts.
    rate = params.rate if _speed_is_known(params) else 1.0
    return forecast.works_of(pipeline, context, rate=rate, unit=params.unit)


def _submitted(folder: Path) -> list[str]:
    """Run `go.sh`, and return what it says."""
    import subprocess

    done = subprocess.run(
        ["bash", str(folder / "go.sh")],  # noqa: S607 - the user's own bash, as the scripts themselves say
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it exits with {done.returncode}"]
        why = lines[-1].removeprefix("error: ").rstrip(".")
        raise FacelimeError(f"{folder / 'go.sh'} could not submit everything ({why}); mend that, and run it again.")
    return done.stdout.splitlines()


def _answer(pipeline: Pipeline, how: Divided, folder: Path, made: Sequence[str], said: list[str]) -> Answer:
    steps = [
        {"name": each.name, "makes": each.output, "shards": how.shards[each.name], "on_gpu": each.asks_model}
        for each in pipeline.steps
    ]
    value = {
        "run": pipeline.run,
        "folder": str(folder),
        "files": list(made),
        "steps": steps,
        "doubts": how.doubts,
        "submitted": said,
    }
    return Answer(value, [str(folder / "go.sh")], said=[*how.doubts, *said])


COMMAND = Command("jobs slurm", Params, run, __doc__ or "")
