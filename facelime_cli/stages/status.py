"""List the artifacts in the store: how far they are, how large, and how old.

--kind, --named, --state and the ages choose some of them. --tree shows what was made from what.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli.console import Answer, Table, duration, size_text
from facelime_cli.engine import Command, Context
from facelime_cli.errors import BrokenError
from facelime_cli.filters import Filters, age_text, moment_of
from facelime_cli.options import Choice
from facelime_cli.store.artifacts import DAMAGED, standing
from facelime_cli.store.kinds import KINDS
from facelime_cli.store.lineage import Lineage, origins
from facelime_cli.store.presence import CLAIMS, why_busy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.references import Store

COLUMNS = ("artifact", "state", "size", "age")
WATCHED = ("artifact", "units", "claimed", "rate", "left")
LOOK_SECONDS = 10.0
"""How often a watched store is looked at."""
MINUTE = 60
COMPLETE, UNFINISHED, WORKED_ON = "complete", "unfinished", "worked-on"
STATES = (COMPLETE, UNFINISHED, WORKED_ON, DAMAGED)
INDENTED = "  "
WIDTH = 80
"""Letters of a line, on the narrowest terminal that is usual."""
MOST_BESIDE = 3
"""Further inputs of an artifact that the tree names."""


@dataclass(frozen=True, kw_only=True)
class Params(Filters):
    """Parameters of `status`."""

    state: Annotated[
        str | None,
        Choice(STATES),
        Option(
            show_default=False,
            help="Only artifacts in this state: complete, unfinished, unfinished and worked on by a process, or "
            "damaged.",
        ),
    ] = None
    tree: Annotated[
        bool,
        Option(
            "--tree",
            help="Show each artifact below what it was made from. What a chosen one was made from is shown too.",
        ),
    ] = False
    watch: Annotated[
        bool,
        Option(
            "--watch",
            help=f"Look every {LOOK_SECONDS:.0f} seconds while a process works on an artifact, and show how far each "
            "is: units done, units that a process has claimed, rate and time left. Then list everything.",
        ),
    ] = False


def run(params: Params, context: Context) -> Answer:
    """Say of every artifact that is meant how it stands."""
    chosen = params.chooser()
    if params.watch:
        _watch(context)
    # Broken artifacts are listed like all others: here is where one looks for them.
    every = context.store.artifacts()
    found: dict[str, dict[str, Any]] = {}
    for each in every:
        if chosen(each):
            known = standing(each) | {"made_from": origins(each)}
            if params.state is None or params.state in _states(each, known):
                found[each.reference] = known
    value = {"store": str(context.store.shown), **_totals(found.values()), "artifacts": list(found.values())}
    if not every:
        return Answer(value, [f"nothing in {context.store.shown} yet"])
    words = _total_words(found, len(every), context)
    artifacts = {each.reference: each for each in every if each.reference in found}
    shown = [Table((DAMAGED, "why"), _damage(found))] if any(_is_damaged(each) for each in found.values()) else []
    if params.tree:
        return Answer(value, [words, *_tree(found, Lineage(context.store))], shown)
    return Answer(value, [words, *_lines(found, artifacts)] if found else [words], shown)


def _states(artifact: Artifact, known: Mapping[str, Any]) -> set[str]:
    """Return the words of `--state` that are true of an artifact."""
    if _is_damaged(known):
        return {DAMAGED}
    if known["complete"]:
        return {COMPLETE}
    return {UNFINISHED, WORKED_ON} if why_busy(artifact.path) else {UNFINISHED}


def _is_damaged(known: Mapping[str, Any]) -> bool:
    return str(known["state"]).startswith(DAMAGED)


def _totals(found: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many artifacts there are, how large they are together, and how many are not whole."""
    every = list(found)
    damaged = sum(_is_damaged(each) for each in every)
    return {
        "count": len(every),
        "bytes": sum(each["bytes"] for each in every),
        UNFINISHED: sum(not each["complete"] for each in every) - damaged,
        DAMAGED: damaged,
    }


def _total_words(found: Mapping[str, Mapping[str, Any]], every: int, context: Context) -> str:
    total = _totals(found.values())
    count = f"{total['count']} of {every}" if total["count"] != every else f"{every}"
    words = [f"{count} artifact{'' if every == 1 else 's'}", size_text(total["bytes"])]
    words += [f"{total[name]} {name}" for name in (UNFINISHED, DAMAGED) if total[name]]
    return f"{context.store.shown}: {', '.join(words)}"


