"""Where pictures come from: folders, a table beside folders, arrays in a file.

What is found is a list of entries. Nothing is decoded here.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelime_cli.core.formats import ARRAYS_SUFFIX, DICOM_SUFFIXES, LABEL_SUFFIXES, PICTURE_SUFFIXES
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")
SPLIT_FOLDERS = {"train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}
MEDMNIST_SPLITS = ("train", "val", "test")
NO_SPLIT = -1
PATH_PARTS = 3
"""Split, class and file: what the path of a picture has in a folder that is divided already."""


@dataclass(frozen=True)
class Entry:
    """One picture of a source.

    Attributes
    ----------
    id : str
        Its path in the source, without extension.
    path : Path
        The file it lies in.
    index : int or None
        Its number in a file of arrays, within its split.
    label, group : str or None
        What the source says of its class and of its patient or lesion.
    split : int
        Index into `SPLITS` where the source is divided already, else `NO_SPLIT`.
    columns : mapping
        Further columns of its row in the table.
    """

    id: str
    path: Path
    index: int | None = None
    label: str | None = None
    group: str | None = None
    split: int = NO_SPLIT
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """Its name for people: the id with the extension."""
        if self.index is not None or self.id.endswith(self.path.suffix):
            return self.id
        return self.id + self.path.suffix

    @property
    def array(self) -> str:
        """What the arrays of its split are called in a file of arrays."""
        return MEDMNIST_SPLITS[self.split]


@dataclass(frozen=True)
class Table:
    """A table of pictures.

    Attributes
    ----------
    file : Path
    id_column : str
        Column of the picture's id.
    label_column, group_column : str, optional
        Columns of its class, and of its patient or lesion.
    one_per_group : bool
        Whether only the first picture of each group counts.
    columns : tuple of str, optional
        The further columns that are kept; by default all.
    """

    file: Path
    id_column: str
    label_column: str | None
    group_column: str | None
    one_per_group: bool = False
    columns: tuple[str, ...] | None = None


def find(sources: Sequence[Path], table: Table | None) -> list[Entry]:
    """Return every picture of some sources, in the order of their ids.

    Parameters
    ----------
    sources : sequence of Path
        Folders, pictures and .npz files; with a table, where its pictures lie.
    table : Table, optional

    Returns
    -------
    list of Entry

    Raises
    ------
    NotFoundError
        When a source, the table or a picture of it is not there.
    FacelimeError
        When there are no pictures, or two cannot be told apart.
    """
    for source in sources:
        if not source.exists():
            raise NotFoundError(
                f"there is nothing at {source}; give a folder of pictures, a picture, or a .npz file of arrays."
            )
    if table is not None:
        return _of_table(sources, table)
    found = [entry for source in sources for entry in _of(source)]
    if not found:
        raise FacelimeError(
            f"there are no pictures in {', '.join(map(str, sources))}; "
            "give a folder with .jpg, .png, .tif, .dcm or other picture files."
        )
    return _distinct(found)


def picture_files(folder: Path) -> Iterator[Path]:
    """Yield the picture files in and below a folder, sorted.

    Hidden files are left out. Links are followed, but never in circles.

    Parameters
    ----------
    folder : Path

    Yields
    ------
    Path
    """
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        # A link to a folder above would lead here again and again.
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        # Changed in place, the list tells `walk` where to go next, and in which order.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            suffix = Path(name).suffix.lower()
            if not name.startswith(".") and suffix in PICTURE_SUFFIXES | DICOM_SUFFIXES:
                yield Path(root) / name


def _of(source: Path) -> list[Entry]:
    """Return the pictures of one source; folders below it are classes, or splits with classes in them."""
    if source.suffix.lower() == ARRAYS_SUFFIX:
        return _of_arrays(source)
    if source.is_file():
        return [Entry(source.stem, source)]
    files = [(path.relative_to(source), path) for path in picture_files(source)]
    tops = {relative.parts[0] for relative, _ in files if len(relative.parts) > 1}
    divided = _is_divided(source, files, tops)
    level = 1 if divided else 0
    entries = []
    for relative, path in files:
        folders = relative.parts[:-1]
        # A file beside the class folders has no class.
        label = folders[level] if len(folders) > level else None
        split = SPLIT_FOLDERS[folders[0].lower()] if divided else NO_SPLIT
        entries.append(Entry(relative.with_suffix("").as_posix(), path, label=label, split=split))
    return entries


def _is_divided(source: Path, files: Sequence[tuple[Path, Path]], tops: set[str]) -> bool:
    """Return whether a folder is divided already: train, val and test folders, with a folder per class in each.

    Half of that is an error.
    """
    splits = {top for top in tops if top.lower() in SPLIT_FOLDERS}
    if len(splits) < 2 and splits != tops:  # noqa: PLR2004 - one class may be called "test"
        return False
    strays = [relative for relative, _ in files if relative.parts[0] not in splits or len(relative.parts) < PATH_PARTS]
    # A class may be called "train" by chance; two such folders are no chance, so the rest must fit.
    if strays and len(splits) > 1:
        named = ", ".join(sorted(splits))
        raise FacelimeError(
            f"{source} has the folders {named}, but {strays[0]} lies in no class folder of one of them; "
            "move it, or give a folder per class alone."
        )
    return bool(splits) and not strays


def _distinct(entries: list[Entry]) -> list[Entry]:
    """Return the entries with ids of their own: where only the extension tells two files apart, it stays in the id."""
    named = entries
    for _ in range(2):  # a.jpg beside a.jpg.png needs a second look
        counts = Counter(entry.id for entry in named)
        named = [_with_extension(entry) if counts[entry.id] > 1 else entry for entry in named]
    most, count = Counter(entry.id for entry in named).most_common(1)[0]
    if count > 1:
        raise FacelimeError(
            f"two pictures are called {most} in the sources given; give the folder above them as one source."
        )
    return sorted(named, key=lambda entry: entry.id)


def _with_extension(entry: Entry) -> Entry:
    suffix = entry.path.suffix
    return entry if entry.id.endswith(suffix) else replace(entry, id=entry.id + suffix)


def _of_table(sources: Sequence[Path], table: Table) -> list[Entry]:
    """Return the pictures that the rows of a table name, found by id in the sources and below."""
    rows = read_table(table)
    ids = [row[table.id_column] for row in rows]
    files = _files_by_name(sources)
    lost = [name for name in ids if name not in files]
    if lost:
        raise NotFoundError(
            f"{len(lost)} of {len(rows)} pictures of {table.file} are in none of the sources, such as {lost[0]}; "
            "give the folder that holds it as one more SOURCE."
        )
    wanted = set(ids)
    for name, paths in files.items():
        if name in wanted and len(paths) > 1:
            places = ", ".join(map(str, paths[:3]))
            raise FacelimeError(
                f"the picture {name} is there more than once: {places}; give one of these folders only."
            )
    return [_of_row(row, table, files[name][0]) for name, row in zip(ids, rows, strict=True)]


def _files_by_name(sources: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the files in some sources by their names without extension."""
    files: dict[str, list[Path]] = {}
    for source in sources:
        for path in picture_files(source) if source.is_dir() else (source,):
            files.setdefault(path.stem, []).append(path)
    return files


