"""Into how many shards each step of a pipeline is divided, and which steps one job does together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli.errors import CommandLineError
from facelime_cli.jobs import forecast
from facelime_cli.options import Execution, Heading

if TYPE_CHECKING:
    from facelime_cli.engine import Context
    from facelime_cli.jobs.pipeline import Pipeline, Step

USUAL_SHARDS = 8
"""Of a step that asks the model, where nobody says how fast that is."""
MOST_SHARDS = 100_000
MOST_IN_UNIT = 100_000
HEADING = Heading("Jobs")


def options(folder: str) -> list[tuple[str, Any, Any]]:
    """Return the options that say how a pipeline is divided, for `pipeline.params_with`.

    Parameters
    ----------
    folder : str
        Where the files go, unless the user says otherwise.
    """
    number: dict[str, Any] = {"show_default": False, "metavar": "N", "min": 1}
    to = Option(metavar="DIR", help="Write the files into this folder.")
    shards = Option(
        help="Divide each step that asks the model into so many shards, and no other step into more. "
        f"[default: as many as keep the start of a task at a tenth of it; {USUAL_SHARDS} without --rate]",
        max=MOST_SHARDS,
        **number,
    )
    cpu_shards = Option(
        help="Divide each other step into so many shards. [default: as many as keep the start of a task at a tenth]",
        max=MOST_SHARDS,
        **number,
    )
    unit = Option(
        help="Put so many pictures into a unit, the smallest part that a shard has. [default: 32, or fewer]",
        max=MOST_IN_UNIT,
        **number,
    )
    rate = Option(
        metavar="X",
        min=1e-3,
        max=1e9,
        show_default=False,
        help="Reckon with so many evaluations per second of one task, as `predict --dry-run` measures them.",
    )
    return [
        ("to", Annotated[Path, to, Execution(), HEADING], Path(folder)),
        ("shards", Annotated[int | None, shards, Execution(), HEADING], None),
        ("cpu_shards", Annotated[int | None, cpu_shards, Execution(), HEADING], None),
        ("unit", Annotated[int | None, unit, Execution(), HEADING], None),
        ("rate", Annotated[float | None, rate, Execution(), HEADING], None),
    ]


def absolute(params: Any) -> Any:
    """Return parameters with the whole path of the folder: Slurm runs scripts from another place.

    Parameters
    ----------
    params : dataclass
        With `to`.

    Raises
    ------
    CommandLineError
        When the path has letters that cannot stand in a line of a script.
    """
    if not str(params.to).strip() or not str(params.to.absolute()).isprintable():
        raise CommandLineError(f"--to {str(params.to)!r} cannot stand in a job script; choose another folder.")
    return replace(params, to=params.to.absolute())


def with_shards(params: Any, count: int) -> Any:
    """Return parameters that ask for so many shards."""
    return replace(params, shards=count)


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


def divided(pipeline: Pipeline, params: Any, context: Context) -> tuple[dict[str, int], list[str]]:
    """Return the number of shards of each step, and what a person should know of them.

    Parameters
    ----------
    pipeline : Pipeline
    params : dataclass
        With the fields of `options`.
    context : Context

    Returns
    -------
    dict and list of str
        By the name of the step; sentences.
    """
    # Without a rate only the steps that ask no model are estimated: nothing is loaded here.
    works = forecast.works_of(pipeline, context, rate=params.rate or 1.0, unit=params.unit)
    shards, doubts = {}, {}
    for step in pipeline.steps:
        asked = params.shards if step.asks_model else params.cpu_shards
        share = forecast.share_of(step.stage, works[0], asked)
        known = params.rate is not None or not step.asks_model
        count = share.shards if asked is not None or known else min(USUAL_SHARDS, works[0].units)
        if not step.asks_model and asked is None and params.shards is not None:
            count = min(count, params.shards)
        shards[step.name] = count
        if known and count > share.best:
            doubts[step.stage] = _doubt(step.stage, share)
        if asked is not None and asked > works[0].units:
            doubts[f"{step.stage}, units"] = _idle(step.stage, asked, works[0])
    return shards, list(doubts.values())


def _doubt(stage: str, share: forecast.Share) -> str:
    return (
        f"{stage}: {100 * share.start_share:.0f} % of each of {share.shards} tasks is its start; "
        f"{share.best} shard{'' if share.best == 1 else 's'} would keep that near {100 * forecast.START_SHARE:.0f} %."
    )


def _idle(stage: str, asked: int, work: forecast.Work) -> str:
    return (
        f"{stage}: {asked} shards were asked for and {work.units} are made, since {work.pictures} pictures are "
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
