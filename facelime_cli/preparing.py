"""Preparing a dataset: which pictures there are, what is wrong with them, how they are divided, what they become."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelime_cli import sources, tables
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.names import comma_separated
from facelime_cli.pseudonyms import keyed
from facelime_cli.sources import NO_SPLIT, SPLITS
from facelime_cli.store import digests
from facelime_cli.store.arrays import ArraySpec, Layout
from facelime_cli.store.files import read_json, write_json
from facelime_cli.workers import Workers, in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.console import Console
    from facelime_cli.core.leakage import Traits
    from facelime_cli.core.operations import Prepared
    from facelime_cli.engine import Context
    from facelime_cli.pseudonyms import Pseudonyms
    from facelime_cli.sources import Entry

    Pixels = NDArray[np.uint8]

DEFAULT_SPLIT = "70:20:10"
NO_LABEL = -1
NAMED_FAILURES = 5
UNSAFE = re.compile(r"[/\\\x00-\x1f]|^__")
"""What the name of an array cannot hold."""
LONGEST_COLUMN = 100
CHECKED_TOGETHER = 1000
"""Files whose first look is kept together, when there are more: what a kill repeats at most."""
TWO_COLUMNS = 2


# What there is


def catalogue(params: Any, context: Context, pseudonyms: Pseudonyms | None = None) -> list[Entry]:
    """Return the source's entries with what the options say of labels and groups.

    Parameters
    ----------
    params : dataclass
        Those of `preprocess`.
    context : Context
        Its store's salt hides the patients of DICOM files.
    pseudonyms : Pseudonyms, optional
        They hide these patients in place of the salt, so that patients are the same in every store.

    Returns
    -------
    list of Entry

    Raises
    ------
    CommandLineError
        When options of a table are given without one.
    FacelimeError
        When the label pattern finds no class at all, or a table cannot be read.
    """
    entries = sources.find(params.source, _table_of(params))
    pattern = expression("--label-pattern", params.label_pattern, _label_patterns())
    names = {} if params.class_names is None else _class_names(params.class_names)
    labels = [None if entry.fault else sources.label_of(entry, pattern) for entry in entries]
    unknown = [entry.file for entry, label in zip(entries, labels, strict=True) if label is None]
    if pattern is not None and len(unknown) == len(entries):
        raise FacelimeError(
            f"--label-pattern {params.label_pattern!r} finds a class in none of the {len(entries)} file names, "
            f"such as {unknown[0]}; change it."
        )
    found = []
    for entry, label in zip(entries, labels, strict=True):
        long_name = None if label is None else names.get(label, label)
        group = entry.group or _patient(entry, context, pseudonyms)
        found.append(replace(entry, label=long_name, group=group))
    return found


def _table_of(params: Any) -> sources.Table | None:
    about_a_table = params.label_column or params.group_column or params.one_per_group or params.columns is not None
    # Ignoring these would make a dataset without labels, and say nothing of it.
    if params.table is None and about_a_table:
        raise CommandLineError(
            "--label-column, --group-column, --one-per-group and --columns are about a table; "
            "give it with --table FILE."
        )
    if params.one_per_group and params.group_column is None:
        raise CommandLineError("--one-per-group needs to know the groups; name their column with --group-column.")
    if params.table is None:
        return None
    columns = None if params.columns is None else tuple(comma_separated(params.columns))
    # Who hides the names of files does not expect them, or those of patients, in a column.
    if columns is None and params.pseudonyms:
        columns = ()
    return sources.Table(
        params.table, params.id_column, params.label_column, params.group_column, params.one_per_group, columns
    )


def _patient(entry: Entry, context: Context, pseudonyms: Pseudonyms | None) -> str | None:
    """Return a keyed hash of the patient in a DICOM file; the number itself enters nothing."""
    from facelime_cli.core.images import patient_of

    patient = patient_of(entry.path)
    if patient is None:
        return None
    # Numbers of patients are few enough to try them all: without a secret, the hash would hide nothing.
    return keyed(context.store.salt(), "patient", patient) if pseudonyms is None else pseudonyms.group(patient)


def hidden(
    catalog: Sequence[Entry], truths: Mapping[str, Path], pseudonyms: Pseudonyms, pattern: str | None
) -> tuple[list[Entry], dict[str, Path]]:
    """Return entries and masks of the truth under pseudonyms; nothing that is kept of them has a name any more.

    Parameters
    ----------
    catalog : sequence of Entry
        From `catalogue`.
    truths : mapping
        From `truth_files`.
    pseudonyms : Pseudonyms
    pattern : str, optional
        The expression for the group in a file name, as in `settings_of`.

    Returns
    -------
    entries : list of Entry
        In the order of their new ids, which says nothing of the names.
    truths : dict

    Raises
    ------
    FacelimeError
        When two pictures get the same pseudonym.
    """
    found = {}
    for entry in catalog:
        group = sources.group_of(entry, pattern)
        name = pseudonyms.picture(entry.id)
        found[name] = replace(entry, id=name, group=None if group is None else pseudonyms.group(group))
    if len(found) < len(catalog):
        raise FacelimeError("two pictures get the same pseudonym; rename one of them, or use another key.")
    return [found[name] for name in sorted(found)], {pseudonyms.picture(name): path for name, path in truths.items()}


def _class_names(path: Path) -> dict[str, str]:
    """Return the long name of each class, from a table of two columns."""
    names: dict[str, str] = {}
    for line in tables.lines(path):
        cells = line.cells
        if len(cells) != TWO_COLUMNS or not all(cells) or sources.LINE_BREAKS & set("".join(cells)):
            raise FacelimeError(
                f"{path} should have two columns in every row, a class and its long name, and line {line.number} "
                "has not; quote names that hold a comma."
            )
        if names.setdefault(cells[0], cells[1]) != cells[1]:
            raise FacelimeError(f"{path} has two long names for the class {cells[0]}; leave one of them.")
    return names


def settings_of(params: Any, catalog: Sequence[Entry]) -> dict[str, Any]:
    """Return how the pictures are divided and changed, what was not given filled in.

    Parameters
    ----------
    params : dataclass
        Those of `preprocess`.
    catalog : sequence of Entry
        A source that is divided already, or has no labels, cannot be divided.

    Returns
    -------
    dict
        The parameters of the dataset.

    Raises
    ------
    CommandLineError
        When two ways to divide are given.
    FacelimeError
        When the source cannot be divided.
    """
    labelled = any(entry.label is not None for entry in catalog)
    divided = any(entry.split != NO_SPLIT for entry in catalog)
    for option, value in (("--split", params.split), ("--folds", params.folds)):
        if value is not None and (divided or not labelled):
            why = "has no labels (no class folders, no --label-column), so there is nothing to divide"
            if divided:
                why = "is already divided into train, val and test"
            raise FacelimeError(f"{option} {value} does not fit {params.source[0]}, which {why}; leave {option} out.")
    if params.split is not None and params.folds is not None:
        raise CommandLineError("--split and --folds are two ways to divide; give one of them.")
    divides = labelled and not divided
    split = None
    if divides and params.folds is None:
        split = _shares(params.split or DEFAULT_SPLIT)
    return {
        "size": params.size,
        "split": split,
        "folds": params.folds,
        "group_pattern": expression("--group-pattern", params.group_pattern, _group_patterns()),
        "fit": params.fit,
        "crop": params.crop,
        "crop_border": params.crop_border,
        "white_balance": params.white_balance,
        "equalize": params.equalize,
        "contrast": params.contrast,
        # Where nothing is drawn by the seed, another seed is no other dataset.
        "seed": params.seed if divides else None,
        "truth": params.truth is not None,
    }


def _shares(text: str) -> list[float]:
    try:
        shares = [float(each) for each in text.split(":")]
    except ValueError:
        shares = []
    if len(shares) != len(SPLITS) or min(shares) < 0 or not 0 < sum(shares) < float("inf"):
        raise CommandLineError(
            f"--split {text!r} should be three shares such as {DEFAULT_SPLIT}: train, validation, test."
        )
    # 70:20:10 and 7:2:1 are the same dataset, so they get the same parameters.
    whole = sum(shares)
    return [round(share / whole, 9) for share in shares]


def _group_patterns() -> Mapping[str, str]:
    from facelime_cli.core.splits import GROUP_PATTERNS

    return GROUP_PATTERNS


def _label_patterns() -> Mapping[str, str]:
    from facelime_cli.core.splits import LABEL_PATTERNS

    return LABEL_PATTERNS


def expression(option: str, pattern: str | None, named: Mapping[str, str]) -> str | None:
    """Return the regular expression that a text names or is, or None for none.

    Parameters
    ----------
    option : str
        As it is typed, for the message.
    pattern : str, optional
    named : mapping
        Expressions by name.

    Returns
    -------
    str or None

    Raises
    ------
    CommandLineError
        When it is no regular expression.
    """
    if pattern is None:
        return None
    found = named.get(pattern, pattern)
    if not found:
        raise CommandLineError(f"{option} '' finds nothing; give an expression, or one of {', '.join(named)}.")
    try:
        re.compile(found)
    except (re.error, OverflowError, RecursionError) as why:
        raise CommandLineError(
            f"{option} {pattern!r} is no regular expression ({why}); use one, or one of {', '.join(named)}."
        ) from why
    return found


def say_names(entries: Iterable[Entry], params: Any, console: Console) -> None:
    """Say once what is kept of names: those of files, or with pseudonyms what is left out for them.

    Parameters
    ----------
    entries : iterable of Entry
    params : dataclass
        Those of `preprocess`.
    console : Console
    """
    if params.pseudonyms:
        if params.table is not None and params.columns is None:
            console.note("the further columns of the table are left out; --columns names those to keep.")
    # The pictures of a file of arrays have numbers alone.
    elif any(entry.index is None for entry in entries):
        console.note("the names of the files are kept as ids of the pictures; --pseudonyms replaces them.")


# Masks of the truth


def truth_files(folder: Path, catalog: Sequence[Entry]) -> dict[str, Path]:
    """Return the mask of each picture that has one, by the picture's id.

    Parameters
    ----------
    folder : Path
        Of masks; their relative names are those of the pictures.
    catalog : sequence of Entry
        The pictures.

    Returns
    -------
    dict

    Raises
    ------
    NotFoundError
        When there is no such folder.
    FacelimeError
        When no mask has the name of a picture, or a folder of them cannot be read.
    """
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {folder} with masks; check --truth.")
    masks: dict[str, Path] = {}
    faults: list[sources.Fault] = []
    for path in sources.picture_files(folder, faults):
        # Masks are often PNG files beside pictures in JPEG, so the extension does not count.
        name = path.relative_to(folder).with_suffix("").as_posix()
        masks[name] = path
    # A picture whose mask lies there would look as if it had none.
    for fault in faults:
        raise FacelimeError(f"{sources.readable(str(fault.path))}, among the masks, {fault.reason}; see to it first.")
    found = {entry.id: masks[entry.id] for entry in catalog if entry.id in masks}
    if not found:
        raise FacelimeError(f"no mask in {folder} has the name of a picture; a mask of a/b.jpg is a/b.png there.")
    return found


def check_truth(truths: Mapping[str, Path], processes: int | None, console: Console) -> dict[str, tuple[int, int]]:
    """Decode every mask once, so that a broken one is named before anything is written.

    Parameters
    ----------
    truths : mapping
        From `truth_files`.
    processes : int, optional
    console : Console

    Returns
    -------
    dict
        Width and height of each mask, by the picture's id.

    Raises
    ------
    FacelimeError
        When a mask cannot be read.
    """
    paths = list(truths.values())
    sizes = []
    with Workers(processes) as workers, console.progress("check masks", len(paths), unit="masks") as advance:
        for path, found in zip(paths, workers.map(_mask_size, paths), strict=True):
            advance(1)
            if isinstance(found, str):
                raise FacelimeError(f"the mask {path} {found}; replace it, or take it out of the folder.")
            sizes.append(found)
    return dict(zip(truths, sizes, strict=True))


def _mask_size(path: Path) -> tuple[int, int] | str:
    """Return a mask's width and height, or why it cannot be read."""
    from facelime_cli.core.images import UnreadableError, decode_mask

    try:
        height, width = decode_mask(path).shape
    except UnreadableError as why:
        return str(why)
    return width, height


