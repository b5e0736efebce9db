"""How far the jobs of a pipeline are: what is done says the store, what runs says Slurm's queue."""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import FacelimeError, NotFoundError, first_line

if TYPE_CHECKING:
    from pathlib import Path

    from facelime_cli.jobs.dividing import Job
    from facelime_cli.jobs.folder import Written
    from facelime_cli.jobs.pipeline import Step
    from facelime_cli.store.references import Store

PATIENCE = 60
"""Seconds that a controller may take to answer."""
RUNNING = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"})
ENDED_WELL = "COMPLETED"
FAILED = frozenset(
    {"FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE", "PREEMPTED", "REVOKED"}
)
TASK = re.compile(r"(?P<job>.+)\.(?P<shards>[0-9]+)(?P<begin>\.begin)?\+(?P<offset>[0-9]+)")
"""How `go.sh` calls what it submits, behind the run."""


@dataclass(frozen=True)
class Task:
    """A task that Slurm knows of.

    Attributes
    ----------
    job : str
        Name of its script.
    shard : int
        0 lays out.
    state : str
        As Slurm calls it.
    number : int
        Of the job: a later one has a higher number.
    """

    job: str
    shard: int
    state: str
    number: int


@dataclass(frozen=True)
class Standing:
    """How far a step is.

    Attributes
    ----------
    step : Step
    units, n_units : int
        Done, and altogether; 0 while it is not laid out.
    state : str
        complete, in the queue, or what is to be done.
    tasks : mapping
        Number of shards that wait, run and have failed.
    """

    step: Step
    units: int
    n_units: int
    state: str
    tasks: dict[str, int]

    def json(self) -> dict[str, Any]:
        """Return the JSON object of `--json`."""
        return {
            "step": self.step.name,
            "artifact": self.step.output,
            "state": self.state,
            "units_done": self.units,
            "units": self.n_units,
            **self.tasks,
        }


def tasks_of(run: str) -> list[Task] | None:
    """Return what Slurm knows of a run's tasks, those that have just ended among them. It needs no accounting.

    Parameters
    ----------
    run : str

    Returns
    -------
    list of Task or None
        None where there is no Slurm.

    Raises
    ------
    FacelimeError
        When Slurm does not answer.
    """
    program = shutil.which("squeue")
    if program is None:
        return None
    words = [program, "--noheader", "--array", "--states=all", "--user", getpass.getuser(), "--format", "%j %A %K %T"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise FacelimeError(f"squeue did not answer within {PATIENCE} s; ask again later.") from None
    if done.returncode:
        raise FacelimeError(f"squeue failed ({first_line(Exception(done.stderr))}); is Slurm running here?")
    return parsed(run, done.stdout)


def parsed(run: str, text: str) -> list[Task]:
    """Return the tasks of a run in what `squeue` prints.

    Parameters
    ----------
    run : str
    text : str
        Name, number, task and state in each line.
    """
    found = []
    for line in text.splitlines():
        words = line.split()
        named = TASK.fullmatch(words[0].removeprefix(f"{run}.")) if words and words[0].startswith(f"{run}.") else None
        if named is None or len(words) < 4:  # noqa: PLR2004 - the four of --format
            continue
        index = 1 if words[2] == "N/A" else int(words[2]) + int(named["offset"])
        found.append(Task(named["job"], 0 if named["begin"] else index, words[3], int(words[1])))
    return found


def standings(written: Written, store: Store) -> list[Standing]:
    """Return how far each step of a pipeline is.

    Parameters
    ----------
    written : Written
    store : Store

    Returns
    -------
    list of Standing
    """
    tasks = tasks_of(written.pipeline.run)
    found = []
    for job in written.jobs:
        counted = _counted(job, tasks)
        found += [_standing(step, counted, store, known=tasks is not None) for step in job.steps]
    return found


def _counted(job: Job, tasks: list[Task] | None) -> dict[str, int]:
    """Return how many shards of a job wait, run and have failed: of each shard, the last task counts."""
    last = {
        each.shard: each.state for each in sorted(tasks or [], key=lambda each: each.number) if each.job == job.name
    }
    counts = Counter(last.values())
    return {
        "waiting": sum(counts[each] for each in set(counts) - RUNNING - FAILED - {ENDED_WELL}),
        "running": sum(counts[each] for each in RUNNING),
        "failed": sum(counts[each] for each in FAILED),
    }


def _standing(step: Step, tasks: dict[str, int], store: Store, *, known: bool) -> Standing:
    try:
        artifact = store.resolve(step.output)
    except NotFoundError:
        units = n_units = 0
        complete = False
    else:
        complete, units, n_units = artifact.complete, len(artifact.done()), artifact.n_units
    if complete:
        # What failed before it was complete is of no interest any more.
        return Standing(step, units, n_units, "complete", dict.fromkeys(tasks, 0))
    if tasks["running"] or tasks["waiting"]:
        state = "running" if tasks["running"] else "waiting"
    elif n_units and units == n_units:
        state = "not sealed"
    else:
        state = "not in the queue" if known else "not complete"
    return Standing(step, units, n_units, state, tasks)


def submit(folder: Path) -> list[str]:
    """Run `go.sh`, and return what it says.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    FacelimeError
        When something could not be submitted.
    """
    done = subprocess.run(["bash", str(folder / "go.sh")], capture_output=True, text=True, check=False)  # noqa: S607 - the shell of the job scripts
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["it says nothing"]
        reason = said[-1].removeprefix("error: ").rstrip(".")
        raise FacelimeError(f"{folder / 'go.sh'} failed ({reason}); mend that and run it again, it goes on.")
    return done.stdout.splitlines()
