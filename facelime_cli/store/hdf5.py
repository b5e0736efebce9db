"""Handing an artifact over as one self-describing HDF5 file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelime_cli.store import digests
from facelime_cli.store.artifacts import lineage

if TYPE_CHECKING:
    from pathlib import Path

    from facelime_cli.store.artifacts import Artifact


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
            filters = (
                {"compression": "gzip", "fletcher32": True}
                if len(spec["shape"]) > 1 and spec["dtype"] != "string"
                else {}
            )
            whole = out.create_dataset(
                name,
                shape=tuple(spec["shape"]),
                dtype=dtype,
                chunks=(1, *spec["shape"][1:]) if filters else None,
                **filters,
            )
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
