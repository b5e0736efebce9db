"""What Slurm reads: a script for each job of a pipeline, and `go.sh`, which submits what is missing."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.jobs import templating
from facelime_cli.jobs.dividing import Job
from facelime_cli.jobs.pipeline import pipeline_from

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from jinja2 import Environment

    from facelime_cli.jobs.pipeline import Pipeline, Step

USUAL_ARRAY = 1000
"""Tasks of an array where Slurm does not say how many it takes: its own default."""
LEAD = 120
"""Seconds before its time limit at which a task is told to stop."""
ABOUT = "pipeline.json"
"""What `jobs status` reads."""


@dataclass(frozen=True)
class Asked:
    """What the jobs ask Slurm for.

    Attributes
    ----------
    minutes : int
        Time limit of a task.
    cpus : int
        Cores of a task.
    unit : int, optional
        Pictures of a unit.
    partition, cpu_partition, account, gres, memory : str, optional
        As Slurm writes them. `cpu_partition` is for jobs that ask no model, and `gres` for those that do.
    setup : tuple of str
        Lines for the shell before facelime starts.
    """

    minutes: int
    cpus: int
    unit: int | None = None
    partition: str | None = None
    cpu_partition: str | None = None
    account: str | None = None
    gres: str | None = None
    memory: str | None = None
    setup: tuple[str, ...] = ()

    @property
    def lead(self) -> int:
        """Seconds before the time limit at which a task is told to stop: of a short one, a quarter."""
        return min(LEAD, self.minutes * 60 // 4)

    def lines(self, job: Job) -> list[str]:
        """Return the options of sbatch that differ between clusters."""
        partition = self.partition if job.asks_model else self.cpu_partition or self.partition
        given = {
            "partition": partition,
            "account": self.account,
            "gres": self.gres if job.asks_model else None,
            "cpus-per-task": self.cpus,
            "mem": self.memory,
            "time": f"{self.minutes // 60}:{self.minutes % 60:02}:00",
        }
        return [f"--{name}={value}" for name, value in given.items() if value is not None]


def files(pipeline: Pipeline, jobs: Sequence[Job], asked: Asked, folder: Path) -> dict[str, str]:
    """Return the files of a folder whose `go.sh` runs a pipeline under Slurm, by their path in it.

    Parameters
    ----------
    pipeline : Pipeline
    jobs : sequence of Job
        See `dividing.jobs_of`.
    asked : Asked
    folder : Path
        The whole path of the folder.

    Returns
    -------
    dict
        The same texts for the same arguments.
    """
    common = {"run": pipeline.run, "folder": str(folder), "usual_most": USUAL_ARRAY, "unit": asked.unit}
    made = {
        "go.sh": _render("go.sh.j2", jobs=jobs, **common),
        "env.sh": _render("env.sh.j2", store=pipeline.store, setup=asked.setup),
        ABOUT: json.dumps(_about(pipeline, jobs), indent=1) + "\n",
    }
    for job in jobs:
        made[f"{job.name}.sh"] = _render("job.sh.j2", job=job, lines=asked.lines(job), lead=asked.lead, **common)
    return made


def _about(pipeline: Pipeline, jobs: Sequence[Job]) -> dict[str, Any]:
    named = [{"name": each.name, "steps": [step.name for step in each.steps], "shards": each.shards} for each in jobs]
    return {"pipeline": pipeline.json(), "jobs": named}


def read(folder: Path) -> tuple[Pipeline, list[Job]]:
    """Return the pipeline and the jobs of a folder that `files` describes.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    NotFoundError
        When the folder has none.
    FacelimeError
        When what describes them was changed.
    """
    path = folder / ABOUT
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        pipeline = pipeline_from(found["pipeline"])
        jobs = [
            Job(each["name"], tuple(pipeline.step(name) for name in each["steps"]), int(each["shards"]), ())
            for each in found["jobs"]
        ]
    except FileNotFoundError as why:
        raise NotFoundError(
            f"{folder} has no {ABOUT}; name a folder that `facelime jobs slurm --to` has written."
        ) from why
    except (OSError, ValueError, TypeError, KeyError, StopIteration, RecursionError) as why:
        raise FacelimeError(
            f"{path} cannot be read as a pipeline ({type(why).__name__}); write the folder again with --force."
        ) from why
    return pipeline, jobs


def local(pipeline: Pipeline, shards: dict[str, int], devices: int, unit: int | None) -> dict[str, str]:
    """Return the script that runs a pipeline on one machine, with one process for each device.

    Parameters
    ----------
    pipeline : Pipeline
    shards : dict
        By the name of the step.
    devices : int
    unit : int, optional
        Pictures of a unit.
    """
    values = {"run": pipeline.run, "store": pipeline.store, "steps": pipeline.steps, "unit": unit}
    return {"local.sh": _render("local.sh.j2", shards=shards, devices=devices, **values)}


def _command(step: Step, unit: int | None = None, workers: str = "") -> str:
    """Return a step's command for a shell, with what an engine adds."""
    more = ["--unit", str(unit)] if unit is not None and step.sharded else []
    if workers and step.takes_workers:
        more += ["--workers", workers]
    return step.command(*more)


def _in_script(text: str) -> str:
    """Return a path as `#SBATCH` reads it: a percent sign would begin one of Slurm's own words."""
    safe = text.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return safe if safe.replace("/", "").replace("-", "").replace("_", "").replace(".", "").isalnum() else f'"{safe}"'


@cache
def _templates() -> Environment:
    filters: dict[str, Callable[..., str]] = {"quoted": shlex.quote, "command": _command, "sbatch": _in_script}
    # The usual comments stand in Bash too: ${#list[@]}.
    return templating.environment(filters, comment_start_string="{%#", comment_end_string="#%}")


def _render(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(**values)
