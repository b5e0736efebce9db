"""Units: the smallest thing that a process owns, with its record and what it keeps before it is finished."""

from __future__ import annotations

import io
import re
import shutil
import time
from typing import TYPE_CHECKING, Any, Protocol

from facelime_cli.errors import BrokenError
from facelime_cli.store import arrays, digests, files, forms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.store.claims import Claim

RECORDS, BEGUN, SHARED = "units", "begun", "shared"
"""Folders of an unfinished artifact: the records of its finished units, and what the others keep."""
RECORD = re.compile(r"(\d{5,9})\.json")
"""Name of a record: the unit."""
MOST_RUNS = 8
"""Runs of units that a message names."""
COMMIT_DIGITS = 16
"""How many digits of its digest are in the name of a commit."""


class Owner(Protocol):
    """What a unit needs of the artifact that it is a part of."""

    path: Path

    def rows(self, unit: int) -> slice:
        """Return which pictures a unit owns."""
        ...

    def require_metadata(self, names: Iterable[str]) -> None:
        """Refuse to write arrays that are not as they were laid out."""
        ...


class Unit:
    """A claimed unit.

    Parameters
    ----------
    artifact : Owner
        The artifact that it is a part of.
    index : int
        Its number, from 0.
    claim : Claim
        The hold of this process on it.

    Attributes
    ----------
    artifact : Owner
        As given.
    index : int
        As given.
    rows : slice
        Its pictures.
    finished : bool
        Whether its record is written.
    facts : mapping
        What was noted of it when it was finished.
    heard : callable
        Is told how many values each commit kept.
    """

    def __init__(self, artifact: Owner, index: int, claim: Claim) -> None:
        self.artifact, self.index, self._claim = artifact, index, claim
        self.rows = artifact.rows(index)
        self.finished = False
        self.facts: Mapping[str, Any] = {}
        self.heard: Callable[[int], None] = lambda _: None
        self._start = time.monotonic()

    @property
    def n(self) -> int:
        """Number of pictures."""
        return len(range(self.rows.start, self.rows.stop))

    @property
    def seconds(self) -> float:
        """Seconds since it was claimed."""
        return time.monotonic() - self._start

    def finish(
        self, parts: Mapping[str, NDArray[Any]], *, made: Sequence[str] = (), facts: Mapping[str, Any] | None = None
    ) -> None:
        """Write the unit's part of every array, wait for the disk, and only then write its record.

        Parameters
        ----------
        parts : mapping of str to (n, ...) array
            One part for each array that units fill.
        made : sequence of str
            Names of the files that this unit wrote, below the artifact's folder.
        facts : mapping, optional
            What to note of this unit.

        Raises
        ------
        BusyError
            When another process has taken this unit over.
        BrokenError
            When zarr's own files of an array were changed.
        """
        # A process that stood still long enough to be replaced must not write over the other's work.
        self._claim.check()
        self.artifact.require_metadata(parts)
        folder = self.artifact.path
        try:
            pictures = arrays.write_parts(folder / arrays.FOLDER, self.index, self.rows, parts)
        except arrays.ZARR_ERRORS:
            # In a store that is gone zarr misses an array, or a group; the claim says what is missing.
            self._claim.check()
            raise
        # What a record speaks of must be on the disk before it.
        for name in made:
            files.sync(folder / name)
        file_digests = {name: digests.of_file(folder / name) for name in made}
        seconds = self.seconds
        # From here on the unit is finished, whatever happens to this process.
        write_record(self.artifact, self.index, seconds, pictures, file_digests, facts or {})
        shutil.rmtree(self._folder, ignore_errors=True)
        self.finished, self.facts = True, facts or {}

    @property
    def _folder(self) -> Path:
        return files.inside(self.artifact.path, f"{BEGUN}/{self.index:05d}")

    def commit(self, places: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Keep some evaluations of this unit, in a file of their own, until the unit is finished.

        Parameters
        ----------
        places : (m,) int64
            Where in the unit the evaluations belong; the first one names the file.
        values : (m, ...) array
            The evaluations.

        Raises
        ------
        BusyError
            When another process has taken this unit over.
        """
        import numpy as np

        self._claim.check()
        self._folder.mkdir(parents=True, exist_ok=True)
        stream = io.BytesIO()
        np.savez(stream, places=places, values=values)
        content = stream.getvalue()
        # The digest in the name tells a whole file from one that a crash cut off.
        name = f"{int(places[0]):09d}-{digests.of_bytes(content)[:COMMIT_DIGITS]}.npz"
        files.write_whole(self._folder / name, content)
        self.heard(len(places))

    def committed(self) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Yield what earlier commits kept: places and values."""
        return commits(self.artifact.path, self.index)

    def scratch(self, name: str) -> Path:
        """Return a place for a file that only unfinished work needs, such as a training's checkpoint.

        Parameters
        ----------
        name : str
            Name of the file.

        Returns
        -------
        Path
            Its path; the folder exists.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / name

    def shared(self, name: str) -> Path:
        """Return a place for a file that all units of the artifact use until it is sealed.

        Several processes may write it, each the same: write it whole.

        Parameters
        ----------
        name : str
            Name of the file.

        Returns
        -------
        Path
            Its path; the folder exists.
        """
        folder = files.inside(self.artifact.path, f"{BEGUN}/{SHARED}")
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name


def begun(folder: Path, unit: int) -> Path:
    """Return the folder of what an unfinished unit keeps.

    Parameters
    ----------
    folder : Path
        The folder of an artifact.
    unit : int
        Number of the unit.

    Returns
    -------
    Path
        Its path; it exists when the unit was begun.
    """
    return folder / BEGUN / f"{unit:05d}"


def commits(folder: Path, unit: int) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """Yield what commits kept of an unfinished unit.

    Parameters
    ----------
    folder : Path
        The folder of an artifact.
    unit : int
        Number of the unit.

    Yields
    ------
    places, values : (m,) int64 array, (m, ...) array
        One commit. A file that does not match its digest counts as not there.
    """
    import zipfile
    import zlib

    import numpy as np

    no_arrays = (ValueError, KeyError, TypeError, EOFError, MemoryError, OSError, zipfile.BadZipFile, zlib.error)
    for path in sorted(begun(folder, unit).glob("[0-9]*.npz")):
        try:
            content = path.read_bytes()
        except OSError:
            # The unit was finished in the meantime, and its commits are gone.
            continue
        if digests.of_bytes(content)[:COMMIT_DIGITS] == path.stem.partition("-")[2]:
            # What is read from a store is data: pickled objects could run code.
            try:
                with np.load(io.BytesIO(content), allow_pickle=False) as kept:
                    places, values = kept["places"], kept["values"]
            except no_arrays:
                continue
            if places.dtype == np.int64 and places.shape == values.shape[:1] and len(places) and places.min() >= 0:
                yield places, values


def record_path(folder: Path, unit: int) -> Path:
    """Return where the record of a unit is.

    Parameters
    ----------
    folder : Path
        The folder of an artifact.
    unit : int
        Number of the unit.

    Returns
    -------
    Path
        The file exists when the unit is finished.
    """
    return folder / RECORDS / f"{unit:05d}.json"


def recorded(folder: Path, n_units: int) -> set[int]:
    """Return the units that have a record, from one listing; none is read.

    Parameters
    ----------
    folder : Path
        The folder of an artifact.
    n_units : int
        Number of units of the artifact.

    Returns
    -------
    set of int
        The records are counted, not the arrays: zarr cannot tell a pending part from a lost one.
    """
    try:
        names = [path.name for path in (folder / RECORDS).iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return set()
    found = (RECORD.fullmatch(name) for name in names)
    return {unit for unit in (int(match[1]) for match in found if match) if unit < n_units}


def runs(numbers: Sequence[int]) -> str:
    """Return numbers in words, where neighbours stand together.

    Parameters
    ----------
    numbers : sequence of int
        In their order.

    Returns
    -------
    str
        The first runs, and how many more numbers there are.

    Examples
    --------
    >>> runs([3]), runs([0, 1, 2, 7])
    ('3', '0 to 2, 7')
    """
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    words = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in found[:MOST_RUNS]]
    rest = sum(map(len, found[MOST_RUNS:]))
    return ", ".join(words) + (f" and {rest} more" if rest else "")


def read_record(folder: Path, unit: int, *, checked: bool = True) -> dict[str, Any] | None:
    """Return what is written of a finished unit.

    Parameters
    ----------
    folder : Path
        The folder of an artifact.
    unit : int
        Number of the unit.
    checked : bool
        Whether it must carry its own digest; those of earlier versions do not.

    Returns
    -------
    dict or None
        None while the unit is pending; a record that cannot be read counts as not there.
    """
    # A record that cannot be read costs one unit's work; an error here would block the whole artifact.
    try:
        record = files.read_json(record_path(folder, unit))
        forms.RECORD(record, "")
    except (OSError, BrokenError, forms.FormError):
        return None
    # Records of earlier versions have no digest of their own.
    sound = digests.of_rest(record) == record["digest"] if "digest" in record else not checked
    return record if sound and record["unit"] == unit else None


def write_record(
    artifact: Owner,
    unit: int,
    seconds: float,
    pictures: Mapping[str, Sequence[str]],
    file_digests: Mapping[str, str],
    facts: Mapping[str, Any],
) -> None:
    """Write the record of a unit, which makes it finished.

    Parameters
    ----------
    artifact : Owner
        Whose unit it is.
    unit : int
        Number of the unit.
    seconds : float
        How long the work took.
    pictures : mapping of str to sequence of str
        The digest of each picture, by array.
    file_digests : mapping of str to str
        The digest of each file that the unit wrote.
    facts : mapping
        What to note of the unit.
    """
    rows = artifact.rows(unit)
    record = {
        "unit": unit,
        "rows": [rows.start, rows.stop],
        "seconds": round(seconds, 3),
        "pictures": dict(pictures),
        "files": dict(file_digests),
        "facts": dict(facts),
    }
    record["digest"] = digests.of_rest(record)
    files.write_json(record_path(artifact.path, unit), record)


def shard_of(n_units: int, index: int, count: int) -> range:
    """Return the units of one shard: a contiguous run.

    Parameters
    ----------
    n_units : int
        Number of units of the artifact.
    index : int
        Number of the shard, from 1.
    count : int
        Number of shards.

    Returns
    -------
    range
        Numbers of units; empty when there are more shards than units.
    """
    return range((index - 1) * n_units // count, index * n_units // count)
