"""`make load`: small here. Its figures for up to 20,000 pictures are in docs/benchmarks.md."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.load import MOST_MEMORY, Cost, family, faults, memory_of, table

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "load.py"
SMALL = Cost(times=1, command="predict", pictures=64, seconds=9.0, processor=8.0, memory=1e9, files=20, arrays=3)
LARGE = replace(SMALL, times=4, pictures=256, seconds=99.0, processor=32.0, files=3 * 8 + 20)


def test_what_breaks_a_promise_is_named():
    assert faults([SMALL, LARGE]) == []
    assert faults([SMALL, replace(LARGE, memory=MOST_MEMORY + 1e6)]) == ["predict of 256 pictures took 2001 MB."]
    assert faults([SMALL, replace(LARGE, files=256)]) == ["predict of 256 pictures wrote 256 files; 72 are allowed."]
    # Time by the clock counts for nothing: other programs change it.
    assert faults([SMALL, replace(LARGE, processor=60)]) == [
        "predict of 256 pictures took 60.0 s of processors; linear is 32.0 s."
    ]
    assert "| predict | 256 | 4 | 99.0 | 32.0 | 4.0 | 1000 | 44 | 3 | 72 |" in table([SMALL, LARGE]).splitlines()


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells the memory of a process")
def test_memory_is_of_a_process_and_its_children():
    before = memory_of([os.getpid()])
    held = bytearray(b"x" * 50_000_000)
    assert memory_of([os.getpid()]) - before > 0.9 * len(held)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert set(family(os.getpid())) >= {os.getpid(), child.pid}
    finally:
        child.communicate(b"\n")


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells the memory of a process")
def test_promises_hold_for_several_units():
    sizes = ["--times", "1", "2", "--pictures", "70", "--evaluated", "33", "--samples", "60"]
    done = subprocess.run([sys.executable, SCRIPT, *sizes], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    costs = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert {each["command"] for each in costs} >= {"preprocess", "segment", "predict", "check", "render", "verify"}
    assert len(costs) == 30
    assert done.stdout.splitlines()[-1] == "Every promise holds."