def _of_row(row: Mapping[str, str], table: Table, path: Path) -> Entry:
    """Return the picture of a row; an empty cell says nothing."""
    label = row[table.label_column] if table.label_column else ""
    group = row[table.group_column] if table.group_column else ""
    # Class and group have arrays of their own; the other columns are kept as they are.
    used = {table.id_column, table.label_column, table.group_column}
    columns = {name: value for name, value in row.items() if name not in used}
    if table.columns is not None:
        columns = {name: value for name, value in columns.items() if name in table.columns}
    return Entry(row[table.id_column], path, label=label or None, group=group or None, columns=columns)


def read_table(table: Table) -> list[dict[str, str]]:
    """Return the rows of a table, one per picture, by id; with `one_per_group` only the first of each group.

    Equal rows count once: some published tables hold each picture several times, which would be a leak.

    Parameters
    ----------
    table : Table

    Returns
    -------
    list of dict
        From column names to texts, without spaces around them.

    Raises
    ------
    NotFoundError
        When there is no such file.
    CommandLineError
        When a column is not there.
    FacelimeError
        When it is no table, or two of its rows contradict each other.
    """
    if not table.file.is_file():
        raise NotFoundError(
            f"there is no table {table.file}; give a .csv file with a column of picture ids to --table."
        )
    # Spreadsheets write a byte order mark, which would become a part of the first column's name.
    try:
        with table.file.open(encoding="utf-8-sig", newline="") as lines:
            rows = [_stripped(row) for row in csv.DictReader(lines)]
    except (ValueError, csv.Error) as why:
        raise FacelimeError(
            f"{table.file} is no readable CSV table ({why}); save it as comma-separated UTF-8."
        ) from why
    if not rows:
        raise FacelimeError(f"{table.file} has no rows below its heading; check --table.")
    columns = {"id": table.id_column, "label": table.label_column, "group": table.group_column}
    for option, column in columns.items():
        if column is not None and column not in rows[0]:
            raise CommandLineError(
                f"--{option}-column {column!r} is no column of {table.file}; its columns are {', '.join(rows[0])}."
            )
    for column in table.columns or ():
        if column not in rows[0]:
            raise CommandLineError(
                f"--columns {column!r} is no column of {table.file}; its columns are {', '.join(rows[0])}."
            )
    rows.sort(key=lambda row: row[table.id_column])
    return _one_row_each(rows, table)


