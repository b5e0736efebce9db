"""Where pictures come from: folders, a table beside folders, arrays in a file.

What is found is a list of entries. Nothing is decoded here.
"""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelime_cli.core.formats import (
    ARRAYS_SUFFIX,
    DICOM_SUFFIXES,
    LABEL_SUFFIXES,
    NOT_SNIFFED,
    OF_SYSTEMS,
    PICTURE_SUFFIXES,
    is_dicom,
    passed_over,
)
from facelime_cli.core.opening import opened, reason_of
from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.machine import free_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")
SPLIT_FOLDERS = {"train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}
MEDMNIST_SPLITS = ("train", "val", "test")
NO_SPLIT = -1
KNOWN_FINDINGS = (1, 0, -1)
"""What an array may say of a finding: present, absent, unknown."""
CALLED_PICTURES = PICTURE_SUFFIXES | DICOM_SUFFIXES
LINE_BREAKS = {"\r", "\n"}
LONGEST_MATCH = 5
"""Seconds that a regular expression may take for one file name."""
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
    findings : mapping or None
        Where a picture may have several labels: each that is known, by name, as 1 (present) or 0 (absent).
    columns : mapping
        Further columns of its row in the table.
    fault : str or None
        Why it cannot be used, where that is known before it is read: a folder that cannot be opened, or a bad name.
    """

    id: str
    path: Path
    index: int | None = None
    label: str | None = None
    group: str | None = None
    split: int = NO_SPLIT
    findings: Mapping[str, int] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    fault: str | None = None

    @property
    def file(self) -> str:
        """Its name for people: the id with the extension."""
        if self.index is not None or self.fault is not None or self.id.endswith(self.suffix):
            return self.id
        return self.id + self.suffix

    @property
    def suffix(self) -> str:
        """The ending of its file, where it is one of pictures: that of a DICOM file may be a part of a number."""
        return self.path.suffix if _is_called_a_picture(self.path) else ""

    @property
    def array(self) -> str:
        """What the arrays of its split are called in a file of arrays."""
        return MEDMNIST_SPLITS[self.split]


def find(sources: Sequence[Path], passed: Counter[str] | None = None) -> list[Entry]:
    """Return every picture of some sources, in the order of their ids.

    Parameters
    ----------
    sources : sequence of Path
        Folders, pictures and .npz files.
    passed : Counter, optional
        As for `picture_files`.

    Returns
    -------
    list of Entry

    Raises
    ------
    NotFoundError
        When a source is not there.
    FacelimeError
        When there are no pictures, or two cannot be told apart.
    """
    check_there(sources)
    passed = Counter() if passed is None else passed
    found = [entry for source in sources for entry in _of(source, passed)]
    if not found:
        others = f", only other files ({counts_of(passed)})" if passed else ""
        raise FacelimeError(
            f"there are no pictures in {', '.join(map(str, sources))}{others}; "
            "give a folder with .jpg, .png, .tif, .dcm or other picture files."
        )
    return _of_one_kind(_distinct(found))


def counts_of(counts: Mapping[str, int]) -> str:
    """Return counts in words, the largest first.

    Parameters
    ----------
    counts : mapping

    Returns
    -------
    str

    Examples
    --------
    >>> counts_of({".txt": 2, ".nii.gz": 40})
    '40 .nii.gz, 2 .txt'
    """
    return ", ".join(
        f"{count:,} {name}" for name, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    )


def _of_one_kind(entries: list[Entry]) -> list[Entry]:
    """Return the entries, all of them with findings where one has some; refuse classes beside findings."""
    if all(entry.findings is None for entry in entries):
        return entries
    of_class = next((entry for entry in entries if entry.label is not None), None)
    if of_class is not None:
        raise FacelimeError(
            f"the picture {of_class.id} has one class, and others have several findings; give them as two datasets."
        )
    return [replace(entry, findings={}) if entry.findings is None else entry for entry in entries]


def check_there(sources: Sequence[Path]) -> None:
    """Raise where a source is not there.

    Parameters
    ----------
    sources : sequence of Path

    Raises
    ------
    NotFoundError
    """
    for source in sources:
        if not source.exists():
            raise NotFoundError(
                f"there is nothing at {readable(str(source))}; "
                "give a folder of pictures, a picture, or a .npz file of arrays."
            )


@dataclass(frozen=True)
class Fault:
    """Something below a folder that cannot be read, so that nobody knows which pictures it holds.

    Attributes
    ----------
    path : Path
    reason : str
        To stand behind its name.
    """

    path: Path
    reason: str


def picture_files(folder: Path, faults: list[Fault], passed: Counter[str] | None = None) -> Iterator[Path]:
    """Yield the picture files in and below a folder, sorted.

    They are known by the ending of their name, and DICOM also by its first bytes. Hidden files are left out. Links are
    followed, but never in circles.

    Parameters
    ----------
    folder : Path
    faults : list of Fault
        Receives the folders that cannot be read, and the links that lead nowhere.
    passed : Counter, optional
        Receives the numbers of other files by kind, as `passed_over` calls it. Files of systems do not count.

    Yields
    ------
    Path
        It may be a pipe or damaged.
    """

    def unreadable(why: OSError) -> None:
        faults.append(Fault(Path(why.filename), f"is a folder that cannot be opened ({reason_of(why)})"))

    seen: dict[str, str] = {}
    above: list[tuple[str, str]] = []
    others = Counter() if passed is None else passed
    for root, folders, names in os.walk(folder, followlinks=True, onerror=unreadable):
        place, real = Path(root), _real(root, above)
        # A link to a folder above would lead here again and again.
        if real in seen:
            if not root.startswith(f"{seen[real]}{os.sep}"):
                # Its name below the source: no path of this machine enters an artifact.
                first = readable(str(Path(seen[real]).relative_to(folder)))
                faults.append(Fault(place, f"is the same folder as {first}, which is read already"))
            folders.clear()
            continue
        seen[real] = root
        above.append((root, real))
        # Changed in place, the list tells `walk` where to go next, and in which order.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if _is_called_a_picture(place) and not folders and not names and place != folder:
            faults.append(Fault(place, "is an empty folder, not a picture"))
        for name in sorted(name for name in names if not name.startswith(".")):
            path = place / name
            if _is_called_a_picture(path) or _is_unnamed_dicom(path):
                yield path
            elif _leads_nowhere(path):
                faults.append(Fault(path, "is a link that leads nowhere"))
            elif name.lower() not in OF_SYSTEMS:
                others[passed_over(name)] += 1


def _real(root: str, above: list[tuple[str, str]]) -> str:
    """Return a folder's path without links; `above` holds those around the last one, and is cut to those around it."""
    while above and not root.startswith(f"{above[-1][0]}{os.sep}"):
        above.pop()
    # Looking for links in the whole path again takes longer than all the rest, where folders are many.
    if above and not os.path.islink(root):  # noqa: PTH114 - a Path for each of many folders takes long
        return os.path.join(above[-1][1], os.path.basename(root))  # noqa: PTH118, PTH119 - as above
    return os.path.realpath(root)


def _is_called_a_picture(path: Path) -> bool:
    return path.suffix.lower() in CALLED_PICTURES


def _leads_nowhere(path: Path) -> bool:
    return not path.suffix and path.is_symlink() and not os.path.exists(path)  # noqa: PTH110 - where a folder on the way is closed, too


def _is_unnamed_dicom(path: Path) -> bool:
    """Return whether a file is DICOM without the ending of it, as on the discs of hospitals."""
    return path.suffix.lower() not in NOT_SNIFFED and path.name.lower() not in OF_SYSTEMS and is_dicom(path)


def without_suffix(path: Path) -> str:
    """Return a path without the ending of pictures; no other is taken off: DICOM names are often numbers with points.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str

    Examples
    --------
    >>> without_suffix(Path("a/b.JPG")), without_suffix(Path("1.2.840"))
    ('a/b', '1.2.840')
    """
    return (path.with_suffix("") if _is_called_a_picture(path) else path).as_posix()


def _of(source: Path, passed: Counter[str]) -> list[Entry]:
    """Return the pictures of one source; folders below it are classes, or splits with classes in them."""
    if source.suffix.lower() == ARRAYS_SUFFIX:
        return _of_arrays(source)
    if not source.is_dir():
        return [_named(Path(source.name), Entry(without_suffix(Path(source.name)), source))]
    faults: list[Fault] = []
    files = [(path.relative_to(source), path) for path in picture_files(source, faults, passed)]
    tops = {relative.parts[0] for relative, _ in files if len(relative.parts) > 1}
    divided = _is_divided(source, files, tops)
    level = 1 if divided else 0
    entries = []
    for relative, path in files:
        folders = relative.parts[:-1]
        # A file beside the class folders has no class.
        label = folders[level] if len(folders) > level else None
        split = SPLIT_FOLDERS[folders[0].lower()] if divided else NO_SPLIT
        entry = Entry(without_suffix(relative), path, label=label, split=split)
        entries.append(_named(relative, entry))
    for fault in faults:
        name = source.name if fault.path == source else str(fault.path.relative_to(source))
        # A folder is named with a slash at its end, so that no picture can be called so.
        entries.append(Entry(f"{readable(name)}/", fault.path, fault=fault.reason))
    return entries


def _named(relative: Path, entry: Entry) -> Entry:
    """Return an entry whose name is text; one whose name is no UTF-8 cannot be an id, and is left out."""
    name = readable(str(relative))
    if name == str(relative):
        return entry
    return Entry(name, entry.path, fault="has a name that is not UTF-8; rename it")


def readable(name: str) -> str:
    r"""Return a name with each byte that is no UTF-8 as an escape sequence.

    Parameters
    ----------
    name : str
        As the system gives it.

    Returns
    -------
    str

    Examples
    --------
    >>> readable("caf\udce9.png")
    'caf\\xe9.png'
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


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
    suffix = entry.suffix
    return entry if entry.id.endswith(suffix) else replace(entry, id=entry.id + suffix)


def _of_arrays(path: Path) -> list[Entry]:
    """Return the pictures of a .npz file with MedMNIST's keys: train_images, train_labels, …, test_labels."""
    entries = []
    for split, name in enumerate(MEDMNIST_SPLITS):
        images, labels = _member(path, f"{name}_images"), _member(path, f"{name}_labels")
        if images is None:
            continue
        if not images.ndim:
            raise FacelimeError(f"{name}_images of {path} is a single number, not an array of pictures.")
        said: Sequence[str | Mapping[str, int] | None] = [None] * len(images)
        if labels is not None:
            said = _labels_of(path, name, labels, len(images))
        for index, label in enumerate(said):
            entry = Entry(f"{name}/{index:06d}", path, index, split=split)
            known = {"label": label} if label is None or isinstance(label, str) else {"findings": label}
            entries.append(replace(entry, **known))
    if not entries:
        raise FacelimeError(
            f"{path} holds none of the arrays train_images, val_images and test_images (MedMNIST's names); "
            "name them so."
        )
    return entries


def _labels_of(path: Path, split: str, labels: NDArray[Any], n: int) -> Sequence[str | Mapping[str, int]]:
    """Return the class of each picture; where there are several columns, its findings by their numbers."""
    if not labels.ndim or len(labels) != n:
        raise FacelimeError(
            f"{split}_labels of {path} has the shape {labels.shape}, but there are {n} pictures in {split}_images; "
            "give one label for each."
        )
    rows = labels.reshape(n, -1).tolist() if labels.size else [[None]] * n
    if any(len(row) > 1 for row in rows):
        return _findings_of(path, split, rows)
    found = []
    for index, (label,) in enumerate(rows):
        try:
            number = int(label)
        except (TypeError, ValueError, OverflowError):
            number = None
        if number is None or (isinstance(label, float) and number != label):
            raise FacelimeError(f"the label {label!r} of picture {index} of {split}_labels in {path} is no integer.")
        found.append(str(number))
    return found


def _findings_of(path: Path, split: str, rows: Sequence[Sequence[Any]]) -> list[dict[str, int]]:
    """Return the findings of each picture, by the numbers of their columns; those that are unknown are left out."""
    found = []
    for index, row in enumerate(rows):
        strange = next((value for value in row if value not in KNOWN_FINDINGS), None)
        if strange is not None:
            raise FacelimeError(
                f"the label {strange!r} of picture {index} of {split}_labels in {path} is none of 1 (present), "
                "0 (absent) and -1 (unknown); several columns are several findings."
            )
        found.append({str(column): int(value) for column, value in enumerate(row) if value >= 0})
    return found


def _member(path: Path, name: str) -> NDArray[Any] | None:
    """Return an array of a file; None where there is none of this name."""
    import numpy as np

    from facelime_cli.core.images import UNREADABLE, reason

    # A pickle in a foreign file could run any code.
    try:
        with opened(path) as stream, np.load(stream, allow_pickle=False) as arrays:
            if name not in arrays:
                return None
            _check_fits(arrays.zip.getinfo(f"{name}.npy").file_size, name, path)
            return np.asarray(arrays[name])
    except FacelimeError:
        raise
    except UNREADABLE as why:
        raise FacelimeError(
            f"{path} cannot be read as a file of NumPy arrays ({reason(why)}); save it with numpy.savez."
        ) from why


def _check_fits(size: int, name: str, path: Path) -> None:
    """Refuse an array that memory cannot hold: a file of a few kilobytes can hold zeros without end."""
    free = free_memory()
    if size > free:
        raise FacelimeError(
            f"{name} of {path} needs {size / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB of memory are free; "
            "divide it into several files."
        )


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
    return group_in(without_suffix(Path(entry.path.name)), pattern)


def group_in(name: str, pattern: str) -> str | None:
    """Return the patient or lesion that an expression finds in a name, or None.

    Parameters
    ----------
    name, pattern : str

    Returns
    -------
    str or None
    """
    match = _matched("--group-pattern", pattern, name)
    return None if match is None else _found(match)


def label_of(entry: Entry, pattern: str | None, option: str = "--label-pattern") -> str | None:
    """Return the class of an entry, or None.

    Parameters
    ----------
    entry : Entry
    pattern : str, optional
        Regular expression for the file name, in place of what the source says: the name of the named group that
        matched, else its first group, else all that it finds.
    option : str
        Where it was given, for messages.

    Returns
    -------
    str or None
    """
    if pattern is None:
        return entry.label
    match = _matched(option, pattern, without_suffix(Path(entry.path.name)))
    if match is None:
        return None
    # Only a named group can map several spellings of a class to one name.
    if match.lastgroup is not None:
        return match.lastgroup
    return _found(match)


def _matched(option: str, pattern: str, name: str) -> re.Match[str] | None:
    """Return where an expression is in a file name; one that tries too many ways is stopped."""

    def stop(_number: int, _frame: Any) -> None:
        raise FacelimeError(
            f"{option} {pattern!r} takes more than {LONGEST_MATCH} s on the file name {readable(name)!r}; "
            "write it without a repetition in a repetition."
        )

    # Such as (a+)+$: the time doubles with each letter. Python looks for signals while it matches.
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_MATCH)
    try:
        return re.search(pattern, name)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


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
