"""DICOM objects of explanations, read back by pydicom and by dcmtk."""

import json
import shutil
import subprocess

import h5py
import numpy as np
import pydicom
import pytest

from facelime_cli.core.dicom import uids_of
from facelime_cli.core.geometry import Placement
from facelime_cli.errors import FacelimeError
from facelime_cli.exporting.dicom_files import check, uid_of
from facelime_cli.reporting.explanations import Explanations
from facelime_cli.store.references import Store
from tests.exporting.conftest import COLUMNS, ROWS, write_scans
from tests.scanning import secrets_in
from tests.support import write_faces, write_scan

pytestmark = pytest.mark.long
UID = "1.2.3.40"


@pytest.fixture(scope="module")
def objects(scans, tmp_path_factory):
    """The folder of an export, and its list."""
    folder = tmp_path_factory.mktemp("objects") / "out"
    words = ("--format", "dicom", "--classes", "normal,rosacea")
    scans.facelime.json("export", scans.check.reference, "--to", folder, *words)
    return folder, json.loads((folder / "export.json").read_text())["maps"]


def files_of(objects, ending):
    folder, listed = objects
    return [
        (each, pydicom.dcmread(folder / name)) for each in listed for name in each["files"] if name.endswith(ending)
    ]


def test_each_picture_has_a_secondary_capture_that_refers_to_its_scan(objects):
    found = files_of(objects, ".sc.dcm")
    assert len(found) == len(objects[1]) == 8
    for each, made in found:
        number = int(each["id"].removeprefix("scan-")) + 1
        reference = made.SourceImageSequence[0]
        assert reference.ReferencedSOPInstanceUID == f"{UID}.5.{number}"
        assert made.StudyInstanceUID == UID
        assert made.SeriesInstanceUID != f"{UID}.5"
        assert (made.Rows, made.Columns, made.PhotometricInterpretation) == (ROWS, COLUMNS, "RGB")
        assert made.pixel_array.shape == (ROWS, COLUMNS, 3)
        assert made.SOPClassUID.name == "Secondary Capture Image Storage"
        assert "NOT FOR DIAGNOSTIC USE" in made.SeriesDescription
        assert each["verdict"] in made.ImageComments
        assert not made.PatientName
        assert not made.PatientID
    assert len({made.SOPInstanceUID for _, made in found}) == len(found)
    assert len({made.SeriesInstanceUID for _, made in found}) == 1


def test_the_model_confirms_the_squares_alone(objects):
    """What follows compares regions with those that the check names, so these must be the right ones."""
    for each in objects[1]:
        wanted = {5, 10} if each["class"] == "rosacea" else set()
        assert set(each["confirmed"]) == wanted, each


def test_a_segmentation_holds_exactly_the_confirmed_regions(objects, scans):
    found = files_of(objects, ".seg.dcm")
    assert len(found) == sum(bool(each["confirmed"]) for each in objects[1]) > 0
    explanations = Explanations(scans.consensus, scans.check)
    for each, made in found:
        row = explanations.row(each["id"])
        placement = Placement(explanations.segments(row).shape, tuple(each["original"]), tuple(each["seen"]))
        placed = placement.restored(explanations.segments(row).astype(int), outside=-1)
        wanted = [placed == k for k in each["confirmed"] if (placed == k).any()]
        pixels = made.pixel_array.reshape(-1, ROWS, COLUMNS)
        assert np.array_equal(pixels, np.array(wanted))
        numbers = [
            frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            for frame in made.PerFrameFunctionalGroupsSequence
        ]
        assert numbers == list(range(1, len(wanted) + 1))
        assert [segment.SegmentAlgorithmType for segment in made.SegmentSequence] == ["AUTOMATIC"] * len(wanted)
        coefficient = explanations.coefficients(row, explanations.names.index(each["class"]))[each["confirmed"][0]]
        assert f"{coefficient:+.3f} probability, {each['class']}" in made.SegmentSequence[0].SegmentLabel
        source = made.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
        assert source.ReferencedSOPInstanceUID == f"{UID}.5.{int(each['id'][-1]) + 1}"
        assert "NOT FOR DIAGNOSTIC USE" in made.ContentDescription
        assert made.SOPClassUID.name == "Segmentation Storage"


