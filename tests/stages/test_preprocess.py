"""Preprocess: what is read, divided and kept, and what a kill leaves."""

import os
import resource
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from facelime_cli import sources
from facelime_cli.cli import app
from facelime_cli.core.faces import draw
from facelime_cli.names import listing
from facelime_cli.preparing import looking
from facelime_cli.store.references import Store
from tests.support import save_picture, write_faces


def test_unreadable_files_are_named_and_counted(facelime, tmp_path):
    folder = write_faces(tmp_path / "some", 12, 24)
    (folder / "normal" / "broken.png").write_bytes(b"\x89PNG")
    result = facelime("preprocess", folder, "--size", 24)
    assert result.exit_code == 0
    assert "1 of 13 files" in result.stderr
    assert "normal/broken.png" in result.stderr
    data = Store(facelime.store).resolve(result.stdout.strip())
    assert data.n == 12
    assert data.facts["unreadable"][0]["file"] == "normal/broken.png"
    assert "--strict" in facelime.fails("preprocess", folder, "--size", 20, "--strict")


def odd_files(folder):
    """Put into a folder of pictures whatever is none, and return what must be said of each."""
    (folder / "empty.png").write_bytes(b"")
    os.mkfifo(folder / "normal" / "pipe.png")
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "round.png").symlink_to("round.png")
    (folder / "class-gone").symlink_to("nowhere")
    (folder / "folder.jpg").mkdir()
    (folder / "notes").symlink_to("nothing.txt")
    (folder / "up").symlink_to(folder)
    (folder / "normal2").symlink_to("normal")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")).write_bytes(b"")
    (folder / "readme.txt").symlink_to("nothing.txt")
    return {
        "empty.png": "not a picture",
        "normal/pipe.png": "is a named pipe",
        "device.png": "is a device",
        "gone.png": "no such file",
        "round.png": "too many",
        "class-gone/": "a link that leads nowhere",
        "notes/": "a link that leads nowhere",
        "folder.jpg/": "an empty folder",
        "normal2/": "the same folder as normal,",
        "caf\\xe9.png": "not UTF-8",
    }


def test_whatever_cannot_be_read_is_named_and_counted(facelime, tmp_path):
    folder = write_faces(tmp_path / "some", 6, 24)
    wanted = odd_files(folder)
    result = facelime("preprocess", folder, "--size", 24, "--workers", 1)
    assert result.exit_code == 0, result.stderr
    assert f"{len(wanted)} of {6 + len(wanted)} files cannot be read" in result.stderr
    assert f"and {len(wanted) - 5} more" in result.stderr
    data = Store(facelime.store).resolve(result.stdout.strip())
    assert data.n == 6
    found = {each["file"]: each["reason"] for each in data.facts["unreadable"]}
    assert found.keys() == wanted.keys()
    assert all(words in found[name] for name, words in wanted.items()), found
    assert str(tmp_path) not in str(data.facts)
    assert "--strict" in facelime.fails("preprocess", folder, "--size", 20, "--strict", "--workers", 1)
    assert len(facelime.json("status")["artifacts"]) == 1