def check_sizes(sizes: Mapping[str, tuple[int, int]], found: Checked) -> None:
    """Refuse a mask that is not as large as its picture: what is cut out of both would be different regions.

    Parameters
    ----------
    sizes : mapping
        From `check_truth`.
    found : Checked

    Raises
    ------
    FacelimeError
        When one has another width or height.
    """
    for entry, measured in zip(found.entries, found.traits, strict=True):
        width, height = (int(each) for each in measured.figures[:2])
        if sizes.get(entry.id, (width, height)) != (width, height):
            mask = "×".join(map(str, sizes[entry.id]))
            raise FacelimeError(
                f"the mask of {entry.file} has {mask} pixels, but the picture has {width}×{height}; "
                "make the mask as large as its picture."
            )


# Digests


def source_digest(catalog: Sequence[Entry]) -> str:
    """Return the digest of a source: over names, bytes, and what it says of class, group, split and further columns.

    Parameters
    ----------
    catalog : sequence of Entry

    Returns
    -------
    str
    """
    said = sorted([entry.id, entry.label, entry.group, entry.split, dict(entry.columns)] for entry in catalog)
    files = {}
    for entry in catalog:
        # The pictures of one array file share its name: it is read once.
        name = entry.id if entry.index is None else entry.array
        files[name] = entry.path
    return digests.of_value([files_digest(files.items()), said])


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


