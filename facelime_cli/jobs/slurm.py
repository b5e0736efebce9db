"""What Slurm reads: one job script for each step of a pipeline, and `go.sh`, which submits what is missing.

The scripts are written to be read and changed. Nothing here talks to Slurm; `watching.py` does.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli.errors import CommandLineError
from facelime_cli.options import Execution, Heading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from facelime_cli.jobs.dividing import Job
    from facelime_cli.jobs.pipeline import Pipeline, Step

USUAL_MOST = 1000
"""Tasks of an array where a cluster does not say: MaxArraySize is 1001 unless somebody has set it."""
MOST_LEAD = 120
"""Seconds between the signal and the end of a task."""
LEAST_LIMIT = 60
"""Seconds: Slurm counts time limits in minutes."""
VALUE = re.compile(r"[\w.,:@%+=/*-]+")
"""What may stand in a line of sbatch: no space, quote or line break."""
LIMIT = re.compile(r"[0-9]+(-[0-9]+(:[0-9]+){0,2}|(:[0-9]+){1,2})?")
"""Times as sbatch reads them: minutes, M:S, H:M:S, D-H, D-H:M, D-H:M:S."""
HEADING = Heading("Slurm")


def options() -> list[tuple[str, Any, Any]]:
    """Return the options of `jobs slurm`, for `pipeline.params_with`."""
    plain: dict[str, Any] = {"show_default": False}
    partition = Option(metavar="NAME", help="Submit to this partition. [default: the cluster's]", **plain)
    cpu_partition = Option(
        metavar="NAME", help="Submit jobs that ask no model to this partition. [default: --partition]", **plain
    )
    gres = Option(
        metavar="TYPE:N",
        help="Give each task that asks the model these devices, such as gpu:1. Others get none.",
        **plain,
    )
    limit = Option("--time", metavar="TIME", help="Stop a task after this time, such as 1:00:00 or 1-12:00:00.")
    cpus = Option("--cpus", metavar="N", min=1, max=1024, help="Give each task so many cores.")
    memory = Option(
        "--mem", metavar="SIZE", help="Give each task so much memory, such as 8G. [default: the cluster's]", **plain
    )
    account = Option(metavar="NAME", help="Charge this account.", **plain)
    more = Option(
        "--sbatch",
        metavar="OPTION",
        help="Write a further option of sbatch into every script, such as --sbatch=--qos=long. Give it once for each.",
        **plain,
    )
    setup = Option(
        metavar="LINE",
        help="Run this line before each command, such as `module load cuda`. Give it once for each line.",
        **plain,
    )
    found: list[tuple[str, Any, Any, Any]] = [
        ("partition", str | None, partition, None),
        ("cpu_partition", str | None, cpu_partition, None),
        ("gres", str | None, gres, None),
        ("limit", str, limit, "1:00:00"),
        ("cpus", int, cpus, 4),
        ("memory", str | None, memory, None),
        ("account", str | None, account, None),
        ("sbatch", list[str] | None, more, None),
        ("setup", list[str] | None, setup, None),
    ]
    return [(name, Annotated[kind, option, Execution(), HEADING], default) for name, kind, option, default in found]


@dataclass(frozen=True)
class Asked:
    """What each task asks for.

    Attributes
    ----------
    common : tuple of str
        Options of sbatch for every job.
    model, others : tuple of str
        Those for jobs that ask the model, and for all others.
    lead : int
        Seconds between the signal and the time limit.
    setup : tuple of str
        Lines of shell before each command.
    """

    common: tuple[str, ...]
    model: tuple[str, ...]
    others: tuple[str, ...]
    lead: int
    setup: tuple[str, ...]


def asked_of(params: Any) -> Asked:
    """Return what tasks ask for.

    Parameters
    ----------
    params : dataclass
        With the fields of `options`.

    Raises
    ------
    CommandLineError
        When a value cannot stand in a script, or the time limit is none.
    """
    seconds = _seconds(params.limit)
    common = [f"--time={params.limit}", f"--cpus-per-task={params.cpus}"]
    common += [f"--mem={_checked('--mem', params.memory)}"] if params.memory is not None else []
    common += [f"--account={_checked('--account', params.account)}"] if params.account is not None else []
    for each in params.sbatch or ():
        if not _checked("--sbatch", each).startswith("--"):
            raise CommandLineError(f"--sbatch {each!r} should be an option of sbatch, such as --sbatch=--qos=long.")
        common.append(each)
    for each in params.setup or ():
        if not each.strip() or not each.isprintable():
            raise CommandLineError(f"--setup {each!r} should be one line of shell, such as `module load cuda`.")
    model = [] if params.partition is None else [f"--partition={_checked('--partition', params.partition)}"]
    others = list(model)
    if params.cpu_partition is not None:
        others = [f"--partition={_checked('--cpu-partition', params.cpu_partition)}"]
    model += [] if params.gres is None else [f"--gres={_checked('--gres', params.gres)}"]
    # A signal that comes at once leaves a short task no time.
    lead = min(MOST_LEAD, seconds // 2)
    return Asked(tuple(common), tuple(model), tuple(others), lead, tuple(params.setup or ()))


def _checked(option: str, value: str) -> str:
    if not VALUE.fullmatch(value):
        raise CommandLineError(
            f"{option} {value!r} cannot stand in a job script; use letters, digits and . , : @ % + = / * - _ alone."
        )
    return value


def _seconds(limit: str) -> int:
    """Return a time limit of sbatch in seconds."""
    wrong = f"--time {limit!r} should be a time of a minute or more, as sbatch reads it, such as 1:00:00 or 1-12:00:00."
    if len(limit) > len("9999-23:59:59") or not LIMIT.fullmatch(limit):
        raise CommandLineError(wrong)
    days, dash, rest = limit.rpartition("-")
    parts = [int(each) for each in rest.split(":")]
    if dash:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:  # noqa: PLR2004 - hours, minutes, seconds
        hours, minutes, seconds = parts
    else:
        hours, (minutes, seconds) = 0, (*parts, 0)[:2]
    found = ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
    if found < LEAST_LIMIT:
        raise CommandLineError(wrong)
    return found


def files(pipeline: Pipeline, jobs: Sequence[Job], asked: Asked, folder: str, unit: int | None) -> dict[str, str]:
    """Return the files of a folder of job scripts, by their name in it.

    Parameters
    ----------
    pipeline : Pipeline
    jobs : sequence of Job
    asked : Asked
    folder : str
        Its whole path: Slurm runs a copy of a script from another place.
    unit : int, optional
        Pictures in a unit.

    Returns
    -------
    dict
        The same text for the same arguments.
    """
    environment = templates(unit)
    common = {"run": pipeline.run, "folder": folder, "usual_most": USUAL_MOST}
    found = {"env.sh": environment.get_template("env.sh.j2").render(store=pipeline.store, setup=asked.setup)}
    for job in jobs:
        lines = [*asked.common, *(asked.model if job.asks_model else asked.others)]
        script = environment.get_template("job.sh.j2")
        found[f"{job.name}.sh"] = script.render(job=job, lines=lines, lead=asked.lead, **common)
    found["go.sh"] = environment.get_template("go.sh.j2").render(jobs=jobs, **common)
    return found


def local_script(pipeline: Pipeline, devices: int, unit: int | None) -> str:
    """Return a script that runs a pipeline on one machine, with one process per device.

    Parameters
    ----------
    pipeline : Pipeline
    devices : int
        Graphics cards, numbered from 0.
    unit : int, optional
        Pictures in a unit.
    """
    template = templates(unit).get_template("local.sh.j2")
    return template.render(run=pipeline.run, store=pipeline.store, steps=pipeline.steps, devices=devices)


def templates(unit: int | None) -> Environment:
    """Return the templates of scripts of shell.

    Parameters
    ----------
    unit : int, optional
        Pictures in a unit: a part of every command.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # What comes from outside goes through `quoted` or is checked before: there is no HTML here to escape.
    found = Environment(
        loader=PackageLoader("facelime_cli.jobs"),
        autoescape=False,  # noqa: S701 - as above
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["quoted"] = shlex.quote
    found.filters["sbatch"] = _percents
    found.filters["command"] = partial(_command, unit=unit)
    found.filters["card_line"] = partial(_card_line, unit=unit)
    return found


def _percents(path: str) -> str:
    # sbatch fills in what stands behind a percent sign, and reads quotes.
    return shlex.quote(path.replace("%", "%%"))


def _command(step: Step, *, unit: int | None, workers: bool = True) -> str:
    more = ["--unit", str(unit)] if unit is not None else []
    more += ["--workers", '"$SLURM_CPUS_PER_TASK"'] if workers and step.takes_workers else []
    return step.command(*more)


def _card_line(step: Step, devices: int, *, unit: int | None) -> str:
    line = f"CUDA_VISIBLE_DEVICES=$(({{}} - 1)) exec {_command(step, unit=unit, workers=False)} --shard {{}}/{devices}"
    return shlex.quote(line)
