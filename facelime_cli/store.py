"""The artifact store: the only door to zarr and h5py.

An artifact is a folder `<kind>/<name>-<fingerprint>` that is immutable once its manifest stands. Before that it is
laid out (`layout.json`, empty arrays) and filled unit by unit; a unit is done when its record says so.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelime_cli import claims, digests, files, machine
from facelime_cli.errors import AmbiguousError, BrokenError, FacelimeError, IncompleteError, NotFoundError, WrongKindError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    import zarr
    from numpy.typing import NDArray

    from facelime_cli.claims import Claim

KINDS = ("datasets", "models", "evaluations", "segments", "masks", "predictions", "surrogates", "reports")
SCHEMA = 1
UNIT_PICTURES = 32
PART_BYTES = 64 << 20
PICTURE_SHARD_BYTES = 16 << 10
"""From this size on, a picture is a chunk of its own inside the unit's file, so that one can be read alone."""
TEXT_BYTES = 64
SHORT = 8
COMMIT_DIGITS = 16
IDS = ".ids"
"""Folder of a kind that holds, by fingerprint, the id that was agreed on."""
NAME = re.compile(r"[^\W_][\w.+-]{0,99}")
LAYOUT_KEYS = {"schema", "stage", "stage_version", "id", "name", "fingerprint", "parameters", "inputs", "n", "unit_pictures", "arrays", "facts", "execution", "begun"}
RECORD_KEYS = {"unit", "rows", "seconds", "pictures", "files", "facts"}
ABANDONED_SECONDS = 24 * 3600
OTHERS = stat.S_IRWXG | stat.S_IRWXO
ZARR_ERRORS = (ValueError, TypeError, KeyError, RuntimeError, OSError)
"""What zarr and its codecs raise for bytes that they cannot read."""


@dataclass(frozen=True)
class ArraySpec:
    """One array of an artifact: NumPy dtype name or `string`, shape, dimension names, and what stands where nothing was written."""

    dtype: str
    shape: tuple[int, ...]
    dimensions: tuple[str, ...]
    fill: float | int | str = 0
    unit: str = ""

    @property
    def picture_bytes(self) -> int:
        """Bytes of one entry along the first axis."""
        size = TEXT_BYTES if self.dtype == "string" else _itemsize(self.dtype)
        for length in self.shape[1:]:
            size *= length
        return max(size, 1)


