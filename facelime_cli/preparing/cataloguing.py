"""Which pictures a source holds, and what its options say of their classes and groups."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from facelime_cli import sources, tables
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.names import comma_separated
from facelime_cli.preparing import labelling
from facelime_cli.preparing.settings import expression, label_patterns
from facelime_cli.pseudonyms import Pseudonyms, keyed
from facelime_cli.sources import LINE_BREAKS, Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from facelime_cli.console import Console
    from facelime_cli.engine import Context
    from facelime_cli.preparing.labelling import Table

TWO_COLUMNS = 2


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
    table = _table_of(params)
    entries = sources.find(params.source) if table is None else labelling.find(params.source, table)
    pattern = expression("--label-pattern", params.label_pattern, label_patterns())
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


def _table_of(params: Any) -> Table | None:
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
    return labelling.Table(
        params.table, params.id_column, params.label_column, params.group_column, params.one_per_group, columns
    )


def _patient(entry: Entry, context: Context, pseudonyms: Pseudonyms | None) -> str | None:
    """Return a keyed hash of the patient in a DICOM file; the number itself enters nothing."""
    from facelime_cli.core.dicom import patient_of

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
        if len(cells) != TWO_COLUMNS or not all(cells) or LINE_BREAKS & set("".join(cells)):
            raise FacelimeError(
                f"{path} should have two columns in every row, a class and its long name, and line {line.number} "
                "has not; quote names that hold a comma."
            )
        if names.setdefault(cells[0], cells[1]) != cells[1]:
            raise FacelimeError(f"{path} has two long names for the class {cells[0]}; leave one of them.")
    return names


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