def _stripped(row: Mapping[str | None, str | None]) -> dict[str, str]:
    # The reader puts the cells beyond the last column under None, and None into cells that a short row lacks.
    return {name: (value or "").strip() for name, value in row.items() if name is not None}


def _one_row_each(rows: list[dict[str, str]], table: Table) -> list[dict[str, str]]:
    by_id: dict[str, dict[str, str]] = {}
    for row in rows:
        name = row[table.id_column]
        if by_id.setdefault(name, row) != row:
            raise FacelimeError(
                f"{table.file} has several rows for the picture {name}, which say different things; leave one of them."
            )
    if not table.one_per_group or table.group_column is None:
        return list(by_id.values())
    by_group: dict[str, dict[str, str]] = {}
    for row in by_id.values():
        # Rows are sorted by id, so that the first of a group is always the same.
        group = row[table.group_column] or row[table.id_column]
        by_group.setdefault(group, row)
    return list(by_group.values())


def _of_arrays(path: Path) -> list[Entry]:
    """Return the pictures of a .npz file with MedMNIST's keys: train_images, train_labels, …, test_labels."""
    entries = []
    for split, name in enumerate(MEDMNIST_SPLITS):
        images, labels = _member(path, f"{name}_images"), _member(path, f"{name}_labels")
        if images is None:
            continue
        # A picture with several labels counts by its first.
        first = None if labels is None else labels.reshape(len(images), -1)[:, 0]
        for index in range(len(images)):
            label = None if first is None else str(int(first[index]))
            entries.append(Entry(f"{name}/{index:06d}", path, index, label, split=split))
    if not entries:
        raise FacelimeError(
            f"{path} holds none of the arrays train_images, val_images and test_images (MedMNIST's names); "
            "name them so."
        )
    return entries


def _member(path: Path, name: str) -> NDArray[Any] | None:
    import numpy as np

    # A pickle in a foreign file could run any code.
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays[name]) if name in arrays else None
    except (OSError, ValueError, EOFError) as why:
        raise FacelimeError(
            f"{path} cannot be read as a file of NumPy arrays ({why}); save it with numpy.savez."
        ) from why


