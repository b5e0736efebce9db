"""What is written of an artifact: `layout.json` when it is laid out, `manifest.json` when it is complete."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli import machine, plain
from facelime_cli.errors import BrokenError
from facelime_cli.store import arrays, digests, files, forms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from facelime_cli.store.arrays import Layout

LAYOUT, MANIFEST = "layout.json", "manifest.json"
SCHEMA = 1
"""Version of both files' form."""
IN_BOTH = tuple(forms.IDENTITY)
"""What the manifest repeats of the layout, word by word."""
OF_ARRAYS = ("dtype", "shape", "dimensions", "unit")
IN_CONTENT = ("model", "classes", "size")
"""Facts that a later stage depends on, so that they are part of the content digest."""


@dataclass(frozen=True)
class Identity:
    """What made an artifact; its fingerprint is the hash of exactly this.

    Attributes
    ----------
    stage : str
        Name of the stage.
    version : int
        Version of the stage.
    parameters : mapping of str to JSON value
        All that can change the result, with defaults filled in.
    inputs : mapping of str to str
        The content digest of each input.
    """

    stage: str
    version: int
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over stage, stage version, parameters and the content digests of the inputs."""
        return digests.of_value(asdict(self))


def now() -> str:
    """Return the time in UTC, to the second (ISO 8601)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def write_layout(
    folder: Path, artifact_id: str, name: str, identity: Identity, inputs: Mapping[str, Any], layout: Layout
) -> None:
    """Make the arrays of an artifact and write its `layout.json`.

    Parameters
    ----------
    folder : Path
        The folder of the artifact.
    artifact_id : str
        Its id.
    name : str
        The name it is laid out under.
    identity : Identity
        What makes it.
    inputs : mapping of str to mapping
        Kind, id and digest of each input; an input from outside the store has a digest alone.
    layout : Layout
        What it holds.
    """
    # Facts are noted at the end as well; parameters and inputs are final, since they make the fingerprint.
    pictures = arrays.unit_pictures(layout)
    described, metadata = {}, {}
    if layout.arrays or layout.constants:
        described = arrays.make_arrays(folder / arrays.FOLDER, layout, pictures)
        metadata = arrays.metadata_files(folder / arrays.FOLDER)
    written = {
        "schema": SCHEMA,
        "stage": identity.stage,
        "stage_version": identity.version,
        "id": artifact_id,
        "name": name,
        "fingerprint": identity.fingerprint,
        "parameters": dict(identity.parameters),
        "inputs": dict(inputs),
        "n": layout.n,
        "unit_pictures": pictures,
        "arrays": described,
        "facts": dict(layout.facts),
        "execution": dict(layout.execution),
        "begun": now(),
        # Word by word: what zarr reads there decides where it looks for a chunk, and what stands in for a lost one.
        "metadata": metadata,
    }
    written["digest"] = digests.of_rest(written)
    files.write_json(folder / LAYOUT, written)


def read_layout(folder: Path) -> dict[str, Any]:
    """Return the layout of an artifact.

    Parameters
    ----------
    folder : Path
        The folder of the artifact.

    Returns
    -------
    dict
        Of the form `forms.LAYOUT`.

    Raises
    ------
    BrokenError
        When the file is missing, cannot be read or is of a newer facelime, or when the manifest knows another layout.
    """
    reference = f"{folder.parent.name}/{folder.name}"
    remedy = f"remove it (`facelime remove {reference}`) and make it again"
    if not forms.ID.fullmatch(folder.name):
        raise BrokenError(f"the folder {reference!r} is no artifact, its name is no id; take it out of the store.")
    try:
        layout = files.read_json(files.inside(folder, LAYOUT))
    except (FileNotFoundError, NotADirectoryError) as why:
        raise BrokenError(f"{reference} has no {LAYOUT}; {remedy}.") from why
    except BrokenError as why:
        raise BrokenError(f"the {LAYOUT} of {reference} cannot be read; {remedy}.") from why
    _check_form(layout, forms.LAYOUT, LAYOUT, reference)
    _check_layout(folder, layout, reference, remedy)
    # Its own digest stands in the manifest, so that a changed layout is noticed as a changed array is.
    sealed = _sealed(folder)
    if "layout" in sealed and digests.of_value(layout) != sealed["layout"]:
        raise BrokenError(f"the {LAYOUT} of {reference} is not the one it was sealed with; {remedy}.")
    return layout


def _sealed(folder: Path) -> dict[str, Any]:
    """Return the manifest of an artifact, unchecked; empty when there is none."""
    try:
        return files.read_json(files.inside(folder, MANIFEST))
    except FileNotFoundError:
        return {}


def _check_form(value: Mapping[str, Any], form: Callable[[Any, str], None], file: str, reference: str) -> None:
    """Raise where a file does not hold what it should, or was written by a later version."""
    _refuse_newer(value, reference)
    try:
        form(value, "")
    except forms.FormError as why:
        raise BrokenError(
            f"the {file} of {reference} {why}; remove it (`facelime remove {reference}`) and make it again."
        ) from why


