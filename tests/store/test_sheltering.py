"""HDF5 sees no error of the disk: the first is raised when it is done."""

import errno
import resource

import h5py
import numpy as np
import pytest

from facelime_cli.store.sheltering import Sheltered

ROWS = 40


@pytest.fixture
def limited():
    """Let files of this process grow to some bytes only, until the end of the test."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write(path, rng):
    path.touch()
    sheltered = Sheltered(path)
    try:
        with h5py.File(sheltered, "w") as out:
            values = out.create_dataset("values", shape=(ROWS, 500), dtype="f4", chunks=(1, 500), compression="gzip")
            for row in range(ROWS):
                values[row] = rng.random(500, dtype=np.float32)
                sheltered.check()
        sheltered.check()
    finally:
        sheltered.close()


def test_what_fits_is_a_plain_hdf5_file(tmp_path, rng):
    write(tmp_path / "out.h5", rng)
    with h5py.File(tmp_path / "out.h5") as out:
        assert np.array_equal(out["values"][:], np.random.default_rng(7).random((ROWS, 500), dtype=np.float32))


@pytest.mark.parametrize("size", [0, 1, 100, 2000, 30_000, 60_000])
def test_the_first_error_is_raised_when_hdf5_is_done(tmp_path, rng, limited, size):
    limited(size)
    with pytest.raises(OSError, match="File too large") as why:
        write(tmp_path / "out.h5", rng)
    assert why.value.errno == errno.EFBIG
    assert (tmp_path / "out.h5").stat().st_size <= size


def test_what_could_not_be_written_is_read_from_memory(tmp_path):
    path = tmp_path / "file"
    path.touch()
    sheltered = Sheltered(path)
    sheltered.write(b"abcdef")
    sheltered.fail(OSError(errno.ENOSPC, "No space left on device"))
    sheltered.seek(4)
    sheltered.write(b"EFGH")
    sheltered.seek(2)
    assert sheltered.read(8) == b"cdEFGH\0\0"
    assert path.read_bytes() == b"abcdef"
    with pytest.raises(OSError, match="No space"):
        sheltered.check()
    sheltered.close()
