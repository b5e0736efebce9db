"""Pictures in parallel processes: segmentation and decoding hold Python's lock, so threads do not help."""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from facelime_cli import stopping
from facelime_cli.errors import FacelimeError, StopRequested
from facelime_cli.machine import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future, ProcessPoolExecutor
    from types import TracebackType

T = TypeVar("T")
R = TypeVar("R")
FEWEST_ITEMS = 4
"""Starting a process costs about as much as this many pictures."""
STOP_SECONDS = 1.0
"""How long after the end of a worker process the signal may come that ended it and is meant for this process too."""
PATIENCE = 5.0
"""Seconds that a picture may still take when the command has ended otherwise."""
AHEAD_PER_PROCESS = 8
"""Pictures handed out before the first result is taken, so that memory does not grow with their number."""


class Workers:
    """Worker processes that start when there is enough to do, and end with the `with` block whatever happens.

    Parameters
    ----------
    processes : int, optional
        How many at most; by default one per core.
    """

    def __init__(self, processes: int | None) -> None:
        self._processes = processes or cores()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        """Nothing is started yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let every process end after the picture that it is at; on an error, wait no longer than `PATIENCE`."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        ended = value is None or _end(pool)
        if not ended and isinstance(value, StopRequested):
            value.device_busy = True
        pool.shutdown(wait=ended, cancel_futures=True)

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Yield the results in the order of the items.

        Parameters
        ----------
        function : callable
            One that a new process can import: of a module, not of another function.
        items : sequence

        Yields
        ------
        object

        Raises
        ------
        FacelimeError
            When a worker process was killed.
        """
        if self._pool is None and (self._processes == 1 or len(items) < FEWEST_ITEMS):
            return map(function, items)
        return self._parallel(function, items)

    def submit(self, call: Callable[[], T]) -> tuple[T, list[tuple[str, str]]]:
        """Wait for one call in another process, and return its answer and what libraries said meanwhile.

        Parameters
        ----------
        call : callable
            One that a new process can import.

        Returns
        -------
        tuple
        """
        return _handed(self._started(), _called, call).result()

    def _parallel(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        from concurrent.futures.process import BrokenProcessPool

        pool = self._started()
        waiting: list[Any] = []
        try:
            for item in items:
                waiting.append(_handed(pool, function, item))
                if len(waiting) > AHEAD_PER_PROCESS * self._processes:
                    yield _repeated(waiting.pop(0).result())
            while waiting:
                yield _repeated(waiting.pop(0).result())
        except BrokenProcessPool as why:
            _obey_what_killed()
            raise FacelimeError(
                "a worker process was killed, most likely because memory ran out; use fewer with --workers. "
                "What is done is kept, and the same command resumes."
            ) from why

    def _started(self) -> ProcessPoolExecutor:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        if self._pool is None:
            # A fork would copy the locks of Keras and of its threads in whatever state they are.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._processes, context, initializer=_follow_parent)
        return self._pool


def _handed(pool: ProcessPoolExecutor, function: Callable[[T], R], item: T) -> Future[tuple[R, list[tuple[str, str]]]]:
    """Hand a call over; a process that starts for it leaves Ctrl-C to this one from its first moment."""
    # A process inherits what is blocked: else one that is importing would end with a traceback. And one that is begun
    # and gets no further would complain too.
    with stopping.held_back():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return pool.submit(_heard, function, item)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _obey_what_killed() -> None:
    """Give a signal the time to come that ends a whole group: a scheduler asks every process of a job to stop."""
    # Its handler raises here.
    time.sleep(STOP_SECONDS)


def _heard(function: Callable[[T], R], item: T) -> tuple[R, list[tuple[str, str]]]:
    """Return what a function answers, and what libraries said meanwhile: this process has no log and no terminal."""
    from facelime_cli.hearing import heard_by

    said: list[tuple[str, str]] = []
    with heard_by(lambda library, text: said.append((library, text))):
        return function(item), said


def _called(call: Callable[[], T]) -> T:
    return call()


def _repeated(answer: tuple[R, list[tuple[str, str]]]) -> R:
    """Say in this process what was said in another, and return the result."""
    from facelime_cli.hearing import repeat

    result, said = answer
    for library, text in said:
        repeat(library, text)
    return result


def _end(pool: ProcessPoolExecutor) -> bool:
    """Let the processes of a pool end by themselves, kill those that are blocked, and return whether all have ended."""
    processes = list((pool._processes or {}).values())  # noqa: SLF001 - before Python 3.14 there is no public way
    pool.shutdown(wait=False, cancel_futures=True)
    until = time.monotonic() + PATIENCE
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
        # A file on a network may never answer. Nothing is lost: a worker only reads.
        if process.is_alive():
            process.kill()
            process.join(1)
    # Even a killed process stays while the system itself waits for a disk.
    return not any(process.is_alive() for process in processes)


def in_child(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a process of its own, which gives its memory back at the end.

    Parameters
    ----------
    function : callable
        One that a new process can import: of a module, not of another function.
    *arguments
        Of the call.

    Returns
    -------
    object
        What it answers. What libraries said meanwhile is said here.

    Raises
    ------
    FacelimeError
        When the process was killed.
    """
    from concurrent.futures.process import BrokenProcessPool

    with Workers(1) as workers:
        try:
            return _repeated(workers.submit(partial(function, *arguments)))
        except BrokenProcessPool as why:
            _obey_what_killed()
            raise FacelimeError(
                "a process that this command started was killed, most likely because memory ran out; "
                "repeat the command where more is free."
            ) from why


def in_threads(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Call a function for each item in threads, one per core; for what gives Python's lock away, such as reading.

    Parameters
    ----------
    function : callable
    items : sequence

    Returns
    -------
    list
        In the order of the items.

    Raises
    ------
    StopRequested
        Marked, when a thread is still in a call that does not end: the process then leaves without waiting for it.
    """
    from concurrent.futures import ThreadPoolExecutor, wait

    threads = ThreadPoolExecutor(cores())
    calls = [threads.submit(function, item) for item in items]
    try:
        return [call.result() for call in calls]
    except StopRequested as why:
        threads.shutdown(wait=False, cancel_futures=True)
        # Nobody can end a thread that reads a file on a network that does not answer.
        why.device_busy = bool(wait(calls, PATIENCE).not_done)
        raise
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and never outlive it."""
    import multiprocessing
    import os
    import threading

    # The terminal sends Ctrl-C to every process of the group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            # A killed parent cannot end its workers, and `sys.exit` would end this thread alone.
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
