"""Where pictures come from: tables, DICOM, arrays; and what could leak."""

import csv
import json

import numpy as np
import pydicom
import pytest
from PIL import Image

from facelime_cli import preparing, sources
from facelime_cli.console import Console
from facelime_cli.core import images, leakage
from facelime_cli.engine import Context, find
from facelime_cli.store.references import Store
from tests.support import STAGES, write_faces, write_scan

SIZE = 32


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def lesions(tmp_path):
    """A table in HAM10000's layout: 60 pictures of 40 lesions in two folders."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(60):
        name = f"ISIC_{number:07d}"
        save(
            tmp_path / f"part_{number % 2}" / "images" / f"{name}.jpg",
            rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8),
        )
        age = "" if number == 5 else str(30.0 + number)
        rows.append(
            {
                "lesion_id": f"HAM_{number % 40}",
                "image_id": name,
                "dx": ("nv", "mel")[number % 40 % 2],
                "age": age,
                "sex": ("male", "female")[number % 3 == 0],
            }
        )
    write_table(tmp_path / "metadata.csv", rows)
    return tmp_path, rows


def write_table(path, rows):
    with path.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def words(folder):
    return [
        "preprocess",
        folder / "part_0",
        folder / "part_1",
        "--table",
        folder / "metadata.csv",
        "--label-column",
        "dx",
        "--group-column",
        "lesion_id",
        "--size",
        SIZE,
    ]


class TestTable:
    def test_pictures_are_found_by_id_in_several_folders(self, facelime, lesions):
        folder, rows = lesions
        data = facelime.artifact(*words(folder))
        assert data.texts("id") == [row["image_id"] for row in rows]
        assert data.texts("group") == [row["lesion_id"] for row in rows]
        assert [data.facts["classes"][label] for label in data.read("labels")] == [row["dx"] for row in rows]
        split = data.read("split")
        assert all(
            len({int(split[i]) for i, row in enumerate(rows) if row["lesion_id"] == group}) == 1
            for group in {row["lesion_id"] for row in rows}
        )

    def test_further_columns_become_arrays(self, facelime, lesions):
        folder, rows = lesions
        data = facelime.artifact(*words(folder))
        ages = data.read("table/age")
        assert np.isnan(ages[5])
        assert np.delete(ages, 5).tolist() == [float(row["age"]) for row in rows if row["age"]]
        assert data.texts("table/sex") == [row["sex"] for row in rows]

    def test_one_per_group_and_long_names(self, facelime, lesions):
        folder, _ = lesions
        (folder / "names.csv").write_text('nv,"nevus, melanocytic"\nmel,melanoma\n')
        data = facelime.artifact(*words(folder), "--one-per-group", "--class-names", folder / "names.csv")
        assert data.n == 40
        assert data.facts["classes"] == ["melanoma", "nevus, melanocytic"]

    def test_a_table_that_holds_each_picture_three_times_holds_it_once(self, facelime, lesions):
        """The skin system's mistake: 16,542 rows for 5,514 pictures, split at random."""
        folder, rows = lesions
        once = facelime.artifact(*words(folder))
        write_table(folder / "metadata.csv", rows * 3)
        assert facelime.artifact(*words(folder)).id == once.id

    def test_what_the_table_says_is_in_the_fingerprint(self, facelime, lesions):
        folder, rows = lesions
        first = facelime.artifact(*words(folder))
        rows[3]["age"] = "99"
        write_table(folder / "metadata.csv", rows)
        assert facelime.artifact(*words(folder)).id != first.id

    def test_mistakes(self, facelime, lesions):
        folder, rows = lesions
        assert "no column" in facelime.fails(*words(folder)[:-2], "--id-column", "name", code=2)
        assert "dx" in facelime.fails(*words(folder)[:-6], "--label-column", "diagnosis", code=2)
        facelime.fails("preprocess", folder, "--label-column", "dx", code=2)
        facelime.fails(*words(folder)[:5], "--one-per-group", code=2)
        write_table(folder / "metadata.csv", [*rows, rows[0] | {"dx": "mel"}])
        assert "say different things" in facelime.fails(*words(folder))
        write_table(folder / "metadata.csv", [*rows, rows[0] | {"image_id": "ISIC_9"}])
        assert "ISIC_9" in facelime.fails(*words(folder))


