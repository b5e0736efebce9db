"""Worker processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facelime_cli.errors import EX_TEMPFAIL, FacelimeError
from facelime_cli.workers import in_child
from tests.support import write_faces

HANGING = """
import os, sys
import typer
from facelime_cli import workers
from facelime_cli.cli import _bounded
from facelime_cli.stopping import obey_signals
from tests.test_workers import read_forever

def work(context):
    pipes = [sys.argv[2]] * 8
    if sys.argv[1] == "threads":
        workers.in_threads(read_forever, pipes)
    with workers.Workers(2) as running:
        list(running.map(read_forever, pipes))

if __name__ == "__main__":
    obey_signals()
    workers.PATIENCE = 0.5
    try:
        _bounded(work, {"quiet": False, "as_json": False, "debug": False, "store": None})
    except typer.Exit as why:
        sys.exit(why.exit_code)
"""


def read_forever(pipe):
    """Read from a pipe that nobody writes to, as from a file on a network that does not answer."""
    Path(f"{pipe}.{os.getpid()}.begun").touch()
    return Path(pipe).read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_a_read_that_hangs_ends_on_a_signal(tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "hanging.py").write_text(HANGING)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "hanging.py", kind, tmp_path / "pipe"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    until = time.monotonic() + 60
    while not list(tmp_path.glob("*.begun")) and time.monotonic() < until:
        time.sleep(0.05)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == EX_TEMPFAIL, said
    assert "stopped (SIGTERM)" in said
    assert time.monotonic() - begun < 10


@pytest.mark.long
def test_a_killed_worker_is_a_sentence(facelime, command, tmp_path):
    folder = write_faces(tmp_path / "some", 12, 400)
    words = ["preprocess", str(folder), "--size", "1600", "--workers", "2", "--store", str(facelime.store)]
    process = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.kill(spawned_by(process)[-1], 9)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (1, ""), stderr
    assert "a worker process was killed" in stderr


@pytest.mark.long
@pytest.mark.parametrize("seconds", [0.0, 0.4])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_every_process_of_a_job_stops_it(facelime, command, tmp_path, how, seconds):
    """A scheduler asks all of them, a terminal too: a worker that ended first, or is just starting, is no error."""
    folder = write_faces(tmp_path / "some", 12, 400)
    words = ["preprocess", str(folder), "--size", "1600", "--workers", "2", "--store", str(facelime.store)]
    process = subprocess.Popen(
        [*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    spawned_by(process)
    time.sleep(seconds)
    os.killpg(process.pid, how)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (EX_TEMPFAIL, ""), stderr
    assert f"stopped ({how.name})" in stderr
    assert "Traceback" not in stderr
    assert "leaked" not in stderr


def spawned_by(process):
    """Return the worker processes of a command once they are there."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until, found = time.monotonic() + 60, []
    while not found and time.monotonic() < until:
        time.sleep(0.02)
        pids = children.read_text().split()
        found = [int(pid) for pid in pids if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
    return found


def read_half(path):
    raise FacelimeError(f"{path} is half of a file; copy it again.")


def test_a_process_of_its_own_answers_and_fails_in_sentences():
    assert in_child(os.getpid) != os.getpid()
    with pytest.raises(FacelimeError, match="half of a file"):
        in_child(read_half, "a")
    with pytest.raises(FacelimeError, match="was killed, most likely because memory ran out"):
        in_child(kill_itself)


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)
