"""What a stage is, and how one is run: resolve inputs, fingerprint, find or lay out, do the pending units, seal."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facelime_cli.console import Answer
from facelime_cli.errors import BusyError, FacelimeError
from facelime_cli.options import inputs_of
from facelime_cli.store.artifacts import Identity
from facelime_cli.store.references import check_name, name_from

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

    from facelime_cli.console import Console
    from facelime_cli.store.arrays import Layout
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.references import Store
    from facelime_cli.store.units import Unit


BULKY_FACTS = frozenset({"classes", "history"})
"""Facts that may be thousands of words long: in the manifest, not in a stage's answer."""


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, counted from 1."""

    index: int = 1
    count: int = 1


@dataclass(frozen=True)
class Context:
    """What a command may use: the store, the terminal, its own name and part."""

    store: Store
    console: Console
    name: str | None = None
    shard: Shard = field(default_factory=Shard)


@dataclass(frozen=True)
class Pending:
    """The units that an invocation has to do; iterating claims one after the other and hands it out."""

    artifact: Artifact
    indices: list[int]
    context: Context
    log: Log

    @property
    def pictures(self) -> int:
        """Number of pictures in these units."""
        return sum(len(range(self.artifact.n)[self.artifact.rows(index)]) for index in self.indices)

    def __iter__(self) -> Generator[Unit]:
        """Yield each unit, claimed until the next one is asked for; one that somebody else has finished is passed over."""
        for index in self.indices:
            with self.artifact.work_on(index, self.context.console.note) as unit:
                if unit is None:
                    continue
                yield unit
                if not unit.finished:
                    raise FacelimeError(
                        f"unit {index} of {self.artifact.kind}/{self.artifact.id} was left unfinished; repeat the command, with --debug if it happens again."
                    )
                self.log.write("unit", unit=index)


@dataclass(frozen=True)
class Plan:
    """What one invocation of a stage means.

    `parameters` and the content digests of `inputs` (and of `sources`, which are no artifacts) make the fingerprint. `prepare` says what
    to lay out and is only asked when nothing was laid out yet; `work` receives claimed units until none is left; `finish` runs before sealing
    and returns facts for the manifest and the files it made.
    """

    parameters: Mapping[str, Any]
    name: str
    prepare: Callable[[], Layout]
    work: Callable[[Artifact, Pending], None]
    inputs: Mapping[str, Artifact] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    finish: Callable[[Artifact], tuple[dict[str, Any], list[str]]] = lambda _: ({}, [])


@dataclass(frozen=True)
class Stage:
    """A subcommand that reads artifacts and writes one artifact; `forecast` answers --dry-run."""

    name: str
    writes: str
    version: int
    params: type[Any]
    plan: Callable[[Any, Mapping[str, Artifact], Context], Plan]
    help: str
    sharded: bool = False
    forecast: Callable[[Any, Context], Answer] | None = None
    answer: Callable[[Result], Answer] = lambda result: Answer(result.json(), [result.artifact.id])

    def __post_init__(self) -> None:
        """Make the stage known by its name."""
        STAGES[self.name] = self


STAGES: dict[str, Stage] = {}
"""Every stage there is, by its name: what an artifact's manifest says that made it."""


@dataclass(frozen=True)
class Result:
    """What a stage answers with."""

    artifact: Artifact
    reused: bool
    seconds: float

    def json(self) -> dict[str, Any]:
        """Return the JSON object of `--json`."""
        complete = self.artifact.complete
        return {
            "artifact": self.artifact.id,
            "kind": self.artifact.kind,
            "path": str(self.artifact.path.absolute()),
            "reused": self.reused,
            "complete": complete,
            "seconds": round(self.seconds, 3),
            "units_done": len(self.artifact.done()),
            "units": self.artifact.n_units,
            "facts": {name: value for name, value in self.artifact.facts.items() if name not in BULKY_FACTS},
        }


