"""What a runtime needs is imported in a thread, whole and once, and holds up no command that is stopped."""

import os
import subprocess
import sys
import threading

import pytest

from facelime_cli.models import backend

MODEL = """SimpleNamespace(
    facts={"size": 8}, content="", reference="models/none", kept_folder=lambda key: Path("none"))"""
HEAD = """
import sys, time, threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from facelime_cli import cli, stopping
from facelime_cli.answering import preloading
from facelime_cli.answering.runtimes import How
from facelime_cli.errors import StopRequested
from facelime_cli.models import backend
"""


def python(code, **environment):
    """Run some code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", HEAD + code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
        check=False,
    )


def test_what_is_hidden_is_hidden_from_one_thread_and_for_a_while(tmp_path, monkeypatch):
    (tmp_path / "needless_package.py").write_text("value = 1")
    monkeypatch.syspath_prepend(tmp_path)
    found = []

    def elsewhere():
        import needless_package

        found.append(needless_package.value)
        del sys.modules["needless_package"]

    with backend._without(frozenset({"needless_package"})):
        with pytest.raises(ImportError):
            import needless_package
        other = threading.Thread(target=elsewhere)
        other.start()
        other.join()
    assert found == [1]
    import needless_package

    assert needless_package.value == 1


def test_an_imported_runtime_is_there_when_it_is_needed():
    pytest.importorskip("openvino")
    done = python(f"""
preloading.begin({MODEL}, How("openvino", "float32"))
preloading.begin({MODEL}, How("openvino", "float32"))
assert [each.name for each in threading.enumerate()].count(stopping.BESIDE) <= 1
while stopping.busy_beside():
    time.sleep(0.01)
assert sys.modules["openvino"].Core
assert sys.modules["openvino_telemetry"] is None
assert not {{"tensorflow", "keras"}} & set(sys.modules)
""")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("how", "environment"), [('"auto", "float32"', {}), ('"keras", "float32"', {"KERAS_BACKEND": "abacus"})]
)
def test_what_cannot_be_imported_is_left_to_who_needs_it(how, environment):
    done = python(f"preloading.begin({MODEL}, How({how}))", **environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_stop_does_not_wait_for_an_import():
    done = python("""
begun = time.monotonic()
stopping.begin_beside(partial(time.sleep, 120))
def work(context):
    raise StopRequested("a signal")
cli._bounded(work, {"quiet": False, "as_json": False, "debug": False, "store": None, "name": None, "shard": None})
""")
    assert done.returncode == 75, done.stderr
    assert "stopped (a signal)" in done.stderr


@pytest.mark.long
def test_keras_is_whole_for_every_thread_and_brings_nothing_needless():
    done = python(f"""
preloading.begin({MODEL}, How("keras", "float32"))
while "keras" not in sys.modules:
    time.sleep(0.001)
assert stopping.busy_beside()
assert backend.keras().Model and backend.keras().ops.convert_to_tensor(1.0) is not None
print(sorted(backend.NEEDLESS & set(sys.modules)))
import sklearn, pandas, matplotlib
""")
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
