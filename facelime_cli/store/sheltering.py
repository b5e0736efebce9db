"""A file for a library that cannot bear errors: it never sees one, and the first is raised when the library is done.

HDF5 ends the process (segmentation fault) when it is closed after a write has failed. Here what cannot be written any
more stays in memory, so that HDF5 closes in good order.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Sheltered:
    """A file to write and read, as h5py's `fileobj` driver wants it.

    Parameters
    ----------
    path : Path
        An existing file, which is emptied.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_TRUNC)
        self._at = self._size = 0
        self._failure: BaseException | None = None
        # What came after the failure: little, since the writer looks at `check` between two pictures or arrays.
        self._unwritten: list[tuple[int, bytes]] = []
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise what `fail` was given, or why a write has failed."""
        if self._failure is not None:
            raise self._failure

    def fail(self, why: BaseException) -> None:
        """Let the writer stop at its next `check`.

        Parameters
        ----------
        why : BaseException
            What is raised there; the first counts.
        """
        with self._lock:
            self._failure = self._failure or why

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    # What h5py calls. None of these raises.

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, from the beginning or from the end."""
        self._at = offset + (self._size if whence == os.SEEK_END else 0)
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def write(self, data: bytes) -> int:
        """Write at the place; after a failure, in memory."""
        kept, at = memoryview(data), self._at
        self._at += len(kept)
        self._size = max(self._size, self._at)
        try:
            left = kept if self._failure is None else kept[:0]
            while left:
                n_written = os.pwrite(self._descriptor, left, at + len(kept) - len(left))
                left = left[n_written:]
        except OSError as why:
            self.fail(why)
        if self._failure is not None:
            self._unwritten.append((at, bytes(kept)))
        return len(kept)

    def readinto(self, target: memoryview) -> int:
        """Read from the place; beyond what was written there are zeros."""
        wanted = memoryview(target).cast("B")
        begin, end = self._at, self._at + len(wanted)
        try:
            found = os.pread(self._descriptor, len(wanted), begin)
        except OSError as why:
            self.fail(why)
            found = b""
        wanted[:] = found.ljust(len(wanted), b"\0")
        for at, data in self._unwritten:
            low, high = max(at, begin), min(at + len(data), end)
            if low < high:
                wanted[low - begin : high - begin] = data[low - at : high - at]
        self._at = end
        return len(wanted)

    def read(self, size: int) -> bytes:
        """Read from the place."""
        target = bytearray(size)
        self.readinto(memoryview(target))
        return bytes(target)

    def truncate(self, size: int) -> int:
        """Cut the file off, or let it grow by zeros."""
        self._size = size
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as why:
            self.fail(why)
        return size

    def flush(self) -> None:
        """Do nothing: there is no buffer."""
