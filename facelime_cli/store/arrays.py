"""Arrays of an artifact: how they are laid out, written and read. Only this module imports zarr."""

from __future__ import annotations

import itertools
import math
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facelime_cli.store import digests, files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import zarr
    from numpy.typing import NDArray


FOLDER = "arrays.zarr"
"""Folder of an artifact that holds its arrays."""
METADATA = "zarr.json"
"""zarr's own file about an array or a group."""
UNIT_PICTURES = 32
PART_BYTES = 64 << 20
"""The largest part of an array that a unit may have."""
PICTURE_SHARD_BYTES = 16 << 10
"""From this size on, a picture is a chunk of its own inside the unit's file, so that one can be read alone."""
DENSE = 4
"""A file is read whole from a quarter of its pictures on."""
TEXT_BYTES = 64
"""How long a text is taken to be where the size of a picture is estimated."""
LEAST_SHARES = {"images": 0.2, "masks": 0.05, "probabilities": 0.1}
"""The least that compression leaves of an array. All others are small, or may become almost nothing.

Measured on chest X-rays, dermoscopy and faces: images 0.37 to 0.70, masks 0.61 to 0.95, probabilities 0.84. The shares
are well below that: who is refused a disk that would have done loses more than who runs into its end.
"""
FRAME_BYTES = 1024
"""More than compression, checksum and index add to a chunk."""
TEXT = "string"
"""The dtype of texts; numbers have NumPy's name of theirs."""


ZARR_ERRORS = (ValueError, TypeError, KeyError, RuntimeError, OSError)
"""What zarr and its codecs raise for bytes that they cannot read."""


@dataclass(frozen=True)
class ArraySpec:
    """How one array of an artifact is laid out.

    Attributes
    ----------
    dtype : str
        NumPy's name of a dtype, or `string`.
    shape : tuple of int
        The first axis is the picture.
    dimensions : tuple of str
        A name for each axis.
    fill : float, int or str
        What stands where nothing was written.
    measure : str
        The physical unit of the values, such as `probability` or `pixels`; empty for a plain number.
    """

    dtype: str
    shape: tuple[int, ...]
    dimensions: tuple[str, ...]
    fill: float | int | str = 0
    measure: str = ""

    @property
    def picture_bytes(self) -> int:
        """Bytes of one entry along the first axis."""
        size = TEXT_BYTES if self.dtype == TEXT else _itemsize(self.dtype)
        for length in self.shape[1:]:
            size *= length
        return max(size, 1)

    @property
    def described(self) -> dict[str, Any]:
        """The entry of `layout.json`; `fill` is left out, since JSON has no NaN."""
        return {"dtype": self.dtype, "shape": self.shape, "dimensions": self.dimensions, "unit": self.measure}


