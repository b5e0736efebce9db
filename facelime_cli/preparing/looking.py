"""A first look at every file: its digest, what it measures, and whether it can be read."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelime_cli import sources
from facelime_cli.errors import FacelimeError
from facelime_cli.preparing.settings import read_otherwise, reading_of
from facelime_cli.store import digests
from facelime_cli.store.files import read_json, write_json
from facelime_cli.workers import Workers, in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.core.images import Decoded, Reading
    from facelime_cli.core.leakage import Traits
    from facelime_cli.engine import Context
    from facelime_cli.sources import Entry

    Pixels = NDArray[np.uint8]

NAMED_FAILURES = 5
KEPT_FORM = 2
"""Of the files in which a first look is kept."""
CHECKED_TOGETHER = 1000
"""Files whose first look is kept together, when there are more: what a kill repeats at most."""


def source_digest(catalog: Sequence[Entry]) -> str:
    """Return the digest of a source: over names, bytes, and what it says of class, group, split and further columns.

    Parameters
    ----------
    catalog : sequence of Entry

    Returns
    -------
    str
    """
    said = sorted([entry.id, _label_of(entry), entry.group, entry.split, dict(entry.columns)] for entry in catalog)
    files = {}
    for entry in catalog:
        # The pictures of one array file share its name: it is read once.
        name = entry.id if entry.index is None else entry.array
        files[name] = entry.path
    return digests.of_value([files_digest(files.items()), said])


def _label_of(entry: Entry) -> str | list[list[Any]] | None:
    """Return what an entry says of its class, or of its findings."""
    return entry.label if entry.findings is None else sorted([name, value] for name, value in entry.findings.items())


def files_digest(files: Iterable[tuple[str, Path]]) -> str:
    """Return the digest of files: over sorted names and bytes.

    Parameters
    ----------
    files : iterable of (str, Path)
        Name and place of each; places are no part of the digest, so that a moved folder is the same source.

    Returns
    -------
    str
    """
    pairs = sorted(files)
    # Hashing gives Python's lock away, so threads are enough, and need no copies of anything.
    hashes = in_threads(_file_digest, [path for _, path in pairs])
    named = [[name, digest] for (name, _), digest in zip(pairs, hashes, strict=True)]
    return digests.of_value(named)


def _file_digest(path: Path) -> str:
    """Return a file's digest; one that cannot be opened is named later, with those that cannot be decoded."""
    try:
        return digests.of_file(path)
    except OSError:
        return "unreadable"


@dataclass(frozen=True)
class Skipped:
    """Why a file cannot be used.

    Attributes
    ----------
    reason : str
        To stand behind its name.
    short : str
        To be counted.
    """

    reason: str
    short: str


@dataclass(frozen=True)
class Checked:
    """What a first look at every file gave.

    Attributes
    ----------
    entries : list of Entry
        Those that can be used.
    traits : list of Traits
        What was measured of them.
    failed : list of dict
        `file` and `reason` of the others.
    skipped : Counter
        How many these are, by reasons in short.
    """

    entries: list[Entry]
    traits: list[Traits]
    failed: list[dict[str, str]]
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, entry: Entry, measured: Traits | Skipped) -> None:
        """Note one file's measures, or why it cannot be read.

        Parameters
        ----------
        entry : Entry
        measured : Traits or Skipped
            The measures, or the reason.
        """
        if isinstance(measured, Skipped):
            self.failed.append({"file": entry.file, "reason": measured.reason})
            self.skipped[measured.short] += 1
        else:
            self.entries.append(entry)
            self.traits.append(measured)


def checked(catalog: Sequence[Entry], key: str, params: Any, context: Context) -> Checked:
    """Decode and measure every file once.

    Parameters
    ----------
    catalog : sequence of Entry
    key : str
        The source's digest: under it, what a kill leaves is found again.
    params : dataclass
        Those of `preprocess`.
    context : Context

    Returns
    -------
    Checked

    Raises
    ------
    FacelimeError
        When no file can be read, or one cannot under `--strict`.
    """
    found = Checked([], [], [])
    starts = range(0, len(catalog), CHECKED_TOGETHER)
    blocks = [catalog[start : start + CHECKED_TOGETHER] for start in starts]
    # Arrays of a .npz file are read once for all blocks.
    arrays: dict[str, Pixels] = {}
    # A single block takes seconds, which is not worth a file.
    scratch = context.store.scratch("datasets", key) if len(blocks) > 1 else None
    with Workers(params.workers) as workers, context.console.progress("check", len(catalog)) as advance:
        for place, block in enumerate(blocks):
            kept = None if scratch is None else scratch / f"{place:06d}.json"
            measured = _measured(block, kept, arrays, workers, advance, read_otherwise(params))
            for entry, each in zip(block, measured, strict=True):
                found.add(entry, _usable(each, params))
    if found.failed:
        _say_failed(found, len(catalog), params, context)
    return found


