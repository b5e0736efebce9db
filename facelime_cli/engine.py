"""What a stage is, and how one is run: resolve inputs, fingerprint, find or lay out, do the pending units, seal."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, suppress
from dataclasses import MISSING, dataclass, field, fields, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from facelime_cli.console import Answer, size_text
from facelime_cli.errors import BrokenError, BusyError, FacelimeError, IncompleteError, NotFoundError
from facelime_cli.options import hints, inputs_of, recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from facelime_cli.console import Console, Drawing, Table
    from facelime_cli.logs import Log
    from facelime_cli.store.arrays import Layout
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.manifests import Identity
    from facelime_cli.store.references import Store
    from facelime_cli.store.units import Unit

    Finish = Callable[[Artifact], tuple[dict[str, Any], list[str]]]


LONGEST_REFERENCE = 4096
"""Letters: a reference may be a path."""
BULKY_FACTS = frozenset({"classes", "history"})
"""Facts that may be thousands of words long: in the manifest, not in a stage's answer."""


@dataclass(frozen=True)
class Shard:
    """Shard `index` of `count`, counted from 1."""

    index: int = 1
    count: int = 1


@dataclass(frozen=True)
class Context:
    """What a command may use: the store, the terminal, its own name and shard.

    `loaded` keeps the model that was loaded last, so that a command that asks it several times loads it once. `fills`
    keeps stand-ins that were made beside other work, by what they are. `before_work` is called when an artifact is to
    be made that is not complete yet. `planning` is set where a plan is made only to be looked at, so that nothing may
    be measured for it. `lay_out` asks for the artifact with no unit done, and `unit` for units of so many pictures.
    `parse` reads words as they are typed behind a stage's name. Until `using` is closed, others see that this process
    uses the artifacts that its stages have made or found: a command of several stages comes back to them.
    """

    store: Store
    console: Console
    name: str | None = None
    shard: Shard = field(default_factory=Shard)
    loaded: dict[Any, Any] = field(default_factory=dict)
    fills: dict[Any, Any] = field(default_factory=dict)
    before_work: Callable[[], None] = lambda: None
    planning: bool = False
    lay_out: bool = False
    unit: int | None = None
    told: set[str] = field(default_factory=set)
    parse: Callable[[Stage, Sequence[str]], Any] | None = None
    using: ExitStack | None = None

    def uses(self, artifact: Artifact) -> None:
        """Show others that this process uses an artifact, where a command of several stages asks for it."""
        if self.using is not None:
            from facelime_cli.store import presence

            self.using.enter_context(presence.used([artifact.path]))

    def once(self, note: str) -> None:
        """Note what several stages of one command would say."""
        if note not in self.told:
            self.told.add(note)
            self.console.note(note)


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
        rows = [self.artifact.rows(index) for index in self.indices]
        return sum(each.stop - each.start for each in rows)

    def __iter__(self) -> Generator[Unit]:
        """Yield each unit, claimed until the next one is asked for. Units that others have finished are passed over."""
        for index in self.indices:
            with self.artifact.work_on(index, self.context.console.note) as unit:
                if unit is None:
                    continue
                unit.heard = self.log.listening(unit)
                yield unit
                if not unit.finished:
                    raise FacelimeError(
                        f"unit {index} of {self.artifact.reference} was left unfinished; "
                        "repeat the command, with --debug if it happens again."
                    )
                self.log.finished(unit)


