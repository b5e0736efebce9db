"""List the artifacts in the store: how far they are, how large, and when they were begun."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from typer import Option

from facelime_cli.console import Answer, Table, duration, size_text
from facelime_cli.engine import Command, Context
from facelime_cli.errors import BrokenError
from facelime_cli.store.artifacts import standing
from facelime_cli.store.presence import CLAIMS, why_busy

if TYPE_CHECKING:
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.references import Store

COLUMNS = ("kind", "artifact", "names", "state", "size", "begun")
WATCHED = ("artifact", "units", "claimed", "rate", "left")
LOOK_SECONDS = 10.0
"""How often a watched store is looked at."""
MINUTE = 60


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `status`."""

    watch: Annotated[
        bool,
        Option(
            "--watch",
            help=f"Look every {LOOK_SECONDS:.0f} seconds while a process works on an artifact, and show how far each "
            "is: units done, units that a process has claimed, rate and time left. Then list everything.",
        ),
    ] = False


def run(params: Params, context: Context) -> Answer:
    """Say of every artifact how it stands."""
    if params.watch:
        _watch(context)
    # Broken artifacts are listed like all others: here is where one looks for them.
    found = [standing(each) for each in context.store.artifacts()]
    value = {"store": str(context.store.shown), "artifacts": found}
    if not found:
        return Answer(value, [f"nothing in {context.store.shown} yet"])
    rows = []
    for each in found:
        names, size = ", ".join(each["names"]), size_text(each["bytes"])
        rows.append((each["kind"], each["artifact"], names, each["state"], size, each["begun"]))
    return Answer(value, tables=[Table(COLUMNS, rows)])


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
