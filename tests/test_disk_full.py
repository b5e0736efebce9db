"""Full disks, limits, read-only and vanished stores: one sentence, nothing lost, and the same command goes on."""

import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from facelime_cli import disk
from facelime_cli.store.artifacts import standing
from facelime_cli.store.references import Store
from tests.scene import CASES, contents_of, files_of, half_in_sight
from tests.store.making import complete

COMMAND = [sys.executable, "-m", "facelime_cli"]
WRITERS = [
    name for name in CASES if name not in {"export", "show", "remove", "remove, with children", "prune", "rename"}
]
STAGES = [name for name in WRITERS if name != "repair"]
MOUNT = shutil.which("mount")


DISK = "facelime-disk"


def unmount(place):
    subprocess.run([shutil.which("umount"), "-l", str(place)], check=False, stderr=subprocess.DEVNULL)
    with contextlib.suppress(OSError):
        place.rmdir()


def is_dead(process):
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError):
        pass
    return False


@pytest.fixture
def mounted():
    """Mount a disk of a few bytes; skip where that is not allowed.

    It is none of pytest's folders. A killed run leaves its disks behind, and pytest would warn of every file in them
    that it cannot delete, in every run from then on.
    """
    places = []
    for left in Path(tempfile.gettempdir()).glob(f"{DISK}-*"):
        if is_dead(left.name.split("-")[2]):
            unmount(left)

    def mount(size, name="disk"):
        if MOUNT is None:
            pytest.skip("there is no `mount` here")
        place = Path(tempfile.mkdtemp(prefix=f"{DISK}-{os.getpid()}-{name}-"))
        words = [MOUNT, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a disk of {size} cannot be mounted here: {done.stderr.strip()}")
        places.append(place)
        return place

    yield mount
    for place in places:
        unmount(place)


def run(*words, store=None, limit=None):
    """Run a command in a process of its own, with files of at most `limit` bytes."""

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    environment = {**os.environ, **({"FACELIME_STORE": str(store)} if store else {})}
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        preexec_fn=limited if limit else None,
    )