def test_what_cannot_be_read_changes_nothing_of_the_others(facelime, tmp_path):
    folder = write_faces(tmp_path / "some", 6, 24)
    words = ["preprocess", folder, "--size", 24, "--workers", 1]
    before = facelime.artifact(*words)
    odd_files(folder)
    after = facelime.artifact(*words)
    assert after.id != before.id
    assert after.content == before.content


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can become nobody")
def test_a_closed_sub_folder_is_named(command):
    # Not in pytest's own folder, which nobody else may enter.
    with TemporaryDirectory() as name:
        place = Path(name)
        folder = write_faces(place / "some", 3, 24)
        (folder / "normal" / "face-000.png").chmod(0)
        (folder / "closed" / "deeper").mkdir(parents=True)
        (folder / "closed").chmod(0)
        (place / "store").mkdir()
        for path in (place, place / "store"):
            path.chmod(0o777)
        words = ["preprocess", folder, "--size", 24, "--store", place / "store", "--workers", 1]
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        result = subprocess.run([*nobody, *command, *map(str, words)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "2 of 4 files cannot be read" in result.stderr
    assert "closed/ is a folder that cannot be opened (permission denied)" in result.stderr
    assert "normal/face-000.png permission denied" in result.stderr


ODD_NAMES = ("a\nb", "a\tb", "a\x1b[31mb", "=1+1", "-rf", "x..", "é" * 120, "\u202egnp", 'a,b"c', "%s", "A", "a")
"""Names that a file system allows, and that some programs do not."""


def test_names_that_are_unusual(facelime, tmp_path):
    folder = tmp_path / "some"
    for number, name in enumerate(ODD_NAMES):
        save_picture(folder / name / f"{name}.png", draw(0, number, 24, flushed=False).image)
    facelime.json("preprocess", folder, "--size", 24, "--name", "odd", "--split", "100:0:0", "--workers", 1)
    wanted = sorted(f"{name}/{name}" for name in ODD_NAMES)
    words = ["--images", listing(wanted), "--method", "grid", "--segments", 4, "--workers", 1]
    assert facelime.artifact("segment", "odd", *words).texts("id") == wanted
    inside = [path.relative_to(facelime.store).as_posix() for path in facelime.store.rglob("*")]
    assert not any(name in path for path in inside for name in ODD_NAMES if len(name) > 1)


def test_masks_that_cannot_be_read(facelime, tmp_path):
    folder = write_faces(tmp_path / "some", 6, 24, tmp_path / "truth")
    words = ["preprocess", folder, "--size", 24, "--workers", 1, "--truth"]
    (tmp_path / "truth" / "gone").symlink_to("nowhere")
    assert "leads nowhere" in facelime.fails(*words, tmp_path / "truth")
    (tmp_path / "truth" / "gone").unlink()
    mask = tmp_path / "truth" / "normal" / "face-000.png"
    Image.new("L", (48, 24)).save(mask)
    said = facelime.fails(*words, tmp_path / "truth")
    assert "the mask of normal/face-000.png has 48×24 pixels, but the picture has 24×24" in said
    mask.unlink()
    os.mkfifo(mask)
    assert f"{mask} is a named pipe" in facelime.fails(*words, tmp_path / "truth")
    assert not facelime.json("status")["artifacts"]


@pytest.mark.parametrize(
    "words",
    [
        ("--size", 0),
        ("--size", 1),
        ("--size", 1_000_000),
        ("--split", "101"),
        ("--split", "0:0:0"),
        ("--split", "1e308:1e308:1e308"),
        ("--folds", 2),
        ("--folds", 21),
        ("--split", "1:1:1", "--folds", 3),
        ("--group-pattern", "(("),
        ("--group-pattern", ""),
        ("--group-pattern", "a{99999999999}"),
        ("--label-pattern", "(" * 5000),
        ("--contrast", "nan"),
        ("--contrast", 1e300),
        ("--crop-border", 50),
        ("--seed", -1),
        ("--workers", 10**9),
        ("--table", ""),
        ("--truth", ""),
        ("--class-names", ""),
    ],
)
def test_options_that_make_no_sense(facelime, faces, words):
    result = facelime("preprocess", faces, *words)
    assert result.exit_code == 2
    assert not result.stdout
    assert "Traceback" not in result.stderr
    assert not facelime.store.exists()


def test_an_empty_source_is_not_the_current_folder(facelime, faces, monkeypatch):
    monkeypatch.chdir(faces)
    assert "SOURCE is empty" in facelime.fails("preprocess", "", code=2)
    assert "DATASET is empty" in facelime.fails("segment", "", code=2)
    result = CliRunner().invoke(app, ["status", "--store", ""])
    assert (result.exit_code, result.stderr.startswith("error: --store is empty")) == (2, True)
    assert not facelime.store.exists()


def test_more_folds_than_groups(facelime, faces):
    said = facelime.fails("preprocess", faces, "--size", 16, "--workers", 1, "--folds", 12, "--group-pattern", r"(\d)$")
    assert "--folds 12" in said
    assert "in 10;" in said
    assert not facelime.json("status")["artifacts"]


def test_an_expression_that_never_ends(facelime, faces, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LONGEST_MATCH", 0.2)
    picture = shutil.copy(faces / "normal" / "face-000.png", tmp_path / f"{'a' * 60}.png")
    for option in ("--group-pattern", "--label-pattern"):
        said = facelime.fails("preprocess", picture, "--size", 16, option, "^(a+)+b$")
        assert f"{option} " in said
        assert "takes more than" in said
    assert not facelime.json("status")["artifacts"]


def test_padding_that_would_fill_the_memory(facelime, tmp_path):
    folder = write_faces(tmp_path / "some", 2, 24)
    Image.new("1", (1, 20_000)).save(folder / "long.png")
    result = facelime("preprocess", folder, "--size", 24, "--fit", "pad", "--split", "100:0:0")
    assert "long.png has 1×20000 pixels, which --fit pad makes a square" in result.stderr
    assert facelime.artifact("preprocess", folder, "--size", 24, "--split", "100:0:0").n == 3


@pytest.mark.long
def test_a_picture_that_does_not_fit_into_memory(command, facelime, tmp_path):
    folder = write_faces(tmp_path / "some", 2, 24)
    Image.new("1", (13_000, 13_000)).save(folder / "vast.png")
    words = ["preprocess", folder, "--size", 24, "--store", facelime.store]
    limit = partial(resource.setrlimit, resource.RLIMIT_AS, (2**30, 2**30))
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [*command, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    assert "vast.png does not fit into the memory" in result.stderr
    assert "DecompressionBomb" not in result.stderr


@pytest.mark.long
def test_one_bit_takes_as_long_as_eight(tmp_path):
    """Both are measured by the processor's time of one run each, so that the machine's load does not count."""
    seconds = {}
    for mode in ("L", "1"):
        path = tmp_path / f"{mode}.png"
        Image.new(mode, (12_000, 12_000)).save(path)
        begun = time.process_time()
        task = (path, ".png", None, {})
        assert not isinstance(looking._measure(task), looking.Skipped)
        seconds[mode] = time.process_time() - begun
    assert seconds["1"] < 1.5 * seconds["L"], seconds


def test_labels_splits_and_groups(facelime, tmp_path):
    folder = write_faces(tmp_path / "some", 60, 24)
    data = facelime.artifact("preprocess", folder, "--size", 24, "--group-pattern", r"face-(\d\d)")
    assert data.facts["classes"] == ["normal", "rosacea"]
    assert [each.split("/")[0] for each in data.texts("id")] == [
        data.facts["classes"][label] for label in data.read("labels")
    ]
    groups, split = data.texts("group"), data.read("split")
    assert all(len({int(split[i]) for i, g in enumerate(groups) if g == group}) == 1 for group in set(groups))
    assert set(split.tolist()) == {0, 1, 2}


def test_a_flat_folder_has_no_labels_and_no_splits(facelime, faces):
    data = facelime.artifact("preprocess", faces / "normal", "--size", 24)
    assert set(data.read("labels").tolist()) == {-1}
    assert set(data.read("split").tolist()) == {-1}


def test_train_and_test_folders_are_kept(facelime, tmp_path):
    for part, count in (("train", 8), ("test", 4)):
        write_faces(tmp_path / "some" / part, count, 24)
    data = facelime.artifact("preprocess", tmp_path / "some", "--size", 24)
    assert data.facts["classes"] == ["normal", "rosacea"]
    assert np.bincount(data.read("split"), minlength=3).tolist() == [8, 0, 4]
    assert "is already divided" in facelime.fails("preprocess", tmp_path / "some", "--size", 24, "--split", "1:1:1")


def test_loose_pictures_and_equal_stems(facelime, tmp_path):
    folder = write_faces(tmp_path / "some", 6, 24)
    face = Image.open(folder / "normal" / "face-000.png")
    face.save(folder / "loose.png")
    face.convert("RGB").save(folder / "normal" / "face-000.jpg")
    result = facelime("preprocess", folder, "--size", 24, "--name", "x")
    assert "1 pictures have no class" in result.stderr
    data = Store(facelime.store).resolve("x")
    assert {"loose", "normal/face-000.png", "normal/face-000.jpg", "normal/face-002"} < set(data.texts("id"))


def test_what_changes_in_the_source_changes_the_artifact(facelime, tmp_path):
    folder = write_faces(tmp_path / "some", 6, 24)
    first = facelime.artifact("preprocess", folder, "--size", 24)
    (tmp_path / "some").rename(tmp_path / "moved")
    assert facelime.artifact("preprocess", tmp_path / "moved", "--size", 24).id == first.id
    (tmp_path / "moved" / "normal" / "face-000.png").unlink()
    assert facelime.artifact("preprocess", tmp_path / "moved", "--size", 24).id != first.id


def test_truth_masks(facelime, tmp_path):
    folder = write_faces(tmp_path / "some", 6, 24, tmp_path / "truth")
    data = facelime.artifact("preprocess", folder, "--truth", tmp_path / "truth", "--size", 24)
    flushed = data.read("truth").reshape(6, -1).any(axis=1)
    assert flushed.tolist() == [each.startswith("rosacea") for each in data.texts("id")]
    assert set(np.unique(data.read("truth")).tolist()) == {0, 1}


def test_many_pictures_go_through_worker_processes_with_the_same_bits(facelime, tmp_path, faces):
    one = facelime.artifact("preprocess", faces, "--size", 24, "--workers", 1)
    store = facelime.store
    facelime.store = tmp_path / "other"
    two = facelime.artifact("preprocess", faces, "--size", 24, "--workers", 2)
    assert store != facelime.store
    assert one.content == two.content


def test_a_kill_leaves_what_is_done(facelime, command, tmp_path):
    folder = write_faces(tmp_path / "some", 128, 40)
    words = ["preprocess", str(folder), "--size", "700", "--workers", "1", "--store", str(facelime.store)]
    process = subprocess.Popen([*command, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not list(facelime.store.glob("datasets/some-*/units/0*.json")) and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.wait()
    artifact = Store(facelime.store).resolve("some", ("datasets",))
    done = artifact.done()
    assert 0 < len(done) < artifact.n_units
    before = {unit: (artifact.path / "arrays.zarr" / "images" / f"c.{unit}.0.0.0").stat().st_mtime_ns for unit in done}
    again = facelime.artifact(*words[:-2])
    assert again.id == artifact.id
    assert all(
        (artifact.path / "arrays.zarr" / "images" / f"c.{unit}.0.0.0").stat().st_mtime_ns == before[unit]
        for unit in done
    )
