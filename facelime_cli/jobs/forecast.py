"""What a pipeline costs before anything is submitted: hours, bytes, files, and how many shards are worth while.

What the model takes is measured, or given. What the other stages take is estimated from what they took elsewhere.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from facelime_cli.console import Answer, Table, duration, size_text
from facelime_cli.errors import CommandLineError, FacelimeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.engine import Context
    from facelime_cli.store.artifacts import Artifact

START_SHARE = 0.1
"""Share of a task that may go into its start."""
UNIT_PICTURES = 32
HOUR = 3600
MEASURED_SIDE, MEASURED_SAMPLES = 32, 1000
"""Pixels and evaluations of a picture for which `SECONDS` holds (`make load`, docs/benchmarks.md)."""
CHECK_EVALUATIONS = 600
"""Evaluations of a picture's check with its defaults: two classes, three fills, 50 segments, 39 sets."""
TIME = re.compile(
    r"(?:(?P<days>[0-9]{1,3})-)?(?P<hours>[0-9]{1,4}):(?P<minutes>[0-5][0-9])(?::(?P<seconds>[0-5][0-9]))?"
)
"""Times as Slurm writes them: D-HH:MM:SS."""


@dataclass(frozen=True)
class Estimate:
    """What a stage took when it was measured.

    Attributes
    ----------
    start : float
        Seconds before the first picture. Of a stage that asks the model, without loading it.
    picture : float
        Seconds of a picture of `MEASURED_SIDE` pixels and `MEASURED_SAMPLES` evaluations, without the model.
    by_pixels, by_samples : bool
        What the seconds of a picture grow with.
    evaluations : int
        Of a picture, where the stage asks the model: 0 for none, -1 for as many as there are samples.
    unit_files, other_files : int
        Files for each unit of the artifact, and beside them.
    """

    start: float
    picture: float
    by_pixels: bool = False
    by_samples: bool = False
    evaluations: int = 0
    unit_files: int = 1
    other_files: int = 20


SAMPLES = -1
SEGMENTS = 60
"""Of a picture, where their number is not known yet: bytes and rows depend on it a little."""
SHARED = ("segment", "perturb")
"""What all models of a pipeline read."""
USUAL_START = 8.0
"""Seconds of importing TensorFlow, loading a network and compiling (docs/benchmarks.md, Start-up)."""
STAGES = {
    "segment": Estimate(1.0, 0.003, by_pixels=True, unit_files=6, other_files=15),
    "perturb": Estimate(1.0, 0.007, by_samples=True, unit_files=2, other_files=15),
    "predict": Estimate(0.3, 0.0, evaluations=SAMPLES, unit_files=1, other_files=10),
    "fit-surrogate": Estimate(1.0, 0.006, by_samples=True, unit_files=10, other_files=19),
    "consensus": Estimate(1.0, 0.005, unit_files=14, other_files=23),
    "check": Estimate(1.0, 0.03, evaluations=CHECK_EVALUATIONS, unit_files=10, other_files=21),
    "render": Estimate(1.5, 0.075, unit_files=16, other_files=12),
}
"""Seconds of one core and files of each stage: docs/benchmarks.md, Load. The model's time comes on top."""


@dataclass(frozen=True)
class Speed:
    """How fast the model answers on a machine.

    Attributes
    ----------
    rate : float
        Evaluations a second.
    start : float
        Seconds until the first answer: loading and compiling.
    """

    rate: float
    start: float


@dataclass(frozen=True)
class Work:
    """What is to be done.

    Attributes
    ----------
    pictures, samples, classes, segments : int
        Numbers; samples and segments are of a picture.
    sides : (int, int)
        Height and width of the pictures.
    speed : Speed
    unit : int
        Pictures in a unit.
    stages : sequence of str
        Names of `STAGES`, in their order. Of several models, the first has those that all of them share.
    """

    pictures: int
    samples: int
    classes: int
    segments: int
    sides: tuple[int, int]
    speed: Speed
    unit: int = UNIT_PICTURES
    stages: Sequence[str] = field(default=("segment", "perturb", "predict", "fit-surrogate", "check", "render"))

    @property
    def units(self) -> int:
        """Number of units of each stage."""
        return max(1, math.ceil(self.pictures / self.unit))


