"""Handing an artifact over as one self-describing HDF5 file. Only this module imports h5py."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from facelime_cli.store import digests, files
from facelime_cli.store.arrays import TEXT, ArraySpec
from facelime_cli.store.artifacts import lineage
from facelime_cli.store.portions import told
from facelime_cli.store.sheltering import Sheltered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.portions import Portion

TOGETHER = 32
"""Chosen pictures that are read at once."""


@dataclass(frozen=True)
class Borrowed:
    """An array of another artifact that goes out too.

    Attributes
    ----------
    name : str
        What it is called in the file.
    artifact : Artifact
    array : str
        What it is called there.
    rows : sequence of int
        Its pictures, in the order of those that go out.
    """

    name: str
    artifact: Artifact
    array: str
    rows: Sequence[int]


@dataclass(frozen=True)
class Beside:
    """What a file says beside an artifact, so that its reader needs no other one.

    Attributes
    ----------
    borrowed : sequence of Borrowed
    values : mapping of str to (array, sequence of str)
        Further arrays with the names of their axes; texts as objects.
    attributes : mapping of str to str
        Of the file's root.
    """

    borrowed: Sequence[Borrowed] = ()
    values: Mapping[str, tuple[NDArray[Any], Sequence[str]]] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)


ALONE = Beside()


def write_hdf5(artifact: Artifact, path: Path, portion: Portion, beside: Beside = ALONE) -> None:
    """Write a complete artifact as one self-describing HDF5 file.

    The file holds the arrays with dimension scales and units, the manifest, and what may be told of all that the
    artifact was made from. Files of the artifact (a model, figures) are kept as bytes in the group `files`.

    Parameters
    ----------
    artifact : Artifact
        A complete one.
    path : Path
        An existing file, which is replaced.
    portion : Portion
        What of it goes out.
    beside : Beside
        What goes out with it.

    Raises
    ------
    IncompleteError
        When the artifact, or one that it was made from, is not complete.
    BrokenError
        When an array cannot be read.
    OSError
        When the file cannot be written, such as on a full disk.
    """
    out = Sheltered(path)
    try:
        # In a thread of its own, since only the main thread handles signals: an exception inside HDF5 ends the process.
        with ThreadPoolExecutor(1) as thread:
            writing = thread.submit(_write, artifact, out, portion, beside)
            try:
                writing.result()
            except BaseException as why:
                out.fail(why)
                raise
    finally:
        out.close()


def _write(artifact: Artifact, to: Sheltered, portion: Portion, beside: Beside) -> None:
    """Write everything, and look between two parts whether it can still be written."""
    import h5py
    import numpy as np

    with h5py.File(to, "w") as out:
        # Datasets, not attributes: HDF5 allows an attribute 64 KiB, and a thousand class names are more.
        out["manifest"] = digests.canonical(portion.manifest(artifact)).decode()
        origins = [told(each.manifest) for each in lineage(artifact)]
        out["lineage"] = digests.canonical(origins).decode()
        out.attrs["kind"], out.attrs["id"] = artifact.kind, artifact.id
        for name, text in beside.attributes.items():
            out.attrs[name] = text
        for name in portion.arrays:
            _write_array(Borrowed(name, artifact, name, ()), portion.rows, out, to)
        for each in beside.borrowed:
            _write_array(each, each.rows, out, to)
        for name, (values, dimensions) in beside.values.items():
            known = ArraySpec(TEXT if values.dtype == object else values.dtype.name, values.shape, tuple(dimensions))
            whole = _make_dataset(out, name, known)
            whole[:] = values
            _describe(out, whole, known)
            to.check()
        for name in portion.files:
            content = files.inside(artifact.path, name).read_bytes()
            out.create_dataset(f"files/{name}", data=np.frombuffer(content, dtype=np.uint8))
            to.check()
    # HDF5 writes the rest when it is closed.
    to.check()


def _write_array(each: Borrowed, chosen: Sequence[int] | None, out: Any, to: Sheltered) -> None:
    """Write one array part by part, so that memory does not grow with the number of pictures."""
    artifact, spec = each.artifact, each.artifact.spec(each.array)
    if chosen is not None:
        spec = replace(spec, shape=(len(chosen), *spec.shape[1:]))
    whole = _make_dataset(out, each.name, spec)
    for place, rows in _parts(artifact, chosen):
        # h5py takes texts as objects alone.
        part = artifact.read(each.array, rows)
        whole[place] = part.astype(object) if spec.dtype == TEXT else part
        to.check()
    _describe(out, whole, spec)


def _describe(out: Any, whole: Any, spec: ArraySpec) -> None:
    """Say of an array what it is measured in, and what its axes are."""
    whole.attrs["unit"] = spec.measure
    for axis, dimension in enumerate(spec.dimensions):
        _attach_scale(out, whole, axis, dimension)


def _parts(artifact: Artifact, chosen: Sequence[int] | None) -> Iterator[tuple[slice, slice | Sequence[int]]]:
    """Yield which pictures are read at once, after the place that they go to."""
    if chosen is None:
        for unit in range(artifact.n_units):
            yield artifact.rows(unit), artifact.rows(unit)
        return
    for start in range(0, len(chosen), TOGETHER):
        rows = chosen[start : start + TOGETHER]
        yield slice(start, start + len(rows)), rows


def _make_dataset(out: Any, name: str, spec: ArraySpec) -> Any:
    import h5py
    import numpy as np

    dtype = h5py.string_dtype() if spec.dtype == TEXT else np.dtype(spec.dtype)
    if spec.dtype == TEXT or len(spec.shape) == 1:
        return out.create_dataset(name, shape=spec.shape, dtype=dtype)
    # A picture is a chunk, so that a reader gets one without decompressing others.
    chunks = (1, *spec.shape[1:])
    return out.create_dataset(name, shape=spec.shape, dtype=dtype, chunks=chunks, compression="gzip", fletcher32=True)


def _attach_scale(out: Any, whole: Any, axis: int, dimension: str) -> None:
    """Label an axis with its dimension's scale: 0, 1, 2, … It is made once for each name."""
    import numpy as np

    name = f"dimensions/{dimension}"
    if name not in out:
        out[name] = np.arange(whole.shape[axis])
        out[name].make_scale(dimension)
    whole.dims[axis].label = dimension
    whole.dims[axis].attach_scale(out[name])