@dataclass(frozen=True)
class Needed:
    """An artifact that a stage reads and that may not be there yet. A plan only looks for it; a run makes it.

    Attributes
    ----------
    stage : str
        Name of the stage that makes it.
    params : dataclass
        That stage's parameters. Those that `inputs` name are filled in when these are there.
    inputs : mapping
        What must be there before that, by parameter.
    """

    stage: str
    params: Any
    inputs: Mapping[str, Needed] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What one invocation of a stage means. Making a plan computes nothing and writes nothing.

    Attributes
    ----------
    params : dataclass
        The stage's parameters, presets and defaults filled in.
    resolved : mapping
        What the options marked `Resolved` came to mean.
    instead : callable, optional
        Answers what the parameters in `Stage.instead` ask for. It writes nothing into the store.
    name : str
        The artifact's name, unless the user gives another.
    prepare : callable
        Says what to lay out. It is only asked when nothing was laid out yet.
    work : callable
        Receives claimed units until none is left.
    inputs : mapping
        The artifacts that it reads.
    sources : mapping
        Content digests of what it reads and is no artifact.
    found : callable
        Is told where the store has the artifact already, and nothing is made.
    finish : callable
        Runs before sealing. It returns facts for the manifest and the files that it made.
    """

    params: Any
    name: str
    prepare: Callable[[], Layout]
    work: Callable[[Artifact, Pending], None]
    inputs: Mapping[str, Artifact] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    found: Callable[[Artifact], None] = lambda _: None
    finish: Callable[[Artifact], tuple[dict[str, Any], list[str]]] = lambda _: ({}, [])
    resolved: Mapping[str, Any] = field(default_factory=dict)
    instead: Callable[[], Answer] | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that count for the result."""
        return recorded(self.params, self.resolved)


def facts_of_only_unit(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
    """Return what an artifact of one unit notes at its end: the facts of that unit, and no further file."""
    return artifact.facts_of_units()[0], []


def needs_nothing(_params: Any, _inputs: Mapping[str, Artifact], _context: Context) -> Mapping[str, Needed]:
    """Return what most stages need beside their inputs: nothing."""
    return {}


@dataclass(frozen=True)
class Stage:
    """A subcommand that reads artifacts and writes one artifact.

    Attributes
    ----------
    name : str
    writes : str
        The kind of its artifact.
    version : int
        Rises when the same parameters and inputs give another result.
    params : type
        A frozen dataclass of its parameters.
    plan : callable
        From parameters and inputs to a `Plan`.
    help : str
        Its help text, the docstring of its module.
    sharded : bool
        Whether `--shard` and `--missing` are offered.
    needs : callable
        What must be there before the plan can be made, by the input's name; it replaces the input of that name.
    forecast : callable, optional
        Answers `--dry-run`.
    answer : callable
        What the command answers with.
    beside : callable
        From parameters and result to what a person has asked to see beside the answer.
    restored : callable
        The options that an artifact's own parameters do not hold as they were typed.
    instead : tuple of str
        Parameters that ask for an answer in the place of an artifact.
    finish : callable, optional
        What its plans' `finish` does, of an artifact alone: for `seal`, where a plan cannot be made again because the
        stage reads files beside the store.
    """

    name: str
    writes: str
    version: int
    params: type[Any]
    plan: Callable[[Any, Mapping[str, Artifact], Context], Plan]
    help: str
    sharded: bool = False
    needs: Callable[[Any, Mapping[str, Artifact], Context], Mapping[str, Needed]] = needs_nothing
    forecast: Callable[[Any, Context], Answer] | None = None
    answer: Callable[[Result], Answer] = lambda result: Answer(result.json(), [result.artifact.id])
    beside: Callable[[Any, Result], Sequence[Table | Drawing]] = lambda *_: ()
    restored: Callable[[Artifact], Mapping[str, Any]] = lambda _: {}
    instead: tuple[str, ...] = ()
    finish: Callable[[Artifact, Context], tuple[dict[str, Any], list[str]]] | None = None

    def __post_init__(self) -> None:
        """Make the stage known by its name."""
        STAGES[self.name] = self

    def params_of(self, artifact: Artifact) -> Any:
        """Return the parameters that make an artifact again.

        A file is no part of the store, so it stands as a placeholder: the option's name in capitals.
        """
        known, inputs = artifact.parameters, references_of(artifact)
        given: dict[str, Any] = {}
        for name in hints(self.params):
            # An option that may be given several times is stored as inputs with numbers.
            several = [each for key, each in inputs.items() if key.startswith(f"{name}_")]
            if several:
                given[name] = several
            elif name in inputs:
                given[name] = inputs[name]
            elif name in known:
                given[name] = known[name]
        # A source is known by its digest alone: the command names it by a placeholder.
        needed = {each.name: each.name.upper() for each in fields(self.params) if each.default is MISSING}
        return self.params(**{**needed, **given, **self.restored(artifact)})


STAGES: dict[str, Stage] = {}
"""Every stage that is loaded, by its name: what an artifact's manifest says that made it."""


def stage_called(name: str) -> Stage:
    """Return a stage by its name; its module is loaded when it has not been.

    Raises
    ------
    NotFoundError
        When there is no such stage: a store may be of another version of facelime.
    """
    if name not in STAGES:
        module = f"facelime_cli.stages.{name.replace('-', '_')}"
        try:
            import_module(module)
        except ModuleNotFoundError as why:
            if why.name != module:
                raise
    if name not in STAGES:
        raise NotFoundError(
            f"this facelime has no stage {name!r}; use the newer facelime that made what names it, "
            "or make it again with this one."
        )
    return STAGES[name]


def references_of(artifact: Artifact) -> dict[str, str]:
    """Return what an artifact was made from: references to artifacts, and placeholders for files."""
    found = {}
    for name, given in artifact.inputs.items():
        found[name] = f"{given['kind']}/{given['id']}" if "id" in given else name.upper()
    return found


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
            "units_done": self.artifact.n_done,
            "units": self.artifact.n_units,
            "facts": {name: value for name, value in self.artifact.facts.items() if name not in BULKY_FACTS},
        }


