"""DICOM files through the command line: what becomes of them in a dataset, and what is said."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from facelime_cli.core.dicom import read_dicom
from facelime_cli.core.images import Reading
from facelime_cli.core.operations import Operations, prepare
from tests.support import write_scan

FOLDER = Path(pydicom.__path__[0]) / "data" / "test_files"
RAMP = np.arange(256).reshape(16, 16) * 16
FRAMES = np.stack([RAMP, RAMP[::-1], RAMP.T])
COLOURS = ("SC_rgb_dcmtk_+eb+cy+np", "examples_palette", "SC_rgb_jpeg_gdcm", "JPEGLSNearLossless_08", "examples_jpeg2k")


def wanted(path, frame=None):
    return prepare(read_dicom(path, Reading(frame=frame)).image, Operations(16)).image


def test_a_disc_of_scans_is_what_the_decoder_gives(facelime, tmp_path):
    """Files without endings, in colour and in grey, beside one of several frames, a report and the index."""
    disc = tmp_path / "disc"
    patients = [write_scan(disc / f"IM{number:04d}", RAMP, PatientID=f"person-{number // 2}") for number in range(4)]
    write_scan(disc / "film", FRAMES, NumberOfFrames=3)
    for name in COLOURS:
        (disc / f"{name}.dcm").symlink_to(FOLDER / f"{name}.dcm")
    (disc / "SR0001").symlink_to(FOLDER / "test-SR.dcm")
    (disc / "DICOMDIR").symlink_to(FOLDER / "dicomdirtests" / "DICOMDIR")
    result = facelime("preprocess", disc, "--size", 16, "--workers", 1, "--json")
    assert result.exit_code == 0
    # What pydicom and its decoders log is for nobody's eyes.
    assert not [line for line in result.stderr.splitlines() if "pydicom" in line or "plugin" in line]
    data = facelime.artifact("preprocess", disc, "--size", 16)
    assert {each["file"]: each["reason"].partition(";")[0] for each in data.facts["unreadable"]} == {
        "film": "holds 3 frames",
        "SR0001": "is a DICOM object of another kind (Comprehensive SR Storage), not a picture",
    }
    assert sorted(data.texts("id")) == sorted([*(path.name for path in patients), *COLOURS])
    for image, name in zip(data.read("images"), data.texts("id"), strict=True):
        assert np.array_equal(image, wanted(disc / (f"{name}.dcm" if name in COLOURS else name)))
    groups = dict(zip(data.texts("id"), data.texts("group"), strict=True))
    assert groups["IM0000"] == groups["IM0001"] != groups["IM0002"]


def test_a_frame_is_chosen_and_is_a_dataset_of_its_own(facelime, tmp_path):
    film = write_scan(tmp_path / "film.dcm", FRAMES, NumberOfFrames=3)
    found = {}
    for frame in (1, 3):
        data = facelime.artifact("preprocess", film, "--size", 16, "--frame", frame)
        assert np.array_equal(data.read("images")[0], wanted(film, frame))
        assert data.parameters["frame"] == frame
        found[frame] = data.id
    assert found[1] != found[3]
    assert "has 3 frames, so there is no frame 4" in facelime.fails("preprocess", film, "--size", 16, "--frame", 4)


def test_without_a_frame_the_parameters_are_those_of_before(facelime, tmp_path):
    data = facelime.artifact("preprocess", write_scan(tmp_path / "a.dcm", RAMP), "--size", 16)
    assert "frame" not in data.parameters


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "dicomdirtests/DICOMDIR",
            "is a DICOMDIR, the index of a disc, not a picture; give the folder that it lies in",
        ),
        ("rtdose.dcm", "holds 15 frames; choose one with `preprocess --frame N`, or save it as a file of its own"),
        ("MR_truncated.dcm", "has less pixel data than its header declares; it may have been cut off"),
        ("no_meta.dcm", "is not a DICOM file"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(facelime, name, said):
    assert said in facelime.fails("preprocess", FOLDER / name, "--size", 16)
