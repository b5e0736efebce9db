"""How often the store is asked: linear in the units, and what one shard asks does not grow with what others did."""

import numpy as np
import pytest

from facelime_cli.store.arrays import ArraySpec
from facelime_cli.store.artifacts import Artifact
from tests.opening import counted
from tests.store.making import N, create, fill, finish

PICTURES = 64


def made(store, n_units, monkeypatch):
    """Return what is asked of the store while an artifact of so many units is made by one process."""
    with counted(store.root, monkeypatch) as found:
        artifact = create(store, f"units-{n_units}", seed=n_units, n=PICTURES, unit_pictures=PICTURES // n_units)
        fill(artifact)
        with artifact.sealing(print):
            assert len(artifact.done()) == n_units
            artifact.facts_of_units()
            artifact.seal({})
    return found


def test_what_is_asked_grows_with_the_units_and_not_faster(store, monkeypatch):
    four, eight, sixteen = (made(store, n, monkeypatch) for n in (4, 8, 16))
    for name in ("opens", "stat", "fsync", "listings"):
        assert sixteen[name] - eight[name] <= 2.1 * (eight[name] - four[name]), name
    # Who seals reads each record once, although it counts them, gathers their facts and writes them down.
    assert (sixteen["opens"] - eight["opens"]) / 8 <= 14
    # Each unit looks once whether another process has finished it, which opens no record that is not there.
    assert [each["records"] for each in (four, eight, sixteen)] == [4, 8, 16]


@pytest.mark.parametrize("n_units", [4, 16])
def test_what_a_shard_with_nothing_left_asks(store, monkeypatch, n_units):
    artifact = create(store, f"shards-{n_units}", seed=n_units, n=PICTURES, unit_pictures=PICTURES // n_units)
    fill(artifact)
    fresh = Artifact(store, artifact.path)
    with counted(store.root, monkeypatch) as found:
        assert fresh.done_among(fresh.shard(1, 4)) == set(range(n_units // 4))
        fresh.refuse_if_busy([])
        assert fresh.n_done == n_units
    assert found["records"] == n_units // 4
    assert found["opens"] <= n_units // 4 + 2
    assert found["listings"] <= 2


@pytest.mark.parametrize("large", [False, True], ids=["small pictures", "large pictures"])
def test_scattered_pictures_are_read_file_by_file(store, monkeypatch, large):
    """Of large pictures each is a chunk of its own, which zarr opens the file for once more."""
    side = 80 if large else 8
    rng = np.random.default_rng(5)
    values = rng.integers(0, 255, (N, side, side, 3), np.uint8)
    spec = ArraySpec("uint8", values.shape, ("picture", "y", "x", "channel"))
    artifact = create(store, "pictures", images=spec)
    finish(artifact, {"images": values, "values": np.zeros((N, 5, 2), np.float32)})
    for rows, most in ((list(range(0, N, 2)), 9), ([69, 3, 3, 1, 40], 10), ([5], 2), ([], 0)):
        reader = Artifact(store, artifact.path)
        reader.read("images", slice(0, 1))
        with counted(store.root, monkeypatch) as found:
            assert np.array_equal(reader.read("images", rows), values[rows])
        assert found["opens"] <= most, rows


def test_the_counting_can_fail(store, monkeypatch):
    artifact = create(store)
    fill(artifact)
    with counted(store.root, monkeypatch) as found:
        Artifact(store, artifact.path).done()
        (artifact.path / "units").stat()
    assert found["records"] == artifact.n_units
    assert found["stat"] >= 1
