"""Pictures in parallel processes: segmentation and decoding hold Python's lock, so threads do not help."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Self, TypeVar

from facelime_cli.machine import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

T = TypeVar("T")
R = TypeVar("R")
FEWEST_ITEMS = 4
"""Starting a process costs about as much as this many pictures."""


class Workers:
    """Worker processes that start when there is enough to do, and end with the `with` block whatever happens."""

    def __init__(self, processes: int | None) -> None:
        self._processes = processes or cores()
        self._pool: Any = None

    def __enter__(self) -> Self:
        """Nothing is started yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """End the processes at once: every result that counts has been received."""
        if self._pool is not None:
            self._pool.terminate()

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Yield the results in the order of the items."""
        if self._pool is None and (self._processes == 1 or len(items) < FEWEST_ITEMS):
            return map(function, items)
        if self._pool is None:
            import multiprocessing

            self._pool = multiprocessing.get_context("spawn").Pool(self._processes, initializer=_leave_signals_to_parent)
        results: Iterator[R] = self._pool.imap(function, items)
        return results


def _leave_signals_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