def test_an_independent_program_reads_them(objects):
    dcmdump = shutil.which("dcmdump")
    if dcmdump is None:
        pytest.skip("dcmtk's dcmdump is not installed")
    folder, listed = objects
    for name in [name for each in listed for name in each["files"]]:
        words = [dcmdump, "--search", "SeriesDescription", "--search", "StudyInstanceUID", folder / name]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), name
        assert "NOT FOR DIAGNOSTIC USE" in done.stdout
        assert f"[{UID}]" in done.stdout
        whole = subprocess.run([dcmdump, folder / name], capture_output=True, text=True, check=False)
        assert (whole.returncode, whole.stderr) == (0, ""), name
        assert "PixelData" in whole.stdout


def test_the_same_export_makes_the_same_instances(objects, scans, tmp_path):
    words = ("--format", "dicom", "--classes", "rosacea", "--picture", "scan-1")
    scans.facelime.json("export", scans.check.reference, "--to", tmp_path / "again", *words)
    again = pydicom.dcmread(tmp_path / "again" / "scan-1.rosacea.sc.dcm")
    before = pydicom.dcmread(objects[0] / "scan-1.rosacea.sc.dcm")
    assert again.SOPInstanceUID == before.SOPInstanceUID
    assert again.SeriesInstanceUID == before.SeriesInstanceUID
    assert uid_of("a", "bc") != uid_of("ab", "c")
    assert pydicom.uid.UID(uid_of("a")).is_valid


def test_uids_stay_in_the_store_unless_they_are_asked_for(scans, tmp_path):
    run = scans.facelime
    answer = run.json("export", "datasets/scans", "--to", tmp_path / "out.h5")
    assert "dicom/instance (--with-dicom-uids)" in answer["left_out"]
    assert secrets_in(tmp_path, {"uid": f"{UID}.5"}) == {}
    run.json("export", scans.check.reference, "--to", tmp_path / "check.h5")
    assert secrets_in(tmp_path, {"uid": f"{UID}.5"}) == {}
    run.json("export", "datasets/scans", "--to", tmp_path / "out.h5", "--force", "--with-dicom-uids")
    with h5py.File(tmp_path / "out.h5") as out:
        assert out["dicom/instance"].asstr()[:].tolist() == [f"{UID}.5.{number}" for number in range(1, 5)]


def test_uids_are_kept_only_when_they_are_asked_for(scans, facelime, tmp_path):
    folder = write_scans(tmp_path / "scans")
    words = ("preprocess", folder, "--size", 24, "--workers", 1)
    plain = facelime.artifact(*words)
    assert not any(name.startswith("dicom") for name in plain.arrays)
    assert secrets_in(facelime.store, {"uid": f"{UID}.5"}) == {}
    done = facelime(*words, "--keep-dicom-uids")
    assert "the UIDs of 4 of 4 files are kept" in done.stderr
    kept = Store(facelime.store).resolve(done.stdout.strip())
    assert kept.fingerprint != plain.fingerprint
    assert kept.texts("dicom/instance") == [f"{UID}.5.{number}" for number in range(1, 5)]
    assert scans.facelime.fails(
        "export", scans.views[0].reference, "--to", tmp_path / "x", "--format", "dicom", "--classes", "measles"
    )


def test_what_has_no_uids_is_refused(facelime, tmp_path):
    plain = facelime.artifact("preprocess", write_scans(tmp_path / "scans", 1), "--size", 24, "--workers", 1)
    with pytest.raises(FacelimeError, match="preprocess --keep-dicom-uids"):
        check(plain)
    faces = write_faces(tmp_path / "faces", 2, 24)
    assert "no file of the source" in facelime.fails("preprocess", faces, "--size", 24, "--keep-dicom-uids")
    values = np.zeros((8, 8), np.uint16)
    assert uids_of(write_scan(tmp_path / "a.dcm", values, StudyInstanceUID="1.2", SOPInstanceUID="1.2.3")) is None
    assert uids_of(faces / "normal" / "face-000.png") is None
    assert uids_of(write_scans(tmp_path / "b", 1) / "scan-0.dcm") == (
        UID,
        f"{UID}.5",
        f"{UID}.5.1",
        "1.2.840.10008.5.1.4.1.1.7",
    )