def _check_layout(folder: Path, layout: Mapping[str, Any], reference: str, remedy: str) -> None:
    """Raise where a layout does not match its own digest, or its fingerprint is not of what it tells."""
    # Layouts of earlier versions have no digest of their own.
    changed = "digest" in layout and digests.of_rest(layout) != layout["digest"]
    inputs = {name: each["digest"] for name, each in layout["inputs"].items()}
    made = Identity(layout["stage"], layout["stage_version"], layout["parameters"], inputs).fingerprint
    if changed or made != layout["fingerprint"] or not folder.name.endswith(made[: forms.ID_DIGITS]):
        raise BrokenError(f"the {LAYOUT} of {reference} does not match its own digest; {remedy}.")
    for name, array in layout["arrays"].items():
        if len(array["shape"]) != len(array["dimensions"]) or array["shape"][:1] != [layout["n"]]:
            raise BrokenError(f"the {LAYOUT} of {reference} has {array['shape']} as shape of `{name}`; {remedy}.")


def write_manifest(
    folder: Path,
    layout: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
    made: Iterable[str],
) -> None:
    """Gather the records of all units into the manifest, and write it.

    Parameters
    ----------
    folder : Path
        The folder of the artifact.
    layout : mapping
        Its layout.
    records : sequence of mapping
        The record of every unit, in their order.
    facts : mapping
        What the stage notes at the end; a fact of the layout with the same name is replaced.
    made : iterable of str
        Names of files that belong to no unit.
    """
    manifest = _manifest_of(folder, layout, records, facts, made)
    manifest["digest"] = digests.of_rest(manifest)
    files.write_whole(folder / MANIFEST, _text_of(manifest).encode())


def _text_of(manifest: Mapping[str, Any]) -> str:
    """Return a manifest as JSON with a line for each unit: of 100,000 pictures, indentation would be a third of it."""
    parts = []
    for name, value in manifest.items():
        if name == "units":
            lines = ",\n".join(f"  {plain.json_text(unit)}" for unit in value)
            text = f"[\n{lines}\n ]"
        else:
            text = plain.json_text(value, indent=1).replace("\n", "\n ")
        parts.append(f" {plain.json_text(name)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a complete artifact.

    Parameters
    ----------
    folder : Path
        The folder of the artifact.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    BrokenError
        When it cannot be read, is of a newer facelime, or does not match its own digest.
    """
    reference = f"{folder.parent.name}/{folder.name}"
    remedy = f"remove it (`facelime remove {reference}`) and make it again"
    manifest = files.read_json(files.inside(folder, MANIFEST))
    _check_form(manifest, forms.MANIFEST, f"{MANIFEST}", reference)
    if digests.of_rest(manifest) != manifest["digest"]:
        raise BrokenError(f"the manifest of {reference} does not match its own digest; {remedy}.")
    units = -(-manifest["n"] // manifest["unit_pictures"])
    if len(manifest["units"]) != units:
        raise BrokenError(f"the manifest of {reference} has {len(manifest['units'])} units, not {units}; {remedy}.")
    return manifest


def _refuse_newer(found: Mapping[str, Any], reference: str) -> None:
    """Raise when a file has a form that only a later facelime knows; what it means then is anyone's guess."""
    schema = found.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise BrokenError(
            f"{reference} was made by a newer facelime (form {schema}; this one reads up to {SCHEMA});"
            " use that facelime, or make it again with this one."
        )


def _manifest_of(
    folder: Path,
    layout: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
    made: Iterable[str],
) -> dict[str, Any]:
    described = {name: _array_of(name, known, records) for name, known in layout["arrays"].items()}
    file_digests: dict[str, str] = {}
    for record in records:
        file_digests |= record["files"]
    for name in made:
        file_digests[name] = digests.of_file(folder / name)
    facts = {**layout["facts"], **facts}
    seconds = sum(record["seconds"] for record in records)
    manifest = {name: layout[name] for name in IN_BOTH}
    manifest["seed"] = layout["parameters"].get("seed")
    manifest["layout"] = digests.of_value(layout)
    manifest["arrays"] = described
    manifest["files"] = file_digests
    manifest["units"] = [_unit_of(record) for record in records]
    manifest["facts"] = facts
    manifest["content"] = content_of(manifest)
    # Versions, hardware and times are told, but no part of the content: the same values made elsewhere count as equal.
    manifest["software"] = machine.software()
    manifest["hardware"] = machine.hardware()
    manifest["seconds"] = round(seconds, 3)
    manifest["finished"] = now()
    return manifest


def _array_of(name: str, known: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the entry of an array, with the digest over all of its pictures."""
    entry = {key: known[key] for key in OF_ARRAYS}
    digest = known.get("digest")
    if not digest:
        # Over pictures, not over units: the digest must not depend on how the work was divided.
        digest = digests.combine(each for record in records for each in record["pictures"][name])
    entry["digest"] = digest
    return entry


def content_of(manifest: Mapping[str, Any]) -> str:
    """Return the content digest of what a manifest tells: what a later stage depends on.

    Files are no part of it: a `.keras` file saved twice differs in its date, so a model's digest is a fact.

    Parameters
    ----------
    manifest : mapping
        With `arrays`, `inputs` and `facts`.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    facts = manifest["facts"]
    content: dict[str, Any] = {name: facts[name] for name in IN_CONTENT if name in facts}
    content["arrays"] = {name: array["digest"] for name, array in manifest["arrays"].items()}
    content["inputs"] = {name: each["digest"] for name, each in manifest["inputs"].items() if "id" in each}
    return digests.of_value(content)


def _unit_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of a unit: one digest for each of its array parts, in place of one for each picture."""
    parts = {name: digests.combine(each) for name, each in record["pictures"].items()}
    return {
        "rows": record["rows"],
        "seconds": record["seconds"],
        "digests": parts,
        "files": record["files"],
        "facts": record["facts"],
    }