def reference_from(text: str) -> str:
    """Return the reference in the last non-empty line of a text: as it is, or `artifact` of a JSON object."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise FacelimeError(
            "`-` reads a reference from standard input, but nothing came; the command before the pipe failed, or there is none."
        )
    try:
        value = json.loads(lines[-1])
    except ValueError:
        return lines[-1]
    if not isinstance(value, dict):
        return lines[-1]
    if isinstance(value.get("artifact"), str):
        return str(value["artifact"])
    raise FacelimeError(
        f"standard input ends with {lines[-1][:80]!r}, which has no `artifact`; pipe a reference, or the --json result of a stage."
    )


def resolve_inputs(params: Any, store: Store) -> dict[str, Artifact]:
    """Return the artifacts that the reference parameters point to; each must be complete."""
    found = {}
    for name, kinds in inputs_of(type(params)).items():
        reference = getattr(params, name)
        if reference is not None:
            found[name] = store.resolve(reference, kinds)
            found[name].require_complete()
    return found


def execute(stage: Stage, params: Any, context: Context) -> Result:
    """Run a stage, or find that it has been run: the one way from parameters to an artifact."""
    begun = time.monotonic()
    plan, artifact = find(stage, params, context)
    if artifact is not None and artifact.complete:
        artifact.require_complete()
        if context.name:
            context.store.name(artifact, check_name(context.name))
        return Result(artifact, reused=True, seconds=time.monotonic() - begun)
    fresh = artifact is None
    artifact = _lay_out(stage, plan, context) if artifact is None else artifact
    if context.name:
        context.store.name(artifact, check_name(context.name))
    pending = [unit for unit in artifact.shard(context.shard.index, context.shard.count) if unit not in artifact.done()]
    artifact.refuse_if_busy(pending)
    if not artifact.shard(context.shard.index, context.shard.count):
        context.console.note(
            f"shard {context.shard.index} of {context.shard.count} has nothing to do: there are {artifact.n_units} units of up to {artifact.unit_pictures} pictures."
        )
    log = Log(artifact, context.shard)
    log.write("begin", units=pending)
    worked = 0
    try:
        if pending:
            plan.work(artifact, Pending(artifact, pending, context, log))
            worked = len(pending)
        if len(artifact.done()) == artifact.n_units:
            _seal(artifact, plan, context)
    except BaseException as why:
        log.write("end", error=type(why).__name__)
        if (
            fresh
            and isinstance(why, FacelimeError)
            and not isinstance(why, BusyError)
            and artifact.untouched
            and context.shard.count == 1
        ):
            context.store.remove(artifact)
        raise
    log.write("end", units=worked, complete=artifact.complete)
    if not artifact.complete:
        context.console.note(f"{artifact.kind}/{artifact.id}: {artifact.progress}; other shards are not done yet.")
    return Result(artifact, reused=False, seconds=time.monotonic() - begun)


def _seal(artifact: Artifact, plan: Plan, context: Context) -> None:
    """Finish and seal an artifact whose units are all done, unless another process is at it."""
    try:
        with artifact.sealing(context.console.note) as mine:
            if mine:
                facts, made = plan.finish(artifact)
                artifact.seal(facts, made)
    except BusyError:
        context.console.note(f"another process is sealing {artifact.kind}/{artifact.id}.")


def find(stage: Stage, params: Any, context: Context) -> tuple[Plan, Artifact | None]:
    """Return what an invocation means, and the artifact that it already has (complete or not)."""
    plan = stage.plan(params, resolve_inputs(params, context.store), context)
    return plan, context.store.find(stage.writes, _identity(stage, plan).fingerprint)


def fingerprint(stage: Stage, params: Any, context: Context) -> str:
    """Return the fingerprint of the artifact that an invocation makes, without making it."""
    return _identity(stage, stage.plan(params, resolve_inputs(params, context.store), context)).fingerprint


def _identity(stage: Stage, plan: Plan) -> Identity:
    return Identity(
        stage.name,
        stage.version,
        plan.parameters,
        {**plan.sources, **{name: artifact.content for name, artifact in plan.inputs.items()}},
    )


def _lay_out(stage: Stage, plan: Plan, context: Context) -> Artifact:
    name = check_name(context.name) if context.name else name_from(plan.name)
    inputs = {name: {"kind": each.kind, "id": each.id, "digest": each.content} for name, each in plan.inputs.items()}
    inputs |= {name: {"digest": digest} for name, digest in plan.sources.items()}
    return context.store.create(stage.writes, name, _identity(stage, plan), inputs, plan.prepare())


class Log:
    """JSON lines of one shard: one writer, no part of any digest."""

    def __init__(self, artifact: Artifact, shard: Shard) -> None:
        self._path: Path = artifact.file(f"logs/{shard.index}of{shard.count}.jsonl")

    def write(self, event: str, **facts: Any) -> None:
        """Append one event with its time."""
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, **facts})
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")


@dataclass(frozen=True)
class Command:
    """A subcommand beside the stages: it answers, and may make artifacts only by running stages."""

    name: str
    params: type[Any]
    run: Callable[[Any, Context], Answer]
    help: str
    named: bool = False
