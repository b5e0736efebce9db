"""One artifact: what it is, what it was made from, what it holds, and how far the work on it is."""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from facelime_cli.errors import BrokenError, IncompleteError, NotFoundError, first_line
from facelime_cli.store import arrays, claims, digests, files, forms, manifests, temporary, units
from facelime_cli.store.arrays import TEXT, ZARR_ERRORS, ArraySpec
from facelime_cli.store.kinds import TRAINED
from facelime_cli.store.presence import CLAIMS
from facelime_cli.store.units import Unit, runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


NAMES, LOGS = "names", "logs"
EMPTY_FOLDERS = (NAMES, LOGS, units.RECORDS, CLAIMS, units.BEGUN)
"""Folders that every artifact begins with."""
FOLDERS = (*EMPTY_FOLDERS, "kept", arrays.FOLDER)
"""Folders that an artifact may have beside those of its own files."""
LOG = re.compile(r"\d+of(\d+)\.jsonl")
"""Name of a shard's log, with the number of shards."""
KEPT_DIGITS = 7
"""Hexadecimal digits of what is kept that number its claim."""
ANSWERS = "probabilities"
"""The array of a model's answers, of whatever kind of artifact."""
ROUNDING = 1e-3
"""How far a probability may lie beyond 0 and 1 in half precision."""
DAMAGED = "damaged"
"""How the state of an artifact begins that cannot be read."""
ANSWERS_OF_PICTURES = 2
"""Axes of answers for pictures as they are: picture and class."""


class Shelf(Protocol):
    """What an artifact needs of its store."""

    aside: Path | None

    def stored(self, kind: str, artifact_id: str) -> Artifact:
        """Return the artifact of an exact kind and id."""
        ...