def reference_from(text: str) -> str:
    """Return the reference in the last non-empty line of a text: as it is, or `artifact` of a JSON object."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise FacelimeError(
            "`-` reads a reference from standard input, but nothing came; "
            "the command before the pipe failed, or there is none."
        )
    try:
        value = json.loads(lines[-1])
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        if len(lines[-1]) > LONGEST_REFERENCE:
            raise FacelimeError(
                f"standard input ends with {lines[-1][:80]!r} and more, which is no reference; "
                "pipe what a stage prints."
            )
        return lines[-1]
    if isinstance(value.get("artifact"), str):
        return str(value["artifact"])
    raise FacelimeError(
        f"standard input ends with {lines[-1][:80]!r}, which has no `artifact`; "
        "pipe a reference, or the --json result of a stage."
    )


def resolve_inputs(params: Any, store: Store) -> dict[str, Artifact]:
    """Return the artifacts that the reference parameters point to; each must be complete."""
    found = {}
    for name, kinds in inputs_of(type(params)).items():
        reference = getattr(params, name)
        if reference is not None:
            found[name] = store.resolve(reference, kinds)
            found[name].require_complete()
            refuse_newer(found[name])
    return found


def refuse_newer(artifact: Artifact) -> None:
    """Raise when a later facelime made an artifact, or something that it was made from.

    Parameters
    ----------
    artifact : Artifact

    Raises
    ------
    FacelimeError
        When this facelime knows only an earlier version of the stage.
    NotFoundError
        When this facelime does not have the stage.
    """
    seen = set()
    waiting = [artifact]
    from facelime_cli.store.kinds import KINDS

    while waiting:
        each = waiting.pop()
        if each.reference not in seen:
            seen.add(each.reference)
            # What is gone or damaged cannot be misread: who needs it says so, and who does not goes on.
            with suppress(BrokenError):
                _refuse_newer_stage(each)
            for given in each.inputs.values():
                if given.get("kind") in KINDS:
                    with suppress(NotFoundError):
                        waiting.append(each.store.stored(given["kind"], given["id"]))


def _refuse_newer_stage(artifact: Artifact) -> None:
    version, known = artifact.version, stage_called(artifact.stage).version
    if version > known:
        raise FacelimeError(
            f"{artifact.reference} was made by version {version} of `{artifact.stage}`, and this facelime knows "
            f"version {known}; use the newer facelime that made it, or make it again with this one."
        )


def answer_instead(stage: Stage, params: Any, context: Context) -> Answer | None:
    """Answer what some parameters ask for in the place of an artifact; nothing is made.

    Parameters
    ----------
    stage : Stage
    params : dataclass
    context : Context

    Returns
    -------
    Answer or None
        None where the parameters ask for the artifact.
    """
    if not any(getattr(params, name) for name in stage.instead):
        return None
    plan = stage.plan(params, resolve_inputs(params, context.store), replace(context, planning=True))
    assert plan.instead is not None
    return plan.instead()


def execute(stage: Stage, params: Any, context: Context) -> Result:
    """Run a stage, or find that it has been run: the one way from parameters to an artifact."""
    begun = time.monotonic()
    named = resolve_inputs(params, context.store)
    # What is needed decides the fingerprint, so it must be there before the plan.
    inputs = named | {name: _made(needed, context) for name, needed in stage.needs(params, named, context).items()}
    plan = stage.plan(params, inputs, context)
    # What the parameters name has been looked at already, with all that it was made from.
    looked_at = {each.reference for each in named.values()}
    for each in plan.inputs.values():
        if each.reference not in looked_at:
            refuse_newer(each)
    artifact = context.store.find(stage.writes, identity(stage, plan).fingerprint)
    # One that has lost its manifest has nothing to go on with: the error says how it is mended.
    if artifact is not None and (artifact.complete or artifact.lost_its_manifest):
        context.uses(artifact)
        _give_name(artifact.require_complete(), context)
        plan.found(artifact)
        return Result(artifact, reused=True, seconds=time.monotonic() - begun)
    context.before_work()
    fresh = artifact is None
    from facelime_cli.store import presence

    # What it reads is kept meanwhile, also before the artifact that names it is laid out.
    with presence.used([each.path for each in plan.inputs.values()]):
        # Two processes may lay out the same at once: the store lets both use what was first.
        artifact = _lay_out(stage, plan, context) if artifact is None else artifact
        alone = context.shard.count == 1
        with presence.attended(artifact.path, everywhere=alone and not context.lay_out):
            _give_name(artifact, context)
            _say_of_units(artifact, context, fresh=fresh)
            if not context.lay_out:
                _do_shard(artifact, plan, context, fresh=fresh)
    context.uses(artifact)
    if not artifact.complete and not context.lay_out:
        context.console.note(f"{artifact.reference}: {_how_far(artifact)}")
    return Result(artifact, reused=False, seconds=time.monotonic() - begun)


def _say_of_units(artifact: Artifact, context: Context, *, fresh: bool) -> None:
    """Say where the units are not those that were asked for."""
    asked, has = context.unit, artifact.unit_pictures
    if asked is None or has == asked or has >= artifact.n:
        return
    if not fresh:
        context.console.warn(
            f"--unit {asked} changes nothing: {artifact.reference} was laid out with units of {has} pictures."
        )
    elif has < asked:
        context.console.note(
            f"--unit {asked}: units have {has} pictures, since a larger one would take too much memory."
        )


def _how_far(artifact: Artifact) -> str:
    """Return how far an artifact is that this process has left unfinished, in words and from one listing."""
    n_done = artifact.n_done
    if n_done == artifact.n_units:
        return f"all units are done, but it is not sealed; `facelime seal {artifact.reference}` completes it."
    return f"{n_done} of {artifact.n_units} units done; other shards are not done yet."


def _give_name(artifact: Artifact, context: Context) -> None:
    from facelime_cli.store.references import check_name

    if context.name:
        context.store.name(artifact, check_name(context.name))


def _do_shard(artifact: Artifact, plan: Plan, context: Context, *, fresh: bool) -> None:
    """Do the pending units of this process's shard, and seal the artifact when no unit is left."""
    shard = context.shard
    mine = artifact.shard(shard.index, shard.count)
    # Only its own records: of all processes together, each record is read once here, and once at sealing.
    done = artifact.done_among(mine)
    pending = [unit for unit in mine if unit not in done]
    artifact.refuse_if_busy(pending)
    idle = artifact.idle(shard.count)
    if idle:
        context.console.note(idle + (f"; shard {shard.index} is one of them." if not mine else "."))
    from facelime_cli.logs import Log

    log = Log(artifact, shard)
    log.begin(pending)
    worked = 0
    try:
        # Loaded only now: Python's logging is not light, and `--help` does without.
        from facelime_cli.hearing import heard_by

        with heard_by(log.warn):
            if pending:
                plan.work(artifact, Pending(artifact, pending, context, log))
                worked = len(pending)
            # Whoever finds every unit done seals, whichever shard it is.
            if artifact.n_done == artifact.n_units:
                _seal(artifact, plan.finish, context)
                log.write("sealed", complete=artifact.complete)
    except BaseException as why:
        # On a full disk the reason counts, not that it cannot be logged.
        with suppress(OSError):
            log.end(worked, artifact.complete, why)
        # Nothing is lost with an artifact that this process alone has begun and that holds nothing: bad input leaves
        # no trace. A busy one belongs to another process.
        explained = isinstance(why, FacelimeError) and not isinstance(why, BusyError)
        if fresh and explained and artifact.untouched and shard.count == 1:
            with suppress(BusyError):
                context.store.remove(artifact)
        raise
    log.end(worked, artifact.complete)


