"""Where pictures come from: folders, tables and arrays."""

import csv
import io
import zipfile

import numpy as np
import pytest

from facelime_cli import sources
from tests.support import save_picture

SIZE = 32
PICTURES = np.arange(5 * 16, dtype=np.uint8).reshape(5, 4, 4)


@pytest.fixture
def lesions(tmp_path):
    """A table in HAM10000's layout: 60 pictures of 40 lesions in two folders."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(60):
        name = f"ISIC_{number:07d}"
        save_picture(
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
        """A mistake of a published table: 16,542 rows for 5,514 pictures, split at random."""
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

    @pytest.mark.parametrize(
        ("arrays", "said"),
        [
            ({"train_images": np.array([None, 1], dtype=object)}, "cannot be read"),
            ({"train_images": np.array(3)}, "single number"),
            ({"train_images": PICTURES, "train_labels": np.zeros((4, 1), int)}, "one label for each"),
            ({"train_images": PICTURES, "train_labels": np.zeros((10, 1), int)}, "one label for each"),
            ({"train_images": PICTURES, "train_labels": np.array(1)}, "one label for each"),
            ({"train_images": PICTURES, "train_labels": np.full(5, np.nan)}, "label nan of picture 0"),
            ({"train_images": PICTURES, "train_labels": np.array([0, 1, 2, np.inf, 3])}, "label inf of picture 3"),
            ({"train_images": PICTURES, "train_labels": np.full(5, 1.5)}, "label 1.5"),
            ({"train_images": PICTURES, "train_labels": np.array(["a"] * 5)}, "label 'a'"),
            ({"train_images": PICTURES.astype(np.float32)}, "float32"),
            ({"train_images": np.full((5, 4, 4), np.nan)}, "float64"),
            ({"train_images": np.zeros((5, 4, 4, 2), np.uint8)}, "is an array"),
            ({"train_images": np.zeros((5, 0, 4), np.uint8)}, "no pixels"),
            ({"train_images": np.zeros((5, 4), np.uint8)}, "is an array"),
            ({"train_images": np.zeros((0, 4, 4), np.uint8)}, "holds none"),
        ],
    )
    def test_arrays_that_are_no_pictures(self, facelime, tmp_path, arrays, said):
        np.savez(tmp_path / "x.npz", **arrays)
        assert said in facelime.fails("preprocess", tmp_path / "x.npz", "--size", 16)
        assert not (facelime.store / "datasets").exists() or not list((facelime.store / "datasets").glob("[!.]*"))

    def test_arrays_that_promise_more_than_they_hold(self, facelime, tmp_path, monkeypatch):
        """A header of a billion pictures with nothing behind it, and zeros that would fill the memory."""
        stream = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            stream, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 999, 999)}
        )
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.writestr("train_images.npy", stream.getvalue())
        assert "cannot be read" in facelime.fails("preprocess", tmp_path / "x.npz")
        np.savez_compressed(tmp_path / "y.npz", train_images=np.zeros((10, 1000, 1000), np.uint8))
        monkeypatch.setattr(sources, "free_memory", lambda: 9_000_000)
        assert "needs 0.0 GB" in facelime.fails("preprocess", tmp_path / "y.npz")

    def test_a_file_that_is_cut(self, facelime, tmp_path):
        np.savez_compressed(tmp_path / "x.npz", train_images=PICTURES)
        whole = (tmp_path / "x.npz").read_bytes()
        damaged = bytearray(whole)
        damaged[60:90] = bytes(30)
        for content in (b"", whole[:-30], whole[:100], bytes(damaged), b"PK\x03\x04" + bytes(50)):
            (tmp_path / "x.npz").write_bytes(content)
            facelime.fails("preprocess", tmp_path / "x.npz")

    def test_other_arrays_are_a_sentence(self, facelime, tmp_path):
        np.savez(tmp_path / "x.npz", pictures=np.zeros(3))
        assert "MedMNIST" in facelime.fails("preprocess", tmp_path / "x.npz")
        (tmp_path / "y.npz").write_bytes(b"nothing")
        facelime.fails("preprocess", tmp_path / "y.npz")


def test_a_picture_of_the_table_that_may_be_in_a_folder_which_cannot_be_read(facelime, lesions):
    folder, rows = lesions
    write_table(folder / "metadata.csv", [*rows, rows[0] | {"image_id": "ISIC_9"}])
    (folder / "part_0" / "more").symlink_to("nowhere")
    said = facelime.fails(*words(folder))
    assert "ISIC_9; it may be in" in said
    assert "part_0/more, which is a link that leads nowhere" in said


def test_table_columns_with_names_that_no_array_can_have(facelime, lesions):
    folder, rows = lesions
    odd = ["..", "zarr.json", "", "a/b", "__x", "Age", "age"]
    write_table(folder / "metadata.csv", [{**row, **dict.fromkeys(odd, "1")} for row in rows])
    data = facelime.artifact(*words(folder))
    assert len(data.facts["columns"]) == len(odd) + 1
    assert {"a_b", "unnamed", "Age", "age_2"} <= set(data.facts["columns"])
    assert all(data.read(f"table/{name}").shape == (data.n,) for name in data.facts["columns"])


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "VAL", "Test")])
def test_split_folders_whatever_their_case(facelime, tmp_path, names):
    for place, name in enumerate(names):
        for label in "ab":
            save_picture(tmp_path / name / label / "x.png", np.full((20, 20, 3), 10 * place + 3, np.uint8))
    data = facelime.artifact("preprocess", tmp_path, "--size", 16)
    assert data.facts["classes"] == ["a", "b"]
    assert sorted(data.read("split").tolist()) == [0, 0, 1, 1, 2, 2]


def test_split_folders_with_something_beside_them(facelime, tmp_path):
    for name in ("train/a", "train/b", "test/a", "test/b", "train"):
        save_picture(tmp_path / name / "x.png", np.full((20, 20, 3), len(name), np.uint8))
    assert "no class folder" in facelime.fails("preprocess", tmp_path, "--size", 16)
