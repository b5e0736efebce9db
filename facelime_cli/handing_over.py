"""What may go out when an artifact is handed over: no patient's number, and no other person's picture, unless asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facelime_cli.choices import FILLS
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.names import row_of
from facelime_cli.store.artifacts import lineage
from facelime_cli.store.portions import Portion

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from facelime_cli.store.artifacts import Artifact

GROUP, TABLE, UID = "group", "table/", "dicom/"
STAND_INS = ("fill", "fill_row")
"""Arrays of what stands where a region is off."""
PAGES = "render"
"""The stage whose pages show stand-ins."""


def portion_of(
    artifact: Artifact,
    pictures: Sequence[str] | None = None,
    *,
    groups: bool = False,
    table: bool = False,
    stand_ins: bool = False,
    uids: bool = False,
) -> Portion:
    """Return what of an artifact goes out.

    Parameters
    ----------
    artifact : Artifact
        A complete one.
    pictures : sequence of str, optional
        Ids of the pictures; by default all.
    groups, table, stand_ins, uids : bool
        Whether patients and lesions, the columns of the source's table, other people's pictures, and the UIDs of DICOM
        files go out too.

    Returns
    -------
    Portion

    Raises
    ------
    CommandLineError
        When pictures are chosen of what has none.
    FacelimeError
        When nothing would be left of a page.
    """
    people = not stand_ins and _shows_people(artifact)
    if people and artifact.stage == PAGES:
        raise FacelimeError(
            f"the pages of {artifact.reference} show pictures of other people, which stood in; "
            "make it with `facelime render --no-stand-ins`, or add --with-stand-ins."
        )
    rows = None if not pictures else _rows(artifact, pictures)
    hidden = {
        name: option
        for option, names in (
            ("--with-groups", () if groups else (GROUP,)),
            ("--with-table", () if table else [name for name in artifact.arrays if name.startswith(TABLE)]),
            ("--with-stand-ins", STAND_INS if people else ()),
            ("--with-dicom-uids", () if uids else [name for name in artifact.arrays if name.startswith(UID)]),
        )
        for name in names
        if artifact.has(name)
    }
    files = artifact.files
    # Pages and tables are of all pictures.
    stay = files if rows is not None else _naming_files(artifact, groups=groups, table=table)
    left_out = [*(f"{name} ({option})" for name, option in hidden.items()), *(name for name in files if name in stay)]
    arrays = tuple(name for name in artifact.arrays if name not in hidden)
    going = tuple(name for name in files if name not in stay)
    return Portion(arrays, going, rows, groups, table, tuple(left_out))


def _rows(artifact: Artifact, pictures: Iterable[str]) -> tuple[int, ...]:
    if not artifact.has("id") or artifact.stage == PAGES:
        raise CommandLineError(
            f"--picture and --from choose pictures, and {artifact.reference} goes out as a whole; leave them out."
        )
    ids = artifact.texts("id")
    return tuple(dict.fromkeys(row_of(name, ids) for name in pictures))


def _shows_people(artifact: Artifact) -> bool:
    """Return whether pictures of other people stand in an artifact's arrays or pages."""
    if artifact.stage == PAGES:
        return not artifact.parameters.get("no_stand_ins") and any(_has_people(each) for each in lineage(artifact))
    return _has_people(artifact)


def _has_people(artifact: Artifact) -> bool:
    fills = artifact.facts.get("fills", []) if artifact.kind == "checks" else [artifact.parameters.get("fill")]
    return artifact.has("fill") and any(FILLS[fill].real for fill in fills if fill in FILLS)


def _naming_files(artifact: Artifact, *, groups: bool, table: bool) -> set[str]:
    """Return the files that name patients or lesions, or give values of the table's columns, and may not go out."""
    stay: set[str] = set()
    if artifact.stage == "evaluate" and not groups:
        stay.add("predictions.csv")
        # A sentence on leakage names a group.
        if artifact.facts.get("leakage"):
            stay |= {"metrics.json", "index.html"}
    if artifact.stage == "describe":
        leakage = artifact.input("datasets").facts.get("leakage", {})
        if not groups and leakage.get("groups_across_parts"):
            stay.add("index.html")
        if not table and artifact.facts.get("columns"):
            stay |= {name for name in artifact.files if "column" in name} | {"index.html"}
    return stay
