"""A claim says which live process works on a unit.

The files of one unit are `00003.N`: the highest number N holds. Taking over means creating the next number, which only one process can do, so two that
find the same dead claim cannot both win, and a process that was thought dead sees that it was replaced. The first number is the time, so that none is used again.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from facelime_cli.errors import BusyError
from facelime_cli.store.files import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

HEARTBEAT_SECONDS = 10.0
SILENCE_SECONDS = 120.0
"""How long another host's claim may stand still before it counts as dead."""
LOOK_SECONDS = 1.0


def this_host() -> str:
    """Return a name of the machine and its process namespace: process numbers mean something only within it."""
    parts = [socket.gethostname()]
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.exists() and namespace.exists():
        parts += [boot.read_text().strip()[:8], namespace.readlink().name.strip("pid:[]")]
    return "/".join(parts)


def process_start(pid: int) -> str | None:
    """Return when a process of this host started, in a form to compare, or None when it is not alive."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            after_name = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, start = after_name[0], after_name[19]
        return None if state in "ZX" else start
    import subprocess

    listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S607 - POSIX
    return listed.stdout.strip() or None


@dataclass
class Claim:
    """The hold of this process on one unit; a context manager that lets go at the end."""

    path: Path
    _stop: threading.Event = field(default_factory=threading.Event)
    _beat: threading.Thread | None = None

    @classmethod
    def take(
        cls, folder: Path, unit: int, say: Callable[[str], None], *, silence_seconds: float = SILENCE_SECONDS
    ) -> Claim:
        """Hold a unit, taking it over from a dead process, or raise `BusyError` naming the live one."""
        while True:
            held = _newest(folder, unit)
            if held is not None:
                _refuse_if_alive(held, unit, say, silence_seconds)
            path = folder / f"{unit:05d}.{time.time_ns() if held is None else int(held.suffix[1:]) + 1}"
            if _create(path):
                for older in folder.glob(f"{unit:05d}.*"):
                    if int(older.suffix[1:]) < int(path.suffix[1:]):
                        older.unlink(missing_ok=True)
                return cls(path)

    def __enter__(self) -> Self:
        """Start the heartbeat."""
        self._beat = threading.Thread(target=self._count, daemon=True)
        self._beat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the unit go."""
        self._stop.set()
        if self._beat is not None:
            self._beat.join()
        self.path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise `BusyError` when another process has taken this unit over."""
        newest = _newest(self.path.parent, int(self.path.stem))
        if newest != self.path:
            raise BusyError(
                f"unit {int(self.path.stem)} was taken over by another process while this one stood still; nothing is lost, start it again."
            )

    def _count(self) -> None:
        counter = 0
        while not self._stop.wait(HEARTBEAT_SECONDS):
            counter += 1
            if not self.path.exists():
                return
            with suppress(OSError):  # a full disk ends the work where it writes; a missed beat is made up by the next
                write_json(self.path, _identity(counter), durable=False)


def live_holder(folder: Path, unit: int) -> dict[str, Any] | None:
    """Return who holds a unit, when that is a live process of this host other than this one; costs no waiting."""
    held = _newest(folder, unit)
    holder = None if held is None else _read(held)
    if holder is None or holder["host"] != this_host():
        return None
    return holder if process_start(holder["pid"]) == holder["start"] else None


def refusal(unit: int, holder: dict[str, Any]) -> BusyError:
    """Return the sentence that names the process which holds a unit."""
    host = str(holder["host"]).split("/")[0]
    return BusyError(
        f"unit {unit} is being worked on by process {holder['pid']} on {host}; wait for it, or give each process its own part with --shard I/N."
    )


def _identity(counter: int) -> dict[str, Any]:
    return {"host": this_host(), "pid": os.getpid(), "start": process_start(os.getpid()), "counter": counter}


def _create(path: Path) -> bool:
    """Create a claim file with its content in one step; False when somebody else has."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    write_json(temporary, _identity(0), durable=False)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _newest(folder: Path, unit: int) -> Path | None:
    return max(folder.glob(f"{unit:05d}.*"), key=lambda path: int(path.suffix[1:]), default=None)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return read_json(path)
    except FileNotFoundError:
        return None


def _refuse_if_alive(held: Path, unit: int, say: Callable[[str], None], silence_seconds: float) -> None:
    """Return when the holder is dead; for another host that takes up to `silence_seconds` of listening."""
    holder = _read(held)
    if holder is None:
        return
    if holder["host"] == this_host():
        if process_start(holder["pid"]) == holder["start"]:
            raise refusal(unit, holder)
        return
    say(
        f"unit {unit} was claimed on {str(holder['host']).split('/')[0]}: listening up to {silence_seconds:.0f} s for a sign of life."
    )
    until = time.monotonic() + silence_seconds
    while time.monotonic() < until:
        time.sleep(min(LOOK_SECONDS, silence_seconds / 4))
        now = _read(held)
        if now is None:
            return
        if now["counter"] != holder["counter"]:
            raise refusal(unit, holder)
