"""What a dataset holds: labels, groups, splits, further columns, and what is remarkable about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli import sources
from facelime_cli.core import shapes
from facelime_cli.errors import FacelimeError
from facelime_cli.sources import NO_SPLIT, SPLITS, Entry
from facelime_cli.store.arrays import ArraySpec, Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.console import Console
    from facelime_cli.core.shapes import Sides
    from facelime_cli.preparing.looking import Checked


NO_LABEL = -1
UNSAFE = re.compile(r"[/\\\x00-\x1f]|^__")
"""What the name of an array cannot hold."""
LONGEST_COLUMN = 100


def layout_of(
    found: Checked,
    n_files: int,
    settings: Mapping[str, Any],
    *,
    with_truth: bool,
    console: Console,
    names: Sequence[str] = (),
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
    names : sequence of str, optional
        The names of the findings, or of classes, in the source's order.

    Returns
    -------
    Layout
    """
    from facelime_cli.core import leakage
    from facelime_cli.core.labels import labelled

    entries = found.entries
    several = any(entry.findings is not None for entry in entries)
    told = _findings(entries, names) if several else _classes(entries, names)
    groups, unmatched = _groups(entries, settings["group_pattern"])
    split, fold = _divided(entries, told, groups, settings)
    # Without any class a missing one is nothing to be warned of.
    n_unlabelled = int((~labelled(told.labels)).sum()) if told.names else 0
    _say_unmatched(unmatched, console)
    if n_unlabelled:
        console.warn(told.unlabelled.format(n=n_unlabelled))
    counts = _counts(told, split)
    _warn_of_empty_splits(counts, told, settings, console)
    ids = [entry.id for entry in entries]
    # With folds, a copy in another fold leaks: every fold is tested once.
    divided = split if fold is None else fold
    leaks = leakage.report(ids, found.traits, told.labels, divided, groups, told.names if told.several else ())
    for sentence in leaks["sentences"]:
        console.warn(f"leakage: {sentence}")
    shares = {each: round(float((split == place).mean()), 4) for place, each in enumerate(SPLITS)}
    columns = _columns(entries)
    facts = {
        "classes": told.names,
        "size": settings["size"],
        "counts": counts,
        "shares": shares,
        "groups": len(set(groups)),
        "files": n_files,
        "unreadable": found.failed,
        "leakage": leaks,
        "columns": list(columns),
    }
    if told.several:
        facts["multilabel"] = True
    console.note(_summary(facts, len(entries)))
    known = {"id": _texts(ids), "labels": told.labels, "split": split, "group": _texts(groups)}
    if fold is not None:
        known["fold"] = fold
    known |= _table(entries, columns)
    constants = {name: (values, ("picture", "label")[: values.ndim]) for name, values in known.items()}
    arrays = _arrays(len(entries), shapes.sides(settings["size"]), with_truth=with_truth)
    return Layout(len(entries), arrays, constants, facts)


@dataclass(frozen=True)
class _Told:
    """What a source tells of its pictures: one class for each, or several findings.

    Attributes
    ----------
    names : list of str
        Of the classes or findings.
    labels : (N,) or (N, L) integer array
        As in `core.labels`.
    picture_of, unlabelled : str
        Words for a picture of one of them, and the sentence on pictures of which nothing is told.
    """

    names: list[str]
    labels: NDArray[Any]
    picture_of: str
    unlabelled: str

    @property
    def several(self) -> bool:
        """Whether a picture may have several findings."""
        return self.labels.ndim > 1


def _classes(entries: Sequence[Entry], order: Sequence[str]) -> _Told:
    """Return the classes by name, those without an order sorted, and that of every picture."""
    import numpy as np

    every = {entry.label for entry in entries if entry.label is not None}
    classes = [name for name in order if name in every]
    classes += sorted(every.difference(classes))
    number_of = {name: number for number, name in enumerate(classes)}
    numbers = [NO_LABEL if entry.label is None else number_of[entry.label] for entry in entries]
    unlabelled = (
        "{n} pictures have no class (they lie beside the class folders, or the table leaves it out); they get no "
        "label and no split."
    )
    return _Told(classes, np.array(numbers, dtype=np.int16), "picture of", unlabelled)


