"""Which pictures a source holds, and what its options say of their classes and groups."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from facelime_cli import sources
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.names import comma_separated
from facelime_cli.preparing import doubts, labelling, renaming, splitting
from facelime_cli.preparing.account import Account
from facelime_cli.preparing.findings import MAJORITY, NO_FINDING, UNKNOWN, Reading
from facelime_cli.preparing.listing import ERROR, Table
from facelime_cli.preparing.settings import expression, group_patterns, label_patterns
from facelime_cli.pseudonyms import Pseudonyms, keyed
from facelime_cli.store.pictures import UIDS
from facelime_cli.workers import in_threads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from facelime_cli.console import Console
    from facelime_cli.engine import Context
    from facelime_cli.sources import Entry
    from facelime_cli.store.arrays import Layout


SUBTYPE = "subtype"
"""The column of the table that `--subtype-pattern` makes."""


def catalogue(params: Any, context: Context, pseudonyms: Pseudonyms | None = None) -> tuple[list[Entry], Account]:
    """Return the source's entries with what the options say of labels, groups and splits.

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
    entries : list of Entry
    account : Account
        What was decided while tables were read.

    Raises
    ------
    CommandLineError
        When options of a table are given without one.
    FacelimeError
        When the label pattern finds no class at all, or a table cannot be read.
    """
    table = _table_of(params)
    if table is None:
        account = Account()
        entries = sources.find(params.source, account.passed)
        account.labels = _findings_of(entries)
    else:
        entries, account = labelling.find(params.source, table)
        entries = _grouped_by_path(entries, params)
    entries, splits = splitting.divided(entries, params)
    account.add(splits)
    if params.label_pattern is not None:
        entries, account.labels = _by_pattern(entries, params), []
    if params.subtype_pattern is not None:
        entries = _with_subtypes(entries, params)
    if params.class_names is not None:
        entries = renaming.renamed(entries, params.class_names, account)
    entries = renaming.with_two_classes(entries, account)
    account.warnings += doubts.of(entries, account, params)
    return [replace(entry, group=entry.group or _patient(entry, context, pseudonyms)) for entry in entries], account


def _findings_of(entries: Iterable[Entry]) -> list[str]:
    """Return the names of the findings of a source without a table."""
    said = [entry.findings for entry in entries if entry.findings is not None]
    # The picture of which most is known has them in their order.
    return list(dict.fromkeys(name for findings in sorted(said, key=len, reverse=True) for name in findings))


def _grouped_by_path(entries: list[Entry], params: Any) -> list[Entry]:
    """Return entries with the group that stands in an id of several parts: CheXpert names patients in folders alone."""
    pattern = expression("--group-pattern", params.group_pattern, group_patterns())
    if pattern is None:
        return entries
    return [
        replace(entry, group=sources.group_in(entry.id, pattern)) if entry.group is None and "/" in entry.id else entry
        for entry in entries
    ]


def _by_pattern(entries: list[Entry], params: Any) -> list[Entry]:
    """Return entries with the class that the label pattern finds."""
    labels = _found_in_names(entries, "--label-pattern", params.label_pattern)
    return [replace(entry, label=label, findings=None) for entry, label in zip(entries, labels, strict=True)]


def _with_subtypes(entries: list[Entry], params: Any) -> list[Entry]:
    """Return entries with the second label that a pattern finds, as a further column."""
    if any(SUBTYPE in entry.columns for entry in entries):
        raise CommandLineError(
            f"--subtype-pattern makes a column {SUBTYPE}, and the table has one already; leave the option out."
        )
    labels = _found_in_names(entries, "--subtype-pattern", params.subtype_pattern)
    found = zip(entries, labels, strict=True)
    return [replace(entry, columns={**entry.columns, SUBTYPE: label or ""}) for entry, label in found]


def _found_in_names(entries: Sequence[Entry], option: str, text: str) -> list[str | None]:
    """Return what the pattern of an option finds in each file name."""
    pattern = expression(option, text, label_patterns())
    labels = [None if entry.fault else sources.label_of(entry, pattern, option) for entry in entries]
    if all(label is None for label in labels):
        raise FacelimeError(
            f"{option} {text!r} finds a class in none of the {len(entries)} file names, such as {entries[0].file}; "
            "change it."
        )
    return labels


def with_patients(params: Any) -> Any:
    """Return parameters that read patients from file names too, where a named pattern reads labels there.

    Parameters
    ----------
    params : dataclass
        Those of `preprocess`.

    Returns
    -------
    dataclass
        The same where something else says what a group is.
    """
    named = {params.label_pattern, params.subtype_pattern} & set(group_patterns())
    if not named or params.group_pattern is not None or params.group_column is not None:
        return params
    return replace(params, group_pattern=min(named))


def _table_of(params: Any) -> Table | None:
    _check_options(params)
    if params.table is None:
        return None
    columns = None if params.columns is None else tuple(comma_separated(params.columns))
    # Who hides the names of files does not expect them, or those of patients, in a column.
    if columns is None and params.pseudonyms:
        columns = ()
    reading = Reading(
        params.label_column,
        params.label_columns,
        params.label_separator,
        params.no_finding,
        params.uncertain,
        params.blank,
        params.rows,
        params.reader_column,
    )
    return Table(
        tuple(params.table),
        params.id_column,
        reading,
        params.group_column,
        splitting.column_of_table(params),
        params.one_per_group,
        columns,
        tuple(params.join or ()),
        params.missing_pictures,
    )


def _check_options(params: Any) -> None:
    """Refuse options that would have no effect: that would make another dataset than was asked for, without a word."""
    about_a_table = {
        "--label-column": params.label_column,
        "--label-columns": params.label_columns,
        "--group-column": params.group_column,
        "--one-per-group": params.one_per_group or None,
        "--columns": params.columns,
        "--join": params.join,
        "--rows": params.rows,
        "--split-column": splitting.column_of_table(params),
        "--missing-pictures": None if params.missing_pictures == ERROR else params.missing_pictures,
    }
    given = [option for option, value in about_a_table.items() if value is not None]
    if params.table is None and given:
        raise CommandLineError(f"there is no table for {' and '.join(given)}; name one with --table FILE.")
    if params.folds is not None and splitting.is_published(params):
        raise CommandLineError("--folds divides all pictures, so --split-column and --split-file do not fit it.")
    if params.one_per_group and params.group_column is None:
        raise CommandLineError("--one-per-group needs to know the groups; name their column with --group-column.")
    if params.label_column is not None and params.label_columns is not None:
        raise CommandLineError("--label-column and --label-columns are two ways to read labels; give one of them.")
    if params.label_pattern is not None and (params.label_column or params.label_columns):
        raise CommandLineError("--label-pattern takes the class from file names, so leave --label-column(s) out.")
    if params.reader_column is not None and params.rows != MAJORITY:
        raise CommandLineError(f"--reader-column says whose majority counts; give it with --rows {MAJORITY}.")
    in_cells = params.label_separator is not None or params.no_finding != NO_FINDING
    if in_cells and params.label_column is None:
        raise CommandLineError("--label-separator and --no-finding are about the cells of --label-column; name it.")
    in_columns = params.uncertain != UNKNOWN or params.blank != UNKNOWN
    if in_columns and params.label_columns is None:
        raise CommandLineError("--uncertain and --blank are about the cells of --label-columns; name these.")


def _patient(entry: Entry, context: Context, pseudonyms: Pseudonyms | None) -> str | None:
    """Return a keyed hash of the patient in a DICOM file; the number itself enters nothing."""
    from facelime_cli.core.dicom import patient_of

    patient = patient_of(entry.path)
    if patient is None:
        return None
    # Numbers of patients are few enough to try them all: without a secret, the hash would hide nothing.
    return keyed(context.store.salt(), "patient", patient) if pseudonyms is None else pseudonyms.group(patient)


def with_uids(entries: Sequence[Entry], layout: Layout, console: Console) -> Layout:
    """Return the layout of a dataset that keeps the UIDs of its DICOM files, and say what that means.

    Parameters
    ----------
    entries : sequence of Entry
        Those that can be used.
    layout : Layout
        Without them.
    console : Console

    Returns
    -------
    Layout
        Empty texts stand for the UIDs of what is no DICOM file.

    Raises
    ------
    FacelimeError
        When no file has UIDs.
    """
    import numpy as np

    from facelime_cli.core.dicom import uids_of

    found = in_threads(uids_of, [entry.path for entry in entries])
    known = sum(each is not None for each in found)
    if not known:
        raise FacelimeError("--keep-dicom-uids: no file of the source is DICOM with valid UIDs; leave the option out.")
    console.note(
        f"the UIDs of {known} of {len(entries)} files are kept: whoever can ask the archive finds picture and patient "
        "by them."
    )
    columns = np.array([each or ("",) * len(UIDS) for each in found], object).T
    kept = {name: (column, ("picture",)) for name, column in zip(UIDS, columns, strict=True)}
    return replace(layout, constants={**layout.constants, **kept})


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
