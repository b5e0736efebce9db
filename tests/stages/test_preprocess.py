"""Preprocess: what is read, divided and kept, and what a kill leaves."""

import subprocess
import time

import numpy as np
from PIL import Image

from facelime_cli.store.references import Store
from tests.support import write_faces


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