@dataclass(frozen=True)
class Layout:
    """What an artifact holds before any work is done: arrays that are known (`constants`) and arrays to be filled.

    `facts` go into the manifest as they are; `execution` is how the work was begun (a batch size), which later processes keep to. `n` is the number of pictures; an
    artifact of files alone has one.
    """

    n: int
    arrays: Mapping[str, ArraySpec] = field(default_factory=dict)
    constants: Mapping[str, tuple[NDArray[Any], tuple[str, ...]]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    unit_pictures: int = UNIT_PICTURES
    execution: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Identity:
    """What made an artifact; its fingerprint is the hash of exactly this."""

    stage: str
    version: int
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over stage, stage version, parameters and the content digests of the inputs."""
        return digests.of_value(asdict(self))


class Artifact:
    """One artifact in the store, complete or not."""

    def __init__(self, store: Store, path: Path) -> None:
        self.store, self.path = store, path
        self._layout: dict[str, Any] | None = None
        self._manifest: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        """Name and the first digits of the fingerprint: the folder's name."""
        return self.path.name

    @property
    def kind(self) -> str:
        """Which of `KINDS` this is: the folder above."""
        return self.path.parent.name

    @property
    def layout(self) -> dict[str, Any]:
        """What was known when the artifact was laid out."""
        if self._layout is None:
            remedy = f"remove it (`facelime remove {self.kind}/{self.id}`) and make it again"
            try:
                layout = files.read_json(self.path / "layout.json")
            except FileNotFoundError as why:
                raise BrokenError(f"{self.kind}/{self.id} has no layout.json; {remedy}.") from why
            except BrokenError as why:
                raise BrokenError(f"the layout.json of {self.kind}/{self.id} cannot be read; {remedy}.") from why
            if missing := LAYOUT_KEYS - set(layout):
                raise BrokenError(f"the layout.json of {self.kind}/{self.id} lacks {', '.join(sorted(missing))}; {remedy}.")
            if self.complete and "layout" in (manifest := files.read_json(self.path / "manifest.json")) and digests.of_value(layout) != manifest["layout"]:
                raise BrokenError(f"the layout.json of {self.kind}/{self.id} is not the one it was sealed with; {remedy}.")
            self._layout = layout
        return self._layout

    @property
    def complete(self) -> bool:
        """Whether the manifest stands."""
        return (self.path / "manifest.json").exists()

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest, whose own digest is checked; `IncompleteError` when there is none yet."""
        if self._manifest is None:
            if not self.complete:
                raise IncompleteError(f"{self.kind}/{self.id} is not complete ({self.progress}); repeat the `{self.layout['stage']}` command that makes it.")
            manifest = files.read_json(self.path / "manifest.json")
            if digests.of_value({k: v for k, v in manifest.items() if k != "digest"}) != manifest.get("digest"):
                raise BrokenError(f"the manifest of {self.kind}/{self.id} does not match its own digest; `facelime remove` the artifact and make it again.")
            self._manifest = manifest
        return self._manifest

    @property
    def progress(self) -> str:
        """How far the work is, in words."""
        at_work = len([path for path in (self.path / "begun").glob("[0-9]*") if path.is_dir()])
        return f"{len(self.done())} of {self.n_units} units done" + (f", {at_work} begun" if at_work else "")

    @property
    def inputs(self) -> dict[str, Any]:
        """What it was made from; empty when its layout cannot be read, since such an artifact cannot be used."""
        try:
            return dict(self.layout["inputs"])
        except BrokenError:
            return {}

    @property
    def name(self) -> str:
        """The name it was laid out under."""
        return str(self.layout["name"])

    @property
    def names(self) -> list[str]:
        """Every name it was given."""
        return sorted(path.name for path in (self.path / "names").glob("*"))

    @property
    def parameters(self) -> dict[str, Any]:
        """The resolved parameters that made it."""
        return dict(self.layout["parameters"])

    @property
    def facts(self) -> dict[str, Any]:
        """What its stage noted about it: at layout, and when complete at the end too."""
        return dict(self.manifest["facts"] if self.complete else self.layout["facts"])

    @property
    def n(self) -> int:
        """Number of pictures."""
        return int(self.layout["n"])

    @property
    def n_units(self) -> int:
        """Number of units of work."""
        return -(-self.n // int(self.layout["unit_pictures"]))

    def rows(self, unit: int) -> slice:
        """Return which pictures a unit owns."""
        size = int(self.layout["unit_pictures"])
        return slice(unit * size, min((unit + 1) * size, self.n))

    @property
    def content(self) -> str:
        """The content digest: what a later stage depends on."""
        return str(self.manifest["content"])

    def input(self, kind: str) -> Artifact:
        """Return the nearest artifact of a kind among the inputs, their inputs, and so on; it must be the only one at its distance."""
        level = [self]
        while level:
            level = [self.store.stored(each["kind"], each["id"]) for artifact in level for each in artifact.layout["inputs"].values() if "id" in each]
            found = {artifact.id: artifact for artifact in level if artifact.kind == kind}
            if len(found) > 1:
                raise BrokenError(f"{self.kind}/{self.id} was made from several {kind}: {', '.join(found)}.")
            if found:
                return next(iter(found.values()))
        raise NotFoundError(f"{self.kind}/{self.id} was not made from any of {kind}.")

    # Reading

    def read(self, name: str, rows: slice | Sequence[int] | None = None) -> NDArray[Any]:
        """Return an array, or some of its pictures; a broken chunk is named, never a traceback."""
        try:
            array = self._group("r")[name]
            self._check_files(name, array, rows)
            return _as_numpy(array[:] if rows is None else array[rows] if isinstance(rows, slice) else _scattered(array, rows))
        except ZARR_ERRORS as why:
            raise BrokenError(
                f"array `{name}` of {self.kind}/{self.id} cannot be read ({_first_line(why)}); `facelime verify {self.kind}/{self.id}` names the broken units, `facelime repair` makes room for them."
            ) from why

    def _check_files(self, name: str, array: Any, rows: slice | Sequence[int] | None) -> None:
        """Raise when a file that must be there is not: zarr would silently give the fill value."""
        import itertools

        shape, part = array.shape, array.shards or array.chunks
        wanted = range(shape[0])[rows] if isinstance(rows, slice) else range(shape[0]) if rows is None else rows
        written = range(shape[0]) if self.complete or "digest" in self.layout["arrays"][name] else [row for unit in self.done() for row in range(shape[0])[self.rows(unit)]]
        for chunk in {row // part[0] for row in set(wanted).intersection(written)}:
            for rest in itertools.product(*(range(-(-length // step)) for length, step in zip(shape[1:], part[1:], strict=True))):
                path = self.path / "arrays.zarr" / name / ".".join(map(str, ("c", chunk, *rest)))
                if not path.exists():
                    raise ValueError(f"{path.name} is missing")

    def file(self, name: str) -> Path:
        """Return the path of one of its files; the folders above it are made."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def kept(self, key: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
        """Return a folder beside the artifact's own files for what can be made from it again, such as a converted model: made on first use, whole or not at all.

        It is named by the digest of its key, and no part of the artifact's content.
        """
        folder = self.file(f"kept/{digests.of_value(dict(key))}")
        if not folder.is_dir():
            _remove_old(folder.parent.glob(".*"))
            temporary = folder.with_name(f".{uuid.uuid4().hex}")
            temporary.mkdir(mode=0o700)
            try:
                make(temporary)
                with suppress(OSError):  # another process was faster
                    temporary.rename(folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        return folder

    def texts(self, name: str) -> list[str]:
        """Return an array of strings as a list."""
        return [str(text) for text in self.read(name)]

    def _group(self, mode: str) -> Any:
        import zarr

        zarr.config.set({"array.write_empty_chunks": True})
        return zarr.open_group(str(self.path / "arrays.zarr"), mode=mode)  # type: ignore[arg-type]

    # Units

    def _begun(self, unit: int) -> Path:
        return self.path / "begun" / f"{unit:05d}"

    def committed(self, unit: int) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Yield what commits kept of an unfinished unit, places and values; a file that does not match its digest counts as not there."""
        import io

        import numpy as np

        for path in sorted(self._begun(unit).glob("[0-9]*.npz")):
            try:
                content = path.read_bytes()
            except OSError:
                continue
            if digests.of_bytes(content)[:COMMIT_DIGITS] == path.stem.partition("-")[2]:
                with np.load(io.BytesIO(content), allow_pickle=False) as kept:
                    yield kept["places"], kept["values"]

    @property
    def untouched(self) -> bool:
        """Whether nothing of it is finished or kept, so that nothing is lost with it."""
        return not self.done() and not any(path.is_file() for path in (self.path / "begun").rglob("*"))

    def record(self, unit: int) -> dict[str, Any] | None:
        """Return what is written of a finished unit, or None while it is pending; a record that cannot be read is as good as none."""
        path = self.path / "units" / f"{unit:05d}.json"
        try:
            record = files.read_json(path)
        except (FileNotFoundError, BrokenError):
            return None
        return record if set(record) >= RECORD_KEYS else None

    def unit_facts(self) -> list[dict[str, Any]]:
        """Return what was noted of each finished unit, in their order."""
        records = [self.record(unit) for unit in range(self.n_units)]
        return [dict(record["facts"]) for record in records if record is not None]

    def done(self) -> set[int]:
        """Return the units that are finished."""
        if self.complete:
            return set(range(self.n_units))
        return {int(path.stem) for path in (self.path / "units").glob("[0-9]*.json") if self.record(int(path.stem)) is not None}

    def shard(self, index: int, count: int) -> range:
        """Return the contiguous run of units that shard `index` of `count` owns, counted from 1."""
        return shard_of(self.n_units, index, count)

    def missing_shards(self, count: int) -> list[int]:
        """Return the shards, counted from 1, that have a unit left to do."""
        done = self.done()
        return [i for i in range(1, count + 1) if not done.issuperset(self.shard(i, count))]

    @contextmanager
    def work_on(self, unit: int, say: Callable[[str], None]) -> Iterator[Unit | None]:
        """Claim a unit and hand it out; None when somebody finished it in the meantime."""
        with claims.Claim.take(self.path / "claims", unit, say) as claim:
            yield None if self.record(unit) or self.complete else Unit(self, unit, claim)

    @contextmanager
    def sealing(self, say: Callable[[str], None]) -> Iterator[bool]:
        """Claim the sealing, so that one process does it; False when it was done in the meantime."""
        with claims.Claim.take(self.path / "claims", self.n_units, say):
            yield not self.complete

    def refuse_if_busy(self, units: Iterable[int] | None = None) -> None:
        """Raise `BusyError` when a live process of this host holds one of these units, or any."""
        for unit in sorted({int(path.stem) for path in (self.path / "claims").glob("[0-9]*")}) if units is None else units:
            holder = claims.live_holder(self.path / "claims", unit)
            if holder is not None:
                raise claims.refusal(unit, holder)

    # Sealing

    def seal(self, facts: Mapping[str, Any], made_files: Iterable[str] = ()) -> None:
        """Gather the records into the manifest, write it last, and drop what only unfinished work needs."""
        if self.complete:
            return
        records = [self.record(unit) for unit in range(self.n_units)]
        whole = [record for record in records if record is not None]
        if self.complete:
            return
        if len(whole) != self.n_units:
            raise IncompleteError(f"{self.kind}/{self.id} is not complete ({self.progress}).")
        manifest = self._manifest_of(whole, facts, made_files)
        manifest["digest"] = digests.of_value(manifest)
        files.write_json(self.path / "manifest.json", manifest)
        for folder in ("begun", "units"):
            shutil.rmtree(self.path / folder, ignore_errors=True)

    def _manifest_of(self, records: list[dict[str, Any]], facts: Mapping[str, Any], made_files: Iterable[str]) -> dict[str, Any]:
        layout = self.layout
        arrays = {
            name: {**{k: spec[k] for k in ("dtype", "shape", "dimensions", "unit")}, "digest": spec.get("digest") or digests.combine(d for r in records for d in r["pictures"][name])}
            for name, spec in layout["arrays"].items()
        }
        file_digests = {name: digest for record in records for name, digest in record["files"].items()}
        file_digests |= {name: digests.of_file(self.path / name) for name in made_files}
        facts = {**layout["facts"], **facts}
        content = {"arrays": {name: array["digest"] for name, array in arrays.items()}, "inputs": {name: each["digest"] for name, each in layout["inputs"].items() if "id" in each}}
        content |= {name: facts[name] for name in ("model", "classes", "size") if name in facts}
        return {
            **{k: layout[k] for k in ("schema", "stage", "stage_version", "id", "name", "fingerprint", "parameters", "inputs", "n", "unit_pictures")},
            "seed": layout["parameters"].get("seed"),
            "layout": digests.of_value(layout),
            "content": digests.of_value(content),
            "arrays": arrays,
            "files": file_digests,
            "units": [
                {"rows": r["rows"], "seconds": r["seconds"], "digests": {name: digests.combine(d) for name, d in r["pictures"].items()}, "files": r["files"], "facts": r["facts"]} for r in records
            ],
            "facts": facts,
            "software": machine.software(),
            "hardware": machine.hardware(),
            "seconds": round(sum(r["seconds"] for r in records), 3),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }

    # Verifying

    def faults(self) -> Iterator[Fault]:
        """Recompute every digest and yield what differs."""
        manifest = self.manifest if self.complete else None
        for name, spec in self.layout["arrays"].items():
            if "digest" in spec:
                yield from self._compare(name, None, spec["digest"])
        for unit in sorted(self.done()):
            expected = manifest["units"][unit]["digests"] if manifest else {name: digests.combine(d) for name, d in (self.record(unit) or {})["pictures"].items()}
            for name, digest in expected.items():
                yield from self._compare(name, unit, digest)
        for name, digest in (manifest["files"] if manifest else {}).items():
            path = self.path / name
            if not path.exists():
                yield Fault(f"{self.kind}/{self.id}", f"file {name} is missing", None)
            elif digests.of_file(path) != digest:
                yield Fault(f"{self.kind}/{self.id}", f"file {name} differs from its digest", None)

    def _compare(self, name: str, unit: int | None, expected: str) -> Iterator[Fault]:
        where = "" if unit is None else f", unit {unit}"
        try:
            found = digests.of_array(self.read(name, None if unit is None else self.rows(unit)))
        except BrokenError as why:
            yield Fault(f"{self.kind}/{self.id}", f"array {name}{where} cannot be read ({_first_line(why.__cause__)})", unit)
            return
        if found != expected:
            yield Fault(f"{self.kind}/{self.id}", f"array {name}{where} differs from its digest", unit)

    def reopen(self, units: set[int]) -> None:
        """Take the manifest away and put the records of all other units back, so that the artifact's command makes these again."""
        records = self.path / "units"
        records.mkdir(exist_ok=True)
        for unit, kept in enumerate(self.manifest["units"] if self.complete else ()):
            if unit not in units:
                pictures = {name: digests.of_pictures(self.read(name, self.rows(unit))) for name in kept["digests"]}
                self._write_record(unit, kept["seconds"], pictures, kept["files"], kept["facts"])
        (self.path / "manifest.json").unlink(missing_ok=True)
        for unit in units:
            (records / f"{unit:05d}.json").unlink(missing_ok=True)
        self._manifest = None

    def _write_record(self, unit: int, seconds: float, pictures: dict[str, list[str]], made: dict[str, str], facts: Mapping[str, Any]) -> None:
        rows = self.rows(unit)
        record = {"unit": unit, "rows": [rows.start, rows.stop], "seconds": round(seconds, 3), "pictures": pictures, "files": made, "facts": dict(facts)}
        files.write_json(self.path / "units" / f"{unit:05d}.json", record)


@dataclass(frozen=True)
class Fault:
    """Something stored that is not what its digest says."""

    artifact: str
    what: str
    unit: int | None


class Unit:
    """A claimed unit: the smallest thing that a process owns."""

    def __init__(self, artifact: Artifact, index: int, claim: Claim) -> None:
        self.artifact, self.index, self._claim = artifact, index, claim
        self.rows = artifact.rows(index)
        self.finished = False
        self._start = time.monotonic()

    @property
    def n(self) -> int:
        """Number of pictures."""
        return len(range(self.rows.start, self.rows.stop))

    def finish(self, parts: Mapping[str, NDArray[Any]], *, made: Sequence[str] = (), facts: Mapping[str, Any] | None = None) -> None:
        """Write the unit's part of every array, wait for the disk, and only then its record."""
        self._claim.check()
        pictures = {}
        group = self.artifact._group("r+") if parts else None  # noqa: SLF001 - one module, one door to zarr
        for name, part in parts.items():
            assert group is not None
            group[name][self.rows] = part
            for path in (self.artifact.path / "arrays.zarr" / name).glob(f"c.{self.index}*"):
                if path.name.split(".")[1] == str(self.index):
                    files.sync(path)
            files.sync(self.artifact.path / "arrays.zarr" / name)
            pictures[name] = digests.of_pictures(part)
        for name in made:
            files.sync(self.artifact.path / name)
        hashes = {name: digests.of_file(self.artifact.path / name) for name in made}
        self.artifact._write_record(self.index, time.monotonic() - self._start, pictures, hashes, facts or {})  # noqa: SLF001 - as above
        shutil.rmtree(self._folder, ignore_errors=True)
        self.finished = True

    @property
    def _folder(self) -> Path:
        return self.artifact._begun(self.index)  # noqa: SLF001 - as above

    def commit(self, places: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Keep some evaluations of this unit, in a file of its own, until the unit is finished."""
        import io

        import numpy as np

        self._claim.check()
        self._folder.mkdir(parents=True, exist_ok=True)
        stream = io.BytesIO()
        np.savez(stream, places=places, values=values)
        name = f"{int(places[0]):09d}-{digests.of_bytes(stream.getvalue())[:COMMIT_DIGITS]}.npz"
        files.write_whole(self._folder / name, stream.getvalue())

    def committed(self) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Yield what earlier commits kept: places and values."""
        return self.artifact.committed(self.index)

    def scratch(self, name: str) -> Path:
        """Return a place for files that only unfinished work needs (a training's checkpoints)."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / name


class Store:
    """A folder of artifacts, one sub-folder for each kind."""

    def __init__(self, root: Path, warn: Callable[[str], None] = lambda _: None) -> None:
        self.root, self._warn = root, warn

    # Finding

    def artifacts(self, kinds: Iterable[str] = KINDS) -> list[Artifact]:
        """Return every artifact of some kinds, complete or not, by kind and id."""
        return [Artifact(self, path) for kind in kinds for path in sorted((self.root / kind).glob("*")) if path.is_dir() and not path.name.startswith(".")]

    def stored(self, kind: str, artifact_id: str) -> Artifact:
        """Return the artifact of an exact kind and id: one that another's lineage names."""
        path = self.root / kind / artifact_id
        if not path.is_dir():
            raise NotFoundError(f"{kind}/{artifact_id} is gone from {self.root}; make it again with the commands that `facelime show` gives.")
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
            raise WrongKindError(f"{reference} is one of {others[0].kind}, but this command reads {' or '.join(kinds)}.")
        return self._resolve_among(reference, kinds, reference)

    def _elsewhere(self, reference: str, kinds: Sequence[str]) -> list[Artifact]:
        """Return what a reference names exactly among other kinds, or begins with when it names nothing among these."""
        if self._exact(reference, kinds):
            return []
        others = [kind for kind in KINDS if kind not in kinds]
        return self._exact(reference, others) or ([] if self._matches(reference, kinds) else self._matches(reference, others))

    def _resolve_among(self, reference: str, kinds: Sequence[str], said: str) -> Artifact:
        found = [] if reference.startswith(("./", "../", "/")) else self._matches(reference, kinds)
        if len(found) == 1:
            return found[0]
        if found:
            raise AmbiguousError(f"{said} could be {', '.join(f'{each.kind}/{each.id}' for each in found)}; give more of the id.")
        path = Path(reference)
        if (path / "layout.json").is_file() and path.absolute().parent.name in kinds:
            if path.resolve().parent.parent != self.root.resolve():
                raise NotFoundError(f"{said} lies in another store; name that with --store {path.parent.parent}.")
            return Artifact(self, path.absolute())
        if (path / "layout.json").is_file():
            raise WrongKindError(f"{said} is one of {path.absolute().parent.name}, but this command reads {' or '.join(kinds)}.")
        raise NotFoundError(f"nothing called {said!r} among the {' or '.join(kinds)} of {self.root}; `facelime status` lists what is there.")

    def _matches(self, reference: str, kinds: Sequence[str]) -> list[Artifact]:
        if not NAME.fullmatch(reference):
            return []
        return self._exact(reference, kinds) or [each for each in self.artifacts(kinds) if each.id.startswith(reference)]

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
            self._warn(f"{len(ready)} complete artifacts are called {name}; taking the newest, {newest.kind}/{newest.id}.")
        return newest

    def dependents(self, artifact: Artifact) -> list[Artifact]:
        """Return the artifacts that were made directly from one."""
        return [each for each in self.artifacts() if any(i.get("kind") == artifact.kind and i.get("id") == artifact.id for i in each.inputs.values())]

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
            files.write_json(temporary / "layout.json", _layout_json(artifact_id, name, identity, inputs, layout, temporary))
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
                self._warn(f"others on this machine can look into the store {self.root}; `chmod 700 {self.root}` closes it.")
            place.mkdir(mode=0o700, exist_ok=True)
        except OSError as why:
            raise FacelimeError(f"the store {self.root} cannot be written ({why.strerror}); choose another with --store or FACELIME_STORE.") from why
        if not os.access(place, os.W_OK | os.X_OK):
            raise FacelimeError(f"the store {self.root} cannot be written (no permission); choose another with --store or FACELIME_STORE.")


def check_name(name: str) -> str:
    """Return a name that can be part of an id and of a folder, or say what is wrong with it."""
    if not NAME.fullmatch(name):
        raise FacelimeError(f"{name!r} cannot be a name: use letters, digits, '.', '-', '_' and '+', a letter or digit first, at most 100; change --name.")
    return name


def name_from(text: str) -> str:
    """Return a name made from any text, such as a file name."""
    cut = re.sub(r"[^\w.+-]+", "-", text).strip("-._+")[:100]
    return cut if NAME.fullmatch(cut) else "artifact"


def _itemsize(dtype: str) -> int:
    import numpy as np

    return int(np.dtype(dtype).itemsize)


def _first_line(why: BaseException | None) -> str:
    return (str(why).strip() or type(why).__name__).splitlines()[0]


def _as_numpy(values: Any) -> NDArray[Any]:
    import numpy as np

    return np.asarray(values)


def _scattered(array: Any, rows: Sequence[int]) -> NDArray[Any]:
    """Return chosen pictures, read by runs of neighbours: zarr's own selection of them takes 20 to 150 times as long where a picture is large."""
    import numpy as np

    chosen = np.asarray(rows, dtype=np.int64)
    runs = [run for run in np.split(chosen, np.flatnonzero(np.diff(chosen) != 1) + 1) if run.size]
    return np.concatenate([_as_numpy(array[0:0]), *(_as_numpy(array[int(run[0]) : int(run[-1]) + 1]) for run in runs)])


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
    _remove_old([*place.glob(".laying-*"), *place.glob(".before-*")])


def _remove_old(folders: Iterable[Path]) -> None:
    for path in folders:
        if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def _layout_json(artifact_id: str, name: str, identity: Identity, inputs: Mapping[str, Any], layout: Layout, folder: Path) -> dict[str, Any]:
    pictures = unit_pictures(layout)
    arrays = _make_arrays(folder / "arrays.zarr", layout, pictures) if layout.arrays or layout.constants else {}
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


def shard_of(n_units: int, index: int, count: int) -> range:
    """Return the units of shard `index` of `count`, counted from 1."""
    return range((index - 1) * n_units // count, index * n_units // count)


def unit_pictures(layout: Layout) -> int:
    """Return how many pictures a unit has."""
    largest = max((spec.picture_bytes for spec in layout.arrays.values()), default=1)
    return max(1, min(layout.unit_pictures, PART_BYTES // largest))


def _make_arrays(path: Path, layout: Layout, unit_pictures: int) -> dict[str, Any]:
    import zarr

    zarr.config.set({"array.write_empty_chunks": True})
    group = zarr.open_group(str(path), mode="w")
    described = {}
    for name, (values, dimensions) in layout.constants.items():
        dtype = "string" if values.dtype.kind in "OTU" else values.dtype.name
        spec = ArraySpec(dtype, values.shape, dimensions, "" if dtype == "string" else 0)
        _make_array(group, name, spec, len(values))[:] = values
        described[name] = {**asdict(spec), "digest": digests.of_array(values)}
    for name, spec in layout.arrays.items():
        _make_array(group, name, spec, unit_pictures)
        described[name] = {k: v for k, v in asdict(spec).items() if k != "fill"}
    for written in sorted(path.rglob("*")):
        files.sync(written)
    return {name: {k: v for k, v in each.items() if k != "fill"} for name, each in described.items()}


def _make_array(group: zarr.Group, name: str, spec: ArraySpec, pictures: int) -> zarr.Array[Any]:
    from zarr.codecs import Crc32cCodec, ZstdCodec

    part = (max(1, min(pictures, spec.shape[0])), *spec.shape[1:])
    if pictures == 1 and spec.picture_bytes > PART_BYTES:
        part = (1, max(1, PART_BYTES * spec.shape[1] // spec.picture_bytes), *spec.shape[2:])
    large = spec.dtype != "string" and len(part) > 1 and spec.picture_bytes >= PICTURE_SHARD_BYTES
    return group.create_array(
        name,
        shape=spec.shape,
        dtype=str if spec.dtype == "string" else spec.dtype,
        chunks=(1, *part[1:]) if large else part,
        shards=part if large else None,
        fill_value=spec.fill,
        compressors=[ZstdCodec(level=3), Crc32cCodec()],
        dimension_names=spec.dimensions,
        chunk_key_encoding={"name": "default", "separator": "."},
        attributes={"unit": spec.unit} if spec.unit else {},
    )


def write_hdf5(artifact: Artifact, path: Path) -> None:
    """Write a complete artifact as one self-describing HDF5 file: arrays with dimension scales, units, manifest, and the manifests it was made from.

    Files of an artifact (a model, figures) are kept as bytes in the group `files`.
    """
    import h5py
    import numpy as np

    with h5py.File(path, "w") as out:
        # Datasets, not attributes: HDF5 allows an attribute 64 KiB, and a thousand class names are more.
        out["manifest"] = digests.canonical(artifact.manifest).decode()
        out["lineage"] = digests.canonical([each.manifest for each in lineage(artifact)]).decode()
        out.attrs["kind"], out.attrs["id"] = artifact.kind, artifact.id
        for name, spec in artifact.layout["arrays"].items():
            dtype = h5py.string_dtype() if spec["dtype"] == "string" else np.dtype(spec["dtype"])
            filters = {"compression": "gzip", "fletcher32": True} if len(spec["shape"]) > 1 and spec["dtype"] != "string" else {}
            whole = out.create_dataset(name, shape=tuple(spec["shape"]), dtype=dtype, chunks=(1, *spec["shape"][1:]) if filters else None, **filters)
            for unit in range(artifact.n_units):
                rows = artifact.rows(unit)
                part = artifact.read(name, rows)
                whole[rows] = part.astype(object) if spec["dtype"] == "string" else part
            whole.attrs["unit"] = spec["unit"]
            for axis, dimension in enumerate(spec["dimensions"]):
                _attach_scale(out, whole, axis, dimension)
        for name in artifact.manifest["files"]:
            out.create_dataset(f"files/{name}", data=np.frombuffer((artifact.path / name).read_bytes(), dtype=np.uint8))


def _attach_scale(out: Any, whole: Any, axis: int, dimension: str) -> None:
    """Label an axis with its dimension's scale, 0, 1, 2, …; made once per name and length."""
    import numpy as np

    name = f"dimensions/{dimension}"
    if name not in out:
        out[name] = np.arange(whole.shape[axis])
        out[name].make_scale(dimension)
    whole.dims[axis].label = dimension
    whole.dims[axis].attach_scale(out[name])


def lineage(artifact: Artifact) -> list[Artifact]:
    """Return every artifact that one was made from, the nearest first, each once."""
    found: dict[str, Artifact] = {}
    waiting = [artifact]
    while waiting:
        for reference in waiting.pop(0).layout["inputs"].values():
            if "id" in reference and reference["id"] not in found:
                found[reference["id"]] = artifact.store.stored(reference["kind"], reference["id"])
                waiting.append(found[reference["id"]])
    return list(found.values())
