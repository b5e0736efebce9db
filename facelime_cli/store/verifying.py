"""Checking stored bytes against their digests, and opening broken units again."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import BrokenError, IncompleteError, NotFoundError, first_line
from facelime_cli.store import arrays, claims, digests, files, forms, manifests, temporary, units
from facelime_cli.store.arrays import ZARR_ERRORS
from facelime_cli.store.artifacts import NAMES
from facelime_cli.store.presence import CLAIMS
from facelime_cli.store.references import IDS, agreed_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

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
    mend : callable, optional
        Puts right what belongs to no unit; None where nothing can.
    """

    artifact: str
    what: str
    unit: int | None
    mend: Callable[[], None] | None = field(default=None, compare=False, repr=False)

    def json(self) -> dict[str, Any]:
        """Return what `--json` tells of it."""
        return {"artifact": self.artifact, "what": self.what, "unit": self.unit, "mendable": self.mendable}

    @property
    def mendable(self) -> bool:
        """Whether `repair` can mend it: by itself, or by opening a unit again."""
        return self.unit is not None or self.mend is not None


def faults(artifact: Artifact) -> list[Fault]:
    """Compute every digest of an artifact again, and look at its small files.

    Parameters
    ----------
    artifact : Artifact
        Complete or not; of an unfinished one, the finished units are checked.

    Returns
    -------
    list of Fault
        What differs; a layout or a manifest that cannot be read is the only fault then.
    """
    # What this process has read before may have changed on the disk since.
    artifact = type(artifact)(artifact.store, artifact.path)
    try:
        _ = artifact.layout
        # What is lost or changed beside the arrays comes first: without it they may not be readable at all.
        found = [*_faults_of_small_files(artifact), *_faults_of_metadata(artifact)]
        return found or list(_faults_of_content(artifact))
    except BrokenError as why:
        return [Fault(artifact.reference, first_line(why), None)]
    except MemoryError:
        # One artifact, such as one whose chunks unpack to more than they should, keeps nothing from the others.
        return [Fault(artifact.reference, "it needs more memory than there is", None)]


def _faults_of_content(artifact: Artifact) -> Iterator[Fault]:
    manifest = artifact.manifest if artifact.complete else None
    yield from _faults_of_inputs(artifact)
    if manifest and manifests.content_of(manifest) != manifest["content"]:
        yield Fault(artifact.reference, "its content digest is not that of its arrays, inputs and facts", None)
    # Arrays that were known at layout belong to no unit, so they are compared as a whole.
    for name, known in artifact.layout["arrays"].items():
        if "digest" in known:
            yield from _compare(artifact, name, None, known["digest"])[1]
    yield from _faults_of_units(artifact, manifest)
    if manifest:
        yield from _compare_files(artifact, manifest)


def _faults_of_units(artifact: Artifact, manifest: Mapping[str, Any] | None) -> Iterator[Fault]:
    """Yield the parts of arrays that differ from their digests, and the arrays that do as a whole."""
    pictures: dict[str, list[str]] = {name: [] for name in artifact.filled_by_units()}
    sound = True
    for unit in sorted(artifact.done()):
        expected = manifest["units"][unit]["digests"] if manifest else _digests_of_record(artifact, unit)
        for name in pictures:
            found, faults = _compare(artifact, name, unit, expected.get(name, ""))
            pictures[name] += found
            sound = sound and not faults
            yield from faults
    # What a unit's digest says, that of the whole array may deny: a later stage depends on the latter.
    if manifest and sound:
        for name, its in pictures.items():
            if digests.combine(its) != manifest["arrays"][name]["digest"]:
                yield Fault(artifact.reference, f"array {name} differs from its digest", None)


def _faults_of_inputs(artifact: Artifact) -> Iterator[Fault]:
    """Yield the inputs that are other ones by now than those that it was made from."""
    for name, given in artifact.inputs.items():
        if "id" not in given:
            continue
        try:
            digest = artifact.store.stored(given["kind"], given["id"]).content
        except (NotFoundError, IncompleteError, BrokenError):
            # An artifact may be handed on without its inputs; a broken one has a fault of its own.
            continue
        if digest != given["digest"]:
            what = f"its input {name}, {given['kind']}/{given['id']}, is not the one it was made from"
            yield Fault(artifact.reference, what, None)


def _faults_of_metadata(artifact: Artifact) -> Iterator[Fault]:
    """Yield the files of zarr's that are not those that were laid out; they can be written again."""
    kept = artifact.layout.get("metadata")
    if kept is None:
        yield from _faults_of_forms(artifact)
        return
    folder, sound = artifact.path / arrays.FOLDER, True
    for name in kept:
        path = files.inside(folder, name)
        if not path.is_file() or path.read_bytes() != kept[name].encode():
            sound = False
            mend = partial(_write_again, path, kept[name])
            yield Fault(artifact.reference, f"{arrays.FOLDER}/{name} is not what was written", None, mend)
    if sound:
        yield from _faults_of_forms(artifact)


