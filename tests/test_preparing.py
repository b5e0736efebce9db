"""Preparing a dataset: patients, folds, classes from file names, and what a kill leaves of the first look."""

import json

import numpy as np
import pydicom
import pytest

from facelime_cli import sources
from facelime_cli.errors import FacelimeError
from facelime_cli.preparing import looking, pictures
from facelime_cli.store.references import Store
from tests.support import save_picture, write_faces, write_scan


def test_patients_stay_together_and_nobody_is_named(facelime, tmp_path):
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
        save_picture(tmp_path / "x" / f"{name}.png", rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    data = facelime.artifact(
        "preprocess", tmp_path / "x", "--size", 16, "--label-pattern", "kermany", "--group-pattern", "kermany"
    )
    labels = dict(zip(data.texts("id"), (data.facts["classes"][label] for label in data.read("labels")), strict=True))
    assert {label for name, label in labels.items() if "acteria" in name.lower()} == {"bacteria"}
    assert {label for name, label in labels.items() if "virus" in name.lower()} == {"virus"}
    assert labels["NORMAL2-IM-0003-0001"] == labels["IM-0001-0001"] == labels["NORMAL-28501-0001"] == "normal"


KERMANY = ("person1_bacteria_1", "person1_bacteria_2", "person2_virus_2", "IM-0001-0001", "IM-0001-0002")


def write_kermany(folder):
    """Write pictures into the two folders of Kermany's set, under its names."""
    rng = np.random.default_rng(0)
    for name in KERMANY:
        place = folder / ("NORMAL" if name.startswith("IM") else "PNEUMONIA") / f"{name}.png"
        save_picture(place, rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    return folder


@pytest.mark.parametrize("option", ["--label-pattern", "--subtype-pattern"])
def test_who_reads_labels_by_a_named_pattern_reads_patients_too(facelime, tmp_path, option):
    folder = write_kermany(tmp_path / "x")
    result = facelime("preprocess", folder, "--size", 16, option, "kermany")
    assert "patients are read from the file names (--group-pattern kermany)" in result.stderr
    data = Store(facelime.store).resolve(result.stdout.strip())
    assert data.facts["groups"] == 3
    # With a rule of its own for groups, nothing is added.
    other = facelime.artifact("preprocess", folder, "--size", 16, option, "kermany", "--group-pattern", "(.*)")
    assert other.facts["groups"] == len(KERMANY)


def test_a_subtype_stands_beside_the_class(facelime, tmp_path):
    folder = write_kermany(tmp_path / "x")
    data = facelime.artifact("preprocess", folder, "--size", 16, "--subtype-pattern", "kermany")
    assert data.facts["classes"] == ["NORMAL", "PNEUMONIA"]
    assert data.facts["columns"] == ["subtype"]
    subtypes = {
        each.rpartition("/")[2]: told for each, told in zip(data.texts("id"), data.texts("table/subtype"), strict=True)
    }
    assert [subtypes[name] for name in KERMANY] == ["bacteria", "bacteria", "virus", "normal", "normal"]
    plain = facelime.artifact("preprocess", folder, "--size", 16, "--group-pattern", "kermany")
    assert plain.id != data.id
    assert plain.facts["columns"] == []


def test_a_subtype_does_not_replace_a_column(facelime, tmp_path):
    folder = write_kermany(tmp_path / "x")
    table = tmp_path / "table.csv"
    table.write_text("image_id,kind,subtype\n" + "".join(f"{name},a,b\n" for name in KERMANY))
    words = ("preprocess", folder, "--size", 16, "--table", table, "--subtype-pattern", "kermany")
    assert "the table has one already" in facelime.fails(*words, code=2)


def test_a_kill_does_not_lose_the_first_look_at_the_files(facelime, tmp_path, monkeypatch):
    """With more files than are kept together, a second attempt measures only what the first had not kept."""
    monkeypatch.setattr(looking, "CHECKED_TOGETHER", 5)
    folder = write_faces(tmp_path / "some", 12, 24)
    key = looking.source_digest(sources.find([folder]))
    data = facelime.artifact("preprocess", folder, "--size", 24)
    assert not list((facelime.store / "datasets").glob(".before-*"))
    facelime("remove", f"datasets/{data.id}", "--yes")
    kept = Store(facelime.store).scratch("datasets", key)
    broken = {"form": looking.KEPT_FORM, "measured": [{"reason": "is broken in this test", "short": "broken"}] * 5}
    (kept / "000000.json").write_text(json.dumps(broken))
    again = facelime("preprocess", folder, "--size", 24)
    assert "5 of 12 files cannot be read" in again.stderr
    assert Store(facelime.store).resolve(again.stdout.strip()).n == 7
    assert not kept.exists()


def test_a_picture_that_vanishes_in_between_is_named(tmp_path):
    with pytest.raises(FacelimeError, match=r"gone\.png no such file or directory; repeat"):
        pictures.prepare_picture((tmp_path / "gone.png", {}))
