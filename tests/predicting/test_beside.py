"""Work beside other work: what runs at the same time, what waits, how it is shown, and how it ends."""

import threading

import pytest

from facelime_cli.console import Console
from facelime_cli.errors import FacelimeError, StopRequested
from facelime_cli.predicting import beside
from facelime_cli.predicting.beside import Beside

LONG = 30
"""Seconds after which a test gives up."""


def test_lanes_run_at_the_same_time_and_a_lane_in_order():
    first, second, done = threading.Event(), threading.Event(), []

    def meet(own, other):
        own.set()
        assert other.wait(LONG), "the other lane does not run"
        done.append(1)

    def next_in_lane():
        done.append(2)

    with Beside() as work:
        futures = [
            work.begin("a", meet, first, second),
            work.begin("a", next_in_lane),
            work.begin("b", meet, second, first),
        ]
        for each in futures:
            work.awaited(each, Console(quiet=True))
    assert sorted(done) == [1, 1, 2]
    assert done[0] == 1


def test_what_goes_wrong_beside_is_told_where_it_is_needed():
    def fail():
        raise FacelimeError("no picture")

    with Beside() as work:
        future = work.begin("a", fail)
        with pytest.raises(FacelimeError, match="no picture"):
            work.awaited(future, Console(quiet=True))


def test_progress_is_shown_where_it_is_waited_for(capsys, monkeypatch):
    """Beside other work nothing is written; who waits sees how far it is."""
    monkeypatch.setattr("facelime_cli.console.PLAIN_SECONDS", 0.02)
    begun, go_on = threading.Event(), threading.Event()
    with Beside() as work:
        aside = work.console(Console())

        def segment():
            with aside.progress("segment", 3) as advance:
                advance(1)
                begun.set()
                assert go_on.wait(LONG)
                advance(2)

        future = work.begin("a", segment)
        assert begun.wait(LONG)
        assert capsys.readouterr().err == ""
        # It is let go when it is shown: the first line comes with the first step.
        threading.Timer(2 * beside.STEP_SECONDS + 0.2, go_on.set).start()
        work.awaited(future, Console())
    assert "segment: 33 % (1 of 3 pictures)" in capsys.readouterr().err


def test_what_runs_ends_at_its_next_picture_and_what_waits_does_not_begin():
    begun, go_on, later = threading.Event(), threading.Event(), []

    def endless(console):
        with console.progress("segment", 10**9) as advance:
            begun.set()
            assert go_on.wait(LONG)
            while True:
                advance(1)

    def use():
        with Beside() as work:
            futures.append(work.begin("a", endless, work.console(Console(quiet=True))))
            futures.append(work.begin("a", later.append, 1))
            assert begun.wait(LONG)
            go_on.set()
            raise FacelimeError("wrong")

    futures = []
    with pytest.raises(FacelimeError, match="wrong"):
        use()
    assert isinstance(futures[0].exception(), StopRequested)
    assert futures[1].cancelled()
    assert later == []


@pytest.mark.parametrize("ends", [True, False])
def test_a_stop_does_not_wait_for_what_asks_nobody(monkeypatch, ends):
    monkeypatch.setattr(beside, "PATIENCE", LONG if ends else 0.05)
    go_on = threading.Event()

    def stop():
        with Beside() as work:
            work.begin("model", go_on.wait, LONG)
            if ends:
                go_on.set()
            raise StopRequested("SIGTERM")

    try:
        with pytest.raises(StopRequested) as why:
            stop()
        assert why.value.device_busy is not ends
    finally:
        go_on.set()