def root_attribute(path: Path, name: str) -> str | None:
    """Return a text among the attributes of an HDF5 file.

    Parameters
    ----------
    path : Path
        Any file.
    name : str
        Of an attribute of its root.

    Returns
    -------
    str or None
        None where there is none of this name.

    Raises
    ------
    OSError
        When it is no HDF5 file.
    """
    import h5py

    with h5py.File(path, "r") as file:
        value = file.attrs.get(name)
    return value.decode() if isinstance(value, bytes) else None if value is None else str(value)


def set_root_attribute(path: Path, name: str, text: str) -> None:
    """Put a text among the attributes of an HDF5 file, in the place of the one that is there.

    Parameters
    ----------
    path : Path
        A file that may be changed.
    name : str
        Of an attribute of its root.
    text : str
    """
    import h5py

    with h5py.File(path, "r+") as file:
        file.attrs[name] = text


def legacy_weights(path: Path) -> dict[str, Any]:
    """Return the weights in an HDF5 file of Keras by their own names, such as `conv1/kernel:0`.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict
        Arrays; empty where a name stands there twice, or the file is laid out in another way.
    """
    import h5py

    found: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        group = file.get("model_weights", {})
        for layer in group.values():
            for each in layer.attrs.get("weight_names", ()):
                name = each.decode() if isinstance(each, bytes) else str(each)
                if name in found:
                    return {}
                found[name] = layer[name][()]
    return found
