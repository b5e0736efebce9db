"""A store of artifacts: finding, naming, laying out, removing."""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import AmbiguousError, FacelimeError, NotFoundError, WrongKindError
from facelime_cli.store import files
from facelime_cli.store.arrays import make_arrays, unit_pictures
from facelime_cli.store.artifacts import KINDS, SCHEMA, SHORT, Artifact, remove_old

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from facelime_cli.store.arrays import Layout
    from facelime_cli.store.artifacts import Identity


IDS = ".ids"
"""Folder of a kind that holds, by fingerprint, the id that was agreed on."""
NAME = re.compile(r"[^\W_][\w.+-]{0,99}")


OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Store:
    """A folder of artifacts, one sub-folder for each kind."""

    def __init__(self, root: Path, warn: Callable[[str], None] = lambda _: None) -> None:
        self.root, self._warn = root, warn

    # Finding

    def artifacts(self, kinds: Iterable[str] = KINDS) -> list[Artifact]:
        """Return every artifact of some kinds, complete or not, by kind and id."""
        return [
            Artifact(self, path)
            for kind in kinds
            for path in sorted((self.root / kind).glob("*"))
            if path.is_dir() and not path.name.startswith(".")
        ]

    def stored(self, kind: str, artifact_id: str) -> Artifact:
        """Return the artifact of an exact kind and id: one that another's lineage names."""
        path = self.root / kind / artifact_id
        if not path.is_dir():
            raise NotFoundError(
                f"{kind}/{artifact_id} is gone from {self.root}; make it again with the commands that `facelime show` gives."
            )
        return Artifact(self, path)

    def find(self, kind: str, fingerprint: str) -> Artifact | None:
        """Return the artifact that a fingerprint names, if it is there."""
        agreed = self.root / kind / IDS / fingerprint
        if agreed.exists():
            path = self.root / kind / agreed.read_text(encoding="utf-8")
            return Artifact(self, path) if path.is_dir() else None
        for path in sorted((self.root / kind).glob(f"*-{fingerprint[:SHORT]}")):
            artifact = Artifact(self, path)
            if artifact.layout["fingerprint"] == fingerprint:
                return artifact
        return None

    def resolve(self, reference: str, kinds: Sequence[str] = KINDS) -> Artifact:
        """Return what a reference means: exact id, exact name, unique prefix of an id, or path, in this order."""
        explicit, _, rest = reference.partition("/")
        if explicit in KINDS and rest:
            if explicit not in kinds:
                raise WrongKindError(f"{reference} is one of {explicit}, but this command reads {' or '.join(kinds)}.")
            return self._resolve_among(rest, (explicit,), reference)
        if others := self._elsewhere(reference, kinds):
            raise WrongKindError(
                f"{reference} is one of {others[0].kind}, but this command reads {' or '.join(kinds)}."
            )
        return self._resolve_among(reference, kinds, reference)

    def _elsewhere(self, reference: str, kinds: Sequence[str]) -> list[Artifact]:
        """Return what a reference names exactly among other kinds, or begins with when it names nothing among these."""
        if self._exact(reference, kinds):
            return []
        others = [kind for kind in KINDS if kind not in kinds]
        return self._exact(reference, others) or (
            [] if self._matches(reference, kinds) else self._matches(reference, others)
        )

    def _resolve_among(self, reference: str, kinds: Sequence[str], said: str) -> Artifact:
        found = [] if reference.startswith(("./", "../", "/")) else self._matches(reference, kinds)
        if len(found) == 1:
            return found[0]
        if found:
            raise AmbiguousError(
                f"{said} could be {', '.join(f'{each.kind}/{each.id}' for each in found)}; give more of the id."
            )
        path = Path(reference)
        if (path / "layout.json").is_file() and path.absolute().parent.name in kinds:
            if path.resolve().parent.parent != self.root.resolve():
                raise NotFoundError(f"{said} lies in another store; name that with --store {path.parent.parent}.")
            return Artifact(self, path.absolute())
        if (path / "layout.json").is_file():
            raise WrongKindError(
                f"{said} is one of {path.absolute().parent.name}, but this command reads {' or '.join(kinds)}."
            )
        raise NotFoundError(
            f"nothing called {said!r} among the {' or '.join(kinds)} of {self.root}; `facelime status` lists what is there."
        )

    def _matches(self, reference: str, kinds: Sequence[str]) -> list[Artifact]:
        if not NAME.fullmatch(reference):
            return []
        return self._exact(reference, kinds) or [
            each for each in self.artifacts(kinds) if each.id.startswith(reference)
        ]

    def _exact(self, reference: str, kinds: Sequence[str]) -> list[Artifact]:
        """Return the artifact with this id, or the newest with this name."""
        if not NAME.fullmatch(reference):
            return []
        everything = self.artifacts(kinds)
        found = [each for each in everything if each.id == reference]
        named = [each for each in everything if (each.path / "names" / reference).exists()]
        return found or ([self._newest(named, reference)] if named else [])

    def _newest(self, named: list[Artifact], name: str) -> Artifact:
        ready = [each for each in named if each.complete]
        if not ready:
            return max(named, key=lambda each: (each.path / "layout.json").stat().st_mtime)
        newest = max(ready, key=lambda each: ((each.path / "manifest.json").stat().st_mtime, each.id))
        if len(ready) > 1:
            self._warn(
                f"{len(ready)} complete artifacts are called {name}; taking the newest, {newest.kind}/{newest.id}."
            )
        return newest

    def dependents(self, artifact: Artifact) -> list[Artifact]:
        """Return the artifacts that were made directly from one."""
        return [
            each
            for each in self.artifacts()
            if any(i.get("kind") == artifact.kind and i.get("id") == artifact.id for i in each.inputs.values())
        ]

    # Making

    def create(self, kind: str, name: str, identity: Identity, inputs: Mapping[str, Any], layout: Layout) -> Artifact:
        """Lay an artifact out in a temporary folder and rename it into place; who loses that race uses the winner's."""
        place = self.root / kind
        self._open_root(place)
        artifact_id = _agreed_id(place, identity.fingerprint, f"{name}-{identity.fingerprint[:SHORT]}")
        temporary = place / f".laying-{uuid.uuid4().hex}"
        _remove_abandoned(place)
        temporary.mkdir(mode=0o700)
        try:
            for folder in ("names", "logs", "units", "claims", "begun"):
                (temporary / folder).mkdir(mode=0o700)
            (temporary / "names" / name).touch()
            files.write_json(
                temporary / "layout.json", _layout_json(artifact_id, name, identity, inputs, layout, temporary)
            )
            try:
                temporary.rename(place / artifact_id)
            except OSError:
                if not (place / artifact_id).is_dir():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        files.sync(place)
        return Artifact(self, place / artifact_id)

    def name(self, artifact: Artifact, name: str) -> None:
        """Give an artifact one more name."""
        path = artifact.path / "names" / name
        if not path.exists():
            path.touch()

    def remove(self, artifact: Artifact) -> None:
        """Delete an artifact; one step makes it invisible, the rest may take its time."""
        artifact.refuse_if_busy()
        for agreed in (artifact.path.parent / IDS).glob(f"{artifact.id.rpartition('-')[2]}*"):
            agreed.unlink(missing_ok=True)
        gone = artifact.path.with_name(f".laying-{uuid.uuid4().hex}")
        artifact.path.rename(gone)
        shutil.rmtree(gone)

    def scratch(self, kind: str, key: str) -> Path:
        """Return a folder for what must be known before an artifact can be laid out, and should survive a kill; `clear` it once the artifact is there."""
        place = self.root / kind
        self._open_root(place)
        folder = place / f".before-{key}"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def clear(self, kind: str, key: str) -> None:
        """Remove such a folder, if it is there."""
        shutil.rmtree(self.root / kind / f".before-{key}", ignore_errors=True)

    def salt(self) -> bytes:
        """Return this store's secret, made once: what a patient's number is hashed with, so that nobody without the store can try all numbers."""
        path = self.root / ".salt"
        if not path.exists():
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.write_whole(path, os.urandom(32))
        return path.read_bytes()

    def _open_root(self, place: Path) -> None:
        try:
            if not self.root.exists():
                self.root.mkdir(mode=0o700, parents=True)
            elif self.root.stat().st_mode & OTHERS:
                self._warn(
                    f"others on this machine can look into the store {self.root}; `chmod 700 {self.root}` closes it."
                )
            place.mkdir(mode=0o700, exist_ok=True)
        except OSError as why:
            raise FacelimeError(
                f"the store {self.root} cannot be written ({why.strerror}); choose another with --store or FACELIME_STORE."
            ) from why
        if not os.access(place, os.W_OK | os.X_OK):
            raise FacelimeError(
                f"the store {self.root} cannot be written (no permission); choose another with --store or FACELIME_STORE."
            )


