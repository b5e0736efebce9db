"""Arrays of an artifact: layout, how they are made, written and read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from facelime_cli.store import digests, files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import zarr
    from numpy.typing import NDArray


UNIT_PICTURES = 32
PART_BYTES = 64 << 20
PICTURE_SHARD_BYTES = 16 << 10
"""From this size on, a picture is a chunk of its own inside the unit's file, so that one can be read alone."""
TEXT_BYTES = 64


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


def _itemsize(dtype: str) -> int:
    import numpy as np

    return int(np.dtype(dtype).itemsize)


def as_numpy(values: Any) -> NDArray[Any]:
    """Return what zarr read as a NumPy array."""
    import numpy as np

    return np.asarray(values)


def scattered(array: Any, rows: Sequence[int]) -> NDArray[Any]:
    """Return chosen pictures, read by runs of neighbours: zarr's own selection of them takes 20 to 150 times as long where a picture is large."""
    import numpy as np

    chosen = np.asarray(rows, dtype=np.int64)
    runs = [run for run in np.split(chosen, np.flatnonzero(np.diff(chosen) != 1) + 1) if run.size]
    return np.concatenate([as_numpy(array[0:0]), *(as_numpy(array[int(run[0]) : int(run[-1]) + 1]) for run in runs)])


def unit_pictures(layout: Layout) -> int:
    """Return how many pictures a unit has."""
    largest = max((spec.picture_bytes for spec in layout.arrays.values()), default=1)
    return max(1, min(layout.unit_pictures, PART_BYTES // largest))


def make_arrays(path: Path, layout: Layout, unit_pictures: int) -> dict[str, Any]:
    """Make every array of a layout, write those that are known, and return their descriptions for `layout.json`."""
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