class PlannedStep(Protocol):
    """A step of a pipeline."""

    @property
    def stage(self) -> str:
        """The subcommand."""
        ...


class Planned(Protocol):
    """What a forecast needs to know of a pipeline."""

    @property
    def n_pictures(self) -> int:
        """Number of pictures."""
        ...

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of a picture."""
        ...

    @property
    def samples(self) -> int:
        """Evaluations of a picture."""
        ...

    @property
    def models(self) -> Sequence[str]:
        """References."""
        ...

    @property
    def steps(self) -> Sequence[PlannedStep]:
        """What is to be run."""
        ...


@dataclass(frozen=True)
class Share:
    """What one stage costs in a number of shards.

    Attributes
    ----------
    stage : str
    shards : int
    start : float
        Seconds of each task before its first picture.
    task : float
        Seconds of the longest task, its start included.
    hours : float
        Of all tasks.
    best : int
        The most shards whose start is a tenth of a task.
    on_gpu : bool
        Whether it asks the model.
    n_bytes, files : int
        Of its artifact; the bytes before compression.
    """

    stage: str
    shards: int
    start: float
    task: float
    hours: float
    best: int
    on_gpu: bool
    n_bytes: int
    files: int

    @property
    def start_share(self) -> float:
        """The share of a task that goes into its start."""
        return self.start / self.task if self.task else 0.0


def seconds_of(text: str, option: str) -> float:
    """Return a wall time in seconds.

    Parameters
    ----------
    text : str
        As Slurm writes it, such as 2:00:00 or 1-12:00:00, or with a unit, such as 90m.
    option : str
        Where it was typed.

    Returns
    -------
    float

    Raises
    ------
    CommandLineError
        When it has another form, or is none.

    Examples
    --------
    >>> seconds_of("2:00:00", "--within"), seconds_of("1-00:30", "--within"), seconds_of("90m", "--within")
    (7200.0, 88200.0, 5400.0)
    """
    from facelime_cli.stopping import LONGEST_SPAN, SPAN, SPAN_SECONDS

    given, short = text.strip(), len(text) <= LONGEST_SPAN
    found, spanned = TIME.fullmatch(given), SPAN.fullmatch(given)
    seconds = 0.0
    if found and short:
        days, hours, minutes, rest = (int(found[name] or 0) for name in ("days", "hours", "minutes", "seconds"))
        seconds = float(((days * 24 + hours) * 60 + minutes) * 60 + rest)
    elif spanned and short:
        seconds = float(spanned[1]) * SPAN_SECONDS[spanned[2]]
    if not seconds:
        raise CommandLineError(f"{option} {text!r} should be a time above 0, such as 2:00:00, 90m or 1-12:00:00.")
    return seconds


def best_shards(work: float, start: float, units: int) -> int:
    """Return the most shards of a stage whose start is a tenth of a task at most.

    Parameters
    ----------
    work : float
        Seconds of all pictures in one process.
    start : float
        Seconds of a task before its first picture.
    units : int
        No shard can do less than one.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> best_shards(work=3600, start=8, units=3125), best_shards(60, 8, 3125), best_shards(1e6, 8, 10)
    (50, 1, 10)
    """
    most = work * START_SHARE / (start * (1 - START_SHARE)) if start else math.inf
    return max(1, int(min(units, most)))


def share_of(stage: str, work: Work, shards: int | None = None) -> Share:
    """Return what one stage costs.

    Parameters
    ----------
    stage : str
        One of `STAGES`.
    work : Work
    shards : int, optional
        By default `best_shards`. More than there are units are as many as there are units.

    Returns
    -------
    Share
    """
    known = STAGES[stage]
    start = known.start + (work.speed.start if known.evaluations else 0.0)
    picture = _seconds_of_picture(known, work)
    best = best_shards(work.pictures * picture, start, work.units)
    count = best if shards is None else max(1, min(shards, work.units))
    # The longest shard has this many whole units.
    pictures = min(work.pictures, math.ceil(work.units / count) * work.unit)
    return Share(
        stage=stage,
        shards=count,
        start=start,
        task=start + pictures * picture,
        hours=(count * start + work.pictures * picture) / HOUR,
        best=best,
        on_gpu=bool(known.evaluations),
        n_bytes=work.pictures * _bytes_of_picture(stage, work),
        files=known.other_files + known.unit_files * work.units + (count if count > 1 else 0),
    )


def _seconds_of_picture(known: Estimate, work: Work) -> float:
    height, width = work.sides
    grown = height * width / MEASURED_SIDE**2 if known.by_pixels else 1.0
    grown *= work.samples / MEASURED_SAMPLES if known.by_samples else 1.0
    evaluations = work.samples if known.evaluations == SAMPLES else known.evaluations
    return known.picture * grown + evaluations / work.speed.rate


def _bytes_of_picture(stage: str, work: Work) -> int:
    """Return the bytes of a picture's part of every array, before compression (docs/store.md)."""
    pixels, classes, segments = math.prod(work.sides), work.classes, work.segments
    fitted = classes * segments * 3 * 8 + classes * 6 * 8
    return {
        "segment": 2 * pixels + 4,
        "perturb": work.samples * math.ceil(segments / 8) + 3 * pixels + 4,
        "predict": work.samples * classes * 4,
        "fit-surrogate": fitted,
        "consensus": fitted + classes * segments * (2 + 4),
        "check": classes * 3 * 4 * 2 * 8 + CHECK_EVALUATIONS * classes * 4,
        # A page with its pictures in two sizes; PNG keeps about half of a picture's bytes.
        "render": 4 * pixels + 20_000,
    }[stage]