def check_name(name: str) -> str:
    """Return a name that can be part of an id and of a folder, or say what is wrong with it."""
    if not NAME.fullmatch(name):
        raise FacelimeError(
            f"{name!r} cannot be a name: use letters, digits, '.', '-', '_' and '+', a letter or digit first, at most 100; change --name."
        )
    return name


def name_from(text: str) -> str:
    """Return a name made from any text, such as a file name."""
    cut = re.sub(r"[^\w.+-]+", "-", text).strip("-._+")[:100]
    return cut if NAME.fullmatch(cut) else "artifact"


def _agreed_id(place: Path, fingerprint: str, proposed: str) -> str:
    """Return the id under which a fingerprint is laid out: whoever proposes first decides, also for those who call it otherwise."""
    (place / IDS).mkdir(mode=0o700, exist_ok=True)
    temporary = place / IDS / f".{uuid.uuid4().hex}"
    files.write_whole(temporary, proposed.encode())
    try:
        os.link(temporary, place / IDS / fingerprint)
    except FileExistsError:
        return (place / IDS / fingerprint).read_text(encoding="utf-8")
    finally:
        temporary.unlink()
    return proposed


def _remove_abandoned(place: Path) -> None:
    """Delete temporary folders whose process must be long gone."""
    remove_old([*place.glob(".laying-*"), *place.glob(".before-*")])


def _layout_json(
    artifact_id: str, name: str, identity: Identity, inputs: Mapping[str, Any], layout: Layout, folder: Path
) -> dict[str, Any]:
    pictures = unit_pictures(layout)
    arrays = make_arrays(folder / "arrays.zarr", layout, pictures) if layout.arrays or layout.constants else {}
    return {
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
        "arrays": arrays,
        "facts": dict(layout.facts),
        "execution": dict(layout.execution),
        "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