def _seal(artifact: Artifact, finish: Finish, context: Context) -> None:
    """Finish and seal an artifact whose units all have records, unless another process is at it."""
    from facelime_cli.store import presence

    try:
        with artifact.sealing(context.console.note) as mine:
            left = artifact.unrecorded() if mine else []
            if left:
                context.console.warn(
                    f"{artifact.reference} cannot be sealed: the records of some units are damaged, so"
                    f" {artifact.lacking(left)}; repeat the `{artifact.stage}` command."
                )
            elif mine:
                # Whatever shards that were killed have left goes now: each of them looked into no large folder.
                presence.sweep(artifact.path)
                facts, made = finish(artifact)
                artifact.seal(facts, made)
    except BusyError:
        context.console.note(f"another process is sealing {artifact.reference}.")


def seal(artifact: Artifact, context: Context) -> Result:
    """Seal an artifact whose units are all done: what the process that did the last one could not do any more.

    Parameters
    ----------
    artifact : Artifact
    context : Context

    Returns
    -------
    Result
        Complete.

    Raises
    ------
    IncompleteError
        When units are missing.
    BusyError
        When another process is sealing it.
    FacelimeError
        When its stage reads files beside the store, or this facelime has another version of it.
    """
    begun = time.monotonic()
    if artifact.complete or artifact.lost_its_manifest:
        return Result(artifact.require_complete(), reused=True, seconds=time.monotonic() - begun)
    left = sorted(set(range(artifact.n_units)) - artifact.done())
    if left:
        raise IncompleteError(
            f"{artifact.reference} cannot be sealed: {artifact.lacking(left)};"
            f" repeat the `{artifact.stage}` command that makes it."
        )
    finish = _finish_of(artifact, context)
    from facelime_cli.store import presence

    with presence.used([each.path for each in artifact.parents_there()]), presence.attended(artifact.path):
        _seal(artifact, finish, context)
    if not artifact.complete:
        raise BusyError(f"{artifact.reference} is not sealed yet; wait for the process that is at it, and ask again.")
    return Result(artifact, reused=False, seconds=time.monotonic() - begun)


