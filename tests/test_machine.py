"""What a run used, as the manifest tells it."""

import os
import platform
import socket
import subprocess
import sys

from facelime_cli import __version__, machine


def test_versions_are_of_what_was_imported():
    code = (
        "from facelime_cli import machine; print(sorted(machine.software())); import numpy; print(machine.software())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = done.stdout.splitlines()
    assert before == "['facelime', 'python']"
    assert f"'facelime': '{__version__}'" in after
    assert f"'python': '{platform.python_version()}'" in after
    assert "'numpy': '" in after


def test_hardware_tells_no_name_and_no_path():
    told = machine.hardware()
    assert set(told) == {"system", "machine", "processor", "cores"}
    assert 1 <= told["cores"] == machine.cores() <= os.cpu_count()
    assert socket.gethostname() not in str(told)
    assert "/" not in told["system"] + told["machine"]
