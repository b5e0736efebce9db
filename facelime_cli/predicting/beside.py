"""Work that a command does beside its own: what does not need the model is made while the model computes."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from facelime_cli.errors import StopRequested

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from facelime_cli.console import Advance, Console

STEP_SECONDS = 0.5
PATIENCE = 3.0
"""Seconds that work beside may still take when the command stops, after which the process leaves without it."""


@dataclass
class _Task:
    """How far what runs beside is."""

    words: tuple[str, int, str]
    done: int = 0


class Beside:
    """Threads for work whose results are needed later. It ends with the `with` block, whatever happens.

    Calls of one lane run one after the other, in the order in which they were begun. Lanes run at the same time.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._lanes: dict[str, ThreadPoolExecutor] = {}
        self._begun: list[Future[Any]] = []
        self._task: _Task | None = None

    def __enter__(self) -> Self:
        """Nothing runs yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let what runs end at its next picture, and drop what has not begun."""
        self._stop.set()
        for lane in list(self._lanes.values()):
            lane.shutdown(wait=False, cancel_futures=True)
        # What was dropped never counts as done.
        begun = [each for each in self._begun if not each.cancelled()]
        if isinstance(value, StopRequested):
            # A library that is being imported asks nobody. The process then leaves without waiting for it.
            value.device_busy |= bool(wait(begun, PATIENCE).not_done)
        else:
            wait(begun)

    def begin(self, lane: str, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Hand a call over.

        Parameters
        ----------
        lane : str
            Behind which other calls it waits.
        call : callable
        *arguments
            Of the call.

        Returns
        -------
        Future
            For `awaited`.
        """
        executor = self._lanes.setdefault(lane, ThreadPoolExecutor(1))
        self._begun.append(executor.submit(call, *arguments))
        return self._begun[-1]

    def console(self, console: Console) -> Console:
        """Return a console for what runs beside: its progress is kept, and shown where somebody waits for it.

        Parameters
        ----------
        console : Console

        Returns
        -------
        Console
        """
        return replace(console, aside=self._told)

    def awaited(self, future: Future[Any], console: Console) -> Any:
        """Return what a call answers, and show how far it is while it is waited for.

        Parameters
        ----------
        future : Future
            From `begin`.
        console : Console

        Returns
        -------
        object
            The answer.

        Raises
        ------
        Exception
            What the call raises.
        """
        # In steps, so that a signal is seen at once.
        while not wait([future], STEP_SECONDS).done:
            task = self._task
            if task is not None:
                self._show(task, future, console)
        return future.result()

    def _show(self, task: _Task, future: Future[Any], console: Console) -> None:
        name, total, unit = task.words
        shown = task.done
        with console.progress(name, total, shown, unit=unit) as advance:
            while self._task is task and not wait([future], STEP_SECONDS).done:
                done = task.done
                advance(done - shown)
                shown = done

    def _told(self, name: str, total: int, done: int, unit: str) -> Advance:
        """Keep the progress of a task in place of showing it, and end the task where the command ends."""
        task = self._task = _Task((name, total, unit), done)

        def advance(n: int, *, free: bool = False) -> None:
            del free
            task.done += n
            if task.done >= total:
                self._task = None
            if self._stop.is_set():
                raise StopRequested("the command ends")

        return advance
