"""Arrays: parts under the limit, one file for each unit, and reading that never takes a lost file for a pending one."""

import json
import pickle
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import zarr

from facelime_cli.errors import BrokenError
from facelime_cli.store import arrays
from facelime_cli.store.arrays import PART_BYTES, ArraySpec
from tests.store.making import N, chunk, create, fill, finish, flip_a_bit


def test_pending_is_nan_until_written(store):
    artifact = create(store)
    assert np.isnan(artifact.read("values")).all()
    fill(artifact, [1])
    values = artifact.read("values")
    assert np.isnan(values[:32]).all()
    assert (values[32:64] == 0.5).all()
    assert artifact.done() == {1}
    assert artifact.progress == "1 of 3 units done"


def test_a_unit_is_one_file_per_array_and_few_inodes(store):
    artifact = create(store, images=ArraySpec("uint8", (N, 80, 80, 3), ("picture", "y", "x", "channel")))
    finish(artifact, {"values": np.zeros((N, 5, 2), np.float32), "images": np.zeros((N, 80, 80, 3), np.uint8)})
    names = sorted(path.name for path in (artifact.path / "arrays.zarr" / "images").iterdir())
    assert names == ["c.0.0.0.0", "c.1.0.0.0", "c.2.0.0.0", "zarr.json"]
    assert not (artifact.path / "units").exists()


def test_units_keep_every_part_under_the_limit(store):
    wide = create(store, n=40, wide=ArraySpec("float32", (40, 1000, 1000), ("picture", "sample", "class")))
    assert wide.rows(0) == slice(0, PART_BYTES // 4_000_000)
    huge = create(store, seed=1, n=2, huge=ArraySpec("float32", (2, 40000, 1000), ("picture", "sample", "class")))
    chunks = arrays.open_group(huge.path / arrays.FOLDER, "r")["huge"].shards
    assert huge.rows(1) == slice(1, 2)
    assert chunks[0] == 1
    assert chunks[1] * 4000 <= PART_BYTES


def test_reading_a_flipped_bit_is_a_sentence(artifact):
    flip_a_bit(chunk(artifact))
    with pytest.raises(BrokenError, match=r"`values` of predictions/.*facelime verify"):
        artifact.read("values")


def test_a_missing_file_is_never_read_as_the_fill_value(artifact):
    chunk(artifact).unlink()
    assert artifact.read("values", slice(0, 32)).shape == (32, 5, 2)
    for rows in (None, slice(30, 40), [0, 63]):
        with pytest.raises(BrokenError, match=r"c\.1\.0\.0 is missing"):
            artifact.read("values", rows)


@pytest.mark.parametrize("rows", [[], [5], [0, 1, 2], [31, 32], [69, 3, 4, 4, 40], list(range(N))])
def test_chosen_pictures_are_read_in_their_order(store, rows):
    artifact = create(store, "chosen", large=ArraySpec("uint8", (N, 150, 150), ("picture", "y", "x")))
    values = {
        "values": np.arange(N * 10, dtype=np.float32).reshape(N, 5, 2),
        "large": np.arange(N * 150 * 150, dtype=np.uint32).astype(np.uint8).reshape(N, 150, 150),
    }
    finish(artifact, values)
    for name, each in values.items():
        found = artifact.read(name, rows)
        assert found.dtype == each.dtype
        assert np.array_equal(found, each[rows])
    assert artifact.read("id", rows).tolist() == [f"picture {row}" for row in rows]


def test_broken_array_metadata_is_a_sentence(artifact):
    (artifact.path / "arrays.zarr" / "values" / "zarr.json").write_text("{")
    with pytest.raises(BrokenError):
        artifact.read("values")


def test_a_file_of_a_pending_unit_need_not_be_there(store):
    artifact = create(store)
    fill(artifact, [0])
    chunk(artifact, 2).unlink(missing_ok=True)
    assert np.isnan(artifact.read("values", slice(64, N))).all()
    chunk(artifact, 0).unlink()
    with pytest.raises(BrokenError, match=r"c\.0\.0\.0 is missing"):
        artifact.read("values")


def test_an_array_that_is_not_there_is_a_sentence(artifact):
    with pytest.raises(BrokenError, match="`nothing` of predictions/"):
        artifact.read("nothing")


def test_the_measure_is_stored_as_the_unit(artifact):
    assert artifact.spec("values").measure == "probability"
    assert artifact.layout["arrays"]["values"]["unit"] == "probability"
    assert arrays.open_group(artifact.path / arrays.FOLDER, "r")["values"].attrs["unit"] == "probability"


@pytest.mark.parametrize(("dtype", "picture_bytes"), [("float32", 40), ("uint8", 10), ("string", 640)])
def test_bytes_of_a_picture(dtype, picture_bytes):
    assert ArraySpec(dtype, (7, 5, 2), ("picture", "y", "x")).picture_bytes == picture_bytes
    assert ArraySpec(dtype, (7, 0), ("picture", "x")).picture_bytes == 1


class Touching:
    """Runs code when it is unpickled: it makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_arrays_of_an_older_format_are_never_unpickled(tmp_path, monkeypatch):
    from numcodecs import pickles

    # Recent versions of numcodecs refuse this by themselves; older ones do not.
    monkeypatch.setattr(pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    marker, folder = tmp_path / "ran", tmp_path / "arrays.zarr"
    (folder / "ids").mkdir(parents=True)
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    described = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "fill_value": None, "order": "C"}
    codecs = {"compressor": {"id": "pickle", "protocol": 4}, "filters": [{"id": "vlen-utf8"}]}
    (folder / "ids" / ".zarray").write_text(json.dumps(described | codecs))
    (folder / "ids" / "0").write_bytes(pickle.dumps(Touching(marker)))
    with pytest.raises(FileNotFoundError):
        arrays.open_group(folder, "r")
    assert not marker.exists()
    # zarr by itself runs it.
    with suppress(TypeError, ValueError):
        zarr.open_group(str(folder), mode="r")["ids"][:]
    assert marker.exists()