@dataclass(frozen=True)
class Forecast:
    """What a pipeline costs.

    Attributes
    ----------
    works : sequence of Work
        One for each model.
    shares : sequence of Share
        One for each stage of each.
    """

    works: Sequence[Work]
    shares: Sequence[Share]

    @property
    def wall(self) -> float:
        """Seconds from the first task to the last, where every task of a stage finds a place at once."""
        return sum(each.task for each in self.shares)

    @property
    def gpu_hours(self) -> float:
        """Hours that cards are held."""
        return sum(each.hours for each in self.shares if each.on_gpu)

    @property
    def core_hours(self) -> float:
        """Hours of the other tasks."""
        return sum(each.hours for each in self.shares if not each.on_gpu)

    @property
    def n_bytes(self) -> int:
        """How much the store grows, before compression."""
        return sum(each.n_bytes for each in self.shares)

    @property
    def files(self) -> int:
        """How many files the store gets."""
        return sum(each.files for each in self.shares)

    @property
    def shards(self) -> int:
        """The shards of the stage that has most."""
        return max(each.shards for each in self.shares)

    def json(self) -> dict[str, Any]:
        """Return the JSON object of `--json`."""
        return {
            "pictures": self.works[0].pictures,
            "units": self.works[0].units,
            "models": [
                {"evaluations_per_second": each.speed.rate, "startup_seconds": each.speed.start} for each in self.works
            ],
            "shards": self.shards,
            "wall_seconds": self.wall,
            "gpu_hours": self.gpu_hours,
            "core_hours": self.core_hours,
            "bytes": self.n_bytes,
            "files": self.files,
            "stages": [
                {
                    "stage": each.stage,
                    "shards": each.shards,
                    "task_seconds": each.task,
                    "start_share": each.start_share,
                    "hours": each.hours,
                    "on_gpu": each.on_gpu,
                    "bytes": each.n_bytes,
                    "files": each.files,
                }
                for each in self.shares
            ],
        }


def forecast(works: Sequence[Work], shards: int | None = None) -> Forecast:
    """Return what a pipeline costs at a number of shards.

    Parameters
    ----------
    works : sequence of Work
        One for each model.
    shards : int, optional
        Of every stage; by default each stage has as many as keep its start a tenth of a task.

    Returns
    -------
    Forecast
    """
    return Forecast(works, [share_of(stage, work, shards) for work in works for stage in work.stages])


def within(works: Sequence[Work], seconds: float) -> Forecast:
    """Return the forecast with the fewest shards that ends within a wall time.

    Parameters
    ----------
    works : sequence of Work
    seconds : float

    Returns
    -------
    Forecast

    Raises
    ------
    FacelimeError
        When no number of shards ends in that time.
    """
    fastest = forecast(works, works[0].units)
    if fastest.wall > seconds:
        raise FacelimeError(
            f"no number of shards ends within {duration(seconds)}: {fastest.shards} shards of one unit each take about "
            f"{duration(fastest.wall)}; allow more time, take fewer samples, or make smaller units with --unit."
        )
    # More shards never take longer, so that the fewest are found by halving.
    few, many = 1, works[0].units
    while few < many:
        middle = (few + many) // 2
        if forecast(works, middle).wall <= seconds:
            many = middle
        else:
            few = middle + 1
    return forecast(works, few)


