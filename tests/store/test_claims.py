"""Claims: who holds a unit, and who may take it over."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from facelime_cli.errors import BusyError
from facelime_cli.store import claims, files

ROUNDS = 5


def take(folder, done, release):
    with claims.Claim.take(folder, 0, lambda _: None):
        done.set()
        release.wait(30)


def holder(folder):
    """Start a process that holds unit 0; the event makes it let go."""
    context = get_context("spawn")
    done, release = context.Event(), context.Event()
    process = context.Process(target=take, args=(folder, done, release))
    process.start()
    assert done.wait(30)
    return process, release


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "claims").mkdir()
    return tmp_path / "claims"


def test_a_live_process_is_named(folder):
    other, release = holder(folder)
    try:
        with pytest.raises(BusyError, match=f"process {other.pid}"):
            claims.Claim.take(folder, 0, lambda _: None)
        assert claims.live_holder(folder, 0)["pid"] == other.pid
    finally:
        release.set()
        other.join()
    with claims.Claim.take(folder, 0, lambda _: None):
        assert len(list(folder.iterdir())) == 1
    assert list(folder.iterdir()) == []


def test_a_killed_process_is_taken_over_at_once(folder):
    other, _ = holder(folder)
    other.kill()
    other.join()
    begun = time.monotonic()
    with claims.Claim.take(folder, 0, lambda _: None) as claim:
        assert [path.name for path in folder.iterdir()] == [claim.path.name]
    assert time.monotonic() - begun < 5


def test_a_process_number_used_again_is_not_the_same_process(folder):
    files.write_json(
        folder / "00000.1",
        {"host": claims.this_host(), "pid": os.getpid(), "start": "before this one", "counter": 0},
    )
    with claims.Claim.take(folder, 0, lambda _: None):
        pass


def elsewhere(folder, counter):
    files.write_json(folder / "00000.1", {"host": "node7/x", "pid": 1, "start": "1", "counter": counter}, durable=False)


def test_a_silent_other_host_is_taken_over_after_listening(folder):
    elsewhere(folder, 3)
    said = []
    with claims.Claim.take(folder, 0, said.append, silence_seconds=0.4):
        pass
    assert "node7" in said[0]


BEATING = """
import pathlib, sys, time
from facelime_cli.store import files
for counter in range(4, 40):
    time.sleep(0.2)
    holder = {"host": "node7/x", "pid": 1, "start": "1", "counter": counter}
    files.write_json(pathlib.Path(sys.argv[1]), holder, durable=False)
"""


def test_a_beating_other_host_is_refused(folder):
    elsewhere(folder, 3)
    beating = subprocess.Popen([sys.executable, "-c", BEATING, folder / "00000.1"])
    try:
        with pytest.raises(BusyError, match="process 1 on node7"):
            claims.Claim.take(folder, 0, lambda _: None, silence_seconds=20)
    finally:
        beating.kill()
        beating.wait()


def test_who_was_taken_over_notices(folder):
    with claims.Claim.take(folder, 0, lambda _: None) as claim:
        files.write_json(
            claim.path.with_suffix(f".{int(claim.path.suffix[1:]) + 1}"),
            {"host": "node7", "pid": 1, "start": "1", "counter": 0},
        )
        with pytest.raises(BusyError, match="took over unit 0"):
            claim.check()


def test_of_many_that_find_nothing_one_wins(folder, monkeypatch):
    """Each looks while nothing is there, and then writes: the moment in which two could hold the unit."""
    n, looked = 8, threading.Barrier(8)
    seen = threading.local()
    of_unit = claims._of_unit

    def together(*of):
        found = of_unit(*of)
        if not getattr(seen, "once", False):
            seen.once = True
            looked.wait(30)
        return found

    monkeypatch.setattr(claims, "_of_unit", together)
    for _ in range(ROUNDS):
        with ThreadPoolExecutor(n) as threads:
            found = [each for each in threads.map(lambda _: taken(folder), range(n)) if each is not None]
        assert len(found) == 1
        assert [path.name for path in folder.iterdir()] == [found[0].path.name]
        with found[0]:
            pass


def test_who_came_first_keeps_it(folder, monkeypatch):
    with claims.Claim.take(folder, 0, lambda _: None) as first:
        of_unit, asked = claims._of_unit, []
        # The first look finds nothing, as where the file is written just after it.
        monkeypatch.setattr(claims, "_of_unit", lambda *of: of_unit(*of) if asked else asked.append(of) or [])
        with pytest.raises(BusyError):
            claims.Claim.take(folder, 0, lambda _: None)
        assert list(folder.iterdir()) == [first.path]
        asked.clear()
        monkeypatch.setattr(claims.time, "time_ns", lambda: 1)
        monkeypatch.setattr(claims, "GIVING_WAY_SECONDS", 0.05)
        with pytest.raises(BusyError):
            claims.Claim.take(folder, 0, lambda _: None)
        assert list(folder.iterdir()) == [first.path]


def taken(folder):
    try:
        return claims.Claim.take(folder, 0, lambda _: None)
    except BusyError:
        return None
