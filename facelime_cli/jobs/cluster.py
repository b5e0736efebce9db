"""What every engine of a cluster is asked for: its options, how they are checked, and how its files are written."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.jobs.pipeline import MOST_SHARDS
from facelime_cli.options import Execution, Heading
from facelime_cli.store.arrays import UNIT_PICTURES

if TYPE_CHECKING:
    from facelime_cli.engine import Context

TIME = re.compile(r"(?:(?P<days>\d{1,3})-)?(?P<hours>\d{1,4}):(?P<minutes>[0-5]\d):(?P<seconds>[0-5]\d)", re.ASCII)
GRES = re.compile(r"\w+(?::[\w.]+)?(?::\d+[TGM]?)?", re.ASCII)
MEMORY = re.compile(r"(?P<number>[1-9]\d{0,6})(?P<suffix>[MG])", re.ASCII)
PLAIN = re.compile(r"[\w.,+-]+", re.ASCII)
"""What a partition or an account may be called."""
JOBS = Heading("Jobs")
OPTIONS: list[Any] = [
    (
        "to",
        Annotated[
            Path,
            Option(metavar="DIR", help="Write the files into this folder.", show_default=False),
            Execution(),
            JOBS,
        ],
    ),
    (
        "shards",
        Annotated[
            int,
            Option(
                metavar="N",
                min=1,
                max=MOST_SHARDS,
                help="Divide each step into at most so many jobs. A step has no more shards than units.",
            ),
            Execution(),
            JOBS,
        ],
        8,
    ),
    (
        "unit",
        Annotated[
            int | None,
            Option(
                metavar="N",
                min=1,
                max=100_000,
                show_default=False,
                help=f"Put so many pictures into a unit, see --unit of the stages. [default: {UNIT_PICTURES}]",
            ),
            Execution(),
            JOBS,
        ],
        None,
    ),
    (
        "cpus",
        Annotated[int, Option(metavar="N", min=1, max=256, help="Use so many cores for each job."), Execution(), JOBS],
        4,
    ),
    (
        "partition",
        Annotated[
            str | None,
            Option(
                metavar="NAME",
                show_default=False,
                help="Under Slurm, run in this partition. [default: the cluster's own]",
            ),
            Execution(),
            JOBS,
        ],
        None,
    ),
    (
        "account",
        Annotated[
            str | None,
            Option(
                metavar="NAME", show_default=False, help="Under Slurm, charge this account. [default: the user's own]"
            ),
            Execution(),
            JOBS,
        ],
        None,
    ),
    (
        "gres",
        Annotated[
            str | None,
            Option(
                metavar="NAME:N",
                show_default=False,
                help="Under Slurm, give this to the steps that ask the model, such as gpu:1. [default: nothing]",
            ),
            Execution(),
            JOBS,
        ],
        None,
    ),
    (
        "time",
        Annotated[
            str,
            Option(
                metavar="H:MM:SS",
                help="Under Slurm, limit each job to this time. What is not done by then is sent again.",
            ),
            Execution(),
            JOBS,
        ],
        "1:00:00",
    ),
    (
        "memory",
        Annotated[
            str | None,
            Option(
                metavar="SIZE",
                show_default=False,
                help="Under Slurm, give each job this memory, such as 8G. [default: what the cluster gives by itself]",
            ),
            Execution(),
            JOBS,
        ],
        None,
    ),
    (
        "force",
        Annotated[bool, Option("--force", help="Replace files that hold something else."), Execution(), JOBS],
        False,
    ),
]
"""What an engine needs beside the options of the stages: name, annotated type, default."""


def minutes(text: str) -> int:
    """Return a time limit of Slurm in minutes, rounded up.

    Parameters
    ----------
    text : str
        H:MM:SS, or D-H:MM:SS.

    Raises
    ------
    CommandLineError
        When it is none, or no time at all.

    Examples
    --------
    >>> minutes("1:00:00"), minutes("2-00:00:01")
    (60, 2881)
    """
    match = TIME.fullmatch(text)
    seconds = 0
    if match:
        days, hours, mins, secs = (int(match[each] or 0) for each in ("days", "hours", "minutes", "seconds"))
        seconds = ((days * 24 + hours) * 60 + mins) * 60 + secs
    if not seconds:
        raise CommandLineError(f"--time {text!r} should be a time such as 1:00:00, or 2-00:00:00 for two days.")
    return math.ceil(seconds / 60)


def megabytes(text: str | None) -> int:
    """Return a memory size in megabytes; 0 where nothing is asked for.

    Parameters
    ----------
    text : str, optional
        A whole number with M or G behind it.

    Raises
    ------
    CommandLineError
        When it is something else.

    Examples
    --------
    >>> megabytes("8G"), megabytes(None)
    (8192, 0)
    """
    if text is None:
        return 0
    match = MEMORY.fullmatch(text)
    if not match:
        raise CommandLineError(f"--memory {text!r} should be a size such as 8G or 800M.")
    return int(match["number"]) * (1024 if match["suffix"] == "G" else 1)


def plain(option: str, text: str | None) -> str | None:
    """Return what a partition or an account is called; raise where Slurm would read it as something else."""
    if text is not None and not PLAIN.fullmatch(text):
        raise CommandLineError(f"{option} {text!r} should have letters, digits and . , + - _ alone.")
    return text


def checked_gres(text: str | None) -> str | None:
    """Return what --gres asks for; raise where it has another form."""
    if text is not None and not GRES.fullmatch(text):
        raise CommandLineError(f"--gres {text!r} should be a name and a number, such as gpu:1 or gpu:a100:2.")
    return text


def check_folder(folder: Path, context: Context) -> None:
    """Raise where --to is no folder, or lies among artifacts."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        raise FacelimeError(f"--to {folder} cannot be made, since {there} is no folder; choose another --to.")
    if any(folder.absolute().resolve().is_relative_to(place) for place in context.store.places):
        raise FacelimeError(f"--to {folder} lies among the artifacts of the store; choose another folder.")


def write(folder: Path, made: dict[str, str], *, force: bool) -> None:
    """Write files into a folder; nothing is written where one of them would replace something else.

    Parameters
    ----------
    folder : Path
    made : dict
        Texts by their path in the folder. Those that end with .sh can be run.
    force : bool
        Replace what holds something else.

    Raises
    ------
    FacelimeError
        When a file holds something else.
    """
    from facelime_cli.store.files import write_whole

    changed = {name: text for name, text in made.items() if not _holds(folder / name, text)}
    there = [name for name in changed if (folder / name).exists()]
    if there and not force:
        raise FacelimeError(f"{folder / there[0]} holds something else; choose another --to, or --force to replace it.")
    for name, text in changed.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, _bytes_of(text))
        if path.suffix == ".sh":
            mode = path.stat().st_mode
            # Whoever may read it may run it.
            path.chmod(mode | (mode & 0o444) >> 2)


def _bytes_of(text: str) -> bytes:
    # A path of the system may hold bytes that are no UTF-8.
    return text.encode(errors="surrogateescape")


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == _bytes_of(text)
