"""Which files are DICOM: by their first bytes, whatever their names."""

import os

import numpy as np
import pytest

from facelime_cli.core.formats import DICOMDIR_CLASS, has_dicom_mark, is_dicom
from tests.support import write_scan

GREY = np.zeros((4, 4), np.uint16)


@pytest.mark.parametrize("name", ["IM0001", "a.dcm", "a.png", "1.2.840.113619"])
def test_a_scan_is_known_whatever_its_name(tmp_path, name):
    assert is_dicom(write_scan(tmp_path / name, GREY))


def test_what_is_no_dicom(tmp_path):
    (tmp_path / "short").write_bytes(b"DICM")
    (tmp_path / "long").write_bytes(bytes(132) + b"DICM")
    os.mkfifo(tmp_path / "pipe")
    for name in ("short", "long", "pipe", "nothing", ""):
        assert not is_dicom(tmp_path / name)
        assert not has_dicom_mark(tmp_path / name)


def test_the_index_of_a_disc_is_no_picture(tmp_path):
    start = bytes(128) + b"DICM" + bytes(20)
    (tmp_path / "a").write_bytes(start)
    (tmp_path / "DICOMDIR").write_bytes(start + DICOMDIR_CLASS)
    assert is_dicom(tmp_path / "a")
    assert not is_dicom(tmp_path / "DICOMDIR")
    assert has_dicom_mark(tmp_path / "DICOMDIR")