class TestDicom:
    ramp = np.linspace(0, 4000, 64).round().astype(np.uint16).reshape(8, 8)

    def test_a_window_is_applied_after_rescaling(self, tmp_path):
        found = images.decode(
            write_scan(
                tmp_path / "a.dcm",
                self.ramp,
                RescaleSlope=2,
                RescaleIntercept=-1000,
                WindowCenter=1000,
                WindowWidth=2001,
            )
        )
        values = self.ramp * 2.0 - 1000
        wanted = np.clip(((values - (1000 - 0.5)) / 2000 + 0.5) * 255, 0, 255)
        assert np.abs(found[..., 0] - wanted).max() < 1
        assert np.array_equal(found[..., 0], found[..., 2])

    def test_monochrome1_is_inverted(self, tmp_path):
        both = [
            images.decode(write_scan(tmp_path / f"{kind}.dcm", self.ramp, kind))[..., 0].astype(int)
            for kind in ("MONOCHROME1", "MONOCHROME2")
        ]
        assert np.abs(both[0] + both[1] - 255).max() <= 1
        assert both[1][0, 0] == 0
        assert both[1][-1, -1] == 255

    def test_several_frames_are_refused_with_a_sentence(self, tmp_path):
        with pytest.raises(images.UnreadableError, match="2 frames"):
            images.decode(write_scan(tmp_path / "a.dcm", np.stack([self.ramp, self.ramp]), NumberOfFrames=2))

    def test_what_is_no_dicom(self, tmp_path):
        (tmp_path / "a.dcm").write_bytes(b"nothing")
        with pytest.raises(images.UnreadableError):
            images.decode(tmp_path / "a.dcm")

    def test_a_plan_begins_no_store(self, facelime, tmp_path):
        """The secret that patients are hashed with is drawn, but only a run keeps it."""
        write_scan(tmp_path / "scans" / "a.dcm", self.ramp)
        stage, store = STAGES["preprocess"], Store(facelime.store)
        console = Console(quiet=True, as_json=False)
        params = stage.params(source=[tmp_path / "scans"], size=16)
        assert find(stage, params, Context(store, console)).artifact is None
        assert not facelime.store.exists()
        made = facelime.artifact("preprocess", tmp_path / "scans", "--size", 16)
        found = find(stage, params, Context(Store(facelime.store), console)).artifact
        assert found.id == made.id

    def test_patients_stay_together_and_nobody_is_named(self, facelime, tmp_path):
        rng = np.random.default_rng(0)
        for number in range(24):
            write_scan(
                tmp_path / "scans" / ("ill", "well")[number % 2] / f"{number}.dcm",
                rng.integers(0, 4096, (8, 8)),
                PatientID=f"patient-{number // 4}",
            )
        data = facelime.artifact("preprocess", tmp_path / "scans", "--size", 16)
        groups = data.texts("group")
        assert len(set(groups)) == 6
        assert all(
            groups[i] == groups[j]
            for i in range(24)
            for j in range(24)
            if int(data.texts("id")[i].split("/")[1]) // 4 == int(data.texts("id")[j].split("/")[1]) // 4
        )
        for path in facelime.store.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                assert b"patient-" not in content
                assert b"Doe" not in content
        assert pydicom.__version__


class TestArrays:
    def test_medmnists_keys(self, facelime, tmp_path):
        rng = np.random.default_rng(0)
        parts = {
            f"{part}_{what}": rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
            if what == "images"
            else rng.integers(0, 3, (n, 1))
            for part, n in (("train", 30), ("val", 10), ("test", 8))
            for what in ("images", "labels")
        }
        np.savez_compressed(tmp_path / "med.npz", **parts)
        data = facelime.artifact("preprocess", tmp_path / "med.npz", "--size", 28)
        assert np.bincount(data.read("split")).tolist() == [30, 10, 8]
        row = data.texts("id").index("val/000003")
        assert np.array_equal(data.read("images", [row])[0, ..., 1], parts["val_images"][3])
        assert data.facts["classes"][data.read("labels")[row]] == str(parts["val_labels"][3, 0])

    def test_other_arrays_are_a_sentence(self, facelime, tmp_path):
        np.savez(tmp_path / "x.npz", pictures=np.zeros(3))
        assert "MedMNIST" in facelime.fails("preprocess", tmp_path / "x.npz")
        (tmp_path / "y.npz").write_bytes(b"nothing")
        facelime.fails("preprocess", tmp_path / "y.npz")


