"""One artifact: layout, units, records, sealing, verifying."""

from __future__ import annotations

import shutil
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli import machine
from facelime_cli.errors import BrokenError, IncompleteError, NotFoundError, first_line
from facelime_cli.store import claims, digests, files
from facelime_cli.store.arrays import ZARR_ERRORS, ArraySpec, as_numpy, scattered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.store.claims import Claim
    from facelime_cli.store.references import Store


KINDS = ("datasets", "models", "evaluations", "segments", "masks", "predictions", "surrogates", "reports")
SCHEMA = 1


SHORT = 8
COMMIT_DIGITS = 16


LAYOUT_KEYS = {
    "schema",
    "stage",
    "stage_version",
    "id",
    "name",
    "fingerprint",
    "parameters",
    "inputs",
    "n",
    "unit_pictures",
    "arrays",
    "facts",
    "execution",
    "begun",
}
RECORD_KEYS = {"unit", "rows", "seconds", "pictures", "files", "facts"}
ABANDONED_SECONDS = 24 * 3600


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
                raise BrokenError(
                    f"the layout.json of {self.kind}/{self.id} lacks {', '.join(sorted(missing))}; {remedy}."
                )
            if (
                self.complete
                and "layout" in (manifest := files.read_json(self.path / "manifest.json"))
                and digests.of_value(layout) != manifest["layout"]
            ):
                raise BrokenError(
                    f"the layout.json of {self.kind}/{self.id} is not the one it was sealed with; {remedy}."
                )
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
                raise IncompleteError(
                    f"{self.kind}/{self.id} is not complete ({self.progress}); repeat the `{self.layout['stage']}` command that makes it."
                )
            manifest = files.read_json(self.path / "manifest.json")
            if digests.of_value({k: v for k, v in manifest.items() if k != "digest"}) != manifest.get("digest"):
                raise BrokenError(
                    f"the manifest of {self.kind}/{self.id} does not match its own digest; `facelime remove` the artifact and make it again."
                )
            self._manifest = manifest
        return self._manifest

    @property
    def made(self) -> dict[str, Any]:
        """Everything that is written of how it was made: the manifest, or the layout while it is unfinished."""
        return dict(self.manifest if self.complete else self.layout)

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
    def fingerprint(self) -> str:
        """Hash of what made it, see `Identity`."""
        return str(self.layout["fingerprint"])

    @property
    def stage(self) -> str:
        """Name of the stage that makes it."""
        return str(self.layout["stage"])

    @property
    def version(self) -> int:
        """Version of that stage."""
        return int(self.layout["stage_version"])

    @property
    def begun(self) -> str:
        """When it was laid out, in UTC (ISO 8601)."""
        return str(self.layout["begun"])

    @property
    def execution(self) -> dict[str, Any]:
        """How the work was begun, such as its batch size; later processes keep to it."""
        return dict(self.layout["execution"])

    @property
    def software(self) -> dict[str, str]:
        """Versions of what made it, by package."""
        return dict(self.manifest["software"])

    @property
    def facts(self) -> dict[str, Any]:
        """What its stage noted about it: at layout, and when complete at the end too."""
        return dict(self.manifest["facts"] if self.complete else self.layout["facts"])

    @property
    def n(self) -> int:
        """Number of pictures."""
        return int(self.layout["n"])

    @property
    def unit_pictures(self) -> int:
        """Number of pictures in a unit; the last may have fewer."""
        return int(self.layout["unit_pictures"])

    @property
    def n_units(self) -> int:
        """Number of units of work."""
        return -(-self.n // self.unit_pictures)

    def rows(self, unit: int) -> slice:
        """Return which pictures a unit owns."""
        size = self.unit_pictures
        return slice(unit * size, min((unit + 1) * size, self.n))

    @property
    def content(self) -> str:
        """The content digest: what a later stage depends on."""
        return str(self.manifest["content"])

    def input(self, kind: str) -> Artifact:
        """Return the nearest artifact of a kind among the inputs, their inputs, and so on; it must be the only one at its distance."""
        level = [self]
        while level:
            level = [
                self.store.stored(each["kind"], each["id"])
                for artifact in level
                for each in artifact.layout["inputs"].values()
                if "id" in each
            ]
            found = {artifact.id: artifact for artifact in level if artifact.kind == kind}
            if len(found) > 1:
                raise BrokenError(f"{self.kind}/{self.id} was made from several {kind}: {', '.join(found)}.")
            if found:
                return next(iter(found.values()))
        raise NotFoundError(f"{self.kind}/{self.id} was not made from any of {kind}.")

    def require_complete(self) -> Artifact:
        """Return the artifact itself once its manifest is known to be whole.

        Raises
        ------
        IncompleteError
            When it is not sealed yet.
        BrokenError
            When the manifest does not match its own digest.
        """
        _ = self.manifest
        return self

    # Arrays

    @property
    def arrays(self) -> list[str]:
        """Names of its arrays, in their order."""
        return list(self.layout["arrays"])

    def has(self, name: str) -> bool:
        """Return whether it has an array of this name."""
        return name in self.layout["arrays"]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        return tuple(int(length) for length in self.layout["arrays"][name]["shape"])

    def spec(self, name: str) -> ArraySpec:
        """Return how an array was laid out; what stands where nothing was written is NaN, or empty text."""
        found = self.layout["arrays"][name]
        fill = "" if found["dtype"] == "string" else float("nan")
        return ArraySpec(found["dtype"], self.shape(name), tuple(found["dimensions"]), fill, found["unit"])

    def filled_by_units(self) -> list[str]:
        """Return the names of the arrays that units write; the others were known when it was laid out."""
        return [name for name, found in self.layout["arrays"].items() if "digest" not in found]

    def carried(self) -> dict[str, tuple[NDArray[Any], tuple[str, ...]]]:
        """Return the arrays that every stage hands on: the id of each picture, and its row in the dataset."""
        return {name: (self.read(name), ("picture",)) for name in ("id", "row")}

    # Reading

    def read(self, name: str, rows: slice | Sequence[int] | None = None) -> NDArray[Any]:
        """Return an array, or some of its pictures; a broken chunk is named, never a traceback."""
        try:
            array = self._group("r")[name]
            self._check_files(name, array, rows)
            return as_numpy(
                array[:] if rows is None else array[rows] if isinstance(rows, slice) else scattered(array, rows)
            )
        except ZARR_ERRORS as why:
            raise BrokenError(
                f"array `{name}` of {self.kind}/{self.id} cannot be read ({first_line(why)}); `facelime verify {self.kind}/{self.id}` names the broken units, `facelime repair` makes room for them."
            ) from why

    def _check_files(self, name: str, array: Any, rows: slice | Sequence[int] | None) -> None:
        """Raise when a file that must be there is not: zarr would silently give the fill value."""
        import itertools

        shape, part = array.shape, array.shards or array.chunks
        wanted = range(shape[0])[rows] if isinstance(rows, slice) else range(shape[0]) if rows is None else rows
        written = (
            range(shape[0])
            if self.complete or "digest" in self.layout["arrays"][name]
            else [row for unit in self.done() for row in range(shape[0])[self.rows(unit)]]
        )
        for chunk in {row // part[0] for row in set(wanted).intersection(written)}:
            for rest in itertools.product(
                *(range(-(-length // step)) for length, step in zip(shape[1:], part[1:], strict=True))
            ):
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
            remove_old(folder.parent.glob(".*"))
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

    def unit_facts(self, row: int) -> dict[str, Any]:
        """Return what was noted of the unit that a picture is in; nothing while that unit is pending."""
        unit = row // self.unit_pictures
        record = self.manifest["units"][unit] if self.complete else self.record(unit)
        return dict(record["facts"]) if record else {}

    def facts_of_units(self) -> list[dict[str, Any]]:
        """Return what was noted of each finished unit, in their order."""
        records = [self.record(unit) for unit in range(self.n_units)]
        return [dict(record["facts"]) for record in records if record is not None]

    def done(self) -> set[int]:
        """Return the units that are finished."""
        if self.complete:
            return set(range(self.n_units))
        return {
            int(path.stem)
            for path in (self.path / "units").glob("[0-9]*.json")
            if self.record(int(path.stem)) is not None
        }

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
        for unit in (
            sorted({int(path.stem) for path in (self.path / "claims").glob("[0-9]*")}) if units is None else units
        ):
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

    def _manifest_of(
        self, records: list[dict[str, Any]], facts: Mapping[str, Any], made_files: Iterable[str]
    ) -> dict[str, Any]:
        layout = self.layout
        arrays = {
            name: {
                **{k: spec[k] for k in ("dtype", "shape", "dimensions", "unit")},
                "digest": spec.get("digest") or digests.combine(d for r in records for d in r["pictures"][name]),
            }
            for name, spec in layout["arrays"].items()
        }
        file_digests = {name: digest for record in records for name, digest in record["files"].items()}
        file_digests |= {name: digests.of_file(self.path / name) for name in made_files}
        facts = {**layout["facts"], **facts}
        content = {
            "arrays": {name: array["digest"] for name, array in arrays.items()},
            "inputs": {name: each["digest"] for name, each in layout["inputs"].items() if "id" in each},
        }
        content |= {name: facts[name] for name in ("model", "classes", "size") if name in facts}
        return {
            **{
                k: layout[k]
                for k in (
                    "schema",
                    "stage",
                    "stage_version",
                    "id",
                    "name",
                    "fingerprint",
                    "parameters",
                    "inputs",
                    "n",
                    "unit_pictures",
                )
            },
            "seed": layout["parameters"].get("seed"),
            "layout": digests.of_value(layout),
            "content": digests.of_value(content),
            "arrays": arrays,
            "files": file_digests,
            "units": [
                {
                    "rows": r["rows"],
                    "seconds": r["seconds"],
                    "digests": {name: digests.combine(d) for name, d in r["pictures"].items()},
                    "files": r["files"],
                    "facts": r["facts"],
                }
                for r in records
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
            expected = (
                manifest["units"][unit]["digests"]
                if manifest
                else {name: digests.combine(d) for name, d in (self.record(unit) or {})["pictures"].items()}
            )
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
            yield Fault(
                f"{self.kind}/{self.id}", f"array {name}{where} cannot be read ({first_line(why.__cause__)})", unit
            )
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

    def _write_record(
        self, unit: int, seconds: float, pictures: dict[str, list[str]], made: dict[str, str], facts: Mapping[str, Any]
    ) -> None:
        rows = self.rows(unit)
        record = {
            "unit": unit,
            "rows": [rows.start, rows.stop],
            "seconds": round(seconds, 3),
            "pictures": pictures,
            "files": made,
            "facts": dict(facts),
        }
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

    def finish(
        self, parts: Mapping[str, NDArray[Any]], *, made: Sequence[str] = (), facts: Mapping[str, Any] | None = None
    ) -> None:
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


def remove_old(folders: Iterable[Path]) -> None:
    """Delete folders that nobody has touched for a day."""
    for path in folders:
        if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def shard_of(n_units: int, index: int, count: int) -> range:
    """Return the units of shard `index` of `count`, counted from 1."""
    return range((index - 1) * n_units // count, index * n_units // count)


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