# A first look at every file


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
    """

    entries: list[Entry]
    traits: list[Traits]
    failed: list[dict[str, str]]

    def add(self, entry: Entry, measured: Traits | str) -> None:
        """Note one file's measures, or why it cannot be read.

        Parameters
        ----------
        entry : Entry
        measured : Traits or str
            The measures, or the reason.
        """
        if isinstance(measured, str):
            self.failed.append({"file": entry.file, "reason": measured})
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
            measured = _measured(block, kept, arrays, workers, advance)
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
) -> list[Traits | str]:
    """Return what is measured of some files, or why one cannot be read; `kept` is the file that a kill leaves it in."""
    from facelime_cli.core.leakage import Traits

    if kept is not None and kept.exists():
        advance(len(block))
        stored = read_json(kept)["measured"]
        return [each if isinstance(each, str) else Traits.from_json(each) for each in stored]
    tasks = []
    for entry in block:
        pixels = sources.pixels(entry, arrays)
        tasks.append((pixels, entry.path.suffix.lower(), entry.fault))
    measured: list[Traits | str] = counted(workers.map(_measure, tasks), advance)
    if kept is not None:
        values = [each if isinstance(each, str) else each.json() for each in measured]
        write_json(kept, {"measured": values})
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


def _measure(task: tuple[Path | Pixels, str, str | None]) -> Traits | str:
    from facelime_cli.core.images import UnreadableError, reason
    from facelime_cli.core.leakage import traits

    pixels, suffix, fault = task
    if fault is not None:
        return fault
    try:
        return traits(_decoded(pixels), suffix)
    except (UnreadableError, MemoryError) as why:
        return reason(why)


def _usable(measured: Traits | str, params: Any) -> Traits | str:
    """Return what was measured, or why the options cannot be applied to such a picture."""
    from facelime_cli.core.images import MOST_PIXELS

    if isinstance(measured, str) or params.fit != "pad":
        return measured
    width, height = (int(each) for each in measured.figures[:2])
    if max(width, height) ** 2 > MOST_PIXELS:
        return f"has {width}×{height} pixels, which --fit pad makes a square of more than {MOST_PIXELS:,} pixels"
    return measured


def _decoded(pixels: Path | Pixels) -> Pixels:
    from facelime_cli.core import images

    return images.decode(pixels) if isinstance(pixels, Path) else images.display(pixels)


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


# The dataset


def layout_of(
    found: Checked, n_files: int, settings: Mapping[str, Any], *, with_truth: bool, console: Console
) -> Layout:
    """Return a dataset's arrays and facts, and warn of what is remarkable about it.

    Parameters
    ----------
    found : Checked
    n_files : int
        Number of files in the source, those that cannot be read too.
    settings : mapping
        From `settings_of`.
    with_truth : bool
        Whether masks of the truth belong to it.
    console : Console
        Is told of pictures without a class or group, of empty splits and of leakage.

    Returns
    -------
    Layout
    """
    from facelime_cli.core import leakage

    entries = found.entries
    classes, labels = _labels(entries)
    groups, unmatched = _groups(entries, settings["group_pattern"])
    split, fold = _divided(entries, labels, groups, settings)
    # Without any class a missing one is nothing to be warned of.
    n_without_class = int((labels == NO_LABEL).sum()) if classes else 0
    _say_unmatched(unmatched, n_without_class, console)
    counts = _counts(classes, labels, split)
    _warn_of_empty_splits(counts, settings, console)
    ids = [entry.id for entry in entries]
    # With folds, a copy in another fold leaks: every fold is tested once.
    divided = split if fold is None else fold
    leaks = leakage.report(ids, found.traits, labels, divided, groups)
    for sentence in leaks["sentences"]:
        console.warn(f"leakage: {sentence}")
    shares = {each: round(float((split == place).mean()), 4) for place, each in enumerate(SPLITS)}
    size = int(settings["size"])
    columns = _columns(entries)
    facts = {
        "classes": classes,
        "size": size,
        "counts": counts,
        "shares": shares,
        "groups": len(set(groups)),
        "files": n_files,
        "unreadable": found.failed,
        "leakage": leaks,
        "columns": list(columns),
    }
    console.note(_summary(facts, len(entries)))
    known = {"id": _texts(ids), "labels": labels, "split": split, "group": _texts(groups)}
    if fold is not None:
        known["fold"] = fold
    known |= _table(entries, columns)
    constants = {name: (values, ("picture",)) for name, values in known.items()}
    return Layout(len(entries), _arrays(len(entries), size, with_truth=with_truth), constants, facts)


def _labels(entries: Sequence[Entry]) -> tuple[list[str], NDArray[np.int16]]:
    """Return the names of the classes, sorted, and the class of every picture."""
    import numpy as np

    classes = sorted({entry.label for entry in entries if entry.label is not None})
    number_of = {name: number for number, name in enumerate(classes)}
    numbers = [NO_LABEL if entry.label is None else number_of[entry.label] for entry in entries]
    return classes, np.array(numbers, dtype=np.int16)


def _counts(classes: Sequence[str], labels: NDArray[np.int16], split: NDArray[np.int8]) -> dict[str, dict[str, int]]:
    """Return how many pictures of each class are in each split."""
    counts = {}
    for number, name in enumerate(classes):
        of_class = labels == number
        counts[name] = {each: int((of_class & (split == place)).sum()) for place, each in enumerate(SPLITS)}
    return counts


def _arrays(n: int, size: int, *, with_truth: bool) -> dict[str, ArraySpec]:
    arrays = {"images": ArraySpec("uint8", (n, size, size, 3), ("picture", "y", "x", "channel"))}
    if with_truth:
        arrays["truth"] = ArraySpec("uint8", (n, size, size), ("picture", "y", "x"))
    return arrays


def _say_unmatched(unmatched: Sequence[str], n_without_class: int, console: Console) -> None:
    if unmatched:
        console.warn(
            f"{len(unmatched)} file names do not match the group pattern, such as {unmatched[0]}; "
            "each of them counts as a group of its own."
        )
    if n_without_class:
        console.warn(
            f"{n_without_class} pictures have no class (they lie beside the class folders, or the table leaves it "
            "out); they get no label and no split."
        )


def _summary(facts: Mapping[str, Any], n: int) -> str:
    """Return a dataset's counts in one line."""
    said = f"{n} pictures in {facts['groups']} groups"
    if not facts["counts"]:
        return said
    classes = []
    for name, counts in facts["counts"].items():
        numbers = " / ".join(str(count) for count in counts.values())
        classes.append(f"{name} {numbers}")
    return f"{said}; {' / '.join(SPLITS)}: {', '.join(classes)}"


