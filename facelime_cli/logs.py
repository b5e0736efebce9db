"""What happened to one shard of an artifact: one JSON line an event, one writer, no part of any digest."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import StopRequested

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from facelime_cli.engine import Shard
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.units import Unit

COMMIT_SECONDS = 30.0
"""How often the commits inside a unit are written down: a line for each would be one every five seconds."""
EVALUATIONS = "evaluations"
"""What a unit notes when the model was asked for it."""
DIGITS = 3


class Log:
    """The log of one shard.

    Parameters
    ----------
    artifact : Artifact
    shard : Shard
    """

    def __init__(self, artifact: Artifact, shard: Shard) -> None:
        self._path: Path = artifact.file(f"logs/{shard.index}of{shard.count}.jsonl")
        self._begun = time.monotonic()

    def write(self, event: str, **facts: Any) -> None:
        """Append one event with its time.

        Parameters
        ----------
        event : str
            Its name.
        **facts
            What JSON can hold.
        """
        from facelime_cli.plain import json_text
        from facelime_cli.store.manifests import now

        line = json_text({"time": now(), "event": event, **facts}) + "\n"
        # One write a line: a process that was thought dead may still append to the same file.
        number = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(number, line.encode())
        finally:
            os.close(number)

    def begin(self, units: Sequence[int]) -> None:
        """Append who begins, where, and with which units.

        Parameters
        ----------
        units : sequence of int
        """
        from facelime_cli import __version__
        from facelime_cli.machine import cards, cores, job
        from facelime_cli.store.digests import of_value
        from facelime_cli.store.processes import this_host

        who = {"process": os.getpid(), "facelime": __version__, **job()}
        # A machine's own name may be a person's. It is told from others by a digest.
        where = {"machine": of_value(this_host())[:8], "cores": cores(), "cards": cards()}
        self.write("begin", **who, **where, units=units)

    def listening(self, unit: Unit) -> Callable[[int], None]:
        """Return what appends the commits inside a unit, one line now and then.

        Parameters
        ----------
        unit : Unit

        Returns
        -------
        callable
            Is told how many evaluations a commit kept.
        """
        kept, written = 0, time.monotonic()

        def heard(count: int) -> None:
            nonlocal kept, written
            kept += count
            if time.monotonic() - written >= COMMIT_SECONDS:
                written = time.monotonic()
                self.write("commit", unit=unit.index, **_speed(kept, unit.seconds), **_memory())

        return heard

    def finished(self, unit: Unit) -> None:
        """Append that a unit is finished.

        Parameters
        ----------
        unit : Unit
        """
        facts: dict[str, Any] = {"unit": unit.index, "pictures": unit.n}
        if EVALUATIONS in unit.facts:
            facts |= _speed(int(unit.facts[EVALUATIONS]), unit.seconds)
        self.write("unit", **facts, seconds=round(unit.seconds, DIGITS), **_memory())

    def end(self, units: int, complete: bool, why: BaseException | None = None) -> None:  # noqa: FBT001 - a fact
        """Append how the shard ended.

        Parameters
        ----------
        units : int
            How many were to do and are done.
        complete : bool
            Whether the artifact is.
        why : BaseException, optional
            What ended it; its text may name files, so that only a request to stop is quoted.
        """
        facts: dict[str, Any] = {"units": units, "complete": complete} if why is None else {"error": type(why).__name__}
        if isinstance(why, StopRequested):
            facts["stopped"] = str(why)
        self.write("end", **facts, seconds=round(time.monotonic() - self._begun, DIGITS), **_memory())

    def warn(self, library: str, text: str) -> None:
        """Append what a library says, without what it may quote of pictures and of the machine.

        Parameters
        ----------
        library : str
        text : str
        """
        from facelime_cli.hearing import withheld

        self.write("warning", library=library, text=withheld(library, text))


def _speed(evaluations: int, seconds: float) -> dict[str, Any]:
    return {EVALUATIONS: evaluations, "evaluations_per_second": round(evaluations / max(seconds, 1e-9), DIGITS)}


def _memory() -> dict[str, int]:
    from facelime_cli.machine import peak_memory

    return {"memory_bytes": peak_memory()}
