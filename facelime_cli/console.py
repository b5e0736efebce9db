"""Write to the terminal: results on stdout, everything for eyes on stderr.

No other module writes to a terminal. Names and texts from outside are written out, so that a terminal obeys none.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

from facelime_cli.plain import json_text, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console as RichConsole
    from rich.table import Table as RichTable

SIZE_STEP = 1024
PLAIN_SECONDS = 30.0
"""How often a progress line is written where there is no terminal (a scheduler's log file)."""
PLAIN_COLUMNS = 240
"""Columns of a table where there is no terminal to ask: enough for a table's cells to stay on one line."""
MINUTE, HOUR = 60, 3600
"""Seconds."""


class Advance(Protocol):
    """Counts what was done of a task."""

    def __call__(self, n: int, *, free: bool = False) -> None:
        """Count.

        Parameters
        ----------
        n : int
            How many units were done.
        free : bool
            Whether they took no work, such as those that are reused. They do not count for the rate.
        """


@dataclass(frozen=True)
class Table:
    """A result for people.

    Attributes
    ----------
    columns : sequence of str
        Their names.
    rows : sequence of sequence of str
        Each with a text for every column.
    title : str
        Empty for none.
    keys : int
        How many of the first columns say what a row is of: they are repeated where a table is wider than the terminal.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    keys: int = 1


@dataclass(frozen=True)
class Drawing:
    """A picture for people.

    Attributes
    ----------
    pixels : sequence of sequence of (int, int, int)
        Rows of red, green and blue, 0 to 255. A line of the terminal shows two rows, so that their number is even.
    letters : sequence of str
        Lines for a terminal without colours.
    title : str
    inline : callable, optional
        From a way of `terminals.protocol` to what shows the whole picture on a terminal that has it.
    """

    pixels: Sequence[Sequence[tuple[int, int, int]]]
    letters: Sequence[str]
    title: str = ""
    inline: Callable[[str], str] | None = None


@dataclass(frozen=True)
class Answer:
    """What a command has to say.

    Attributes
    ----------
    value : dict
        The whole answer, for --json.
    lines : sequence of str
        The answer as text, for another command to read.
    tables : sequence of Table or Drawing
        The answer for people.
    code : int
        The command's exit status.
    notes : sequence of Table or Drawing
        Tables and pictures for eyes alone, beside a result that another command reads.
    said : sequence of str
        Sentences for eyes alone.
    """

    value: dict[str, Any]
    lines: Sequence[str] = ()
    tables: Sequence[Table | Drawing] = ()
    code: int = 0
    notes: Sequence[Table | Drawing] = ()
    said: Sequence[str] = ()


@dataclass
class Console:
    """Writes results, notes, warnings, errors and progress.

    Attributes
    ----------
    quiet : bool
        Whether to write results and errors alone.
    as_json : bool
        Whether to write results as JSON.
    aside : callable, optional
        Is told of every task and of its progress, in place of the terminal: for work beside other work.
    """

    quiet: bool = False
    as_json: bool = False
    aside: Callable[[str, int, int, str], Advance] | None = None
    _warned: set[str] = field(default_factory=set)
    _results: TextIO | None = None

    @contextmanager
    def results_alone(self) -> Iterator[None]:
        """Keep stdout for results: what libraries and models print meanwhile goes to stderr.

        Yields
        ------
        None
        """
        kept = sys.stdout
        self._results, sys.stdout = _apart(kept), _ToStderr()
        try:
            yield
        finally:
            sys.stdout = kept

    @property
    def _out(self) -> TextIO:
        return self._results or sys.stdout

    def flush(self) -> None:
        """Write out what waits to be written of a result.

        Raises
        ------
        BrokenPipeError
            When nobody reads it.
        """
        self._out.flush()

    def answer(self, answer: Answer) -> None:
        """Write a command's result to stdout, and what stands beside it to stderr.

        Parameters
        ----------
        answer : Answer
        """
        if self.as_json:
            # JSON has no NaN. A program that reads the answer would fail on one.
            _write(self._out, json_text(answer.value) + "\n")
            return
        if not self.quiet:
            for each in answer.notes:
                self._print_either(each, stderr=True)
        for text in answer.said:
            self.note(text)
        # A table or a JSON text is one answer of several lines.
        _write(self._out, "".join(shown(line, keep="\n") + "\n" for line in answer.lines))
        for each in answer.tables:
            self._print_either(each)

    def note(self, text: str) -> None:
        """Say something that helps but that nothing depends on.

        Parameters
        ----------
        text : str
            A sentence.
        """
        if not self.quiet:
            self._line(text)

    def warn(self, text: str) -> None:
        """Say something that may be wrong with the result.

        Parameters
        ----------
        text : str
            A sentence. A repeated one is said once.
        """
        # Workers and stages that run each other meet the same doubt many times.
        if self.quiet or text in self._warned:
            return
        self._warned.add(text)
        self._line(f"warning: {text}")

    def error(self, text: str) -> None:
        """Say why the command failed.

        Parameters
        ----------
        text : str
            One sentence: what is wrong, and what to do next.
        """
        self._line(f"error: {text}")

    def say(self, library: str, text: str) -> None:
        """Show what a library says, for --debug.

        Parameters
        ----------
        library : str
            Its name.
        text : str
        """
        self._line(f"{library}: {text}")

    def trace(self, text: str) -> None:
        """Show where something happened, for --debug.

        Parameters
        ----------
        text : str
            A traceback, of several lines.
        """
        _write(sys.stderr, shown(text, keep="\n").rstrip("\n") + "\n")

    @contextmanager
    def progress(self, task: str, total: int, done: int = 0, unit: str = "pictures") -> Iterator[Advance]:
        """Show how far a long task is, with its rate and the time left.

        Parameters
        ----------
        task : str
            What is done, in a few words.
        total, done : int
            Units of the whole task, and those that were done before.
        unit : str
            What the units are.

        Yields
        ------
        Advance
            Counts what is done.
        """
        if self.aside is not None:
            yield self.aside(task, total, done, unit)
        elif self.quiet or total == 0:
            yield lambda *_, **__: None
        elif sys.stderr.isatty():
            yield from _bar(self._rich(), shown(task), total, done, unit)
        else:
            yield from _plain_lines(self._line, task, total, done, unit)

    @contextmanager
    def live(self, keys: int) -> Iterator[Callable[[Table], None]]:
        """Show a table that changes: at one place of a terminal; else a line for each row that says something new.

        Parameters
        ----------
        keys : int
            So many columns say what a row is of.

        Yields
        ------
        callable
            Shows how the table is now.
        """
        if self.quiet:
            yield lambda _: None
        elif sys.stderr.isatty():
            yield from _at_one_place(self._rich())
        else:
            yield _changed_rows(self._line, keys)

    def _rich(self, *, stderr: bool = True) -> RichConsole:
        from rich.console import Console as RichConsole

        stream = sys.stderr if stderr else self._out
        # Rich takes 80 columns where there is no terminal, and would break the cells of a table.
        width = None if stream.isatty() else PLAIN_COLUMNS
        return RichConsole(file=stream, width=width, highlight=False, soft_wrap=True)

    def _line(self, text: str) -> None:
        # One sentence is one line, whatever the name or the library's text that it quotes.
        _write(sys.stderr, shown(text) + "\n")

    def _print_either(self, each: Table | Drawing, *, stderr: bool = False) -> None:
        if isinstance(each, Drawing):
            self._print_drawing(each, stderr=stderr)
        else:
            self._print_table(each, stderr=stderr)

    def _print_drawing(self, drawing: Drawing, *, stderr: bool = False) -> None:
        from rich.text import Text

        rich = self._rich(stderr=stderr)
        stream = sys.stderr if stderr else self._out
        if rich.color_system is None:
            print("\n".join([shown(drawing.title), *drawing.letters]), file=stream)
            return
        # Loaded only now, as what lays out tables: `--help` does without.
        from facelime_cli.terminals import protocol

        way = protocol(stream) if drawing.inline else None
        if drawing.inline and way:
            print(f"{shown(drawing.title)}\n{drawing.inline(way)}", file=stream)
            return
        # The upper half of a cell has the colour of the letter, the lower half that of its ground.
        lines = []
        for above, below in zip(drawing.pixels[::2], drawing.pixels[1::2], strict=True):
            line = Text()
            for (r, g, b), (r2, g2, b2) in zip(above, below, strict=True):
                line.append("▀", style=f"rgb({r},{g},{b}) on rgb({r2},{g2},{b2})")
            lines.append(line)
        # Python itself prints it, as it prints a table.
        with rich.capture() as text:
            rich.print(Text(shown(drawing.title), style="bold"), *lines, sep="\n")
        print(text.get(), end="", file=stream)

    def _print_table(self, table: Table, *, stderr: bool = False) -> None:
        rich = self._rich(stderr=stderr)
        # Python itself prints it: it leaves a closed pipe to the caller, which Rich does not.
        with rich.capture() as text:
            for block in _blocks(table, rich.width):
                rich.print(block)
        print(text.get(), end="", file=sys.stderr if stderr else self._out)


class _ToStderr(io.TextIOBase):
    """Stands in for stdout while a command works. Whoever closes it closes nothing."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def fileno(self) -> int:
        return sys.stderr.fileno()

    @property
    def buffer(self) -> Any:
        """Where bytes go."""
        return sys.stderr.buffer

    def close(self) -> None:
        self.flush()


def _write(stream: TextIO, text: str) -> None:
    """Write a text at once, with the end of its last line: of processes that share a file, no two share a line.

    `print` writes the end of a line apart, which an unbuffered stream passes on as it comes.
    """
    if text:
        stream.write(text)
        stream.flush()


def _apart(stream: TextIO) -> TextIO:
    """Return a stream of our own to where stdout leads; what C code prints to its number goes to stderr from now on."""
    if stream is not sys.__stdout__:
        return stream
    stream.flush()
    own = os.dup(1)
    # C code keeps what it prints until the process ends, so the number never leads back.
    os.dup2(2, 1)
    return os.fdopen(own, "w", encoding=stream.encoding, errors=stream.errors)


def _blocks(table: Table, available: int) -> Iterator[RichTable]:
    """Yield a table as it has room: in one, or cut into several between columns."""
    from rich.cells import cell_len

    from facelime_cli.columns import laid_out

    columns = [[shown(name), *(shown(row[place]) for row in table.rows)] for place, name in enumerate(table.columns)]
    title = table.title
    for widths in laid_out(columns, available, table.keys, cell_len):
        yield _drawn_columns([columns[place] for place in widths], list(widths.values()), title)
        title = ""


def _drawn(table: Table) -> RichTable:
    columns = [[shown(name), *(shown(row[place]) for row in table.rows)] for place, name in enumerate(table.columns)]
    return _drawn_columns(columns, [None] * len(columns), table.title)


def _drawn_columns(columns: Sequence[Sequence[str]], widths: Sequence[int | None], title: str) -> RichTable:
    """Return a table from the heading and the cells of each column, and its width where that is known."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    from facelime_cli.columns import is_numeric

    # As a Text, since a plain string may hold what Rich would read as markup.
    above = Text(shown(title)) if title else None
    drawn = RichTable(box=box.SIMPLE_HEAD, title=above, title_justify="left", pad_edge=False)
    for (heading, *cells), width in zip(columns, widths, strict=True):
        side: Literal["right", "left"] = "right" if is_numeric(cells) else "left"
        drawn.add_column(Text(heading), overflow="fold", justify=side, width=width)
    for row in zip(*(cells for _, *cells in columns), strict=True):
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn


def _at_one_place(rich: RichConsole) -> Iterator[Callable[[Table], None]]:
    from rich.live import Live

    with Live(console=rich, auto_refresh=False, transient=True) as live:
        yield lambda table: live.update(_drawn(table), refresh=True)


def _changed_rows(line: Callable[[str], None], keys: int) -> Callable[[Table], None]:
    known: dict[tuple[str, ...], tuple[str, ...]] = {}

    def show(table: Table) -> None:
        for row in table.rows:
            key, cells = tuple(row[:keys]), tuple(row[keys:])
            if known.get(key) != cells:
                known[key] = cells
                line(f"{' '.join(key)}: {', '.join(filter(None, cells))}")

    return show


def _bar(rich: RichConsole, task: str, total: int, done: int, unit: str) -> Iterator[Advance]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    clock = _Clock(total, done, unit)
    with Progress(
        TextColumn("{task.description}", markup=False),
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


def _plain_lines(line: Callable[[str], None], task: str, total: int, done: int, unit: str) -> Iterator[Advance]:
    clock, ended = _Clock(total, done, unit), threading.Event()

    # By the clock, not by what is done: a line per batch would fill a log file, and a long call would leave it silent.
    def say() -> None:
        while not ended.wait(PLAIN_SECONDS):
            words = [f"{task}: {clock.share} ({clock.done} of {total} {unit})", clock.rate, clock.left]
            line(", ".join(filter(None, words)))

    saying = threading.Thread(target=say, daemon=True)
    saying.start()
    try:
        yield clock.count
    finally:
        ended.set()


class _Clock:
    """How far a task is, how fast it goes, and how long it still takes.

    Units that took no work do not count for the speed. A resumed run would otherwise promise too much.
    """

    def __init__(self, total: int, done: int, unit: str) -> None:
        self.done, self._total, self._unit = done, total, unit
        self._worked, self._started = 0, time.monotonic()

    def count(self, n: int, *, free: bool = False) -> None:
        """Note what was done."""
        self.done += n
        if not free:
            self._worked += n

    @property
    def _seconds(self) -> float:
        # A clock may not have moved yet, and rates are divided by this.
        return max(time.monotonic() - self._started, 1e-9)

    @property
    def share(self) -> str:
        """The share that is done, in words; never all of it before everything is done."""
        return f"{100 * self.done // max(self._total, 1)} %"

    @property
    def rate(self) -> str:
        """The rate in words, empty before anything was worked on."""
        if not self._worked:
            return ""
        return f"{self._worked / self._seconds:.1f} {self._unit}/s"

    @property
    def left(self) -> str:
        """The time left in words, empty before anything was worked on."""
        if not self._worked:
            return ""
        seconds = (self._total - self.done) * self._seconds / self._worked
        return f"about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """Return a time span in words a person would use.

    Parameters
    ----------
    seconds : float

    Returns
    -------
    str

    Examples
    --------
    >>> duration(42.4), duration(190), duration(7300)
    ('42 s', '3 min 10 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"


def size_text(size: float) -> str:
    """Return a number of bytes as people read it.

    Parameters
    ----------
    size : float
        In bytes.

    Returns
    -------
    str
        In the largest of B, KiB, MiB and GiB that leaves a number of at least 1.

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
