"""Temporary names say whose they are, and a dead process's are known at once."""

import os
import subprocess
import sys
import tempfile
import time

import pytest

from facelime_cli.store import processes, temporary
from tests.support import Facelime

DAY = 24 * 3600


def of_another(path, **changed):
    """Return a temporary path as another process makes it."""
    me = temporary.owner_of(temporary.beside(path).name)
    owner = {"host": me.host, "pid": me.pid, "start": me.start, **changed}
    return path.with_name(f".{path.name}.{owner['host']}-{owner['pid']}-{owner['start']}-00000000")


def make_old(path):
    for each in temporary.tree(path):
        os.utime(each, (time.time() - 2 * DAY,) * 2)


def test_a_name_says_whose_it_is_and_tells_no_host(tmp_path):
    path = temporary.beside(tmp_path / "page.html", ".png")
    owner = temporary.owner_of(path.name)
    assert path.parent == tmp_path
    assert temporary.is_temporary(path.name)
    assert (owner.pid, owner.is_here, owner.is_me, owner.is_dead) == (os.getpid(), True, True, False)
    assert temporary.beside(tmp_path / "page.html") != temporary.beside(tmp_path / "page.html")
    for part in processes.this_host().split("/"):
        assert part not in path.name


@pytest.mark.parametrize(
    "name", ["manifest.json", ".ids", ".salt", ".before-abc", "c.0.0", "00003.1700000000", "kept", ".hidden.png"]
)
def test_files_of_the_store_are_not_temporary(name):
    assert not temporary.is_temporary(name)
    assert temporary.owner_of(name) is None


@pytest.mark.parametrize(
    "name", [f".laying-{'a' * 32}", f".{'b' * 32}", f".x.json.{'c' * 32}", ".run.h5.part", f"c.0.{'d' * 32}.partial"]
)
def test_what_earlier_versions_and_zarr_made_counts_by_its_age(tmp_path, name):
    path = tmp_path / name
    path.touch()
    assert temporary.is_temporary(name)
    assert temporary.why_abandoned(path) == ""
    assert temporary.why_abandoned(path, nobody=True) == "nobody works here"
    make_old(path)
    assert temporary.why_abandoned(path) == "untouched for a day"


def test_a_process_that_is_gone_and_one_that_lives(tmp_path):
    words = "import sys; from pathlib import Path; from facelime_cli.store import temporary;"
    words += "path = temporary.beside(Path(sys.argv[1])); path.touch(); print(path, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", words, str(tmp_path / "file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        path = tmp_path / other.stdout.readline().strip()
        assert path.exists()
        temporary.sweep([tmp_path])
        assert path.exists()
        other.kill()
        other.wait()
    # A number that is used again is another process: its start tells.
    again = of_another(tmp_path / "file", start="00000000")
    again.touch()
    mine = temporary.beside(tmp_path / "file")
    mine.touch()
    temporary.sweep([tmp_path, tmp_path / "not there"])
    assert list(tmp_path.iterdir()) == [mine]


def test_another_host_counts_by_age_alone(tmp_path):
    path = of_another(tmp_path / "laying", host="00000000", pid=1)
    path.mkdir()
    (path / "deep").mkdir()
    make_old(path)
    (path / "deep" / "new").touch()
    assert temporary.why_abandoned(path) == ""
    make_old(path)
    assert temporary.why_abandoned(path) == "untouched for a day"


def test_sweep_takes_what_was_to_become_one_file_alone(tmp_path):
    for name in ("run.h5", "run.h5x", "other.h5"):
        of_another(tmp_path / name, start="00000000").touch()
    temporary.sweep([tmp_path], "run.h5")
    assert sorted(path.name.split(".")[1] for path in tmp_path.iterdir()) == ["other", "run"]
    assert any(path.name.startswith(".run.h5x.") for path in tmp_path.iterdir())


def test_a_symbolic_link_is_removed_and_not_followed(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "file").write_text("mine")
    link = of_another(tmp_path / "laying", start="00000000")
    link.symlink_to(target)
    temporary.sweep([tmp_path])
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert (target / "file").read_text() == "mine"


def test_a_folder_outside_every_store_goes_at_the_end_or_with_the_next_command(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary.outside() as folder:
        (folder / "model.keras").write_text("x")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert temporary.left_outside() == []
    assert not folder.exists()
    dead = of_another(tmp_path / temporary.OUTSIDE, start="00000000")
    (dead / "variables").mkdir(parents=True)
    (tmp_path / ".facelime.notes").mkdir()
    assert temporary.left_outside() == [dead]
    run = Facelime(tmp_path / "store")
    (found,) = run.json("clean")["found"]
    assert (found["path"], found["kind"], found["why"]) == (str(dead), "temporary", "its process is gone")
    assert dead.exists()
    run.json("clean", "--yes")
    assert not dead.exists()
    dead.mkdir()
    with temporary.outside():
        assert not dead.exists()
    assert (tmp_path / ".facelime.notes").exists()
