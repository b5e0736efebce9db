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

from facelime_cli.core.formats import ARRAYS_SUFFIX, DICOM_SUFFIXES, PICTURE_SUFFIXES
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
    part : int
        Index into `SPLITS` where the source is divided already, else `NO_SPLIT`.
    columns : mapping
        Further columns of its row in the table.
    """

    id: str
    path: Path
    index: int | None = None
    label: str | None = None
    group: str | None = None
    part: int = NO_SPLIT
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """Its name for people: the id with the extension."""
        return self.id if self.index is not None or self.id.endswith(self.path.suffix) else self.id + self.path.suffix


@dataclass(frozen=True)
class Table:
    """A table of pictures: its file and which columns hold the picture's id, its class and its patient or lesion."""

    file: Path
    id_column: str
    label_column: str | None
    group_column: str | None
    one_per_group: bool = False


def find(sources: Sequence[Path], table: Table | None) -> list[Entry]:
    """Return every picture of some sources, in the order of their ids."""
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
    """
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (
            Path(root) / name
            for name in sorted(names)
            if not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES | DICOM_SUFFIXES
        )


def _of(source: Path) -> list[Entry]:
    if source.suffix.lower() == ARRAYS_SUFFIX:
        return _of_arrays(source)
    if source.is_file():
        return [Entry(source.stem, source)]
    files = [(path.relative_to(source), path) for path in picture_files(source)]
    tops = {relative.parts[0] for relative, _ in files if len(relative.parts) > 1}
    parted = _is_parted(source, files, tops)
    level = 1 if parted else 0
    return [
        Entry(
            relative.with_suffix("").as_posix(),
            path,
            label=relative.parts[level] if len(relative.parts) > level + 1 else None,
            part=SPLIT_FOLDERS[relative.parts[0].lower()] if parted else NO_SPLIT,
        )
        for relative, path in files
    ]


def _is_parted(source: Path, files: Sequence[tuple[Path, Path]], tops: set[str]) -> bool:
    """Return whether a folder is divided already: train, val and test folders, with a folder per class in each.

    Half of that is an error.
    """
    parts = {top for top in tops if top.lower() in SPLIT_FOLDERS}
    if len(parts) < 2 and parts != tops:  # noqa: PLR2004 - one class may be called «test»
        return False
    strays = [relative for relative, _ in files if relative.parts[0] not in parts or len(relative.parts) < PATH_PARTS]
    stray = strays[0] if strays else None
    if stray is not None and len(parts) > 1:
        raise FacelimeError(
            f"{source} has the folders {', '.join(sorted(parts))}, but {stray} lies in no class folder of one of them; "
            "move it, or give a folder per class alone."
        )
    return bool(parts) and stray is None


def _distinct(entries: list[Entry]) -> list[Entry]:
    """Return the entries with ids of their own: where only the extension tells two files apart, it stays in the id."""
    named = entries
    for _ in range(2):  # a.jpg beside a.jpg.png needs a second look
        counts = Counter(entry.id for entry in named)
        named = [
            entry
            if counts[entry.id] == 1 or entry.id.endswith(entry.path.suffix)
            else replace(entry, id=entry.id + entry.path.suffix)
            for entry in named
        ]
    most, count = Counter(entry.id for entry in named).most_common(1)[0]
    if count > 1:
        raise FacelimeError(
            f"two pictures are called {most} in the sources given; give the folder above them as one source."
        )
    return sorted(named, key=lambda entry: entry.id)


def _of_table(sources: Sequence[Path], table: Table) -> list[Entry]:
    """Return the pictures that the rows of a table name, found by id in the sources and below."""
    rows = read_table(table)
    files: dict[str, list[Path]] = {}
    for source in sources:
        for path in picture_files(source) if source.is_dir() else (source,):
            files.setdefault(path.stem, []).append(path)
    lost = [row[table.id_column] for row in rows if row[table.id_column] not in files]
    if lost:
        raise NotFoundError(
            f"{len(lost)} of {len(rows)} pictures of {table.file} are in none of the sources, such as {lost[0]}; "
            "give the folder that holds it as one more SOURCE."
        )
    twice = next(
        (name for name, paths in files.items() if len(paths) > 1 and any(row[table.id_column] == name for row in rows)),
        None,
    )
    if twice is not None:
        raise FacelimeError(
            f"the picture {twice} is there more than once: {', '.join(map(str, files[twice][:3]))}; "
            "give one of these folders only."
        )
    used = {table.id_column, table.label_column, table.group_column}
    return [
        Entry(
            row[table.id_column],
            files[row[table.id_column]][0],
            label=(row[table.label_column] or None) if table.label_column else None,
            group=(row[table.group_column] or None) if table.group_column else None,
            columns={name: value for name, value in row.items() if name not in used},
        )
        for row in rows
    ]


def read_table(table: Table) -> list[dict[str, str]]:
    """Return the rows of a table, one per picture, by id; with `one_per_group` only the first of each group.

    A row that stands there again in every column counts once: the skin system's table held each picture three times.
    """
    if not table.file.is_file():
        raise NotFoundError(
            f"there is no table {table.file}; give a .csv file with a column of picture ids to --table."
        )
    try:
        with table.file.open(encoding="utf-8-sig", newline="") as lines:
            rows = [
                {name: (value or "").strip() for name, value in row.items() if name is not None}
                for row in csv.DictReader(lines)
            ]
    except (ValueError, csv.Error) as why:
        raise FacelimeError(
            f"{table.file} is no readable CSV table ({why}); save it as comma-separated UTF-8."
        ) from why
    if not rows:
        raise FacelimeError(f"{table.file} has no rows below its heading; check --table.")
    for option, column in (("id", table.id_column), ("label", table.label_column), ("group", table.group_column)):
        if column is not None and column not in rows[0]:
            raise CommandLineError(
                f"--{option}-column {column!r} is no column of {table.file}; its columns are {', '.join(rows[0])}."
            )
    return _one_row_each(sorted(rows, key=lambda row: row[table.id_column]), table)


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
        by_group.setdefault(row[table.group_column] or row[table.id_column], row)
    return list(by_group.values())


def _of_arrays(path: Path) -> list[Entry]:
    """Return the pictures of a .npz file with MedMNIST's keys: train_images, train_labels, …, test_labels."""
    entries = []
    for part, name in enumerate(MEDMNIST_SPLITS):
        images, labels = _member(path, f"{name}_images"), _member(path, f"{name}_labels")
        if images is None:
            continue
        flat = (
            [None] * len(images)
            if labels is None
            else [str(int(label)) for label in labels.reshape(len(images), -1)[:, 0]]
        )
        entries += [Entry(f"{name}/{index:06d}", path, index, label, part=part) for index, label in enumerate(flat)]
    if not entries:
        raise FacelimeError(
            f"{path} holds none of the arrays train_images, val_images and test_images (MedMNIST's names); "
            "name them so."
        )
    return entries


def _member(path: Path, name: str) -> NDArray[Any] | None:
    import numpy as np

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
    """
    import numpy as np

    if entry.index is None:
        return entry.path
    name = f"{entry.id.partition('/')[0]}_images"
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
    """
    match = re.search(pattern, entry.path.stem) if entry.group is None and pattern is not None else None
    if match is None:
        return entry.group
    return (match[1] if match.re.groups else match[0]) or None


def label_of(entry: Entry, pattern: str | None) -> str | None:
    """Return the class of an entry, or None.

    Parameters
    ----------
    entry : Entry
    pattern : str, optional
        Regular expression for the file name, in place of what the source says: the name of the named group that
        matched, else its first group, else all that it finds.
    """
    match = re.search(pattern, entry.path.stem) if pattern is not None else None
    if match is None:
        return entry.label if pattern is None else None
    if match.lastgroup is not None:
        return match.lastgroup
    return (match[1] if match.re.groups else match[0]) or None
