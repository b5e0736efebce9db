"""Maps for other viewers: on the original pictures, with what the model said of them."""

import json
import signal
import subprocess
import sys

import nibabel
import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from PIL import Image

from facelime_cli.core.geometry import Placement
from facelime_cli.reporting.explanations import Explanations
from tests.exporting.conftest import COLUMNS, ROWS
from tests.support import SIZE
from tests.test_disk_full import failed, run

pytestmark = pytest.mark.long
PLACED = Placement((SIZE, SIZE), (ROWS, COLUMNS), (0, -(ROWS - COLUMNS) // 2, ROWS, ROWS - (ROWS - COLUMNS) // 2))
"""Where a padded scan lies."""


def exported(run, reference, to, form, *words):
    """Return the answer of an export, and the list of what it has written."""
    answer = run.json("export", reference, "--to", to, "--format", form, *words)
    return answer, json.loads((to / "export.json").read_text())


def wanted(scans, each):
    """Return explanations, picture and class of a map that is listed."""
    explanations = Explanations(scans.consensus, scans.check)
    return explanations, explanations.row(each["id"]), explanations.names.index(each["class"])


def test_arrays_hold_each_pixels_coefficient_at_the_originals_size(scans, tmp_path):
    answer, listed = exported(scans.facelime, scans.check.reference, tmp_path / "out", "npy")
    assert answer["geometry"] == listed["geometry"] == "original"
    assert answer["maps"] == len(listed["maps"]) == 8
    for each in listed["maps"]:
        values = np.load(tmp_path / "out" / each["files"][0])
        explanations, row, c = wanted(scans, each)
        coefficients = explanations.coefficients(row, c).astype(np.float32)
        # Pixel by pixel: the scan is as high as its padded square, so a pixel of the dataset is 132 / 48 of its own.
        for y in (0, 40, ROWS - 1):
            for x in (0, 33, COLUMNS - 1):
                place = int((y + 0.5) * SIZE / ROWS), int((x + 0.5 + (ROWS - COLUMNS) / 2) * SIZE / ROWS)
                assert values[y, x] == coefficients[explanations.segments(row)[place]]
        assert values.shape == (ROWS, COLUMNS)
        assert each["original"] == [ROWS, COLUMNS]


def test_volumes_hold_the_same_as_arrays_where_itk_puts_pictures(scans, tmp_path):
    """nibabel, which did not write them, reads them."""
    _, arrays = exported(scans.facelime, scans.check.reference, tmp_path / "npy", "npy")
    _, volumes = exported(scans.facelime, scans.check.reference, tmp_path / "nii", "nifti")
    for array, volume in zip(arrays["maps"], volumes["maps"], strict=True):
        values = np.load(tmp_path / "npy" / array["files"][0])
        read = nibabel.load(tmp_path / "nii" / volume["files"][0])
        assert np.array_equal(read.get_fdata(dtype=np.float32)[:, :, 0].T, np.nan_to_num(values, nan=0.0))
        assert np.array_equal(read.affine, np.diag([-1.0, -1.0, 1.0, 1.0]))
        assert np.array_equal(read.get_qform(), read.get_sform())
        assert read.header.get_xyzt_units()[0] == "mm"
        assert read.header["descrip"].item().decode().endswith("not for diagnostic use")


def test_each_map_says_what_the_check_found(scans, tmp_path):
    _, listed = exported(scans.facelime, scans.check.reference, tmp_path / "out", "png")
    assert listed["check"]["content"] == scans.check.content
    assert listed["use"] == "not for diagnostic use"
    for each in listed["maps"]:
        explanations, row, c = wanted(scans, each)
        assert each["verdict"] == explanations.verdict(row, c)
        found = explanations.confirmation(row, c)
        assert each["effect"] == (None if found is None else found.mean_effect)
        if each["verdict"] in {"strong", "fair"}:
            together = explanations.check.strongest(row, c)[: found.number]
            low = explanations.interval(row, c)[0][:, 0]
            assert each["confirmed"] == [k for k in together if low[k] > 0] != []
        else:
            assert each["confirmed"] == []
    unchecked = scans.facelime("export", scans.consensus.reference, "--to", tmp_path / "x", "--format", "png")
    assert "not checked by the model" in unchecked.stderr


def test_overlays_are_transparent_and_tint_the_strongest(scans, tmp_path):
    _, listed = exported(scans.facelime, scans.check.reference, tmp_path / "out", "png")
    for each in listed["maps"]:
        with Image.open(tmp_path / "out" / each["files"][0]) as picture:
            assert picture.mode == "RGBA"
            drawn = np.asarray(picture)
        explanations, row, c = wanted(scans, each)
        coefficients = explanations.coefficients(row, c)
        segments = PLACED.restored(explanations.segments(row), outside=0)
        ranked = np.argsort(-np.abs(coefficients), kind="stable")
        strongest, weakest = ranked[0], ranked[10:]
        assert (drawn[segments == strongest][:, 3] > 0).all()
        assert (drawn[np.isin(segments, weakest)][:, 3] == 0).all()
        red, _, blue = drawn[segments == strongest][:, :3].mean(axis=0)
        yellow = strongest in each["confirmed"]
        assert yellow or (red > blue) == (coefficients[strongest] > 0)


def test_polygons_hold_exactly_their_regions(scans, tmp_path):
    _, listed = exported(scans.facelime, scans.check.reference, tmp_path / "out", "coco")
    assert {name for each in listed["maps"] for name in each["files"]} == {"regions.json"}
    coco = json.loads((tmp_path / "out" / "regions.json").read_text())
    x, y = np.meshgrid(np.arange(COLUMNS) + 0.5, np.arange(ROWS) + 0.5)
    middles = np.stack([x.ravel(), y.ravel()], axis=-1)
    names = {each["id"]: each["file_name"] for each in coco["images"]}
    classes = {each["id"]: each["name"] for each in coco["categories"]}
    seen = set()
    for each in coco["annotations"]:
        explanations, row, c = wanted(scans, {"id": names[each["image_id"]], "class": classes[each["category_id"]]})
        assert each["coefficient"] == explanations.coefficients(row, c)[each["segment"]]
        region = PLACED.restored(explanations.segments(row) + 1, outside=0) == each["segment"] + 1
        inside = np.zeros(region.size, int)
        for polygon in each["segmentation"]:
            inside += Polygon(np.array(polygon).reshape(-1, 2)).contains_points(middles)
        assert (inside.reshape(region.shape) == region).all()
        left, top, width, height = each["bbox"]
        assert (0 <= left < left + width <= COLUMNS, 0 <= top < top + height <= ROWS) == (True, True)
        assert each["area"] == pytest.approx(region.sum(), rel=0.15)
        seen.add((each["image_id"], each["category_id"]))
    assert len(seen) == len(listed["maps"])


def test_pictures_and_classes_are_chosen(scans, tmp_path):
    words = ("--picture", "scan-2", "--classes", "rosacea")
    answer, listed = exported(scans.facelime, scans.check.reference, tmp_path / "out", "npy", *words)
    assert [(each["id"], each["class"]) for each in listed["maps"]] == [("scan-2", "rosacea")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["export.json", "scan-2.rosacea.npy"]
    assert answer["files"] == 2
    assert "scan-1" not in (tmp_path / "out" / "export.json").read_text()


def test_a_folder_is_private_and_replaced_whole_or_not_at_all(scans, tmp_path):
    facelime, reference, out = scans.facelime, scans.check.reference, tmp_path / "out"
    exported(facelime, reference, out, "npy")
    assert out.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o600}
    words = ("export", reference, "--to", out, "--format", "png")
    assert "exists already" in facelime.fails(*words)
    assert {path.suffix for path in out.iterdir()} == {".npy", ".json"}
    facelime.json(*words, "--force")
    assert {path.suffix for path in out.iterdir()} == {".png", ".json"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    mine = ("export", reference, "--to", tmp_path / "mine", "--format", "png", "--force")
    assert "no export has written" in facelime.fails(*mine)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "mine"


def test_what_has_no_maps_is_refused(scans, tmp_path):
    facelime = scans.facelime
    assert "no explanations" in facelime.fails("export", "datasets/scans", "--to", tmp_path / "x", "--format", "png")
    words = ("export", scans.check.reference, "--to", tmp_path / "x", "--format", "png")
    assert "--with-groups" in facelime.fails(*words, "--with-groups", code=2)
    assert "no class" in facelime.fails(*words, "--classes", "measles")
    assert "no picture" in facelime.fails(*words, "--picture", "nobody")
    unknown = facelime(*words[:-1], "dcm")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert "--format" in unknown.stderr
    assert "--classes" in facelime.fails(
        "export", scans.check.reference, "--to", tmp_path / "x.h5", "--classes", "1", code=2
    )
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_of_earlier_gives_maps_of_its_own_size_and_says_so(scans, tmp_path, monkeypatch):
    monkeypatch.setattr("facelime_cli.store.pictures.ORIGINALS", "not kept then")
    done = scans.facelime("export", scans.check.reference, "--to", tmp_path / "out", "--format", "npy")
    assert done.exit_code == 0
    assert "did not keep the size" in done.stderr
    listed = json.loads((tmp_path / "out" / "export.json").read_text())
    assert listed["geometry"] == "dataset"
    assert np.load(tmp_path / "out" / listed["maps"][0]["files"][0]).shape == (SIZE, SIZE)


def test_a_folder_that_may_not_grow_leaves_the_old_one(scans, tmp_path):
    out = tmp_path / "out"
    exported(scans.facelime, scans.check.reference, out, "npy")
    before = sorted(path.name for path in out.iterdir())
    words = ("export", scans.check.reference, "--to", out, "--format", "npy", "--force")
    done = run(*words, store=scans.facelime.store, limit=20_000)
    assert f"too large for this disk or for `ulimit -f` ({out})" in failed(done)
    assert sorted(path.name for path in out.iterdir()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_killed_one_can_be_run_again(scans, tmp_path):
    out = tmp_path / "out"
    exported(scans.facelime, scans.check.reference, out, "npy")
    words = "import os, signal; from facelime_cli.__main__ import main; from facelime_cli.exporting import folders;"
    words += "folders.Folder.write = lambda *_: os.kill(os.getpid(), signal.SIGKILL); main()"
    arguments = ["export", scans.check.reference, "--to", out, "--format", "png", "--force"]
    arguments += ["--store", scans.facelime.store]
    killed = subprocess.run([sys.executable, "-c", words, *map(str, arguments)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert {path.suffix for path in out.iterdir()} == {".npy", ".json"}
    assert len(list(tmp_path.iterdir())) == 2
    assert scans.facelime(*arguments[:-2]).exit_code == 0
    assert {path.suffix for path in out.iterdir()} == {".png", ".json"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