def _faults_of_forms(artifact: Artifact) -> Iterator[Fault]:
    """Yield the arrays whose form is another one than was laid out."""
    for name in artifact.arrays:
        try:
            artifact.check_form(name)
        except ZARR_ERRORS as why:
            yield Fault(artifact.reference, f"array {name} cannot be read ({first_line(why)})", None)


def _write_again(path: Path, text: str) -> None:
    temporary.delete(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write_whole(path, text.encode())


def _faults_of_small_files(artifact: Artifact) -> Iterator[Fault]:
    """Yield what is wrong beside the content: a lost manifest, names, claims, the agreed id."""
    reference = artifact.reference
    if artifact.lost_its_manifest:
        # Without the manifest nobody knows the digests any more: every unit is made again.
        mend = partial((artifact.path / units.RECORDS).mkdir, mode=0o700)
        yield Fault(reference, f"it was complete, but its {manifests.MANIFEST} is gone", None, mend)
    yield from _faults_of_names(artifact)
    claimed = artifact.path / CLAIMS
    for path in sorted(claimed.glob("*")):
        if temporary.is_temporary(path.name):
            continue
        # A live process writes its claim again within seconds.
        if not claims.FILE.fullmatch(path.name) or claims.read(path) is None:
            yield Fault(reference, f"the claim {path.name!r} cannot be read", None, partial(temporary.delete, path))
    agreed = artifact.path.parent / IDS / artifact.fingerprint
    if agreed.is_symlink() or agreed.exists():
        found = agreed_id(artifact.path.parent, artifact.fingerprint)
        if found != artifact.id and not (found and (artifact.path.parent / found).is_dir()):
            mend = partial(_write_again, agreed, artifact.id)
            yield Fault(reference, f"the file {IDS}/{artifact.fingerprint} does not hold its id", None, mend)


def _faults_of_names(artifact: Artifact) -> Iterator[Fault]:
    folder = artifact.path / NAMES
    if not folder.is_dir():
        yield Fault(artifact.reference, f"it has no folder {NAMES}", None, partial(_make_names, artifact))
        return
    for path in sorted(folder.glob("*")):
        if not forms.NAME.fullmatch(path.name) or path.is_symlink() or not path.is_file():
            yield Fault(artifact.reference, f"{path.name!r} is no name", None, partial(temporary.delete, path))


def _make_names(artifact: Artifact) -> None:
    temporary.delete(artifact.path / NAMES)
    (artifact.path / NAMES).mkdir(mode=0o700)
    artifact.path.joinpath(NAMES, artifact.name).touch()


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
    # A kill before this line leaves a complete artifact, one after it leaves records of all units that are sound.
    artifact.unseal()
    for unit in broken:
        units.record_path(artifact.path, unit).unlink(missing_ok=True)


def _digests_of_record(artifact: Artifact, unit: int) -> dict[str, str]:
    """Return the digest of each part of a finished unit, where there is no manifest yet."""
    record = artifact.record(unit)
    # The artifact may be sealed between two looks: then its records are gone, and a second run sees the manifest.
    pictures = {} if record is None else record["pictures"]
    return {name: digests.combine(each) for name, each in pictures.items()}


def _compare(artifact: Artifact, name: str, unit: int | None, expected: str) -> tuple[list[str], list[Fault]]:
    """Return the digests of the pictures of an array, or of a unit's part, and what is wrong with them."""
    where = f"array {name}" if unit is None else f"array {name}, unit {unit}"
    rows = None if unit is None else artifact.rows(unit)
    # A checksum that zarr finds wrong is as much a fault as a digest.
    try:
        found = digests.of_pictures(artifact.read(name, rows))
    except BrokenError as why:
        what = f"{where} cannot be read ({first_line(why.__cause__)})"
        return [], [Fault(artifact.reference, what, unit)]
    if digests.combine(found) != expected:
        return found, [Fault(artifact.reference, f"{where} differs from its digest", unit)]
    return found, []


def _compare_files(artifact: Artifact, manifest: Mapping[str, Any]) -> Iterator[Fault]:
    made_by = {name: unit for unit, kept in enumerate(manifest["units"]) for name in kept["files"]}
    for name, digest in manifest["files"].items():
        path = files.inside(artifact.path, name)
        if path.is_file() and digests.of_file(path) == digest:
            continue
        what = f"file {name} differs from its digest" if path.is_file() else f"file {name} is missing"
        if artifact.kind == "models":
            # A network that is trained again is another one, from which nothing was made.
            yield Fault(artifact.reference, what, None)
        elif name in made_by:
            yield Fault(artifact.reference, what, made_by[name])
        else:
            yield Fault(artifact.reference, what, None, partial(reopen, artifact, frozenset()))
