"""A claim says which live process works on a unit.

The files of one unit are `00003.N`: the highest number N holds. To take a unit over, a process creates the file with
the next number, which only one process can do. So of two that find the same dead claim one wins, and a process that was
thought dead sees that it was replaced. The first number is the time, so that none is used again.

Two processes that find no claim at all create two files. So each looks again after it has written its own. Who sees an
older file gives way. Who sees a newer one waits: its process gives way, or it had looked before this file was there.
"""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from facelime_cli.errors import BrokenError, BusyError
from facelime_cli.store import digests, forms, temporary
from facelime_cli.store.files import json_bytes, read_json, write_first, write_whole
from facelime_cli.store.processes import process_start, this_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

HEARTBEAT_SECONDS = 10.0
SILENCE_SECONDS = 120.0
"""How long another host's claim may stand still before it counts as dead."""
LOOK_SECONDS = 1.0
"""How often a waiting process looks at another host's claim."""
FIRST_PAUSE_SECONDS = 0.05
"""How long a process first waits for one of its own host; then twice as long each time, up to `LOOK_SECONDS`."""
GIVING_WAY_SECONDS = 0.5
"""How long the file of a process that gives way may still be there."""
DAMAGED_SECONDS = 3 * HEARTBEAT_SECONDS
"""How long a claim that cannot be read may stand still: its process would have written it again by then."""
FILE = re.compile(r"(\d{5,9})\.(\d{1,19})")
"""Name of a claim's file: the unit and the number of the claim."""


