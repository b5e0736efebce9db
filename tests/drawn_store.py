"""Artifacts of a hundred thousand pictures whose records are drawn: no model, no pixels, nothing waits for the disk."""

import hashlib
from contextlib import contextmanager

import numpy as np

from facelime_cli.store import arrays, files, units
from facelime_cli.store.arrays import ArraySpec, Layout
from facelime_cli.store.manifests import Identity

PICTURES = 100_000


@contextmanager
def without_waiting(monkeypatch):
    """Let nothing wait for the disk: thousands of flushes would take minutes, and say nothing of sizes."""
    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", lambda _: None)
        patch.setattr("os.fsync", lambda _: None)
        yield


def draw(store, names, n=PICTURES, facts=None, kind="masks"):
    """Lay out an artifact of some arrays, and write the record of each of its units."""
    specs = {name: ArraySpec("float32", (n, 4), ("picture", "value"), float("nan")) for name in names}
    ids = np.array([f"picture-{number:06d}" for number in range(n)], dtype=object)
    constants = {"id": (ids, ("picture",)), "row": (np.arange(n, dtype=np.int32), ("picture",))}
    identity = Identity("perturb", 1, {"arrays": len(names)}, {})
    artifact = store.create(kind, "drawn", identity, {}, Layout(n, specs, constants))
    for unit in range(artifact.n_units):
        rows = artifact.rows(unit)
        pictures = {
            name: [hashlib.sha256(f"{name} {row}".encode()).hexdigest() for row in range(rows.start, rows.stop)]
            for name in names
        }
        units.write_record(artifact, unit, 1.234, pictures, {}, facts or {})
    return artifact


def folder_of(artifact):
    """Return the folder of an artifact's arrays, which holds a file a unit where units were really done."""
    return artifact.path / arrays.FOLDER
