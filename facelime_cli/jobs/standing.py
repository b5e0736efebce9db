"""How far a pipeline under Slurm is: what is done, from the store, and what runs or waits, from `squeue`."""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facelime_cli.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from facelime_cli.jobs.dividing import Job
    from facelime_cli.jobs.pipeline import Pipeline, Step
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.references import Store

PATIENCE = 30
"""Seconds that `squeue` may take on a busy cluster."""
WAITING = frozenset({"PENDING", "CONFIGURING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD"})
TASK = re.compile(r"(?P<name>\S+)\+(?P<offset>[0-9]+) (?P<number>[0-9]+|N/A) (?P<state>[A-Z_]+) (?P<reason>.*)")
"""A line of `squeue`, where the job is one of `go.sh`."""
ENDED = frozenset({"COMPLETING"})
NEVER = "DependencyNeverSatisfied"


@dataclass(frozen=True)
class Standing:
    """How far a step is.

    Attributes
    ----------
    step : str
    makes : str
    shards : int
    units, units_done : int, optional
        None where the artifact is not begun.
    complete : bool
    running, waiting : int, optional
        Numbers of shards; None where `squeue` does not answer.
    failed : list of int, optional
        Shards that were begun, are not done, and are not in the queue.
    """

    step: str
    makes: str
    shards: int
    units: int | None
    units_done: int | None
    complete: bool
    running: int | None
    waiting: int | None
    failed: list[int] | None


def queue() -> dict[str, dict[int, str]] | None:
    """Return the state of each task of this user in the queue, by the name of its job; None where nobody answers.

    Returns
    -------
    dict or None
        The name ends before its offset, which is added to the task's number. A job that is no array is task 1.
    """
    if shutil.which("squeue") is None:
        return None
    words = ["squeue", "--noheader", "--array", "--user", getpass.getuser(), "--format", "%j %K %T %r"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else tasks_in(done.stdout.splitlines())


def tasks_in(lines: Iterable[str]) -> dict[str, dict[int, str]]:
    """Return the states that lines of `squeue` tell, by name and task.

    Parameters
    ----------
    lines : iterable of str
        Name, number in the array, state and reason.

    Examples
    --------
    >>> tasks_in(["run.predict.8+0 3 RUNNING None", "run.fit.1+0 N/A PENDING Dependency", "other 1 COMPLETING None"])
    {'run.predict.8': {3: 'RUNNING'}, 'run.fit.1': {1: 'PENDING'}}
    """
    found: dict[str, dict[int, str]] = {}
    for line in lines:
        match = TASK.fullmatch(line)
        if match is None or match["state"] in ENDED or match["reason"] == NEVER:
            continue
        number = int(match["number"]) + int(match["offset"]) if match["number"].isdecimal() else 1
        found.setdefault(match["name"], {})[number] = match["state"]
    return found


def standings(
    pipeline: Pipeline, jobs: Iterable[Job], store: Store, tasks: Mapping[str, Mapping[int, str]] | None
) -> list[Standing]:
    """Return how far each step of a pipeline is.

    Parameters
    ----------
    pipeline : Pipeline
    jobs : iterable of Job
    store : Store
    tasks : mapping, optional
        See `queue`.
    """
    found = []
    for job in jobs:
        states = None if tasks is None else tasks.get(f"{pipeline.run}.{job.name}.{job.shards}", {})
        found += [_standing(step, job, _artifact(step, store), states) for step in job.steps]
    return found


def _artifact(step: Step, store: Store) -> Artifact | None:
    try:
        return store.resolve(step.output)
    except NotFoundError:
        return None


def _standing(step: Step, job: Job, artifact: Artifact | None, states: Mapping[int, str] | None) -> Standing:
    complete = artifact is not None and artifact.complete
    left = [] if complete else _left(artifact, job.shards)
    here = None if states is None else {shard: state for shard, state in states.items() if shard in left}
    return Standing(
        step=step.name,
        makes=step.output,
        shards=job.shards,
        units=None if artifact is None else artifact.n_units,
        units_done=None if artifact is None else len(artifact.done()),
        complete=complete,
        running=None if here is None else sum(state not in WAITING for state in here.values()),
        waiting=None if here is None else sum(state in WAITING for state in here.values()),
        failed=None
        if here is None
        else [shard for shard in left if shard not in here and _begun(artifact, shard, job)],
    )


def _left(artifact: Artifact | None, shards: int) -> list[int]:
    return list(range(1, shards + 1)) if artifact is None else artifact.missing_shards(shards)


def _begun(artifact: Artifact | None, shard: int, job: Job) -> bool:
    """Return whether a shard was begun: its log is there."""
    return artifact is not None and artifact.file(f"logs/{shard}of{job.shards}.jsonl").is_file()
