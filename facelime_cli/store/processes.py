"""Which process this is, and whether another one is alive."""

from __future__ import annotations

from pathlib import Path

BOOT_DIGITS = 8
START_FIELD = 19
"""Place of a process's start among what follows its name in `/proc/PID/stat`; the state is the first (proc(5))."""


def this_host() -> str:
    """Return a name of the machine and its process namespace: process numbers mean something only within it."""
    import socket

    parts = [socket.gethostname()]
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.exists() and namespace.exists():
        # Containers on one machine may share a host name, and a restart begins the process numbers anew.
        parts.append(boot.read_text().strip()[:BOOT_DIGITS])
        parts.append(namespace.readlink().name.strip("pid:[]"))
    return "/".join(parts)


def process_start(pid: int) -> str | None:
    """Return when a process of this host started.

    A process number is used again after its process; with its start, it names one process alone.

    Parameters
    ----------
    pid : int
        Number of the process.

    Returns
    -------
    str or None
        A text to compare; None when the process is not alive.
    """
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # A name in parentheses may hold spaces and parentheses itself, so the last one counts.
            after_name = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, start = after_name[0], after_name[START_FIELD]
        return None if state in "ZX" else start
    import subprocess

    words = ["ps", "-o", "lstart=", "-p", str(pid)]
    listed = subprocess.run(words, capture_output=True, text=True, check=False)
    return listed.stdout.strip() or None