def _measured(
    block: Sequence[Entry],
    kept: Path | None,
    arrays: dict[str, Pixels],
    workers: Workers,
    advance: Callable[[int], None],
    reading: Mapping[str, int],
) -> list[Traits | Skipped]:
    """Return what is measured of some files, or why one cannot be read; `kept` is the file that a kill leaves it in."""
    from facelime_cli.core.leakage import Traits

    # What an earlier facelime kept was measured otherwise.
    if kept is not None and kept.exists() and (stored := read_json(kept)).get("form") == KEPT_FORM:
        advance(len(block))
        return [Skipped(**each) if "reason" in each else Traits.from_json(each) for each in stored["measured"]]
    tasks = []
    for entry in block:
        pixels = sources.pixels(entry, arrays)
        tasks.append((pixels, entry.suffix.lower(), entry.fault, reading))
    measured: list[Traits | Skipped] = counted(workers.map(_measure, tasks), advance)
    if kept is not None:
        values = [vars(each) if isinstance(each, Skipped) else each.json() for each in measured]
        write_json(kept, {"form": KEPT_FORM, "measured": values})
    return measured


def _say_failed(found: Checked, total: int, params: Any, context: Context) -> None:
    """Name the files that cannot be read; raise where none is left, or none may fail."""
    failed = found.failed
    named = "; ".join(f"{each['file']} {each['reason']}" for each in failed[:NAMED_FAILURES])
    more = len(failed) - NAMED_FAILURES
    if more > 0:
        named += f"; and {more} more"
    if params.pseudonyms:
        named += "; `facelime pseudonyms` says which files these are"
    if params.strict or not found.entries:
        remedy = "Remove or repair them, or leave --strict out." if found.entries else "Remove or repair them."
        raise FacelimeError(f"{len(failed)} of {total} files cannot be read: {named}. {remedy}")
    context.console.warn(f"{len(failed)} of {total} files cannot be read and are left out: {named}.")


def _measure(task: tuple[Path | Pixels, str, str | None, Mapping[str, int]]) -> Traits | Skipped:
    from facelime_cli.core.images import NOT_OPENED, UnreadableError, unreadable
    from facelime_cli.core.leakage import traits

    pixels, suffix, fault, reading = task
    if fault is not None:
        return Skipped(fault, NOT_OPENED)
    try:
        found = decoded(pixels, reading_of(reading))
        measured = traits(found.image, suffix)
    except (UnreadableError, MemoryError) as why:
        return Skipped(str(unreadable(why)), unreadable(why).short)
    return replace(measured, kind=found.kind, notes=found.notes, warnings=found.warnings)


def _usable(measured: Traits | Skipped, params: Any) -> Traits | Skipped:
    """Return what was measured, or why the options cannot be applied to such a picture."""
    from facelime_cli.core import shapes
    from facelime_cli.core.images import MOST_PIXELS, TOO_LARGE_SHORT
    from facelime_cli.core.operations import padded

    if isinstance(measured, Skipped) or params.fit != "pad":
        return measured
    width, height = (int(each) for each in measured.figures[:2])
    size = shapes.parsed(params.size)
    if math.prod(padded(height, width, size)) > MOST_PIXELS:
        form = "a square" if isinstance(size, int) else f"a picture in the proportions of {shapes.shown(size)}"
        why = f"has {width}×{height} pixels, which --fit pad makes {form} of more than {MOST_PIXELS:,} pixels"
        return Skipped(why, TOO_LARGE_SHORT)
    return measured


def decoded(pixels: Path | Pixels, how: Reading) -> Decoded:
    """Return a picture of a source in display space.

    Parameters
    ----------
    pixels : Path or uint8 array
        From `sources.pixels`.
    how : Reading

    Returns
    -------
    Decoded

    Raises
    ------
    UnreadableError
        When it cannot be decoded.
    """
    from facelime_cli.core import images

    return images.read(pixels, how) if isinstance(pixels, Path) else images.read_array(pixels, how)


def counted(results: Iterator[Any], advance: Callable[[int], None]) -> list[Any]:
    """Return results as a list, each counted when it comes.

    Parameters
    ----------
    results : iterator
        Such as that of `Workers.map`.
    advance : callable
        Is called with 1 for each.

    Returns
    -------
    list
    """
    gathered = []
    for each in results:
        gathered.append(each)
        advance(1)
    return gathered
