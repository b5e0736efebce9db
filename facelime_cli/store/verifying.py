"""Checking stored bytes against their digests, and opening broken units again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facelime_cli.errors import BrokenError, first_line
from facelime_cli.store import digests, units

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from facelime_cli.store.artifacts import Artifact


@dataclass(frozen=True)
class Fault:
    """Something stored that is not what its digest says.

    Attributes
    ----------
    artifact : str
        Kind and id of the artifact.
    what : str
        What is wrong, in words.
    unit : int or None
        The unit that holds it; None when it belongs to no unit.
    """

    artifact: str
    what: str
    unit: int | None


def faults(artifact: Artifact) -> Iterator[Fault]:
    """Compute every digest of an artifact again.

    Parameters
    ----------
    artifact : Artifact
        Complete or not; of an unfinished one, the finished units are checked.

    Yields
    ------
    Fault
        What differs.

    Raises
    ------
    BrokenError
        When the manifest or the layout cannot be read.
    """
    manifest = artifact.manifest if artifact.complete else None
    for name, known in artifact.layout["arrays"].items():
        if "digest" in known:
            yield from _compare(artifact, name, None, known["digest"])
    for unit in sorted(artifact.done()):
        expected = manifest["units"][unit]["digests"] if manifest else _digests_of_record(artifact, unit)
        for name, digest in expected.items():
            yield from _compare(artifact, name, unit, digest)
    if manifest:
        yield from _compare_files(artifact, manifest["files"])


def reopen(artifact: Artifact, broken: AbstractSet[int]) -> None:
    """Take an artifact's manifest away, so that its own command makes some units again.

    The records of all other units are put back.

    Parameters
    ----------
    artifact : Artifact
        Complete or not.
    broken : set of int
        The units to make again.

    Raises
    ------
    BrokenError
        When a picture of another unit cannot be read.
    """
    (artifact.path / units.RECORDS).mkdir(exist_ok=True)
    sealed = artifact.manifest["units"] if artifact.complete else []
    for unit, kept in enumerate(sealed):
        if unit in broken:
            continue
        # The manifest has one digest for each part. A record has one for each picture, so the pictures are read.
        rows = artifact.rows(unit)
        pictures = {name: digests.of_pictures(artifact.read(name, rows)) for name in kept["digests"]}
        units.write_record(artifact, unit, kept["seconds"], pictures, kept["files"], kept["facts"])
    artifact.unseal()
    for unit in broken:
        units.record_path(artifact.path, unit).unlink(missing_ok=True)


def _digests_of_record(artifact: Artifact, unit: int) -> dict[str, str]:
    """Return the digest of each part of a finished unit, where there is no manifest yet."""
    record = artifact.record(unit)
    # The artifact may be sealed between two looks: then its records are gone, and a second run sees the manifest.
    pictures = {} if record is None else record["pictures"]
    return {name: digests.combine(each) for name, each in pictures.items()}


def _compare(artifact: Artifact, name: str, unit: int | None, expected: str) -> Iterator[Fault]:
    where = f"array {name}" if unit is None else f"array {name}, unit {unit}"
    rows = None if unit is None else artifact.rows(unit)
    try:
        found = digests.of_array(artifact.read(name, rows))
    except BrokenError as why:
        yield Fault(artifact.reference, f"{where} cannot be read ({first_line(why.__cause__)})", unit)
        return
    if found != expected:
        yield Fault(artifact.reference, f"{where} differs from its digest", unit)


def _compare_files(artifact: Artifact, expected: Mapping[str, str]) -> Iterator[Fault]:
    for name, digest in expected.items():
        path = artifact.path / name
        if not path.exists():
            yield Fault(artifact.reference, f"file {name} is missing", None)
        elif digests.of_file(path) != digest:
            yield Fault(artifact.reference, f"file {name} differs from its digest", None)
