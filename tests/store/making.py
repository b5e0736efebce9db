"""Small artifacts for the tests of the store: 70 pictures in three units, five samples, two classes."""

import numpy as np

from facelime_cli.store.arrays import ArraySpec, Layout
from facelime_cli.store.manifests import Identity

N = 70
UNITS = 3


def layout(n=N, unit_pictures=32, **more):
    constants = {"id": (np.array([f"picture {i}" for i in range(n)], dtype=object), ("picture",))}
    values = ArraySpec("float32", (n, 5, 2), ("picture", "sample", "class"), float("nan"), "probability")
    return Layout(n, {"values": values, **more}, constants, {"classes": ["a", "b"]}, unit_pictures)


def create(store, name="thing", seed=0, kind="predictions", inputs=None, **more):
    inputs = inputs or {}
    identity = Identity("predict", 1, {"seed": seed}, {key: each["digest"] for key, each in inputs.items()})
    return store.create(kind, name, identity, inputs, layout(**more))


def made_from(*artifacts):
    """Return complete artifacts as the inputs of another, by their kinds."""
    return {each.kind: {"kind": each.kind, "id": each.id, "digest": each.content} for each in artifacts}


def finish(artifact, parts):
    """Do every unit of an artifact, and seal it."""
    for unit in range(artifact.n_units):
        with artifact.work_on(unit, print) as work:
            work.finish({name: each[work.rows] for name, each in parts.items()})
    artifact.seal({})
    return artifact


def fill(artifact, units=None, value=0.5):
    """Do some units of an artifact, by default all."""
    for unit in range(artifact.n_units) if units is None else units:
        with artifact.work_on(unit, print) as work:
            work.finish({"values": np.full((work.n, 5, 2), value, np.float32)})


def complete(store, *args, **kwargs):
    artifact = create(store, *args, **kwargs)
    fill(artifact)
    artifact.seal({})
    return artifact


def chunk(artifact, unit=1):
    """Return the file of a unit's part of `values`."""
    return artifact.path / "arrays.zarr" / "values" / f"c.{unit}.0.0"


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
