"""Run commands in forks of one process that has everything imported, and end them at a chosen point.

`python -m tests.crashing` reads JSON lines, each a request, and answers each with a JSON line. A fork starts in
milliseconds, where a new process would import for seconds. This process itself runs no command: a fork of a process
whose libraries have begun to work would not work.
"""

import json
import mmap
import os
import pkgutil
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import facelime_cli
from facelime_cli.stopping import STOPS, obey_signals

CHANGES = ("rename", "replace", "link", "symlink", "unlink", "remove", "mkdir", "rmdir", "fsync", "truncate")
"""Functions of `os` through which everything goes that changes a store step by step."""
HEAVY = (
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "h5py",
    "jinja2",
    "matplotlib.backends.backend_agg",
    "matplotlib.pyplot",
    "rich.progress",
    "scipy.cluster.vq",
    "scipy.ndimage",
    "scipy.stats",
    "skimage.color",
    "skimage.draw",
    "skimage.exposure",
    "skimage.filters",
    "skimage.measure",
    "skimage.morphology",
    "skimage.segmentation",
    "skimage.util",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "sklearn.svm",
    "zarr",
    "tensorflow",
    "keras",
)
"""What commands import when they need it; a fork would import it again."""
ANSWER_SECONDS = 300


def send(pid, names):
    """Send signals to a process, one after the other."""
    for name in names:
        os.kill(pid, signal.Signals[name])


def count_changes(counted, kill_at=None, vanish_at=None, vanishing="", stop_at=None, signals=()):
    """Count the calls that change the disk; just before one of them, end or stop this process, or hide a folder."""
    rename = os.rename
    one_at_a_time = threading.Lock()

    def counting(change):
        def call(*arguments, **named):
            with one_at_a_time:
                number = struct.unpack("q", counted[:8])[0] + 1
                counted[:8] = struct.pack("q", number)
                if number == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                if number == stop_at:
                    send(os.getpid(), signals)
                if number == vanish_at:
                    rename(vanishing, f"{vanishing}.gone")
            return change(*arguments, **named)

        return call

    for name in CHANGES:
        setattr(os, name, counting(getattr(os, name)))


def kill_in(name):
    """Let this process be killed when it calls a function, `module:function`."""
    module, _, function = name.partition(":")
    setattr(import_module(module), function, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))


def race(request):
    """Run commands in forks that all begin at the same moment; return exit status and output of each."""
    ready, go = os.pipe()
    runs = []
    for words in request["race"]:
        out = tempfile.TemporaryFile()  # noqa: SIM115 - read when the fork has ended
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                os.close(go)
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
                os.umask(0o077)
                os.read(ready, 1)
                code = run_command(words)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        runs.append((pid, out))
    os.close(ready)
    os.close(go)
    told = []
    for pid, out in runs:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with out:
            out.seek(0)
            told.append({"code": code, "out": out.read().decode(errors="replace")})
    return told


def run_command(words, *, stoppable=False):
    """Run the command line, and end this process as it would end; where signals wait for it, it obeys them."""
    from facelime_cli.cli import app
    from facelime_cli.errors import EX_TEMPFAIL, StopRequested

    try:
        if stoppable:
            obey_signals()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        app([str(word) for word in words])
    except SystemExit as why:
        return why.code if isinstance(why.code, int) else int(bool(why.code))
    except StopRequested:
        return EX_TEMPFAIL
    return 0


def fork(request):
    """Run one request in a fork; return its exit status, its output, and how many changes it made."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, mmap.mmap(-1, 8) as counted:
        begun = time.monotonic()
        # A fork that is asked to stop before it can obey would be killed.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS if request.get("signals") else ())
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                os.umask(0o077)
                if request.get("limit"):
                    resource.setrlimit(resource.RLIMIT_FSIZE, (request["limit"],) * 2)
                names = ("kill_at", "vanish_at", "vanishing", "stop_at", "signals")
                count_changes(counted, *map(request.get, names))
                if request.get("kill_in"):
                    kill_in(request["kill_in"])
                code = run_command(request["words"], stoppable=bool(request.get("signals")))
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        if request.get("kill_after") is not None:
            time.sleep(request["kill_after"])
            os.kill(pid, signal.SIGKILL)
        if request.get("stop_after") is not None:
            time.sleep(request["stop_after"])
            send(pid, request["signals"])
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        seconds = time.monotonic() - begun
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
        return {
            "code": code,
            "out": texts[0],
            "err": texts[1],
            "changes": struct.unpack("q", counted[:8])[0],
            "seconds": seconds,
        }


def main():
    """Import everything, then answer requests."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # The answers have this stream for themselves, whatever a library prints.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    package = [each.name for each in pkgutil.walk_packages(facelime_cli.__path__, "facelime_cli.")]
    for name in (*HEAVY, *package):
        if not name.endswith("__main__"):
            import_module(name)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(race(request) if "race" in request else fork(request)), file=answers, flush=True)


@dataclass
class Forks:
    """The process that forks, from outside."""

    process: subprocess.Popen

    @classmethod
    def start(cls, log: Path):
        words = [sys.executable, "-m", "tests.crashing"]
        root = Path(__file__).resolve().parents[1]
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log.open("w"), text=True, cwd=root
        )
        assert process.stdout.readline() == "ready\n", log.read_text()
        return cls(process)

    def __call__(self, *words, store, **how):
        """Run a command on a store; see `fork` for what is returned."""
        return self._ask({"words": [*map(str, words), "--store", str(store)], **how})

    def race(self, commands, store):
        """Run commands on a store at the same time; see `race` for what is returned."""
        return self._ask({"race": [[*map(str, words), "--store", str(store)] for words in commands]})

    def _ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def value(self, *words, store):
        """Return the JSON answer of a command that must work."""
        done = self(*words, "--json", store=store)
        assert done["code"] == 0, (words, done)
        return json.loads(done["out"].splitlines()[-1])

    def stop(self):
        self.process.stdin.close()
        self.process.wait(ANSWER_SECONDS)


if __name__ == "__main__":
    main()