@dataclass(frozen=True)
class Layout:
    """What an artifact holds before any work is done.

    Attributes
    ----------
    n : int
        Number of pictures; an artifact of files alone has one.
    arrays : mapping of str to ArraySpec
        Arrays that units fill.
    constants : mapping of str to (array, dimensions)
        Arrays that are known already, with the names of their axes.
    facts : mapping
        What goes into the manifest as it is.
    unit_pictures : int
        The most pictures that a unit may have.
    execution : mapping
        How the work is begun, such as a batch size; later processes keep to it.
    """

    n: int
    arrays: Mapping[str, ArraySpec] = field(default_factory=dict)
    constants: Mapping[str, tuple[NDArray[Any], tuple[str, ...]]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    unit_pictures: int = UNIT_PICTURES
    execution: Mapping[str, Any] = field(default_factory=dict)

    @property
    def room(self) -> tuple[int, int]:
        """Bytes of its large arrays: after compression at its best, see `LEAST_SHARES`, and before."""
        whole = {name: spec.picture_bytes * spec.shape[0] for name, spec in self.arrays.items() if name in LEAST_SHARES}
        return int(sum(size * LEAST_SHARES[name] for name, size in whole.items())), sum(whole.values())


# Laying out


def unit_pictures(layout: Layout) -> int:
    """Return how many pictures a unit has.

    Parameters
    ----------
    layout : Layout
        Its arrays limit the number, so that no part is larger than `PART_BYTES`.

    Returns
    -------
    int
        At least 1.
    """
    largest = max((spec.picture_bytes for spec in layout.arrays.values()), default=1)
    return max(1, min(layout.unit_pictures, PART_BYTES // largest))


def make_arrays(folder: Path, layout: Layout, unit_pictures: int) -> dict[str, Any]:
    """Make every array of a layout, and write those that are known.

    Parameters
    ----------
    folder : Path
        Where the arrays go; it must not exist yet.
    layout : Layout
        The arrays.
    unit_pictures : int
        How many pictures a unit has: a file holds the part of one unit.

    Returns
    -------
    dict
        The entry of `layout.json` for each array; a known array has its digest there.
    """
    group = open_group(folder, "w")
    described: dict[str, Any] = {}
    # A known array is one file; one that units fill has a file for each of them.
    for name, (values, dimensions) in layout.constants.items():
        text = values.dtype.kind in digests.TEXT_KINDS
        spec = ArraySpec(TEXT if text else values.dtype.name, values.shape, dimensions, "" if text else 0)
        _make_array(group, name, spec, len(values))[:] = values
        described[name] = {**spec.described, "digest": digests.of_array(values)}
    for name, spec in layout.arrays.items():
        _make_array(group, name, spec, unit_pictures)
        described[name] = spec.described
    for written in sorted(folder.rglob("*")):
        files.sync(written)
    return described


def open_group(folder: Path, mode: str) -> Any:
    """Open the group of an artifact's arrays.

    Parameters
    ----------
    folder : Path
        The folder `arrays.zarr` of an artifact.
    mode : str
        `r` to read, `r+` to write, `w` to make the group.

    Returns
    -------
    zarr.Group
        The group; `group[name]` is an array.
    """
    import zarr

    # By default zarr writes no chunk that equals the fill value. Then a missing file could not be told from a lost one.
    zarr.config.set({"array.write_empty_chunks": True})
    # Never an older format, which zarr would look for too: its codecs can unpickle, and a pickle runs code.
    return zarr.open_group(str(folder), mode=mode, zarr_format=3)  # type: ignore[arg-type]


def _make_array(group: zarr.Group, name: str, spec: ArraySpec, pictures: int) -> zarr.Array[Any]:
    from zarr.codecs import Crc32cCodec, ZstdCodec

    chunks, shards = _grid(spec, pictures)
    return group.create_array(
        name,
        shape=spec.shape,
        dtype=str if spec.dtype == TEXT else spec.dtype,
        chunks=chunks,
        shards=shards,
        fill_value=spec.fill,
        # The checksum comes after compression: that of a zarr shard covers its index alone.
        compressors=[ZstdCodec(level=3), Crc32cCodec()],
        dimension_names=spec.dimensions,
        chunk_key_encoding={"name": "default", "separator": "."},
        attributes={"unit": spec.measure} if spec.measure else {},
    )


def _grid(spec: ArraySpec, pictures: int) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Return the shape of a chunk, and that of a file where one holds several chunks."""
    part = (max(1, min(pictures, spec.shape[0])), *spec.shape[1:])
    if pictures == 1 and spec.picture_bytes > PART_BYTES:
        # One picture alone is too large: its samples, the second axis, are divided.
        samples = PART_BYTES * spec.shape[1] // spec.picture_bytes
        part = (1, max(1, samples), *spec.shape[2:])
    large = spec.dtype != TEXT and len(part) > 1 and spec.picture_bytes >= PICTURE_SHARD_BYTES
    return ((1, *part[1:]), part) if large else (part, None)


# Metadata: zarr's own files, which decide where it looks for a chunk and what stands in for one that it does not find


def metadata_files(folder: Path) -> dict[str, str]:
    """Return what zarr has written about the arrays, to compare it whenever one is opened.

    Parameters
    ----------
    folder : Path
        The folder `arrays.zarr` of an artifact.

    Returns
    -------
    dict of str to str
        The text of every `zarr.json`, by its path below the folder.
    """
    found = sorted(folder.rglob(METADATA))
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in found}


def metadata_of(name: str) -> list[str]:
    """Return the names of the metadata files that zarr reads for an array.

    Parameters
    ----------
    name : str
        Name of the array; a `/` stands behind each group that it is in.

    Returns
    -------
    list of str
        Paths below `arrays.zarr`, that of the root first.
    """
    parts = name.split("/")
    return [METADATA, *("/".join([*parts[: i + 1], METADATA]) for i in range(len(parts)))]


def check_metadata(folder: Path, name: str, kept: Mapping[str, str]) -> None:
    """Raise where the metadata files of an array are not those that were written.

    Parameters
    ----------
    folder : Path
        The folder `arrays.zarr` of an artifact.
    name : str
        Name of the array.
    kept : mapping of str to str
        From `metadata_files`, when the arrays were laid out.

    Raises
    ------
    ValueError
        Naming the file.
    """
    for file in metadata_of(name):
        path = folder / file
        if not path.is_file():
            raise ValueError(f"{file} is missing")
        if path.read_bytes() != kept.get(file, "").encode():
            raise ValueError(f"{file} is not what was written")


def check_form(folder: Path, name: str, spec: ArraySpec, pictures: int) -> None:
    """Raise where an array has another form than one that is laid out anew.

    Parameters
    ----------
    folder : Path
        The folder `arrays.zarr` of an artifact.
    name : str
        Name of the array.
    spec : ArraySpec
        How it was laid out; the fill value does not count.
    pictures : int
        How many of them lie in one file.

    Raises
    ------
    ValueError
        When they differ.
    """
    array = open_group(folder, "r")[name]
    metadata = array.metadata.to_dict()
    chunks, shards = _grid(spec, pictures)
    wanted = {
        "shape": spec.shape,
        "dimension_names": spec.dimensions,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shards or chunks}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "data_type": spec.dtype,
    }
    for key, value in wanted.items():
        if _plain(metadata.get(key)) != _plain(value):
            raise ValueError(f"{name}/{METADATA} has {metadata.get(key)} as {key}, not {value}")
    if array.chunks != chunks:
        raise ValueError(f"{name}/{METADATA} has chunks of {array.chunks}, not of {chunks}")


def _plain(value: Any) -> Any:
    """Return a value as JSON would give it back: tuples as lists."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _itemsize(dtype: str) -> int:
    import numpy as np

    return int(np.dtype(dtype).itemsize)


# Writing


def write_parts(folder: Path, unit: int, rows: slice, parts: Mapping[str, NDArray[Any]]) -> dict[str, list[str]]:
    """Write a unit's part of some arrays, and wait for the disk.

    Parameters
    ----------
    folder : Path
        The folder `arrays.zarr` of an artifact.
    unit : int
        Number of the unit, from 0.
    rows : slice
        The unit's pictures.
    parts : mapping of str to (n, ...) array
        One part for each array.

    Returns
    -------
    dict of str to list of str
        The digest of each picture, by array.
    """
    if not parts:
        return {}
    group = open_group(folder, "r+")
    pictures = {}
    for name, part in parts.items():
        array = group[name]
        _remove_links(folder / name, array, unit)
        array[rows] = part
        _sync_unit(folder / name, array, unit)
        pictures[name] = digests.of_pictures(part)
    return pictures


def _sync_unit(folder: Path, array: Any, unit: int) -> None:
    """Flush a unit's files of one array."""
    for name in _file_names(array, unit):
        files.sync(folder / name)
    files.sync(folder)


def _remove_links(folder: Path, array: Any, unit: int) -> None:
    """Remove links among a unit's files of one array: zarr would write to where they point."""
    for name in _file_names(array, unit):
        if (folder / name).is_symlink():
            (folder / name).unlink()


def _file_names(array: Any, unit: int) -> Iterator[str]:
    """Yield the names of a unit's files of one array, such as `c.3.0.0` of unit 3."""
    # A zarr shard is a file that holds several chunks.
    part = array.shards or array.chunks
    # Along every axis but the first, a unit has all files.
    counts = [-(-length // step) for length, step in zip(array.shape[1:], part[1:], strict=True)]
    for rest in itertools.product(*map(range, counts)):
        yield "c." + ".".join(map(str, (unit, *rest)))


# Reading


def read_array(
    folder: Path, array: Any, rows: slice | Sequence[int] | None, written: Sequence[slice] | None
) -> NDArray[Any]:
    """Return an array, or some of its pictures.

    Parameters
    ----------
    folder : Path
        The folder of the array.
    array : zarr.Array
        From `open_group`; it may have been opened for an earlier read.
    rows : slice, sequence of int, or None
        The pictures to read, in this order; None reads all.
    written : sequence of slice, or None
        The pictures that units have written already; None when all must be there.

    Returns
    -------
    (n, ...) array
        Pictures that are not written yet have the fill value.

    Raises
    ------
    ValueError, TypeError, KeyError, RuntimeError, OSError
        See `ZARR_ERRORS`: when a file is missing, or its bytes cannot be read.
    """
    _check_files(folder, array, rows, written)
    if rows is None:
        return _as_numpy(array[:])
    return _as_numpy(array[rows]) if isinstance(rows, slice) else _scattered(array, rows)


def _check_files(folder: Path, array: Any, rows: slice | Sequence[int] | None, written: Sequence[slice] | None) -> None:
    """Raise when a file that must be there is not: zarr would silently give the fill value."""
    everything = range(array.shape[0])
    wanted: Sequence[int] = everything
    if rows is not None:
        wanted = everything[rows] if isinstance(rows, slice) else rows
    needed = set(wanted)
    # Nothing is looked up where all is written: a unit of a large array is read as fast as one of a small array.
    if written is not None:
        needed.intersection_update(itertools.chain.from_iterable(everything[part] for part in written))
    pictures = (array.shards or array.chunks)[0]
    most = _most_bytes(array)
    for unit in {row // pictures for row in needed}:
        for name in _file_names(array, unit):
            size = _size_of(folder / name)
            if size is None:
                raise ValueError(f"{name} is missing")
            if most is not None and size > most:
                raise ValueError(f"{name} has {size} bytes, more than the {most} that its part can take")


def _size_of(path: Path) -> int | None:
    """Return the size of a file, asked for once; None where there is none.

    A link is no part of a store: what it points to may be anybody's.
    """
    try:
        known = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return known.st_size if stat.S_ISREG(known.st_mode) else None


def _most_bytes(array: Any) -> int | None:
    """Return how large a file of an array can be: what is much larger unpacks to more than belongs there."""
    if array.dtype.kind in digests.TEXT_KINDS:
        return None
    part = array.shards or array.chunks
    raw = int(math.prod(part) * array.dtype.itemsize)
    chunks = int(math.prod(part) // math.prod(array.chunks))
    return raw + raw // 64 + FRAME_BYTES * (chunks + 1)


def _scattered(array: Any, rows: Sequence[int]) -> NDArray[Any]:
    """Return chosen pictures, file by file.

    zarr's own selection takes 20 to 150 times as long where a picture is large.
    """
    import numpy as np

    chosen = np.asarray(rows, dtype=np.int64)
    pictures = (array.shards or array.chunks)[0]
    borders = np.flatnonzero(np.diff(chosen // pictures)) + 1
    # The empty part keeps dtype and shape when no picture is chosen.
    parts = [array[0:0]]
    for part in np.split(chosen, borders) if chosen.size else []:
        if array.shards is None or len(part) * DENSE >= pictures:
            # One opening for the whole file, where each picture would be one of its own.
            start = int(part[0]) // pictures * pictures
            parts.append(_as_numpy(array[start : start + pictures])[part - start])
        else:
            runs = np.split(part, np.flatnonzero(np.diff(part) != 1) + 1)
            parts += [array[int(run[0]) : int(run[-1]) + 1] for run in runs]
    return np.concatenate([_as_numpy(part) for part in parts])


def _as_numpy(values: Any) -> NDArray[Any]:
    import numpy as np

    return np.asarray(values)
