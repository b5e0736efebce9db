"""Worker processes."""

import os
import subprocess
import time
from pathlib import Path

from tests.support import write_faces


def test_a_killed_worker_is_a_sentence(facelime, command, tmp_path):
    folder = write_faces(tmp_path / "some", 60, 400)
    words = ["preprocess", str(folder), "--size", "1600", "--workers", "2", "--store", str(facelime.store)]
    process = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until, spawned = time.monotonic() + 60, []
    while not spawned and time.monotonic() < until:
        time.sleep(0.1)
        spawned = [
            pid for pid in children.read_text().split() if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
        ]
    os.kill(int(spawned[-1]), 9)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (1, ""), stderr
    assert "a worker process was killed" in stderr