def test_folds_are_of_equal_size_and_keep_groups_together(facelime, faces):
    data = facelime.artifact("preprocess", faces, "--size", 16, "--folds", 5, "--group-pattern", r"(\d)$")
    fold, groups = data.read("fold"), data.texts("group")
    assert np.bincount(fold).max() - np.bincount(fold).min() <= 4
    assert all(len({int(fold[i]) for i, each in enumerate(groups) if each == group}) == 1 for group in set(groups))
    assert np.array_equal(data.read("split") == 2, fold == 0)


def test_subtypes_from_the_file_name(facelime, tmp_path):
    rng = np.random.default_rng(0)
    for name in (
        "person1_bacteria_1",
        "person2_virus_2",
        "IM-0001-0001",
        "NORMAL2-IM-0003-0001",
        "BACTERIA-30629-0001",
        "VIRUS-30630-0001",
        "NORMAL-28501-0001",
    ):
        save(tmp_path / "x" / f"{name}.png", rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    data = facelime.artifact(
        "preprocess", tmp_path / "x", "--size", 16, "--label-pattern", "kermany", "--group-pattern", "kermany"
    )
    labels = dict(zip(data.texts("id"), (data.facts["classes"][label] for label in data.read("labels")), strict=True))
    assert {label for name, label in labels.items() if "acteria" in name.lower()} == {"bacteria"}
    assert {label for name, label in labels.items() if "virus" in name.lower()} == {"virus"}
    assert labels["NORMAL2-IM-0003-0001"] == labels["IM-0001-0001"] == labels["NORMAL-28501-0001"] == "normal"


class TestLeakage:
    """Each leak of the published systems is planted, and has to be reported."""

    def sentences(self, facelime, *words):
        data = facelime.artifact("preprocess", *words)
        leaks = data.facts["leakage"]
        assert leaks["marked"] == bool(leaks["sentences"])
        return leaks

    def clean(self, folder, count=80):
        return write_faces(folder, count, 48)

    def test_drawn_faces_have_none(self, facelime, tmp_path):
        assert self.sentences(facelime, self.clean(tmp_path / "f"), "--size", 32)["sentences"] == []

    def test_a_patient_in_two_parts(self, facelime, tmp_path):
        for part in ("train", "test"):
            self.clean(tmp_path / "f" / part, 20)
        leaks = self.sentences(facelime, tmp_path / "f", "--size", 32, "--group-pattern", r"face-(\d+)")
        assert len(leaks["groups_across_parts"]) == 20
        assert any("more than one split" in each for each in leaks["sentences"])
        assert leaks["exact"]["across_parts"] == 20

    def test_a_copy_in_another_part_even_when_scaled_and_recompressed(self, facelime, tmp_path):
        folder = self.clean(tmp_path / "f", 40)
        for number in range(0, 40, 2):
            original = Image.open(folder / "normal" / f"face-{number:03d}.png")
            original.resize((96, 96)).save(folder / "normal" / f"copy-{number:03d}.jpg", quality=85)
        leaks = self.sentences(facelime, folder, "--size", 32)
        assert leaks["near"]["pairs"] >= 16
        assert leaks["near"]["across_parts"] > 0
        assert any("nearly the same picture" in each for each in leaks["sentences"])

    def test_one_picture_with_two_labels(self, facelime, tmp_path):
        folder = self.clean(tmp_path / "f", 40)
        Image.open(folder / "normal" / "face-000.png").save(folder / "rosacea" / "same.png")
        leaks = self.sentences(facelime, folder, "--size", 32)
        assert leaks["exact"]["different_labels"] == 1

    def planted(self, folder, change):
        self.clean(folder)
        for path in sorted((folder / "rosacea").iterdir()):
            Image.fromarray(change(np.asarray(Image.open(path)).copy())).save(path)
        return folder

    def test_contrast_doubled_for_one_class(self, facelime, tmp_path):
        folder = self.planted(
            tmp_path / "f", lambda image: np.clip((image.astype(float) - 127.5) * 2 + 127.5, 0, 255).astype(np.uint8)
        )
        rule = self.sentences(facelime, folder, "--size", 32)["trivial_rule"]
        assert rule["separates"]
        assert rule["balanced_accuracy"] > 0.9

    def test_a_marker_in_the_corner_of_one_class(self, facelime, tmp_path):
        def marked(image):
            image[2:8, 2:5] = 255
            image[2:4, 5:8] = 255
            return image

        leaks = self.sentences(facelime, self.planted(tmp_path / "f", marked), "--size", 32)
        assert leaks["trivial_rule"]["separates"]

    def test_the_report_of_every_explanation_says_so(self, facelime, tmp_path):
        facelime.json(
            "preprocess", self.planted(tmp_path / "f", lambda image: image // 2), "--size", 32, "--name", "dark"
        )
        facelime.json("finetune", "dark", "--backbone", "cnn-small", "--epochs", 1, "--name", "m")
        report = facelime.artifact(
            "explain", "dark", "--model", "m", "--split", "test", "--first", 1, "--method", "slic", "--samples", 20
        )
        assert "Leakage in the dataset" in (report.path / "index.html").read_text(encoding="utf-8")

    def test_real_pictures_of_different_people_are_not_taken_for_the_same(self, data):
        found = [
            leakage.traits(images.decode(path), path.suffix) for path in sorted((data / "faces" / "normal").iterdir())
        ]
        assert leakage.near_pairs(found) == []


def test_a_kill_does_not_lose_the_first_look_at_the_files(facelime, tmp_path, monkeypatch):
    """With more files than are kept together, a second attempt measures only what the first had not kept."""
    monkeypatch.setattr(preparing, "CHECKED_TOGETHER", 5)
    folder = write_faces(tmp_path / "some", 12, 24)
    key = preparing.source_digest(sources.find([folder], None))
    data = facelime.artifact("preprocess", folder, "--size", 24)
    assert not list((facelime.store / "datasets").glob(".before-*"))
    facelime("remove", f"datasets/{data.id}", "--yes")
    kept = Store(facelime.store).scratch("datasets", key)
    (kept / "000000.json").write_text(json.dumps({"measured": ["is broken in this test"] * 5}))
    again = facelime("preprocess", folder, "--size", 24)
    assert "5 of 12 files cannot be read" in again.stderr
    assert Store(facelime.store).resolve(again.stdout.strip()).n == 7
    assert not kept.exists()


def test_table_columns_with_names_that_no_array_can_have(facelime, lesions):
    folder, rows = lesions
    odd = ["..", "zarr.json", "", "a/b", "__x", "Age", "age"]
    write_table(folder / "metadata.csv", [{**row, **dict.fromkeys(odd, "1")} for row in rows])
    data = facelime.artifact(*words(folder))
    assert len(data.facts["columns"]) == len(odd) + 1
    assert {"a_b", "unnamed", "Age", "age_2"} <= set(data.facts["columns"])
    assert all(data.read(f"table/{name}").shape == (data.n,) for name in data.facts["columns"])


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "VAL", "Test")])
def test_part_folders_whatever_their_case(facelime, tmp_path, names):
    for place, name in enumerate(names):
        for label in "ab":
            save(tmp_path / name / label / "x.png", np.full((20, 20, 3), 10 * place + 3, np.uint8))
    data = facelime.artifact("preprocess", tmp_path, "--size", 16)
    assert data.facts["classes"] == ["a", "b"]
    assert sorted(data.read("split").tolist()) == [0, 0, 1, 1, 2, 2]


def test_part_folders_with_something_beside_them(facelime, tmp_path):
    for name in ("train/a", "train/b", "test/a", "test/b", "train"):
        save(tmp_path / name / "x.png", np.full((20, 20, 3), len(name), np.uint8))
    assert "no class folder" in facelime.fails("preprocess", tmp_path, "--size", 16)


def test_pictures_without_a_class_are_in_no_part_that_could_leak(facelime, tmp_path):
    rng = np.random.default_rng(3)
    for number in range(10):
        save(tmp_path / "ab"[number % 2] / f"{number}.png", rng.integers(0, 256, (20, 20, 3), dtype=np.uint8))
    for number in range(0, 6, 2):
        (tmp_path / f"beside{number}.png").write_bytes((tmp_path / "a" / f"{number}.png").read_bytes())
    leaks = facelime.artifact("preprocess", tmp_path, "--size", 16).facts["leakage"]
    assert leaks["exact"]["pairs"] == 3
    assert (leaks["exact"]["across_parts"], leaks["exact"]["different_labels"]) == (0, 0)
