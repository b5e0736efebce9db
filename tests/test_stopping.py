"""Signals, time budgets, and the end of a scheduler's job."""

import os
import signal
import subprocess
import sys
import time

import pytest

from facelime_cli.errors import EX_TEMPFAIL, StopRequested
from facelime_cli.stopping import BEFORE_JOB_END, LEAVE_SECONDS, deadline, held_back, span

BUSY = """
import hashlib, sys, time
import typer
from facelime_cli import cli
from facelime_cli.__main__ import main
from facelime_cli.console import Answer

def work(context):
    try:
        print("begun", file=sys.stderr, flush=True)
        if sys.argv[1] == "library":
            hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
        time.sleep(60)
    except BaseException:
        if sys.argv[1] == "swallowing":
            time.sleep(60)
        raise
    finally:
        time.sleep(float(sys.argv[2]))
        print("everything is written", file=sys.stderr, flush=True)
    return Answer({})

def app():
    try:
        cli._bounded(work, {"quiet": False, "as_json": False, "debug": False, "store": None})
    except typer.Exit as why:
        sys.exit(why.exit_code)

cli.app = app
main()
"""


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("45", 45), ("1.5h", 5400), ("1d", 86400)]
)
def test_time_spans(text, seconds):
    assert span(text) == seconds


@pytest.fixture
def job(monkeypatch):
    """Let this process be in a Slurm job that ends in some seconds."""
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)

    def ending(seconds):
        monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time() + seconds)))

    return ending


def left(budget):
    ends = deadline(budget)
    return None if ends is None else ends - time.monotonic()


def test_a_time_budget_ends_before_the_job_does(job):
    assert left(None) is None
    assert left("30m") == pytest.approx(1800, abs=2)
    job(600)
    assert left(None) == pytest.approx(600 - BEFORE_JOB_END, abs=2)
    assert left("2h") == pytest.approx(600 - BEFORE_JOB_END, abs=2)
    assert left("5m") == pytest.approx(300, abs=2)
    job(30)
    assert left(None) == pytest.approx(0, abs=2)


@pytest.mark.parametrize("text", ["", "soon", "-5", "1e9", "9" * 30, "0", "4294967295000"])
def test_an_end_of_a_job_that_is_none_ends_nothing(monkeypatch, text):
    monkeypatch.setenv("SLURM_JOB_END_TIME", text)
    assert deadline(None) is None


def test_the_end_of_another_job_ends_nothing(job):
    """A shell that was started inside a job may outlive it. A job without a limit ends in years."""
    job(-100)
    assert deadline(None) is None
    job(10 * 366 * 86400)
    assert deadline(None) is None


@pytest.fixture
def busy(tmp_path):
    """Start a command that is busy in some way, and return it when it has begun."""
    (tmp_path / "busy.py").write_text(BUSY)
    running = []

    def begin(how, seconds=0):
        process = subprocess.Popen(
            [sys.executable, tmp_path / "busy.py", how, str(seconds)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        running.append(process)
        assert process.stderr.readline() == "begun\n"
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def ended(process):
    """Return how a process ended, and how many seconds that took."""
    begun = time.monotonic()
    _, said = process.communicate(timeout=60)
    return process.returncode, said, time.monotonic() - begun


@pytest.mark.long
@pytest.mark.parametrize("how", ["library", "swallowing"])
def test_a_command_ends_in_time_where_nothing_obeys(busy, how):
    """A library's long call lets no handler run, and some libraries swallow what a handler raises."""
    process = busy(how)
    # So that the call has begun.
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    code, said, seconds = ended(process)
    assert (code, LEAVE_SECONDS < seconds < 10) == (EX_TEMPFAIL, True), said
    assert "stopped (in the middle of a long call); everything done so far is kept" in said


@pytest.mark.parametrize("seconds", [0, 1])
def test_the_same_signal_twice_at_once_is_one(busy, seconds):
    """`timeout` and some schedulers send it to the process and to its group: what is kept at the end is kept.

    Where nothing is to be kept, the second comes while Python ends.
    """
    process = busy("keeping", seconds)
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
        process.send_signal(number)
        time.sleep(0.05)
    code, said, _ = ended(process)
    assert (code, "everything is written" in said) == (EX_TEMPFAIL, True), said
    assert "stopped (SIGTERM)" in said


@pytest.mark.long
def test_a_second_signal_ends_at_once(busy):
    process = busy("keeping", 6)
    process.send_signal(signal.SIGINT)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    code, said, seconds = ended(process)
    assert (code, "everything is written" in said, seconds < 4) == (EX_TEMPFAIL, False, True), said


@pytest.mark.parametrize("before", [[signal.SIGCONT], [signal.SIGSTOP, signal.SIGCONT]])
def test_a_signal_to_continue_before_it_is_no_error(busy, before):
    """Slurm sends SIGCONT before SIGTERM, so that a suspended job hears it: not the main thread alone was asleep."""
    process = busy("keeping")
    for number in (*before, signal.SIGTERM):
        process.send_signal(number)
    code, said, _ = ended(process)
    assert (code, "stopped (SIGTERM)" in said) == (EX_TEMPFAIL, True), said
    assert "Traceback" not in said


def test_a_signal_waits_for_what_must_not_be_left_half_done():
    def stop(number, _):
        raise StopRequested(signal.Signals(number).name)

    before, done = signal.signal(signal.SIGTERM, stop), []

    def interrupted():
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("the rest")

    try:
        with pytest.raises(StopRequested, match="SIGTERM"), held_back():
            interrupted()
        with held_back():
            done.append("without a signal")
        with pytest.raises(StopRequested):
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert done == ["the rest", "without a signal"]


def test_a_signal_before_the_subcommand_has_begun_is_a_stop_too(tmp_path):
    """While its module is imported, Typer is in charge, and has a code of its own for Ctrl-C."""
    words = "import os, signal, sys, facelime_cli.stages as stages\n"
    words += "stages.Listed.load = lambda self: os.kill(os.getpid(), signal.SIGTERM)\n"
    words += "sys.argv = ['facelime', 'status']\nfrom facelime_cli.__main__ import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, done.stdout) == (EX_TEMPFAIL, ""), done.stderr
    assert "Traceback" not in done.stderr
