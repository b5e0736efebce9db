"""A thread for calls that nothing can interrupt: the main thread reads, writes and handles signals meanwhile."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import StopRequested

if TYPE_CHECKING:
    from collections.abc import Callable

STEP_SECONDS = 0.5
__all__ = ["Device", "NotYet"]


class Device:
    """Runs calls one after the other, in a thread of its own.

    Parameters
    ----------
    until : float, optional
        When a time budget ends, by the monotonic clock.
    """

    def __init__(self, until: float | None = None) -> None:
        self._until = until
        self._thread, self._beside = ThreadPoolExecutor(1), ThreadPoolExecutor(1)

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Hand a call over.

        Parameters
        ----------
        call : callable
        *arguments
            Of the call.

        Returns
        -------
        Future
            For `wait`.
        """
        # One thread alone: a device that computes two batches at once needs memory for both.
        return self._thread.submit(call, *arguments)

    def beside(self, call: Callable[..., Any]) -> Future[Any]:
        """Start a call that prepares another one, in a thread beside the device's.

        Parameters
        ----------
        call : callable
            It must not wait for the device.

        Returns
        -------
        Future
            For the call on the device to take its answer from.
        """
        return self._beside.submit(call)

    def wait(self, future: Future[Any]) -> Any:
        """Return what a call answers.

        It waits in steps, so that a signal is seen at once. A stop says whether the call still runs.

        Parameters
        ----------
        future : Future
            From `submit`, or of another thread.

        Returns
        -------
        object
            The answer.

        Raises
        ------
        StopRequested
            At a signal, or when the time budget is used up.
        """
        try:
            while True:
                try:
                    return future.result(STEP_SECONDS)
                except NotYet:
                    if future.done():  # either it raised this itself, or it ended just now
                        return future.result()
                    self.check_time()
        except StopRequested as why:
            why.device_busy = not future.done()
            raise

    def check_time(self) -> None:
        """Stop when the time budget is used up."""
        if self._until is not None and time.monotonic() >= self._until:
            raise StopRequested("the time budget, or the time of the job, is used up")

    def idle(self) -> bool:
        """Whether nothing is left to do."""
        try:
            self._thread.submit(bool).result(STEP_SECONDS)
        except NotYet:
            return False
        return True
