"""What a classifier could cheat with: each leak of the published systems is planted, and has to be reported."""

import numpy as np
import pytest
from PIL import Image

from facelime_cli.core import images, leakage
from facelime_cli.core.faces import draw
from tests.support import save_picture, write_faces


class TestLeakage:
    def sentences(self, facelime, *words):
        data = facelime.artifact("preprocess", *words)
        leaks = data.facts["leakage"]
        assert leaks["marked"] == bool(leaks["sentences"])
        return leaks

    def clean(self, folder, count=80):
        return write_faces(folder, count, 48)

    def test_drawn_faces_have_none(self, facelime, tmp_path):
        assert self.sentences(facelime, self.clean(tmp_path / "f"), "--size", 32)["sentences"] == []

    def test_a_patient_in_two_splits(self, facelime, tmp_path):
        for part in ("train", "test"):
            self.clean(tmp_path / "f" / part, 20)
        leaks = self.sentences(facelime, tmp_path / "f", "--size", 32, "--group-pattern", r"face-(\d+)")
        assert len(leaks["groups_across_parts"]) == 20
        assert any("more than one split" in each for each in leaks["sentences"])
        assert leaks["exact"]["across_parts"] == 20

    def test_a_copy_in_another_split_even_when_scaled_and_recompressed(self, facelime, tmp_path):
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

    @pytest.mark.long
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
        assert list(leakage.near_pairs(found)) == []

    @pytest.mark.parametrize("count", [200, 100, 1])
    def test_near_pairs_are_those_that_comparing_all_with_all_finds(self, rng, count):
        found = []
        for number in range(count):
            picture = draw(0, number // 2, 32, flushed=False).image
            changed = picture + rng.integers(-6, 7, picture.shape)
            if number % 7 == 0:  # blank pictures, which are many pairs
                changed = np.full_like(picture, rng.integers(0, 12))
            found.append(leakage.traits(changed.clip(0, 255).astype(np.uint8), ".png"))
        hashes = np.array([np.unpackbits(np.frombuffer(each.near, np.uint8)) for each in found])
        thumbnails = np.array([np.frombuffer(each.thumbnail, np.uint8) for each in found]).astype(float)
        bits = (hashes[:, None] != hashes[None]).sum(axis=-1)
        apart = np.sqrt(((thumbnails[:, None] - thumbnails[None]) ** 2).mean(axis=-1))
        every = np.argwhere(np.triu((bits <= leakage.NEAR_BITS) & (apart <= leakage.NEAR_LEVELS), 1))
        assert len(every) > count // 2 - 1
        assert list(leakage.near_pairs(found)) == [tuple(pair) for pair in every.tolist()]

    def test_the_worst_pairs_are_named_first_and_each_once(self):
        pairs = [(0, 1), (2, 3), (4, 5), (6, 7), (0, 7), (8, 9), (10, 11)]
        split = np.array([0, 0, 0, 1, 0, 0, -1, 1, 2, 2, 0, 0])
        labels = np.array([0, 1, 0, 0, 0, 0, 1, 0, -1, 1, 0, 0])
        found = leakage._pairs(iter(pairs), "abcdefghijkl", labels, split)
        assert found == {
            "pairs": 7,
            "across_parts": 2,
            "different_labels": 2,
            "examples": [["c", "d"], ["a", "h"], ["a", "b"], ["g", "h"], ["e", "f"]],
        }


def test_pictures_without_a_class_are_in_no_split_that_could_leak(facelime, tmp_path):
    rng = np.random.default_rng(3)
    for number in range(10):
        save_picture(tmp_path / "ab"[number % 2] / f"{number}.png", rng.integers(0, 256, (20, 20, 3), dtype=np.uint8))
    for number in range(0, 6, 2):
        (tmp_path / f"beside{number}.png").write_bytes((tmp_path / "a" / f"{number}.png").read_bytes())
    leaks = facelime.artifact("preprocess", tmp_path, "--size", 16).facts["leakage"]
    assert leaks["exact"]["pairs"] == 3
    assert (leaks["exact"]["across_parts"], leaks["exact"]["different_labels"]) == (0, 0)