@dataclass
class Claim:
    """The hold of this process on one unit; a context manager that lets go at the end.

    Attributes
    ----------
    path : Path
        File of the claim, `UNIT.N`.
    """

    path: Path
    _stop: threading.Event = field(default_factory=threading.Event)
    _beat: threading.Thread | None = None

    @classmethod
    def take(
        cls, folder: Path, unit: int, say: Callable[[str], None], *, silence_seconds: float = SILENCE_SECONDS
    ) -> Claim:
        """Hold a unit; a dead process's claim is replaced.

        Parameters
        ----------
        folder : Path
            Folder of the artifact's claims.
        unit : int
            Number of the unit.
        say : callable
            Is told why this waits.
        silence_seconds : float
            How long another host's claim may stand still before it counts as dead.

        Returns
        -------
        Claim
            Its heartbeat starts when it is entered.

        Raises
        ------
        BusyError
            When a live process holds the unit.
        """
        while True:
            dead = _of_unit(folder, unit)
            if dead:
                _refuse_if_alive(dead[0], unit, say, silence_seconds)
            for older in dead[1:]:
                holder = _live(older)
                if holder is not None:
                    raise refusal(unit, holder)
            if not all(held.exists() for held in dead):
                # Its process has let go, and others may have seen that before this one.
                continue
            newest = _number(dead[0]) if dead else None
            number = time.time_ns() if newest is None else newest + 1
            path = folder / f"{unit:05d}.{number}"
            # A process that loses the race for a number looks again who holds the unit.
            path.parent.mkdir(mode=0o700, exist_ok=True)
            content = _content(0)
            try:
                if write_first(path, content, durable=False):
                    if _is_alone(path, dead):
                        return cls(path)
                    path.unlink(missing_ok=True)
            except BaseException:
                # A signal may come between the file and its being handed out, and then nobody would let go of it.
                if path.is_file() and path.read_bytes() == content:
                    path.unlink(missing_ok=True)
                raise

    def __enter__(self) -> Self:
        """Start the heartbeat."""
        # A daemon, so that a process which is about to end does not wait for it.
        self._beat = threading.Thread(target=self._count, daemon=True)
        try:
            self._beat.start()
        except BaseException:
            # A signal may come here, and then nobody would leave what was not entered.
            self._stop.set()
            self._let_go()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the unit go."""
        self._stop.set()
        # The heartbeat ends first, or it might write the file again.
        try:
            if self._beat is not None:
                self._beat.join()
        finally:
            # A signal may have ended the waiting.
            self._let_go()

    def _let_go(self) -> None:
        try:
            self.path.unlink(missing_ok=True)
        except BaseException:
            # A signal may have come before the file was gone.
            self.path.unlink(missing_ok=True)
            raise

    def check(self) -> None:
        """Raise when another process has taken this unit over.

        Raises
        ------
        BusyError
            What this process has not written yet would collide with the other's work.
        FileNotFoundError
            When the store is gone, such as a disk that was disconnected.
        """
        unit = int(self.path.stem)
        if not self.path.parent.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path.parent))
        if _newest(self.path.parent, unit) != self.path:
            raise BusyError(
                f"another process took over unit {unit} while this one stood still;"
                " nothing is lost, repeat the command."
            )

    def _count(self) -> None:
        """Count up until the claim ends, which tells other hosts that this process is alive."""
        counter = 0
        while not self._stop.wait(HEARTBEAT_SECONDS):
            counter += 1
            if not self.path.exists():
                return
            # A full disk ends the work where it writes. A missed beat is made up by the next.
            with suppress(OSError):
                write_whole(self.path, _content(counter), durable=False)


def refuse_if_held(folder: Path, chosen: Iterable[int] | None = None) -> None:
    """Raise when a live process of this host holds one of some units; it does not wait for other hosts.

    Parameters
    ----------
    folder : Path
        Folder of the artifact's claims, which is listed once.
    chosen : iterable of int, optional
        Numbers of units; by default any.

    Raises
    ------
    BusyError
        Naming the process.
    """
    claimed = units_claimed(folder)
    for unit in sorted(claimed if chosen is None else claimed.intersection(chosen)):
        holder = live_holder(folder, unit)
        if holder is not None:
            raise refusal(unit, holder)


@contextmanager
def alone(folder: Path, unit: int, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a unit, and wait as long as another live process holds it.

    Parameters
    ----------
    folder : Path
        Folder of the artifact's claims.
    unit : int
        Number of the unit.
    say : callable
        Is told once that this waits.

    Yields
    ------
    None
        While it is held.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            # Whether another host's process is alive, `take` itself waits to see.
            claim = Claim.take(folder, unit, lambda _: None)
            break
        except BusyError:
            if pause == FIRST_PAUSE_SECONDS:
                say("another process is making what this one needs too; waiting for it.")
            time.sleep(pause)
            pause = min(2 * pause, LOOK_SECONDS)
    with claim:
        yield


def live_holder(folder: Path, unit: int) -> dict[str, Any] | None:
    """Return who holds a unit, when that is a live process of this host; it does not wait for other hosts.

    Parameters
    ----------
    folder : Path
        Folder of the artifact's claims.
    unit : int
        Number of the unit.

    Returns
    -------
    dict or None
        With `host`, `pid` and `start`.
    """
    held = _newest(folder, unit)
    return None if held is None else _live(held)


def units_claimed(folder: Path) -> set[int]:
    """Return the units that somebody has claimed, alive or not.

    Parameters
    ----------
    folder : Path
        Folder of the artifact's claims.

    Returns
    -------
    set of int
    """
    return {int(match[1]) for match in map(FILE.fullmatch, _names(folder)) if match}


def read(path: Path) -> dict[str, Any] | None:
    """Return what a claim says.

    Parameters
    ----------
    path : Path
        Its file.

    Returns
    -------
    dict or None
        With `host`, `pid`, `start` and `counter`; None when it is gone, or damaged.
    """
    try:
        claim = read_json(path)
        forms.CLAIM(claim, "")
    except (OSError, BrokenError, forms.FormError):
        return None
    # Claims of earlier versions have no digest.
    return claim if claim.get("digest") in {None, digests.of_rest(claim)} else None


def refusal(unit: int, holder: dict[str, Any]) -> BusyError:
    """Return the error that names the process which holds a unit.

    Parameters
    ----------
    unit : int
        Number of the unit.
    holder : dict
        With `host` and `pid`.

    Returns
    -------
    BusyError
        To raise.
    """
    return BusyError(
        f"process {holder['pid']} on {_host(holder)} works on unit {unit};"
        " wait for it, or give each process its own shard with --shard I/N."
    )


def _host(holder: dict[str, Any]) -> str:
    # Behind the slash are the machine's start and the process namespace, which tell a person nothing.
    return str(holder["host"]).partition("/")[0]


def alive(holder: dict[str, Any]) -> bool:
    """Return whether the holder of a claim, a process of this host, is alive.

    Parameters
    ----------
    holder : dict
        From `read`.

    Returns
    -------
    bool
    """
    start = process_start(holder["pid"])
    return start is not None and start == holder["start"]


def _content(counter: int) -> bytes:
    """Return what the file of a claim of this process holds."""
    pid = os.getpid()
    claim = {"host": this_host(), "pid": pid, "start": process_start(pid), "counter": counter}
    return json_bytes({**claim, "digest": digests.of_rest(claim)})


def _number(path: Path) -> int:
    return int(path.suffix[1:])


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("[0-9]*")]


def _live(path: Path) -> dict[str, Any] | None:
    """Return the holder of a claim, when that is a live process of this host."""
    holder = read(path)
    if holder is None or holder["host"] != this_host():
        return None
    return holder if alive(holder) else None


def _of_unit(folder: Path, unit: int) -> list[Path]:
    """Return the files of a unit, the newest first."""
    found = (FILE.fullmatch(name) for name in _names(folder))
    return sorted((folder / each[0] for each in found if each and int(each[1]) == unit), key=_number, reverse=True)


def _newest(folder: Path, unit: int) -> Path | None:
    return next(iter(_of_unit(folder, unit)), None)


def _is_alone(path: Path, dead: list[Path]) -> bool:
    """Delete the claims that one has replaced, and return whether no other is left."""
    for each in dead:
        temporary.delete(each)
    until = time.monotonic() + GIVING_WAY_SECONDS
    while True:
        rivals = [_number(each) for each in _of_unit(path.parent, int(path.stem)) if each != path]
        if not rivals:
            return True
        if min(rivals) < _number(path) or time.monotonic() > until:
            return False
        time.sleep(GIVING_WAY_SECONDS / 10)


def _refuse_if_alive(held: Path, unit: int, say: Callable[[str], None], silence_seconds: float) -> None:
    """Return when the holder is dead; for another host that takes up to `silence_seconds` of listening."""
    holder = read(held)
    if holder is None:
        _wait_for_damaged(held, unit, say, min(silence_seconds, DAMAGED_SECONDS))
        return
    if holder["host"] == this_host():
        if alive(holder):
            raise refusal(unit, holder)
        return
    # Another host's process numbers say nothing here, so only its counter tells.
    say(
        f"unit {unit} is claimed by a process on {_host(holder)}:"
        f" waiting up to {silence_seconds:.0f} s for a sign of life."
    )
    for _ in _looks(silence_seconds):
        now = read(held)
        # The holder has let go, or another process has replaced its claim: `take` looks again.
        if now is None:
            return
        if now["counter"] != holder["counter"]:
            raise refusal(unit, holder)


def _wait_for_damaged(held: Path, unit: int, say: Callable[[str], None], seconds: float) -> None:
    """Return when the holder of a claim that cannot be read has had the time to write it again, or has let go."""
    if not held.exists():
        return
    say(f"the claim on unit {unit} cannot be read: waiting up to {seconds:.0f} s for its process to write it again.")
    for _ in _looks(seconds):
        if not held.exists() or read(held) is not None:
            return
    # Nobody writes it: the next number replaces it.


def _looks(seconds: float) -> Iterator[None]:
    """Yield as often as a waiting process should look."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(min(LOOK_SECONDS, seconds / 4))
        yield