def _texts(values: Iterable[str]) -> NDArray[Any]:
    import numpy as np

    # An array of fixed width would pad every text to the longest one.
    return np.array(list(values), dtype=object)


def _columns(entries: Sequence[Entry]) -> dict[str, str]:
    """Return the further columns of the source's table by the names of their arrays, each its own."""
    found: dict[str, str] = {}
    for column in sorted({column for entry in entries for column in entry.columns}):
        stem = UNSAFE.sub("_", column).strip("._ ")[:LONGEST_COLUMN] or "unnamed"
        name, number = stem, 1
        # Some file systems do not tell capitals from small letters; zarr keeps its own file among the arrays.
        while name.lower() in {each.lower() for each in found} or name == "zarr.json":
            number += 1
            name = f"{stem}_{number}"
        found[name] = column
    return found


def _table(entries: Sequence[Entry], columns: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Return the further columns: numbers where every value is one (NaN where it is empty), else text."""
    import numpy as np

    found = {}
    for name, column in columns.items():
        values = [entry.columns.get(column, "") for entry in entries]
        try:
            numbers = np.array([float(value) if value else float("nan") for value in values])
        except ValueError:
            found[f"table/{name}"] = _texts(values)
            continue
        # A column that is empty everywhere says nothing as numbers either.
        found[f"table/{name}"] = _texts(values) if np.isnan(numbers).all() else numbers
    return found


def _warn_of_empty_splits(
    counts: Mapping[str, Mapping[str, int]], settings: Mapping[str, Any], console: Console
) -> None:
    shares = settings["split"]
    for place, split in enumerate(SPLITS):
        # A source that is divided already may leave a split out on purpose, and so may --split 80:0:20.
        is_used = any(each[split] for each in counts.values())
        if shares:
            is_used = shares[place] > 0
        for name, of_class in counts.items():
            if is_used and of_class[split] == 0:
                console.warn(
                    f"no picture of {name} came into the {split} split: there are too few pictures or groups of it."
                )


def _groups(entries: Sequence[Entry], pattern: str | None) -> tuple[list[str], list[str]]:
    """Return the group of every picture, and the ids of those whose file name should have one but does not."""
    groups, unmatched = [], []
    for entry in entries:
        group = sources.group_of(entry, pattern)
        if group is None and pattern is not None:
            unmatched.append(entry.id)
        # A picture without a group is a group of its own: it can go into any split.
        groups.append(entry.id if group is None else group)
    return groups, unmatched


def _divided(
    entries: Sequence[Entry], labels: NDArray[np.int16], groups: Sequence[str], settings: Mapping[str, Any]
) -> tuple[NDArray[np.int8], NDArray[np.int8] | None]:
    """Return the split of every picture, and its fold when there are folds: fold 0 is tested, fold 1 validates."""
    import numpy as np

    from facelime_cli.core.splits import divide, splits_of_folds

    split = np.array([entry.split for entry in entries], dtype=np.int8)
    labelled = np.flatnonzero(labels != NO_LABEL)
    folds = settings["folds"]
    shares = settings["split"] if folds is None else [1.0] * folds
    if shares is None or not len(labelled):
        return split, None
    # Pictures without a label are dealt to no split: nothing could be learned from them or tested on them.
    own_groups = [groups[int(i)] for i in labelled]
    if folds is not None and len(set(own_groups)) < folds:
        raise FacelimeError(
            f"--folds {folds} needs as many groups (patients or lesions), and the pictures with a class are in "
            f"{len(set(own_groups))}; ask for fewer folds, or see to --group-pattern."
        )
    dealt = divide(labels[labelled].tolist(), own_groups, shares, settings["seed"])
    if folds is None:
        split[labelled] = dealt
        return split, None
    fold = np.full(len(entries), NO_SPLIT, np.int8)
    fold[labelled] = dealt
    return splits_of_folds(fold, 0, folds), fold


# What pictures become


def prepare_picture(task: tuple[Path | Pixels, Mapping[str, Any]]) -> Prepared:
    """Return a picture as it stands in the dataset. Worker processes call this.

    Parameters
    ----------
    task : tuple
        Pixels from `sources.pixels`, and settings from `settings_of`.

    Returns
    -------
    Prepared
    """
    from facelime_cli.core.images import UnreadableError, reason
    from facelime_cli.core.operations import prepare

    pixels, settings = task
    try:
        return prepare(_decoded(pixels), _operations(settings))
    except (UnreadableError, MemoryError) as why:
        # It could be read when all files were looked at.
        name = pixels if isinstance(pixels, Path) else "a picture of the .npz file"
        raise FacelimeError(f"{name} {reason(why)}; repeat the command, which looks at all files again.") from why


def prepare_truth(task: tuple[Path | None, Any, Mapping[str, Any]]) -> Pixels:
    """Return a mask of the truth as its picture was cut and resized; zeros where there is none.

    Parameters
    ----------
    task : tuple
        The mask's file or None, the box that was cut out of its picture, and settings from `settings_of`.

    Returns
    -------
    (H, W) uint8 array
    """
    import numpy as np

    from facelime_cli.core import images
    from facelime_cli.core.operations import prepare_mask

    path, box, settings = task
    if path is None:
        size = int(settings["size"])
        return np.zeros((size, size), np.uint8)
    return prepare_mask(images.decode_mask(path), box, _operations(settings))


def _operations(settings: Mapping[str, Any]) -> Any:
    from facelime_cli.core.operations import Operations

    return Operations(
        size=int(settings["size"]),
        fit=settings["fit"],
        crop_border=settings["crop_border"],
        crop_face=settings["crop"] is not None,
        white_balance=settings["white_balance"] is not None,
        equalize=settings["equalize"],
        contrast=settings["contrast"],
    )