def used_by(place):
    """Return how much a folder takes on a disk with blocks of 4 KiB."""
    return sum(-(-path.lstat().st_size // 4096) * 4096 for path in place.rglob("*") if path.is_file())


def resize(place, size):
    subprocess.run([MOUNT, "-o", f"remount,size={size}", str(place)], check=True)


def failed(done):
    """Return the one sentence with which a command failed."""
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr
    assert "None" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert len(errors) == 1, done.stderr
    return errors[0]


@pytest.fixture
def artifact(tmp_path):
    """A complete artifact of 70 pictures."""
    return complete(Store(tmp_path / "store"))


class TestSentences:
    @pytest.mark.parametrize(
        ("number", "said"),
        [
            (errno.ENOSPC, "disk is full"),
            (errno.EDQUOT, "quota"),
            (errno.EFBIG, "ulimit -f"),
            (errno.EROFS, "read-only"),
            (errno.EACCES, "permissions"),
            (errno.EIO, "check the disk"),
            (errno.ESTALE, "the disk is gone"),
            (errno.EMFILE, "ulimit -n"),
            (errno.ENAMETOOLONG, "shorter"),
            (errno.EISDIR, "check the path"),
        ],
    )
    def test_each_refusal_names_the_place_and_what_to_do(self, number, said):
        for error in (OSError(number, os.strerror(number), "place/file"), OSError(number, os.strerror(number))):
            told = disk.sentence(error, Path("store"))
            assert said in told
            assert ("place/file" if error.filename else "store") in told
            assert "None" not in told
            assert told.count(".") - told.count("./") <= 2

    def test_what_a_library_put_around_it_counts(self):
        outer = RuntimeError("the codec failed")
        outer.__cause__ = ValueError("a chunk")
        outer.__cause__.__context__ = OSError(errno.ENOSPC, "No space left on device", "store/c.0")
        assert "disk is full (store/c.0)" in disk.sentence(outer, Path("store"))

    @pytest.mark.parametrize(
        "text",
        [
            "Can't decrement id ref count (file write failed: error message = 'No space left on device')",
            "26112 requested and 572 written",
            "store/x.keras; No space left on device [Op:SaveV2]",
            "[ONNXRuntimeError] : 1 : FAIL : write failed: No space left on device",
        ],
    )
    def test_what_a_library_says_in_words_counts(self, text):
        assert "disk is full" in disk.sentence(RuntimeError(text), Path("store"))

    def test_other_errors_are_not_the_disks(self):
        assert disk.sentence(ValueError("a value"), Path("store")) is None
        # A library looks for a file, finds none, and then fails for another reason.
        bug = KeyError("a bug")
        bug.__context__ = FileNotFoundError(errno.ENOENT, "No such file", "optional.cfg")
        assert disk.sentence(bug, Path("store")) is None

    def test_a_store_that_is_gone_is_named(self, tmp_path):
        gone = tmp_path / "gone"
        error = FileNotFoundError(errno.ENOENT, "No such file or directory", str(gone / "masks" / "x"))
        assert f"the store {gone} is gone" in disk.sentence(error, gone)
        assert "check the path" in disk.sentence(error, tmp_path)


@pytest.mark.long
class TestExport:
    @pytest.mark.parametrize("limit", [1, 1000, 5000, 20_000])
    def test_a_file_that_may_not_grow(self, tmp_path, artifact, limit):
        to = tmp_path / "out" / "run.h5"
        to.parent.mkdir()
        to.write_bytes(b"old")
        done = run("export", artifact.reference, "--to", to, "--force", store=artifact.store.root, limit=limit)
        assert f"too large for this disk or for `ulimit -f` ({to})" in failed(done)
        assert [path.name for path in to.parent.iterdir()] == ["run.h5"]
        assert to.read_bytes() == b"old"

    @pytest.mark.parametrize("size", ["4k", "16k", "20k"])
    def test_a_full_disk(self, artifact, mounted, size):
        place = mounted(size)
        to = place / "run.h5"
        assert f"the disk is full ({to})" in failed(
            run("export", artifact.reference, "--to", to, store=artifact.store.root)
        )
        assert list(place.iterdir()) == []
        subprocess.run([MOUNT, "-o", "remount,size=5m", str(place)], check=True)
        assert run("export", artifact.reference, "--to", to, store=artifact.store.root).returncode == 0
        with h5py.File(to) as out:
            assert np.array_equal(out["values"][:], artifact.read("values"))
        assert to.stat().st_mode & 0o777 == 0o600

    def test_a_killed_one_can_be_run_again(self, tmp_path, artifact):
        to = tmp_path / "out" / "run.h5"
        to.parent.mkdir()
        to.write_bytes(b"old")
        words = "import os, signal; from pathlib import Path; from facelime_cli.__main__ import main;"
        words += "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL); main()"
        arguments = ["export", artifact.reference, "--to", to, "--force", "--store", artifact.store.root]
        killed = subprocess.run([sys.executable, "-c", words, *map(str, arguments)], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert to.read_bytes() == b"old"
        (left,) = [path for path in to.parent.iterdir() if path != to]
        assert left.stat().st_mode & 0o777 == 0o600
        assert run(*arguments).returncode == 0
        assert [path.name for path in to.parent.iterdir()] == ["run.h5"]
        with h5py.File(to) as out:
            assert np.array_equal(out["values"][:], artifact.read("values"))

    def test_a_stopped_one_leaves_nothing(self, tmp_path, artifact):
        """Ask it to stop while HDF5 writes: an exception inside of HDF5 would end the process."""
        to = tmp_path / "out" / "run.h5"
        to.parent.mkdir()
        words = "import os, signal; from facelime_cli.__main__ import main; from facelime_cli.store import hdf5;"
        words += "write, asked = hdf5.Sheltered.write, [];"
        # Once only: who asks twice does not want to wait.
        words += "ask = lambda: asked or (asked.append(1), os.kill(os.getpid(), signal.SIGTERM));"
        words += (
            "hdf5.Sheltered.write = lambda self, data: (self.tell() > 9000 and ask(), write(self, data))[1]; main()"
        )
        arguments = ["export", artifact.reference, "--to", to, "--store", artifact.store.root]
        stopped = subprocess.run(
            [sys.executable, "-c", words, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        assert stopped.returncode == 75, stopped.stderr
        assert list(to.parent.iterdir()) == []


@pytest.mark.long
class TestStages:
    @pytest.mark.parametrize("share", [0.2, 0.7])
    @pytest.mark.parametrize("name", WRITERS)
    def test_on_a_full_disk_nothing_is_lost_and_the_command_goes_on(self, scene, mounted, name, share):
        case = CASES[name]
        straight = scene.copy("straight", case)
        before = used_by(straight)
        self.finish(scene, case, straight)
        place = scene.fill(mounted("64m"), case)
        grown = used_by(straight) - before
        used = shutil.disk_usage(place).used
        resize(place, used + max(int(grown * share), 4096))
        done = scene.run(case.words, place)
        said = [line for line in done["err"].splitlines() if line.startswith("error")]
        # What compression of the disk or a smaller copy makes fit is no failure.
        assert done["code"] in {0, 1}, done
        if done["code"]:
            assert len(said) == 1, done["err"]
            # Where not even a small estimate fits, the command says so before it begins.
            assert "the disk is full (" in said[0] or "is free at" in said[0], said
            assert "unexpected" not in done["err"]
            assert done["out"] == ""
        assert half_in_sight(place) == []
        resize(place, 64 << 20)
        if name != "repair":
            assert scene.run("verify", place)["code"] == 0
        self.finish(scene, case, place)
        assert files_of(place) == files_of(straight)
        if case.repeatable:
            assert contents_of(place) == contents_of(straight)

    @pytest.mark.parametrize("name", STAGES)
    def test_where_files_may_not_grow(self, scene, name):
        """A limit on the size of files, as `ulimit -f` sets it."""
        case = CASES[name]
        straight = scene.copy("straight", case)
        self.finish(scene, case, straight)
        place = scene.copy("limited", case)
        done = scene.run(case.words, place, limit=700)
        said = [line for line in done["err"].splitlines() if line.startswith("error")]
        assert (done["code"], len(said)) == (1, 1), done
        assert "`ulimit -f`" in said[0]
        self.finish(scene, case, place)
        assert files_of(place) == files_of(straight)

    @pytest.mark.parametrize("name", [name for name in CASES if name not in {"export", "show"}])
    def test_where_the_store_is_read_only(self, scene, mounted, name):
        case = CASES[name]
        place = scene.fill(mounted("64m"), case)
        before = files_of(place)
        subprocess.run([MOUNT, "-o", "remount,ro", str(place)], check=True)
        done = scene.run(case.words, place)
        assert (done["code"], done["out"], done["err"].count("error")) == (1, "", 1), done
        assert "read-only" in done["err"].lower()
        assert files_of(place) == before
        # What is there already can be used.
        assert scene.run("verify", place)["code"] == (1 if case.breaks else 0)
        assert scene.run("segment data --method grid --segments 4 --workers 1", place)["code"] == 0
        assert scene.run("clean", place)["code"] == 0

    @pytest.mark.parametrize("name", STAGES)
    def test_where_the_store_vanishes(self, scene, name):
        """Let the folder of the store be gone in the middle of the work, as a disk that is disconnected."""
        case = CASES[name]
        straight = scene.copy("straight", case)
        changes = scene.must(case.words, straight)["changes"]
        scene.must("clean --yes", straight)
        for share in (0.3, 0.9):
            place = scene.copy("vanished", case)
            store = place / "store"
            done = scene.run(case.words, place, vanish_at=int(changes * share), vanishing=str(store))
            assert (done["code"], done["out"], done["err"].count("error")) == (1, "", 1), done
            assert f"the store {store} is gone" in done["err"]
            # zarr may have made folders in its place, in the middle of an array: nobody takes them for an artifact.
            assert all("damaged" in standing(each)["state"] for each in Store(store).artifacts())
            shutil.rmtree(store, ignore_errors=True)
            (place / "store.gone").rename(store)
            scene.must(case.words, place)
            scene.must("clean --yes", place)
            assert files_of(place) == files_of(straight)

    def finish(self, scene, case, place):
        scene.must(case.words, place)
        for words in case.after:
            scene.must(words, place)
        scene.must("clean --yes", place)


@pytest.mark.long
class TestForecast:
    def test_what_cannot_fit_is_refused_before_anything_is_laid_out(self, faces, mounted):
        store = mounted("3m") / "store"
        said = failed(run("preprocess", faces / "normal", "--size", 1024, store=store))
        assert "writes 90.0 MiB before compression and more than 18.0 MiB after it, and only 3.0 MiB is free" in said
        assert [path.name for path in store.rglob("*") if path.name != ".salt"] == []
        # Compression makes this one fit after all.
        done = run("preprocess", faces / "normal", "--size", 200, store=store)
        assert done.returncode == 0, done.stderr
        assert "3.4 MiB before compression, and only 3.0 MiB is free" in done.stderr
        assert "it may not fit" in done.stderr

    def test_what_fits_is_not_doubted(self, facelime, faces):
        done = facelime("preprocess", faces / "normal", "--size", 24)
        assert done.exit_code == 0
        assert "before compression" not in done.output
