"""Several findings per picture: from the source to the explanation."""

import numpy as np
import pytest

from facelime_cli.core import labels
from facelime_cli.store.pictures import is_multilabel
from tests.support import write_findings


class TestDataset:
    def test_a_file_of_arrays_with_several_columns(self, facelime, tmp_path):
        path = write_findings(tmp_path / "marks.npz")
        data = facelime.artifact("preprocess", path, "--size", 48)
        said = np.concatenate([np.load(path)[f"{split}_labels"] for split in ("test", "train", "val")])
        assert data.read("labels").dtype == np.int8
        np.testing.assert_array_equal(data.read("labels"), said)
        assert is_multilabel(data)
        assert data.facts["classes"] == ["0", "1", "2"]
        assert data.facts["counts"]["1"]["validation"] == (np.load(path)["val_labels"][:, 1] == 1).sum()

    def test_a_dataset_of_classes_says_nothing_of_findings(self, facelime, faces):
        data = facelime.artifact("preprocess", faces, "--size", 16)
        assert not is_multilabel(data)
        assert "multilabel" not in data.facts

    @pytest.mark.parametrize("strange", [2, -2, 0.5, np.nan])
    def test_other_numbers_are_a_sentence(self, facelime, tmp_path, strange):
        said = np.array([[0, 1], [1, strange], [0, 0]])
        np.savez(tmp_path / "x.npz", train_images=np.zeros((3, 8, 8), np.uint8), train_labels=said)
        message = facelime.fails("preprocess", tmp_path / "x.npz", "--size", 16)
        assert f"the label {float(said[1, 1])!r} of picture 1" in message or f"the label {strange!r}" in message

    def test_classes_beside_findings_are_a_sentence(self, facelime, tmp_path):
        pictures = np.zeros((3, 8, 8), np.uint8)
        parts = {"train_images": pictures, "train_labels": np.zeros((3, 2), int), "test_images": pictures}
        np.savez(tmp_path / "x.npz", **parts, test_labels=np.zeros((3, 1), int))
        assert "several findings" in facelime.fails("preprocess", tmp_path / "x.npz", "--size", 16)


def test_unknown_findings_are_neither_present_nor_absent():
    said = np.array([[1, 0], [-1, 1], [-1, -1]], np.int8)
    assert labels.labelled(said).tolist() == [True, True, False]
    assert labels.having(said, 0).tolist() == [True, False, False]
    assert labels.lacking(said, 0).tolist() == [False, False, False]
    assert labels.lacking(said, 1).tolist() == [True, False, False]
