"""Every format on the small store of all tests; what takes a store of its own is in the files beside."""

import json

import numpy as np
import pytest
from PIL import Image

from facelime_cli.core.geometry import Placement
from facelime_cli.exporting.dicom_files import burnt_in
from facelime_cli.exporting.folders import Folder, part_of_name
from tests.support import SIZE


@pytest.mark.parametrize("form", ["png", "npy", "nifti", "coco"])
def test_a_check_goes_out_in_each_format(chain, tmp_path, form):
    words = ("--to", tmp_path / "out", "--format", form, "--classes", "rosacea")
    answer = chain.facelime.json("export", chain.reference("check"), *words)
    listed = json.loads((tmp_path / "out" / "export.json").read_text())
    surrogates, segments = chain["fit-surrogate"], chain["segment"].read("segments")
    assert [each["id"] for each in listed["maps"]] == surrogates.texts("id")
    assert answer["geometry"] == "original"
    coefficients = surrogates.read("coefficients")[:, surrogates.facts["classes"].index("rosacea")]
    for row, each in enumerate(listed["maps"]):
        path = tmp_path / "out" / each["files"][0]
        wanted = coefficients[row][segments[row]].astype(np.float32)
        assert each["seen"] == [0, 0, SIZE, SIZE]
        if form == "npy":
            assert np.array_equal(np.load(path), wanted)
        elif form == "nifti":
            values = np.frombuffer(path.read_bytes()[352:], "<f4")
            assert np.array_equal(values.reshape(SIZE, SIZE), wanted)
        elif form == "png":
            with Image.open(path) as picture:
                assert (picture.mode, picture.size) == ("RGBA", (SIZE, SIZE))
        else:
            regions = json.loads(path.read_text())["annotations"]
            found = {each["segment"]: each["area"] for each in regions if each["image_id"] == row + 1}
            assert found == {k: float((segments[row] == k).sum()) for k in range(segments[row].max() + 1)}


def test_names_of_files_are_each_their_own(tmp_path):
    folder = Folder(tmp_path)

    class Named:
        id, class_name = "../a/b", "no finding"

    first, second = folder.name(Named(), ".png"), folder.name(Named(), ".png")
    assert (first, second) == ("a_b.no_finding.png", "a_b.no_finding-2.png")
    assert part_of_name("///") == "unnamed"
    assert len(part_of_name("x" * 500)) == 80


def test_the_warning_is_in_the_pixels():
    image = np.full((40, 40, 3), 90, np.uint8)
    placement = Placement((40, 40), (400, 300), (50, 0, 350, 300))
    drawn = burnt_in(image, np.zeros((400, 300, 4), np.uint8), placement, "strong")
    assert (drawn[360:] == 0).all()
    assert (drawn[200:340] == 90).all()
    assert (drawn[:40].max(axis=(1, 2)) == 255).any()