def _findings(entries: Sequence[Entry], order: Sequence[str]) -> _Told:
    """Return the findings by name, in the source's order, and what is known of each in every picture."""
    import numpy as np

    said = [entry.findings or {} for entry in entries]
    # The picture of which most is known has the columns in their order.
    known = dict.fromkeys(name for findings in sorted(said, key=len, reverse=True) for name in findings)
    names = [name for name in order if name in known] or list(known)
    rows = [[findings.get(name, NO_LABEL) for name in names] for findings in said]
    labels = np.array(rows, dtype=np.int8).reshape(len(entries), len(names))
    unlabelled = "{n} pictures have no finding that is known to be present or absent; they get no split."
    return _Told(names, labels, "picture with", unlabelled)


def _counts(told: _Told, split: NDArray[np.int8]) -> dict[str, dict[str, int]]:
    """Return how many pictures of each class, or with each finding, are in each split."""
    from facelime_cli.core.labels import having

    counts = {}
    for number, name in enumerate(told.names):
        of_class = having(told.labels, number)
        counts[name] = {each: int((of_class & (split == place)).sum()) for place, each in enumerate(SPLITS)}
    return counts


def _arrays(n: int, sides: Sides, *, with_truth: bool) -> dict[str, ArraySpec]:
    arrays = {"images": ArraySpec("uint8", (n, *sides, 3), ("picture", "y", "x", "channel"))}
    if with_truth:
        arrays["truth"] = ArraySpec("uint8", (n, *sides), ("picture", "y", "x"))
    return arrays


def _say_unmatched(unmatched: Sequence[str], console: Console) -> None:
    if unmatched:
        console.warn(
            f"{len(unmatched)} file names do not match the group pattern, such as {unmatched[0]}; "
            "each of them counts as a group of its own."
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
    counts: Mapping[str, Mapping[str, int]], told: _Told, settings: Mapping[str, Any], console: Console
) -> None:
    shares = settings["split"]
    for place, split in enumerate(SPLITS):
        # A source that is divided already may leave a split out on purpose, and so may --split 80:0:20.
        is_used = any(each[split] for each in counts.values())
        if shares:
            # Beside a published split, only the others have shares.
            is_used = is_used or shares[place] > 0
        for name, of_class in counts.items():
            if is_used and of_class[split] == 0:
                why = (
                    "there are too few pictures or groups of it" if shares and shares[place] else "the source has none"
                )
                console.warn(f"no {told.picture_of} {name} came into the {split} split: {why}.")


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
    entries: Sequence[Entry], told: _Told, groups: Sequence[str], settings: Mapping[str, Any]
) -> tuple[NDArray[np.int8], NDArray[np.int8] | None]:
    """Return the split of every picture, and its fold when there are folds: fold 0 is tested, fold 1 validates."""
    import numpy as np

    from facelime_cli.core.labels import labelled
    from facelime_cli.core.splits import divide, divide_findings, splits_of_folds

    split = np.array([entry.split for entry in entries], dtype=np.int8)
    # A published split stays: the others are dealt out.
    dealt_out = np.flatnonzero(labelled(told.labels) & (split == NO_SPLIT))
    folds = settings["folds"]
    shares = settings["split"] if folds is None else [1.0] * folds
    if shares is None or not len(dealt_out):
        return split, None
    # Pictures without a label are dealt to no split: nothing could be learned from them or tested on them.
    own_groups = [groups[int(i)] for i in dealt_out]
    if folds is not None and len(set(own_groups)) < folds:
        raise FacelimeError(
            f"--folds {folds} needs as many groups (patients or lesions), and the pictures with a class are in "
            f"{len(set(own_groups))}; ask for fewer folds, or see to --group-pattern."
        )
    if told.several:
        dealt = divide_findings(told.labels[dealt_out], own_groups, shares, settings["seed"])
    else:
        dealt = divide(told.labels[dealt_out].tolist(), own_groups, shares, settings["seed"])
    if folds is None:
        split[dealt_out] = dealt
        return split, None
    fold = np.full(len(entries), NO_SPLIT, np.int8)
    fold[dealt_out] = dealt
    return splits_of_folds(fold, 0, folds), fold
