"""Into how many shards each step of a pipeline is divided, and which steps one job does together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facelime_cli.jobs import forecast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.jobs.forecast import Work
    from facelime_cli.jobs.pipeline import Pipeline, Step

USUAL_SHARDS = 8
"""Of a step that asks the model, where nobody says how fast that is."""


@dataclass(frozen=True)
class Divided:
    """How the steps of a pipeline are divided.

    Attributes
    ----------
    shards : dict
        Numbers by the name of the step.
    doubts : list of str
        What a person should know of them.
    """

    shards: dict[str, int]
    doubts: list[str]


@dataclass(frozen=True)
class Job:
    """What one script does: a step in shards, or short steps one after the other.

    Attributes
    ----------
    name : str
    steps : tuple of Step
    shards : int
        1 where there are several steps.
    after : tuple of str
        Names of the jobs that it waits for.
    """

    name: str
    steps: tuple[Step, ...]
    shards: int
    after: tuple[str, ...]

    @property
    def asks_model(self) -> bool:
        """Whether it wants a GPU."""
        return any(step.asks_model for step in self.steps)


def divided(pipeline: Pipeline, works: Sequence[Work], shards: int | None, *, known: bool) -> Divided:
    """Return the number of shards of each step, and what a person should know of them.

    A step that asks no model gets no more shards than keep the start of a task at a tenth of it.

    Parameters
    ----------
    pipeline : Pipeline
    works : sequence of Work
        One for each model, see `forecast.works_of`.
    shards : int, optional
        Of each step that asks the model, and of no other step more.
    known : bool
        Whether the works' rates are those of the models.
    """
    counts: dict[str, int] = {}
    doubts: dict[str, str] = {}
    units = works[0].units
    for step in pipeline.steps:
        share = forecast.share_of(step.stage, works[0], shards)
        count = share.shards
        if not step.asks_model:
            count = min(count, share.best)
        elif shards is None and not known:
            count = min(USUAL_SHARDS, units)
        counts[step.name] = count if step.sharded else 1
        if step.asks_model and known and count > share.best:
            doubts[step.stage] = _doubt(step.stage, share)
    if shards is not None and shards > units:
        doubts["units"] = _idle(shards, works[0])
    return Divided(counts, list(doubts.values()))


def _doubt(stage: str, share: forecast.Share) -> str:
    return (
        f"{stage}: {100 * share.start_share:.0f} % of each of {share.shards} tasks is its start; "
        f"{share.best} shard{'' if share.best == 1 else 's'} would keep that near {100 * forecast.START_SHARE:.0f} %."
    )


def _idle(asked: int, work: Work) -> str:
    return (
        f"{asked} shards were asked for, and no step has more than {work.units}: {work.pictures} pictures are "
        f"{work.units} unit{'' if work.units == 1 else 's'}; a smaller --unit makes more."
    )


def jobs_of(pipeline: Pipeline, shards: dict[str, int]) -> list[Job]:
    """Return the jobs of a pipeline, each behind those that it waits for.

    Steps that ask no model, are not divided and follow on each other are one job: a job of its own would wait in the
    queue for longer than it runs.

    Parameters
    ----------
    pipeline : Pipeline
    shards : dict
        By the name of the step.
    """
    groups: list[list[Step]] = []
    for step in pipeline.steps:
        last = groups[-1] if groups else None
        if last and _short(last[-1], shards) and _short(step, shards) and step.after == (last[-1].name,):
            last.append(step)
        else:
            groups.append([step])
    place = {step.name: "-and-".join(each.name for each in group) for group in groups for step in group}
    found = []
    for group in groups:
        inside = {step.name for step in group}
        after = dict.fromkeys(place[name] for step in group for name in step.after if name not in inside)
        found.append(Job(place[group[0].name], tuple(group), shards[group[0].name], tuple(after)))
    return found


def _short(step: Step, shards: dict[str, int]) -> bool:
    return shards[step.name] == 1 and not step.asks_model