def doubts(found: Forecast) -> list[str]:
    """Return what a person should know of the number of shards.

    Parameters
    ----------
    found : Forecast

    Returns
    -------
    list of str
        Sentences.
    """
    return [
        f"{each.stage}: {100 * each.start_share:.0f} % of each of {each.shards} tasks is its start; "
        f"{each.best} shard{'' if each.best == 1 else 's'} keep it near {100 * START_SHARE:.0f} %."
        for each in found.shares
        if each.shards > each.best
    ]


def answer(found: Forecast, asked: int | None = None) -> Answer:
    """Return a forecast in words, and as a table of stages.

    Parameters
    ----------
    found : Forecast
    asked : int, optional
        The shards that the user has asked for: more than there are units have nothing to do.

    Returns
    -------
    Answer
    """
    work = found.works[0]
    rates = ", ".join(f"{each.speed.rate:.1f}" for each in found.works)
    start = duration(max(each.speed.start for each in found.works))
    lines = [
        f"{work.pictures} pictures in {work.units} units",
        f"{rates} evaluations/s of a task that asks the model, after {start} to load it",
        f"about {duration(found.wall)} from the first task to the last, where every task finds a place at once",
        f"about {found.gpu_hours:.1f} hours of tasks that ask the model, {found.core_hours:.1f} hours of the others",
        f"the store grows by {size_text(found.n_bytes)} before compression, in {found.files} files",
    ]
    rows = [
        (
            each.stage,
            str(each.shards),
            duration(each.task),
            f"{100 * each.start_share:.0f} %",
            f"{each.hours:.2f}",
            size_text(each.n_bytes),
            str(each.files),
        )
        for each in found.shares
    ]
    table = Table(("stage", "shards", "longest task", "start", "hours", "size", "files"), rows)
    said = doubts(found)
    if asked is not None and asked > work.units:
        said.append(f"{asked - work.units} of {asked} shards have nothing to do: there are {work.units} units.")
    return Answer({**found.json(), "doubts": said}, lines, [table], said=said)


def measured(model: Artifact, sides: tuple[int, int], context: Context, speed: float | None = None) -> Speed:
    """Return how fast a model answers here: a few batches of drawn pictures, in the way `predict` asks it.

    Parameters
    ----------
    model : Artifact
    sides : (int, int)
        Height and width of the pictures, in pixels.
    context : Context
    speed : float, optional
        Evaluations a second where they are known, as on a card that this machine does not have: only the loading is
        estimated, and nothing is loaded.

    Returns
    -------
    Speed
    """
    if speed is not None:
        return Speed(speed, USUAL_START)
    from facelime_cli.predicting.trying import speed_of

    # What is converted for it is thrown away: a forecast leaves the store as it is.
    with context.store.unchanged():
        rate, start = speed_of(model, sides, context)
    return Speed(rate, start)


def works_of(
    pipeline: Planned, context: Context, *, rate: float | None = None, unit: int | None = None, segments: int = SEGMENTS
) -> list[Work]:
    """Return what is to be done for each model of a pipeline.

    Parameters
    ----------
    pipeline : Planned
    context : Context
    rate : float, optional
        Evaluations a second of each model, where that is known; see `measured`.
    unit : int, optional
        Pictures in a unit.
    segments : int
        Of a picture.

    Returns
    -------
    list of Work
        The first one has the stages that all models share.
    """
    works: list[Work] = []
    stages = dict.fromkeys(step.stage for step in pipeline.steps)
    for reference in pipeline.models:
        model = context.store.resolve(reference, ("models",)).require_complete()
        works.append(
            Work(
                pictures=pipeline.n_pictures,
                samples=pipeline.samples,
                classes=len(model.facts["classes"]),
                segments=segments,
                sides=pipeline.sides,
                speed=measured(model, pipeline.sides, context, rate),
                unit=unit or UNIT_PICTURES,
                stages=[each for each in stages if not works or each not in SHARED],
            )
        )
    return works