def _finish_of(artifact: Artifact, context: Context) -> Finish:
    """Return what an artifact's stage does before it seals: its own, or that of the plan that began it, made again."""
    stage = stage_called(artifact.stage)
    refuse_newer(artifact)
    own = stage.finish
    if own is not None and stage.version == artifact.version:
        return lambda artifact: own(artifact, context)
    # What a file outside the store held is known by its digest alone, so that such a plan cannot be made again.
    beside = sorted(name for name, given in artifact.inputs.items() if "id" not in given)
    plan = None
    if not beside:
        params = stage.params_of(artifact)
        inputs = looked_up(stage, params, context)
        plan = None if inputs is None else stage.plan(params, inputs, replace(context, planning=True))
    if plan is None or identity(stage, plan).fingerprint != artifact.fingerprint:
        why = (
            f"`{stage.name}` reads {', '.join(beside)} from outside the store" if beside else "its inputs have changed"
        )
        raise FacelimeError(
            f"{artifact.reference} cannot be sealed from here, since {why};"
            f" repeat the `{stage.name}` command that makes it, or one of its shards, which seals."
        )
    return plan.finish


@dataclass(frozen=True)
class Found:
    """What a plan finds in the store, without making anything.

    Attributes
    ----------
    plan : Plan, optional
        None where something that the stage needs is not there yet, so that its plan cannot be made.
    artifact : Artifact, optional
        What the invocation has made already, complete or not.
    """

    plan: Plan | None = None
    artifact: Artifact | None = None