class Artifact:
    """One artifact in the store, complete or not.

    Parameters
    ----------
    store : Shelf
        The store that it is in.
    path : Path
        Its folder.

    Attributes
    ----------
    store : Shelf
        As given.
    path : Path
        As given.
    """

    def __init__(self, store: Shelf, path: Path) -> None:
        self.store, self.path = store, path
        # None of these files changes once it is written, so each is read once.
        self._layout: dict[str, Any] | None = None
        self._manifest: dict[str, Any] | None = None
        self._sound: set[int] = set()
        self._opened: dict[str, Any] = {}
        self._parents: list[Artifact] | None = None
        # Kept only while this process seals, which needs every record several times.
        self._gathered: dict[int, dict[str, Any]] | None = None
        self._known: dict[str, NDArray[Any]] = {}

    @property
    def id(self) -> str:
        """Name and the first digits of the fingerprint: the folder's name."""
        return self.path.name

    @property
    def kind(self) -> str:
        """Which of `KINDS` this is: the folder above."""
        return self.path.parent.name

    @property
    def reference(self) -> str:
        """Kind and id: what a command understands, whatever else the store holds."""
        return f"{self.kind}/{self.id}"

    @property
    def layout(self) -> dict[str, Any]:
        """What was known when the artifact was laid out; only `store/` reads it."""
        if self._layout is None:
            self._refuse_links()
            self._layout = manifests.read_layout(self.path)
        return self._layout

    def _refuse_links(self) -> None:
        """Raise where the artifact lies elsewhere: what is written to it would land there."""
        for path in (self.path.parent, self.path, *(self.path / name for name in FOLDERS)):
            files.refuse_link(path)

    @property
    def complete(self) -> bool:
        """Whether the manifest stands; not asked again once it was read."""
        return self._manifest is not None or (self.path / manifests.MANIFEST).is_file()

    @property
    def lost_its_manifest(self) -> bool:
        """Whether it was sealed once, but its manifest is gone: only sealing takes the folder of records away."""
        return not self.complete and not (self.path / units.RECORDS).is_dir()

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest, whose own digest is checked; only `store/` reads it. `IncompleteError` when there is none."""
        if self._manifest is None:
            if self.lost_its_manifest:
                raise BrokenError(
                    f"{self.reference} has lost its {manifests.MANIFEST}; restore that file, or"
                    f" `facelime repair {self.reference}` and repeat the `{self.stage}` command that makes it."
                )
            if not self.complete:
                far = self._how_far(len(self.done()))
                raise IncompleteError(f"{self.reference} is not complete ({far}){self._what_to_do}")
            manifest, layout = manifests.read_manifest(self.path), self.layout
            if any(manifest[name] != layout[name] for name in manifests.IN_BOTH):
                raise BrokenError(
                    f"the manifest of {self.reference} tells of another artifact;"
                    f" remove it (`facelime remove {self.reference}`) and make it again."
                )
            self._manifest = manifest
        return self._manifest

    @property
    def made(self) -> dict[str, Any]:
        """Everything that is written of how it was made: the manifest, or the layout while it is unfinished."""
        return dict(self.manifest if self.complete else self.layout)

    @property
    def progress(self) -> str:
        """How far the work is, in words and from one listing."""
        return self._how_far(self.n_done)

    def _how_far(self, n_done: int) -> str:
        begun = [path for path in (self.path / units.BEGUN).glob("[0-9]*") if path.is_dir()]
        done = f"{n_done} of {self.n_units} units done" + (", not sealed" if n_done == self.n_units else "")
        return f"{done}, {len(begun)} begun" if begun else done

    @property
    def _what_to_do(self) -> str:
        """Which units and shards are missing, and what completes it: the end of a sentence."""
        left = sorted(set(range(self.n_units)) - self.done())
        if not left:
            return (
                f": all is done, but the process that did the last unit ended before it could seal;"
                f" `facelime seal {self.reference}` completes it."
            )
        return f": {self.lacking(left)}; repeat the `{self.stage}` command that makes it."

    def lacking(self, left: Sequence[int]) -> str:
        """Return which units are missing, in words, and which shards they are in.

        Parameters
        ----------
        left : sequence of int
            Numbers of units that are not done; at least one.

        Returns
        -------
        str
            Shards are named where all processes so far divided the work in the same number.
        """
        one = len(left) == 1
        words = f"unit{'' if one else 's'} {runs(left)} {'is' if one else 'are'} missing"
        counts = self._shard_counts()
        if len(counts) != 1 or counts == {1}:
            return words
        count = counts.pop()
        shards = [i for i in range(1, count + 1) if not set(left).isdisjoint(self.shard(i, count))]
        return f"{words}, of shard{'' if len(shards) == 1 else 's'} {runs(shards)} of {count}"

    def _shard_counts(self) -> set[int]:
        """Return into how many shards processes have divided the work: their logs tell."""
        found = (LOG.fullmatch(path.name) for path in (self.path / LOGS).glob("*of*"))
        return {int(match[1]) for match in found if match}

    @property
    def name(self) -> str:
        """The name it goes by: the one it was laid out under, unless it was renamed since."""
        first, names = str(self.layout["name"]), self.names
        return names[0] if names and first not in names else first

    @property
    def names(self) -> list[str]:
        """Every name it was given."""
        return sorted(path.name for path in (self.path / NAMES).glob("*") if forms.NAME.fullmatch(path.name))

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
    def finished(self) -> str:
        """When it was completed, in UTC (ISO 8601); empty while it is unfinished."""
        return str(self.manifest.get("finished", "")) if self.complete else ""

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
    def content(self) -> str:
        """The content digest: what a later stage depends on."""
        return str(self.manifest["content"])

    @property
    def n(self) -> int:
        """Number of pictures."""
        return int(self.layout["n"])

    def require_complete(self) -> Artifact:
        """Return the artifact itself once its manifest is known to be whole.

        Returns
        -------
        Artifact
            This one.

        Raises
        ------
        IncompleteError
            When it is not sealed yet.
        BrokenError
            When the manifest does not match its own digest.
        """
        _ = self.manifest
        return self

    # What it was made from

    @property
    def inputs(self) -> dict[str, Any]:
        """What it was made from; empty when its layout cannot be read, since such an artifact cannot be used."""
        try:
            return dict(self.layout["inputs"])
        except BrokenError:
            return {}

    def parents(self) -> list[Artifact]:
        """Return the artifacts that it was made from directly.

        Returns
        -------
        list of Artifact
            In the order of the stage's inputs; an input from outside the store is none of them.

        Raises
        ------
        NotFoundError
            When one is gone from the store.
        """
        if self._parents is None or not all(each.path.is_dir() for each in self._parents):
            inputs = self.layout["inputs"].values()
            found = [self.store.stored(each["kind"], each["id"]) for each in inputs if "id" in each]
            if not all(each.complete for each in found):
                return found
            self._parents = found
        # What a parent has read of itself is not read again, whoever asks for it and however often.
        return list(self._parents)

    def parents_there(self) -> list[Artifact]:
        """Return the artifacts that it was made from directly, without those that are gone from the store."""
        found = []
        for each in self.inputs.values():
            if "id" in each:
                with suppress(NotFoundError):
                    found.append(self.store.stored(each["kind"], each["id"]))
        return found

    def input(self, kind: str) -> Artifact:
        """Return the nearest artifact of a kind among the inputs, their inputs, and so on.

        Parameters
        ----------
        kind : str
            One of `KINDS`.

        Returns
        -------
        Artifact
            The only one of that kind at its distance.

        Raises
        ------
        NotFoundError
            When there is none, or when one on the way is gone from the store.
        BrokenError
            When there are several at the same distance.
        """
        # Level by level: predictions come from a model and from masks, and the dataset of either is farther away.
        level, seen = self.parents(), {self.reference}
        while level:
            found = {artifact.id: artifact for artifact in level if artifact.kind == kind}
            if len(found) > 1:
                raise BrokenError(
                    f"{self.reference} was made from several {kind}: {', '.join(found)}; name the one you mean."
                )
            if found:
                return next(iter(found.values()))
            # An artifact that is its own input would lead round and round.
            ahead = [artifact for artifact in level if artifact.reference not in seen]
            seen.update(artifact.reference for artifact in ahead)
            level = [parent for artifact in ahead for parent in artifact.parents()]
        raise NotFoundError(
            f"{self.reference} was not made from any of {kind}; `facelime show {self.reference}` names its inputs."
        )

    # Arrays

    @property
    def arrays(self) -> list[str]:
        """Names of its arrays, in their order."""
        return list(self.layout["arrays"])

    def has(self, name: str) -> bool:
        """Return whether it has an array.

        Parameters
        ----------
        name : str
            Name of the array.

        Returns
        -------
        bool
            Also true while the array is not filled yet.
        """
        return name in self.layout["arrays"]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array.

        Parameters
        ----------
        name : str
            Name of the array.

        Returns
        -------
        tuple of int
            The first axis is the picture.
        """
        return tuple(int(length) for length in self.layout["arrays"][name]["shape"])

    def digest_of(self, name: str) -> str:
        """Return the digest of an array of a complete artifact: over decoded values."""
        return str(self.manifest["arrays"][name]["digest"])

    def spec(self, name: str) -> ArraySpec:
        """Return how an array was laid out.

        Parameters
        ----------
        name : str
            Name of the array.

        Returns
        -------
        ArraySpec
            Its `fill` is NaN, or empty text: the layout does not keep it.
        """
        found = self.layout["arrays"][name]
        fill = "" if found["dtype"] == TEXT else float("nan")
        return ArraySpec(found["dtype"], self.shape(name), tuple(found["dimensions"]), fill, found["unit"])

    def filled_by_units(self) -> list[str]:
        """Return the names of the arrays that units write; the others were known when it was laid out."""
        return [name for name, found in self.layout["arrays"].items() if "digest" not in found]

    def carried(self) -> dict[str, tuple[NDArray[Any], tuple[str, ...]]]:
        """Return the arrays that every stage hands on: the id of each picture, and its row in the dataset."""
        return {name: (self.read(name), ("picture",)) for name in ("id", "row")}

    def read(self, name: str, rows: slice | Sequence[int] | None = None) -> NDArray[Any]:
        """Return an array, or some of its pictures.

        Parameters
        ----------
        name : str
            Name of the array.
        rows : slice or sequence of int, optional
            The pictures to read, in this order; by default all.

        Returns
        -------
        (n, ...) array
            Pictures of pending units have the fill value.

        Raises
        ------
        BrokenError
            When there is no such array, when its bytes cannot be read, or when an answer of the model is missing.
        """
        if self._is_short(name):
            return self._short(name, rows)
        return self._from_disk(name, rows)

    def _is_short(self, name: str) -> bool:
        """Return whether an array is one value of each picture that was known at layout, such as its id."""
        found = self.layout["arrays"].get(name, {})
        return "digest" in found and len(found["shape"]) == 1

    def _short(self, name: str, rows: slice | Sequence[int] | None) -> NDArray[Any]:
        """Return values of a short array, which is read once: its only file would be unpacked for each unit."""
        if name not in self._known:
            self._known[name] = self._from_disk(name, None)
        known = self._known[name]
        if rows is None or isinstance(rows, slice):
            # A copy, so that nobody changes what the next one reads.
            return known[slice(None) if rows is None else rows].copy()
        return known.take(rows) if len(rows) else known[:0].copy()

    def _from_disk(self, name: str, rows: slice | Sequence[int] | None) -> NDArray[Any]:
        array = self._open(name)
        try:
            values = arrays.read_array(self.path / arrays.FOLDER / name, array, rows, self._written(name))
            if name == ANSWERS and self.complete:
                self._refuse_gaps(values, rows)
        except ZARR_ERRORS as why:
            raise self._unreadable(name, why) from why
        return values

    def _open(self, name: str) -> Any:
        """Return an array, opened once in a process: its metadata, which decides what is read, is compared then."""
        if name not in self._opened:
            self.require_metadata([name])
            try:
                self._opened[name] = arrays.open_group(self.path / arrays.FOLDER, "r")[name]
            except ZARR_ERRORS as why:
                raise self._unreadable(name, why) from why
        return self._opened[name]

    def _unreadable(self, name: str, why: Exception) -> BrokenError:
        return BrokenError(
            f"array `{name}` of {self.reference} cannot be read ({first_line(why)});"
            f" `facelime verify {self.reference}` names the broken units, `facelime repair` makes room for them."
        )

    def check_metadata(self, name: str) -> None:
        """Compare zarr's own files of an array with those that were laid out.

        Parameters
        ----------
        name : str
            Name of the array.

        Raises
        ------
        ValueError, TypeError, KeyError, RuntimeError, OSError
            See `ZARR_ERRORS`: when they differ, or there is no such array.
        """
        folder = self.path / arrays.FOLDER
        if name not in self.layout["arrays"]:
            raise ValueError("there is no such array")
        if "metadata" in self.layout:
            arrays.check_metadata(folder, name, self.layout["metadata"])
        else:
            # Earlier versions kept no copy of these files, so they are compared with what this one would write.
            self.check_form(name)

    def check_form(self, name: str) -> None:
        """Compare the form of an array, as zarr sees it, with the one that was laid out.

        Parameters
        ----------
        name : str
            Name of the array.

        Raises
        ------
        ValueError, TypeError, KeyError, RuntimeError, OSError
            See `ZARR_ERRORS`: when they differ.
        """
        known = "digest" in self.layout["arrays"][name]
        arrays.check_form(self.path / arrays.FOLDER, name, self.spec(name), self.n if known else self.unit_pictures)

    def require_metadata(self, names: Iterable[str]) -> None:
        """Refuse to read or write arrays when zarr's own files of them are not those that were laid out.

        Parameters
        ----------
        names : iterable of str
            Names of the arrays.

        Raises
        ------
        BrokenError
            Naming the file.
        """
        for name in names:
            files.inside(self.path, f"{arrays.FOLDER}/{name}")
            try:
                self.check_metadata(name)
            except ZARR_ERRORS as why:
                raise BrokenError(
                    f"array `{name}` of {self.reference} cannot be opened ({first_line(why)});"
                    f" `facelime repair {self.reference}` mends what can be mended."
                ) from why

    def _refuse_gaps(self, values: NDArray[Any], rows: slice | Sequence[int] | None) -> None:
        """Raise ValueError where an answer that the model has given is missing, or is no probability and no value."""
        import numpy as np

        good = np.isfinite(values)
        # A contrast explains the difference of two probabilities, and values have no bounds.
        if self.kind != "surrogates" and "unit" not in self.facts:
            good &= (values >= -ROUNDING) & (values <= 1 + ROUNDING)
        missing = ~good.all(axis=-1)
        if not missing.any():
            return
        # Answers beyond a picture's own number of samples are NaN on purpose.
        source = self if self.has("n_samples") else self.input("masks") if self.kind == "predictions" else None
        if source is not None and values.ndim > ANSWERS_OF_PICTURES:
            used = source.read("n_samples", rows)
            missing &= np.arange(values.shape[-2]) < used.reshape(-1, *[1] * (missing.ndim - 1))
        if missing.any():
            raise ValueError(f"{int(missing.sum())} answers of the model are missing, or are no probabilities")

    def _written(self, name: str) -> list[slice] | None:
        """Return which pictures of an array units have written; None when all of it must be there."""
        # An array that was known at layout has its digest there, and was written at once.
        if self.complete or "digest" in self.layout["arrays"][name]:
            return None
        return [self.rows(unit) for unit in self.done()]

    def texts(self, name: str, rows: slice | Sequence[int] | None = None) -> list[str]:
        """Return an array of strings as a list.

        Parameters
        ----------
        name : str
            Name of the array.
        rows : slice or sequence of int, optional
            As in `read`.

        Returns
        -------
        list of str
            One for each picture.
        """
        return [str(text) for text in self.read(name, rows)]

    # Files

    @property
    def files(self) -> list[str]:
        """Names of the files that belong to its content, once it is complete."""
        return list(self.file_digests)

    @property
    def file_digests(self) -> dict[str, str]:
        """The digest of each of these files, by its name."""
        return dict(self.manifest["files"])

    @property
    def n_bytes(self) -> int:
        """How much it takes on the disk, with all that is kept beside it."""
        return sum(path.lstat().st_size for path in self.path.rglob("*") if path.is_file() and not path.is_symlink())

    def file(self, name: str) -> Path:
        """Return the path of one of its files; the folders above it are made.

        Parameters
        ----------
        name : str
            Path below the artifact's folder.

        Returns
        -------
        Path
            Where the file is, or belongs.

        Raises
        ------
        BrokenError
            When the name leads out of the folder, by itself or through a link.
        """
        path = files.inside(self.path, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def kept_folder(self, key: Mapping[str, Any]) -> Path:
        """Return where `kept` keeps what can be made from the artifact again; it need not be there.

        Parameters
        ----------
        key : mapping of str to JSON value

        Returns
        -------
        Path
        """
        return files.inside(self.path, f"kept/{digests.of_value(dict(key))}")

    def kept(
        self,
        key: Mapping[str, Any],
        make: Callable[[Path], None],
        is_good: Callable[[Path], bool] = lambda _: True,
        say: Callable[[str], None] = lambda _: None,
    ) -> Path:
        """Return a folder for what can be made from the artifact again, such as a converted model.

        It is made on first use, whole or not at all, and is no part of the artifact's content. Of several processes
        that want it at once, one makes it and the others wait.

        Parameters
        ----------
        key : mapping of str to JSON value
            What tells it from others; its digest names the folder.
        make : callable
            Fills an empty folder.
        is_good : callable
            Tells whether a folder that is there may be used; else it is made anew.
        say : callable
            Is told why this waits.

        Returns
        -------
        Path
            The folder.
        """
        folder = self.kept_folder(key)
        if digests.sealed(folder) and is_good(folder):
            return folder
        aside = self.store.aside
        if aside is not None:
            # A plan leaves the store as it is: what it measures and converts goes elsewhere.
            folder = aside / f"{self.id}-{folder.name}"
            if not folder.is_dir():
                _make_whole(folder, make)
            return folder
        # The numbers after the sealing's, which no unit has.
        number = self.n_units + 1 + int(folder.name[:KEPT_DIGITS], 16)
        with claims.alone(self.path / CLAIMS, number, say):
            if not (digests.sealed(folder) and is_good(folder)):
                # One that was damaged, or that is not good, is made again.
                temporary.delete(folder)
                folder.parent.mkdir(exist_ok=True)
                _make_whole(folder, make)
        return folder

    # Units

    @property
    def unit_pictures(self) -> int:
        """Number of pictures in a unit; the last may have fewer."""
        return int(self.layout["unit_pictures"])

    @property
    def divided(self) -> str:
        """How many units there are, and what one is, in words."""
        many = "" if self.n_units == 1 else "s"
        if self.kind == TRAINED:
            return f"{self.n_units} training{many}"
        return f"{self.n_units} unit{many} of up to {self.unit_pictures} pictures"

    def idle(self, count: int) -> str:
        """Return how many of so many shards have nothing to do, in words.

        Parameters
        ----------
        count : int
            Number of shards.

        Returns
        -------
        str
            Empty where each has a unit at least.
        """
        idle = count - self.n_units
        if idle <= 0:
            return ""
        return (
            f"{idle} of {count} shards {'has' if idle == 1 else 'have'} nothing to do,"
            f" since there {'is' if self.n_units == 1 else 'are'} {self.divided}"
        )

    @property
    def n_units(self) -> int:
        """Number of units of work."""
        # Rounded up: the last unit may be smaller.
        return -(-self.n // self.unit_pictures)

    @property
    def untouched(self) -> bool:
        """Whether nothing of it is finished or kept, so that nothing is lost with it."""
        kept = (path for path in (self.path / units.BEGUN).rglob("*") if path.is_file())
        return not self.done() and next(kept, None) is None

    def rows(self, unit: int) -> slice:
        """Return which pictures a unit owns.

        Parameters
        ----------
        unit : int
            Number of the unit, from 0.

        Returns
        -------
        slice
            Rows of the artifact.
        """
        size = self.unit_pictures
        return slice(unit * size, min((unit + 1) * size, self.n))

    def committed(self, unit: int) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Yield what commits kept of an unfinished unit.

        Parameters
        ----------
        unit : int
            Number of the unit.

        Yields
        ------
        places, values : (m,) int64 array, (m, ...) array
            See `Unit.commit`.
        """
        return units.commits(self.path, unit)

    def record(self, unit: int) -> dict[str, Any] | None:
        """Return what is written of a finished unit.

        Parameters
        ----------
        unit : int
            Number of the unit.

        Returns
        -------
        dict or None
            None while the unit is pending, and when the artifact is complete: then the manifest has it.
        """
        if self._gathered is not None and unit in self._gathered:
            return self._gathered[unit]
        record = units.read_record(self.path, unit, checked="digest" in self.layout)
        rows = self.rows(unit)
        if record is None or record["rows"] != [rows.start, rows.stop]:
            return None
        if set(record["pictures"]) != set(self.filled_by_units()):
            return None
        if self._gathered is not None:
            self._gathered[unit] = record
        return record

    def unit_facts(self, row: int) -> dict[str, Any]:
        """Return what was noted of the unit that a picture is in.

        Parameters
        ----------
        row : int
            Row of the picture.

        Returns
        -------
        dict
            Empty while that unit is pending.
        """
        record = self._finished(row // self.unit_pictures)
        return dict(record["facts"]) if record else {}

    def unit_files(self, unit: int) -> dict[str, str]:
        """Return the files that a unit has written, each with its digest.

        Parameters
        ----------
        unit : int
            Number of the unit.

        Returns
        -------
        dict
            Empty while the unit is pending.
        """
        record = self._finished(unit)
        return dict(record["files"]) if record else {}

    def _finished(self, unit: int) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.manifest["units"][unit] if self.complete else self.record(unit)
        return found

    def facts_of_units(self) -> list[dict[str, Any]]:
        """Return what was noted of each finished unit, in their order, before the artifact is sealed."""
        return [dict(record["facts"]) for record in self._records()]

    def _records(self) -> list[dict[str, Any]]:
        records = [self.record(unit) for unit in range(self.n_units)]
        return [record for record in records if record is not None]

    def done(self) -> set[int]:
        """Return the units that are finished: every record is read, once in a process."""
        if not self.complete:
            there = self._sound_among(units.recorded(self.path, self.n_units))
            # Asked again, since who seals takes the records away.
            if not self.complete:
                return there
        return set(range(self.n_units))

    def done_among(self, chosen: Iterable[int]) -> set[int]:
        """Return which of some units are finished: no other record is read, and no folder listed.

        Parameters
        ----------
        chosen : iterable of int
            Numbers of units, such as a shard's.

        Returns
        -------
        set of int
        """
        asked = set(chosen)
        if not self.complete:
            there = self._sound_among(unit for unit in asked if units.record_path(self.path, unit).is_file())
            if not self.complete:
                return there
        return asked

    def _sound_among(self, recorded: Iterable[int]) -> set[int]:
        """Return the units whose record can be read. One that is damaged does not count, so that it is done again."""
        there = set(recorded)
        self._sound.update(unit for unit in there - self._sound if self.record(unit) is not None)
        return there & self._sound

    @property
    def n_done(self) -> int:
        """Number of units that have a record, from one listing: it may be damaged, which sealing finds out."""
        there = 0 if self.complete else len(units.recorded(self.path, self.n_units))
        return self.n_units if self.complete else there

    def shard(self, index: int, count: int) -> range:
        """Return the units of one shard: a contiguous run.

        Parameters
        ----------
        index : int
            Number of the shard, from 1.
        count : int
            Number of shards.

        Returns
        -------
        range
            Numbers of units.
        """
        return units.shard_of(self.n_units, index, count)

    def missing_shards(self, count: int) -> list[int]:
        """Return the shards that have something left to do.

        Parameters
        ----------
        count : int
            Number of shards.

        Returns
        -------
        list of int
            Numbers of shards, from 1. Where every unit is done and nobody has sealed, it is the last shard: whichever
            is repeated seals. Records are listed and not read: one that is damaged is removed by who seals.
        """
        done = units.recorded(self.path, self.n_units)
        if self.complete:
            return []
        left = [index for index in range(1, count + 1) if not done.issuperset(self.shard(index, count))]
        return left or [count]

    @contextmanager
    def work_on(self, unit: int, say: Callable[[str], None]) -> Iterator[Unit | None]:
        """Claim a unit and hand it out.

        Parameters
        ----------
        unit : int
            Number of the unit.
        say : callable
            Is told why this waits.

        Yields
        ------
        Unit or None
            None when another process finished it in the meantime.

        Raises
        ------
        BusyError
            When a live process holds the unit.
        """
        with claims.Claim.take(self.path / CLAIMS, unit, say) as claim:
            # In this order: sealing writes the manifest before it takes the records away.
            finished = self.record(unit) is not None or self.complete
            yield None if finished else Unit(self, unit, claim)

    def refuse_if_busy(self, chosen: Iterable[int] | None = None) -> None:
        """Raise when a live process of this host holds one of some units.

        Parameters
        ----------
        chosen : iterable of int, optional
            Numbers of units; by default any.

        Raises
        ------
        BusyError
            Naming the process.
        """
        claims.refuse_if_held(self.path / CLAIMS, chosen)

    # Sealing

    def unrecorded(self) -> list[int]:
        """Return the units that have no sound record, for who seals. A damaged one is removed, so that all see it."""
        left = sorted(set(range(self.n_units)) - self.done())
        if not self.complete:
            for unit in left:
                units.record_path(self.path, unit).unlink(missing_ok=True)
        return left

    @contextmanager
    def sealing(self, say: Callable[[str], None]) -> Iterator[bool]:
        """Claim the sealing, so that one process does it.

        Parameters
        ----------
        say : callable
            Is told why this waits.

        Yields
        ------
        bool
            False when it was done in the meantime.

        Raises
        ------
        BusyError
            When a live process holds it.
        """
        # The number after the last unit's stands for the sealing.
        with claims.Claim.take(self.path / CLAIMS, self.n_units, say):
            # Read anew, whatever this process has found sound before: who seals answers for every record.
            self._sound, self._gathered = set(), {}
            try:
                yield not self.complete
            finally:
                self._gathered = None

    def seal(self, facts: Mapping[str, Any], made_files: Iterable[str] = ()) -> None:
        """Gather the records into the manifest, write it last, and drop what only unfinished work needs.

        Parameters
        ----------
        facts : mapping
            What the stage notes at the end.
        made_files : iterable of str
            Names of files that belong to no unit.

        Raises
        ------
        IncompleteError
            When a unit is pending.
        """
        records = self._records()
        # This is asked after the records are read: a process that seals meanwhile takes them away.
        if self.complete:
            return
        if len(records) != self.n_units:
            raise IncompleteError(f"{self.reference} is not complete ({self._how_far(len(records))}).")
        manifests.write_manifest(self.path, self.layout, records, facts, made_files)
        for folder in (units.BEGUN, units.RECORDS):
            shutil.rmtree(self.path / folder, ignore_errors=True)

    def unseal(self) -> None:
        """Take the manifest away; what is finished then is what has a record."""
        (self.path / manifests.MANIFEST).unlink(missing_ok=True)
        self._manifest = None


def _make_whole(folder: Path, make: Callable[[Path], None]) -> None:
    """Make a folder whole or not at all."""
    temporary.sweep([folder.parent])
    beside = temporary.beside(folder)
    beside.mkdir(mode=0o700)
    try:
        make(beside)
        digests.seal(beside)
        temporary.rename_or_lose(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def standing(artifact: Artifact) -> dict[str, Any]:
    """Return how an artifact stands; a broken one says so instead of hiding the others.

    Parameters
    ----------
    artifact : Artifact
        Complete, unfinished or broken.

    Returns
    -------
    dict
        `kind`, `artifact`, `names`, `bytes`, `complete`, `state` in words, `stage`, `pictures`, `units`, `units_done`,
        `begun`, and `finished`, which is empty while it is unfinished.
    """
    known = {"kind": artifact.kind, "artifact": artifact.id, "names": artifact.names, "bytes": artifact.n_bytes}
    try:
        complete = artifact.complete and bool(artifact.require_complete())
        return known | {
            "complete": complete,
            "state": "complete" if complete else artifact.progress,
            "stage": artifact.stage,
            "pictures": artifact.n,
            "units": artifact.n_units,
            "units_done": artifact.n_done,
            "begun": artifact.begun,
            "finished": artifact.finished,
        }
    except BrokenError as why:
        nothing = {"stage": "", "pictures": 0, "units": 0, "units_done": 0, "begun": "", "finished": ""}
        return known | {"complete": False, "state": f"{DAMAGED}: {why}", **nothing}


def lineage(artifact: Artifact) -> list[Artifact]:
    """Return every artifact that one was made from.

    Parameters
    ----------
    artifact : Artifact
        Where to begin; it is none of them itself.

    Returns
    -------
    list of Artifact
        The nearest first, each once.

    Raises
    ------
    NotFoundError
        When one is gone from the store.
    """
    found: dict[str, Artifact] = {}
    waiting = [artifact]
    while waiting:
        for parent in waiting.pop(0).parents():
            if parent.id not in found:
                found[parent.id] = parent
                waiting.append(parent)
    return list(found.values())