def pixels(entry: Entry, arrays: dict[str, NDArray[np.uint8]]) -> Path | NDArray[np.uint8]:
    """Return where a picture's pixels are: its file, or the pixels themselves for an entry of a file of arrays.

    Parameters
    ----------
    entry : Entry
    arrays : dict
        Keeps the arrays that were read, by their names.

    Returns
    -------
    Path or uint8 array
    """
    import numpy as np

    if entry.index is None:
        return entry.path
    name = f"{entry.array}_images"
    if name not in arrays:
        found = _member(entry.path, name)
        assert found is not None
        arrays[name] = found
    return np.asarray(arrays[name][entry.index])


def group_of(entry: Entry, pattern: str | None) -> str | None:
    """Return the patient or lesion of an entry, or None.

    Parameters
    ----------
    entry : Entry
        What the source says counts first.
    pattern : str, optional
        Regular expression for the file name: its first group, else all that it finds.

    Returns
    -------
    str or None
    """
    if entry.group is not None or pattern is None:
        return entry.group
    match = re.search(pattern, entry.path.stem)
    return None if match is None else _found(match)


def label_of(entry: Entry, pattern: str | None) -> str | None:
    """Return the class of an entry, or None.

    Parameters
    ----------
    entry : Entry
    pattern : str, optional
        Regular expression for the file name, in place of what the source says: the name of the named group that
        matched, else its first group, else all that it finds.

    Returns
    -------
    str or None
    """
    if pattern is None:
        return entry.label
    match = re.search(pattern, entry.path.stem)
    if match is None:
        return None
    # Only a named group can map several spellings of a class to one name.
    if match.lastgroup is not None:
        return match.lastgroup
    return _found(match)


def _found(match: re.Match[str]) -> str | None:
    """Return the first group of a match, or all of it where there are no groups; None for an empty text."""
    text = match[1] if match.re.groups else match[0]
    return text or None


def map_files(
    folder: Path, ids: Sequence[str], option: str, what: str, pseudonym: Callable[[str], str] | None = None
) -> dict[str, Path]:
    """Return each picture's map: the file whose name below the folder is the id, or in it the id's last part.

    Parameters
    ----------
    folder : Path
    ids : sequence of str
        Of the pictures.
    option, what : str
        Where the folder was named, and what its files are, for messages.
    pseudonym : callable, optional
        From a name to the id that stands in its place: then files may have the names of the picture files too.

    Returns
    -------
    dict
        From each id to its file.

    Raises
    ------
    NotFoundError
        When there is no folder, or a picture has no file.
    FacelimeError
        When a picture has several files.
    """
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {folder} with {what}s; check {option}.")
    named: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in LABEL_SUFFIXES and path.is_file()):
        name = path.relative_to(folder).with_suffix("").as_posix()
        for each in (name,) if pseudonym is None else (name, pseudonym(name)):
            named.setdefault(each, []).append(path)
    # A file directly in the folder may serve an id by its last part, but never two ids.
    lasts = Counter(name.rpartition("/")[2] for name in ids)
    found = {
        name: named.get(name) or (named.get(last, []) if lasts[last := name.rpartition("/")[2]] == 1 else [])
        for name in ids
    }
    lost = [name for name in ids if not found[name]]
    if lost:
        raise NotFoundError(
            f"{len(lost)} of {len(ids)} pictures have no {what} in {folder}, such as {lost[0]}; "
            f"save it there as {lost[0]}.png, .tif or .npy, or choose pictures with --images."
        )
    twice = next((paths for paths in found.values() if len(paths) > 1), None)
    if twice is not None:
        raise FacelimeError(
            f"{' and '.join(path.name for path in twice)} in {folder} are {what}s of one picture; leave one of them."
        )
    return {name: paths[0] for name, paths in found.items()}