def _lines(found: Mapping[str, Mapping[str, Any]], artifacts: Mapping[str, Artifact]) -> list[str]:
    """Return the listing: for each kind its total, then its artifacts.

    With the kind in a column of its own, ids would not fit. An id that is too long all the same has a line of its own.
    """
    now, rows = time.time(), [COLUMNS]
    for kind in KINDS:
        its = {reference: each for reference, each in found.items() if each["kind"] == kind}
        if its:
            rows.append((f"{kind}: {len(its)}", "", size_text(_totals(its.values())["bytes"]), ""))
        for reference, each in its.items():
            age = age_text(now - moment_of(artifacts[reference]))
            rows.append((INDENTED + each["artifact"], _state(each), size_text(each["bytes"]), age))
            rows += [(2 * INDENTED + f"called {name}", "", "", "") for name in _other_names(each)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    first = min(widths[0], WIDTH - sum(widths[1:]) - len(INDENTED) * (len(COLUMNS) - 1))
    lines = []
    for row in rows:
        figures = INDENTED.join((row[1].ljust(widths[1]), row[2].rjust(widths[2]), row[3].rjust(widths[3])))
        name = row[0]
        if len(name) > first:
            lines.append(name)
            name = ""
        lines.append(f"{name.ljust(first)}  {figures}")
    return [each.rstrip() for each in lines if each.strip()]


def _other_names(known: Mapping[str, Any]) -> list[str]:
    """Return the names of an artifact that its id does not tell."""
    own = str(known["artifact"]).rpartition("-")[0]
    return [] if known["names"] == [own] else list(known["names"])


def _state(known: Mapping[str, Any]) -> str:
    """Return the state of an artifact in a few letters."""
    if known["complete"]:
        return COMPLETE
    if _is_damaged(known):
        return DAMAGED
    done, units = known["units_done"], known["units"]
    return f"{done} of {units} units" if done < units else "not sealed"


def _damage(found: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [
        (reference, str(each["state"]).removeprefix(f"{DAMAGED}: "))
        for reference, each in found.items()
        if _is_damaged(each)
    ]


# The tree


def _tree(found: Mapping[str, Mapping[str, Any]], lineage: Lineage) -> list[str]:
    """Return the lines of the tree: the chosen artifacts, and what they were made from."""
    below = _below(set(found).union(*(lineage.above(each) for each in found)), lineage)
    sizes = {each: size_text(known["bytes"]) for each, known in found.items()}
    width = max((len(each) for each in sizes.values()), default=0)
    lines: list[str] = []
    # What waits: an artifact, what it stands below, and what is drawn before it and before what comes below it.
    waiting = [(each, "", "", "") for each in reversed(below.get("", []))]
    while waiting:
        reference, parent, branch, ahead = waiting.pop()
        children = below.get(reference, [])
        state = _state(found[reference]) if reference in found else COMPLETE
        said = "" if state == COMPLETE else f"  ({state})"
        lines.append(f"{sizes.get(reference, '').rjust(width)}  {branch}{reference}{said}")
        bar = "│" if children else " "
        lines += [f"{' ' * width}  {ahead}{bar} + {each}" for each in _beside(reference, parent, lineage)]
        for each in reversed(children):
            drawn, further = ("└", " ") if each == children[-1] else ("├", "│")
            waiting.append((each, reference, ahead + drawn, ahead + further))
    return lines


def _below(shown: set[str], lineage: Lineage) -> dict[str, list[str]]:
    """Return what stands below each artifact; below nothing, what was made from nothing that is there.

    An artifact with several inputs stands below the one that is farthest from the beginning.
    """
    depths = lineage.depths()
    below: dict[str, list[str]] = {}
    for each in lineage.artifacts:
        if each in shown:
            # Of what was made from itself, as a damaged store may tell, the deepest would lead round and round.
            there = [one for one in lineage.parents(each) if one in shown and depths[one] < depths[each]]
            below.setdefault(max(there, key=depths.__getitem__, default=""), []).append(each)
    return below


def _beside(reference: str, parent: str, lineage: Lineage) -> list[str]:
    """Return what else an artifact was made from: neither the one that it stands below, nor what that was made from."""
    seen = {parent, *lineage.above(parent)}
    others = [each for each in lineage.parents(reference) if each not in seen]
    gone = [f"{each}, which is gone" if each not in lineage.artifacts else each for each in others]
    return gone if len(gone) <= MOST_BESIDE else [*gone[: MOST_BESIDE - 1], f"{len(gone) - MOST_BESIDE + 1} others"]


# Watching


@dataclass
class _Seen:
    """An artifact that is being made, and what of it was done at the first look."""

    artifact: Artifact
    done: int
    since: float = field(default_factory=time.monotonic)

    def row(self) -> tuple[str, ...]:
        """Return how far it is, as the table says it."""
        done, units = self.artifact.n_done, self.artifact.n_units
        claimed = len(list((self.artifact.path / CLAIMS).glob("[0-9]*")))
        words = f"{done} of {units} units ({100 * done // units} %)"
        if self.artifact.complete:
            return (self.artifact.reference, "complete", "", "", "")
        # Measured by this process from its first look on: clocks of several machines may differ.
        seconds = time.monotonic() - self.since
        if done <= self.done:
            return (self.artifact.reference, words, f"{claimed} in work", "", "")
        rate = (done - self.done) / seconds
        left = f"about {duration((units - done) / rate)} left"
        return (self.artifact.reference, words, f"{claimed} in work", f"{rate * MINUTE:.3g} units/min", left)


def _watch(context: Context) -> None:
    """Show how far the artifacts in work are, until nobody works on any."""
    seen: dict[str, _Seen] = {}
    with context.console.live(keys=1) as show:
        while _look(context.store, seen):
            show(Table(WATCHED, [each.row() for each in seen.values()]))
            time.sleep(LOOK_SECONDS)
        show(Table(WATCHED, [each.row() for each in seen.values()]))


def _look(store: Store, seen: dict[str, _Seen]) -> bool:
    """Note the artifacts that a process works on; return whether there is one."""
    busy = False
    for artifact in store.artifacts():
        if artifact.complete or not why_busy(artifact.path):
            continue
        busy = True
        if artifact.reference not in seen:
            try:
                seen[artifact.reference] = _Seen(artifact, artifact.n_done)
            except BrokenError:
                # The listing says what is wrong with it.
                continue
    return busy


COMMAND = Command("status", Params, run, __doc__ or "")
