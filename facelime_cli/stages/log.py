"""Say how an artifact was made: when, by which processes, on which machine, and how fast.

Each row is one process that worked on it. A machine is told from others by a few digits, not by its name.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from facelime_cli.console import Answer, Table, duration, size_text
from facelime_cli.engine import Command, Context
from facelime_cli.filters import seconds_since_epoch
from facelime_cli.logs import EVALUATIONS
from facelime_cli.options import Input
from facelime_cli.store import files
from facelime_cli.store.artifacts import LOG, LOGS
from facelime_cli.store.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from facelime_cli.store.artifacts import Artifact

MOST_BYTES = 1 << 26
"""Of one log: a line for each unit and each half minute of weeks."""
WHO = ("process", "facelime", "machine", "cores", "cards", "job", "node", "restarts")
"""What the beginning of a process tells of it."""
COLUMNS = ("shard", "begun (UTC)", "took", "units", "speed", "memory", "end")
MACHINES = ("machine", "cores", "cards", "facelime", "processes")
WARNINGS = ("library", "times", "warning")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `log`."""

    reference: Annotated[
        str,
        Argument(metavar="REF", help="Artifact, or - to read it from standard input.", show_default=False),
        Input(KINDS),
    ]


def run(params: Params, context: Context) -> Answer:
    """Tell what the logs of an artifact hold."""
    artifact = context.store.resolve(params.reference)
    runs: list[dict[str, Any]] = []
    warnings: dict[tuple[str, str], int] = {}
    for path in _logs(artifact):
        for event in _events(path):
            _note(event, path.stem.replace("of", "/"), runs, warnings)
    runs.sort(key=lambda each: str(each["begun"]))
    value = {
        "artifact": artifact.id,
        "kind": artifact.kind,
        "stage": artifact.stage,
        "begun": artifact.begun,
        "finished": artifact.finished,
        "seconds": artifact.made.get("seconds"),
        "hardware": artifact.made.get("hardware", {}),
        "software": artifact.made.get("software", {}),
        "runs": runs,
        "warnings": [{"library": each[0], "text": each[1], "times": n} for each, n in warnings.items()],
    }
    tables = [Table(COLUMNS, [_row(each) for each in runs])] if runs else []
    # Earlier versions wrote nothing of who works.
    tables += [Table(MACHINES, _machines(runs))] if any("process" in each for each in runs) else []
    if warnings:
        tables.append(Table(WARNINGS, [(each[0], str(n), each[1]) for each, n in warnings.items()]))
    return Answer(value, [_in_words(artifact, runs)], tables)


def _logs(artifact: Artifact) -> list[Path]:
    folder = files.inside(artifact.path, LOGS)
    return sorted(path for path in folder.glob("*.jsonl") if LOG.fullmatch(path.name) and not path.is_symlink())


def _events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a log; a line that a kill has broken off is passed over."""
    for line in files.read_small(path, MOST_BYTES).decode(errors="replace").splitlines():
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            yield event


def _note(
    event: Mapping[str, Any], shard: str, runs: list[dict[str, Any]], warnings: dict[tuple[str, str], int]
) -> None:
    """Add what an event tells to the process that it is of: the last one that has begun in its shard."""
    kind = event.get("event")
    if kind == "begin":
        known = {name: event[name] for name in WHO if name in event}
        runs.append({"shard": shard, "begun": event.get("time", ""), **known, **_NOTHING})
        return
    if kind == "warning":
        key = (str(event.get("library", "")), str(event.get("text", "")))
        warnings[key] = warnings.get(key, 0) + 1
        return
    own = next((each for each in reversed(runs) if each["shard"] == shard), None)
    if own is None:
        return
    own["last"] = event.get("time", "")
    own["memory_bytes"] = max(own["memory_bytes"], _number(event, "memory_bytes"))
    if kind == "unit":
        own["units"] += 1
        own["pictures"] += _number(event, "pictures")
        own[EVALUATIONS] += _number(event, EVALUATIONS)
        own["unit_seconds"] += _number(event, "seconds")
    elif kind == "end":
        own["seconds"] = _number(event, "seconds")
        own["end"] = str(event.get("stopped") or event.get("error") or "done")


_NOTHING: Mapping[str, Any] = {
    "last": "",
    "units": 0,
    "pictures": 0,
    EVALUATIONS: 0,
    "unit_seconds": 0,
    "memory_bytes": 0,
    "seconds": None,
    "end": "",
}
"""What is known of a process that has only begun."""


def _number(event: Mapping[str, Any], name: str) -> float:
    found = event.get(name, 0)
    return found if isinstance(found, int | float) and not isinstance(found, bool) else 0


def _row(run: Mapping[str, Any]) -> tuple[str, ...]:
    begun = str(run["begun"])[:16].replace("T", " ")
    took = duration(run["seconds"]) if run["seconds"] is not None else ""
    memory = size_text(run["memory_bytes"]) if run["memory_bytes"] else ""
    # A process that says nothing of its end was killed, or still works.
    return (str(run["shard"]), begun, took, str(run["units"]), _speed(run), memory, run["end"] or "no end is logged")


def _speed(run: Mapping[str, Any]) -> str:
    """Return how fast the units of a process were, in words."""
    if not run["unit_seconds"]:
        return ""
    if run[EVALUATIONS]:
        return f"{run[EVALUATIONS] / run['unit_seconds']:.4g} evaluations/s"
    return f"{run['pictures'] / run['unit_seconds']:.3g} pictures/s"


def _machines(runs: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return a row for each machine and version that processes ran on, with their numbers."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for each in runs:
        cards = each.get("cards")
        where = " ".join(str(each[name]) for name in ("machine", "node") if name in each)
        shown = ", ".join(map(str, cards)) if isinstance(cards, list) else ""
        key = (where, str(each.get("cores", "")), shown, str(each.get("facelime", "")))
        job = f" (job {each['job']})" if "job" in each else ""
        rows.setdefault(key, []).append(f"{each.get('process', '?')}{job}")
    return [(*key, ", ".join(dict.fromkeys(processes))) for key, processes in rows.items()]


def _in_words(artifact: Artifact, runs: list[dict[str, Any]]) -> str:
    owner = _owner(artifact.path)
    whole = f"{artifact.reference}: `{artifact.stage}`, begun {artifact.begun}"
    if owner:
        whole += f" by {owner}"
    if not artifact.complete:
        return f"{whole}, {artifact.progress}"
    took = ""
    # A store of somebody else may hold no times.
    with suppress(ValueError):
        seconds = seconds_since_epoch(artifact.finished) - seconds_since_epoch(artifact.begun)
        # The clocks of two machines may differ.
        took = f", {duration(max(0.0, seconds))} later"
    many = len(runs)
    return f"{whole}, completed {artifact.finished}{took}, by {many} process{'' if many == 1 else 'es'}"


def _owner(path: Path) -> str:
    """Return whose an artifact is, as this machine knows; a store holds no name of a user."""
    try:
        return path.owner()
    except (KeyError, OSError):
        return ""


COMMAND = Command("log", Params, run, __doc__ or "")
