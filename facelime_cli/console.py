"""The terminal: results on stdout, everything for eyes on stderr. The only module that writes to one."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console as RichConsole

SIZE_STEP = 1024
PLAIN_SECONDS = 30.0
"""How often a progress line is written where there is no terminal (a scheduler's log file)."""
PLAIN_COLUMNS = 240


class Advance(Protocol):
    """Counts what was done of a task; what came for free says nothing of its rate."""

    def __call__(self, n: int, *, free: bool = False) -> None:
        """Count."""


@dataclass(frozen=True)
class Table:
    """A result for people: a title, column names and rows of text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""


@dataclass(frozen=True)
class Drawing:
    """A picture for people: pixels of red, green and blue, two rows to a line, and letters for a terminal without colours."""

    pixels: Sequence[Sequence[tuple[int, int, int]]]
    letters: Sequence[str]
    title: str = ""


@dataclass(frozen=True)
class Answer:
    """What a command has to say: a JSON value, and the same as lines or tables; `notes` and `said` are for eyes, beside a result that another command reads."""

    value: dict[str, Any]
    lines: Sequence[str] = ()
    tables: Sequence[Table | Drawing] = ()
    code: int = 0
    notes: Sequence[Table] = ()
    said: Sequence[str] = ()


@dataclass
class Console:
    """Writes results, notes, warnings, errors and progress; `quiet` keeps to results and errors."""

    quiet: bool = False
    as_json: bool = False
    _warned: set[str] = field(default_factory=set)

    def answer(self, answer: Answer) -> None:
        """Write a command's result to stdout, and what stands beside it to stderr."""
        if self.as_json:
            print(json.dumps(answer.value, ensure_ascii=False, allow_nan=False))
            return
        if not self.quiet:
            for table in answer.notes:
                self._print_table(table, stderr=True)
        for text in answer.said:
            self.note(text)
        for line in answer.lines:
            print(line)
        for each in answer.tables:
            if isinstance(each, Drawing):
                self._print_drawing(each)
            else:
                self._print_table(each)

    def note(self, text: str) -> None:
        """Say something that helps but that nothing depends on."""
        if not self.quiet:
            self._line(text)

    def warn(self, text: str) -> None:
        """Say something that may be wrong with the result; once each."""
        if not self.quiet and text not in self._warned:
            self._warned.add(text)
            self._line(f"warning: {text}")

    def error(self, text: str) -> None:
        """Say in one sentence why the command failed."""
        self._line(f"error: {text}")

    @contextmanager
    def progress(self, task: str, total: int, done: int = 0, unit: str = "pictures") -> Iterator[Advance]:
        """Show how far a long task is, with rate and time left; the callable counts what was done."""
        if self.quiet or total == 0:
            yield lambda *_, **__: None
        elif sys.stderr.isatty():
            yield from _bar(self._rich(), task, total, done, unit)
        else:
            yield _plain_lines(self._line, task, total, done, unit)

    def _rich(self, *, stderr: bool = True) -> RichConsole:
        from rich.console import Console as RichConsole

        stream = sys.stderr if stderr else sys.stdout
        return RichConsole(
            file=stream, width=None if stream.isatty() else PLAIN_COLUMNS, highlight=False, soft_wrap=True
        )

    def _line(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def _print_drawing(self, drawing: Drawing) -> None:
        from rich.text import Text

        rich = self._rich(stderr=False)
        if rich.color_system is None:
            print("\n".join([drawing.title, *drawing.letters]))
            return
        lines = []
        for above, below in zip(drawing.pixels[::2], drawing.pixels[1::2], strict=True):
            line = Text()
            for (r, g, b), (r2, g2, b2) in zip(above, below, strict=True):
                line.append("▀", style=f"rgb({r},{g},{b}) on rgb({r2},{g2},{b2})")
            lines.append(line)
        with rich.capture() as text:  # printed by Python itself, as a table is
            rich.print(Text(drawing.title, style="bold"), *lines, sep="\n")
        print(text.get(), end="")

    def _print_table(self, table: Table, *, stderr: bool = False) -> None:
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        shown = RichTable(
            box=box.SIMPLE_HEAD, title=Text(table.title) if table.title else None, title_justify="left", pad_edge=False
        )
        for column in table.columns:
            shown.add_column(column, overflow="fold")
        for row in table.rows:
            shown.add_row(*(Text(cell) for cell in row))
        rich = self._rich(stderr=stderr)
        with rich.capture() as text:  # printed by Python itself, which leaves a closed pipe to the caller
            rich.print(shown)
        print(text.get(), end="", file=sys.stderr if stderr else sys.stdout)


def _bar(rich: RichConsole, task: str, total: int, done: int, unit: str) -> Iterator[Advance]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    clock = _Clock(total, done, unit)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[left]}"),
        console=rich,
    ) as progress:
        bar = progress.add_task(task, total=total, completed=done, rate="", left="")

        def advance(n: int, *, free: bool = False) -> None:
            clock.count(n, free=free)
            progress.update(bar, completed=clock.done, rate=clock.rate, left=clock.left)

        yield advance


def _plain_lines(line: Callable[[str], None], task: str, total: int, done: int, unit: str) -> Advance:
    clock, said = _Clock(total, done, unit), time.monotonic()

    def advance(n: int, *, free: bool = False) -> None:
        nonlocal said
        clock.count(n, free=free)
        if time.monotonic() - said >= PLAIN_SECONDS:
            said = time.monotonic()
            line(
                ", ".join(each for each in (f"{task}: {clock.done} of {total} {unit}", clock.rate, clock.left) if each)
            )

    return advance


class _Clock:
    """How far a task is, how fast it goes, and how long it still takes; what came for free counts in the first alone."""

    def __init__(self, total: int, done: int, unit: str) -> None:
        self.done, self._total, self._unit = done, total, unit
        self._worked, self._started = 0, time.monotonic()

    def count(self, n: int, *, free: bool) -> None:
        """Note what was done."""
        self.done += n
        self._worked += 0 if free else n

    @property
    def _seconds(self) -> float:
        return max(time.monotonic() - self._started, 1e-9)

    @property
    def rate(self) -> str:
        """The rate in words, empty before anything was worked on."""
        return f"{self._worked / self._seconds:.1f} {self._unit}/s" if self._worked else ""

    @property
    def left(self) -> str:
        """The time left in words, likewise."""
        return (
            f"about {duration((self._total - self.done) * self._seconds / self._worked)} left" if self._worked else ""
        )


def duration(seconds: float) -> str:
    """Return a time span in words a person would use.

    Examples
    --------
    >>> duration(42.4), duration(190), duration(7300)
    ('42 s', '3 min 10 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004 - seconds in a minute
        return f"{whole} s"
    if whole < 3600:  # noqa: PLR2004 - seconds in an hour
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size_text(size: float) -> str:
    """Return a number of bytes as people read it.

    Examples
    --------
    >>> size_text(900), size_text(5_000_000)
    ('900 B', '4.8 MiB')
    """
    for unit in ("B", "KiB", "MiB"):
        if size < SIZE_STEP:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= SIZE_STEP
    return f"{size:.1f} GiB"