def find(stage: Stage, params: Any, context: Context) -> Found:
    """Return what an invocation means, and the artifact that it already has. Nothing is made."""
    inputs = looked_up(stage, params, context)
    if inputs is None:
        return Found()
    plan = stage.plan(params, inputs, replace(context, planning=True))
    return Found(plan, context.store.find(stage.writes, identity(stage, plan).fingerprint))


def looked_up(stage: Stage, params: Any, context: Context) -> dict[str, Artifact] | None:
    """Return what an invocation reads, with what the stage needs beside it; None where something is not there yet."""
    inputs = resolve_inputs(params, context.store)
    for name, needed in stage.needs(params, inputs, context).items():
        artifact = _there(needed, context)
        if artifact is None:
            return None
        inputs[name] = artifact
    return inputs


def _there(needed: Needed, context: Context) -> Artifact | None:
    """Return what is needed where it is complete, else None."""
    params = needed.params
    for name, before in needed.inputs.items():
        artifact = _there(before, context)
        if artifact is None:
            return None
        params = replace(params, **{name: artifact.reference})
    found = find(stage_called(needed.stage), params, replace(context, name=None)).artifact
    return found if found is not None and found.complete else None


def _made(needed: Needed, context: Context) -> Artifact:
    """Return what is needed; it is made where it is not there.

    Raises
    ------
    IncompleteError
        When this process has one shard of several to do: each of them would make the same.
    """
    found = _there(needed, context)
    if found is not None:
        return found
    if context.shard.count > 1:
        raise IncompleteError(
            f"--shard {context.shard.index}/{context.shard.count} reads what `facelime {needed.stage}` makes, "
            f"and that is not there; run `facelime {needed.stage}` first, or this command once without --shard."
        )
    params = needed.params
    for name, before in needed.inputs.items():
        artifact = _made(before, context)
        params = replace(params, **{name: artifact.reference})
    return execute(stage_called(needed.stage), params, replace(context, name=None, lay_out=False, unit=None)).artifact


def identity(stage: Stage, plan: Plan) -> Identity:
    """Return what the fingerprint of a plan's artifact is made from.

    Parameters
    ----------
    stage : Stage
    plan : Plan
    """
    from facelime_cli.store.manifests import Identity

    return Identity(
        stage.name,
        stage.version,
        plan.parameters,
        {**plan.sources, **{name: artifact.content for name, artifact in plan.inputs.items()}},
    )


def _lay_out(stage: Stage, plan: Plan, context: Context) -> Artifact:
    from facelime_cli.store.references import check_name, name_from

    name = check_name(context.name) if context.name else name_from(plan.name)
    inputs = {name: {"kind": each.kind, "id": each.id, "digest": each.content} for name, each in plan.inputs.items()}
    inputs |= {name: {"digest": digest} for name, digest in plan.sources.items()}
    layout = plan.prepare()
    if context.unit is not None:
        layout = replace(layout, unit_pictures=context.unit)
    _check_room(stage, layout, context)
    return context.store.create(stage.writes, name, identity(stage, plan), inputs, layout)


def _check_room(stage: Stage, layout: Layout, context: Context) -> None:
    """Raise where the disk is too small for what is to be laid out, and warn where it may be."""
    (least, most), free = layout.room, context.store.free_bytes
    room = f"only {size_text(free)} is free at {context.store.shown}"
    if least > free:
        raise FacelimeError(
            f"`{stage.name}` writes {size_text(most)} before compression and more than {size_text(least)} after it, and"
            f" {room}; make room, or choose another store with --store."
        )
    if most > free:
        context.console.warn(f"`{stage.name}` writes {size_text(most)} before compression, and {room}: it may not fit.")


@dataclass(frozen=True)
class Command:
    """A subcommand beside the stages: it answers, and may make artifacts only by running stages."""

    name: str
    params: type[Any]
    run: Callable[[Any, Context], Answer]
    help: str
    named: bool = False
